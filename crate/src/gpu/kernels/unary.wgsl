// Elementwise activation function; see ops/unary.rs.

struct Params { count: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<Scalar>; // (count)
@group(0) @binding(2) var<storage, read_write> output: array<Scalar>; // (count)

override FUNCTION: u32 = 0; // 0 SiLU, 1 GELU, 2 quick GELU, 3 leaky ReLU

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let i = workgroup_index(group, groups) * 256u + local;
    if i >= params.count { return; }
    let value = f32(x[i]);
    var result = 0.0;
    switch FUNCTION {
        case 0u: { result = silu(value); }
        case 1u: { result = gelu(value); }
        case 2u: { result = quick_gelu(value); }
        default: { result = max(value, 0.2 * value); }
    }
    output[i] = Scalar(result);
}
