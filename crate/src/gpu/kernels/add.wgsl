// x + y, with y broadcast over x; see ops/add.rs.

struct Params { count: u32, period: u32, inner: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<Scalar>; // (count)
@group(0) @binding(2) var<storage, read> y: array<Scalar>; // (count / period * inner)
@group(0) @binding(3) var<storage, read_write> output: array<Scalar>; // (count)

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let i = workgroup_index(group, groups) * 256u + local;
    if i >= params.count { return; }
    output[i] = Scalar(f32(x[i]) + f32(y[i / params.period * params.inner + i % params.inner]));
}
