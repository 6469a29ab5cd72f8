// Peak memory bandwidth: a copy without arithmetic.

@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>; // (count / 4)
@group(0) @binding(2) var<storage, read_write> output: array<vec4<f32>>; // (count / 4)

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    output[id.x] = x[id.x];
}
