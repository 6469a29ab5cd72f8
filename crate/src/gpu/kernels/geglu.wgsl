// GEGLU: first half of each row times GELU of the second half; see ops/geglu.rs.

struct Params { count: u32, half: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<Scalar>; // (rows, 2 * half)
@group(0) @binding(2) var<storage, read_write> output: array<Scalar>; // (rows, half)

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let i = workgroup_index(group, groups) * 256u + local;
    if i >= params.count { return; }
    let at = i / params.half * 2u * params.half + i % params.half;
    output[i] = Scalar(f32(x[at]) * gelu(f32(x[at + params.half])));
}
