// Peak arithmetic throughput: multiply-adds in registers, without loads. Each invocation performs 8 x 4 x 2 operations
// per round.

struct Params { rounds: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> output: array<f32>; // (invocations)

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let factor = vec4(0.5, 0.25, 0.125, 0.75);
    let term = vec4(f32(id.x), 1.0, 2.0, 3.0);
    var sums0 = mat4x4<f32>(term, term.yzwx, term.zwxy, term.wxyz);
    var sums1 = sums0 * 0.5;
    for (var round = 0u; round < params.rounds; round++) {
        sums0[0] = sums0[0] * factor + term;
        sums0[1] = sums0[1] * factor + term;
        sums0[2] = sums0[2] * factor + term;
        sums0[3] = sums0[3] * factor + term;
        sums1[0] = sums1[0] * factor + term;
        sums1[1] = sums1[1] * factor + term;
        sums1[2] = sums1[2] * factor + term;
        sums1[3] = sums1[3] * factor + term;
    }
    let all = (sums0 + sums1) * factor;
    output[id.x] = dot(all, all);
}
