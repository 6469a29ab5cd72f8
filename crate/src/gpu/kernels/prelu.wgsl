// Leaky ReLU with a slope per channel; see ops/prelu.rs.

struct Params { count: u32, channels: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<Scalar>; // (..., channels)
@group(0) @binding(2) var<storage, read> slopes: array<Scalar>; // (channels)
@group(0) @binding(3) var<storage, read_write> output: array<Scalar>; // (..., channels)

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let i = workgroup_index(group, groups) * 256u + local;
    if i >= params.count { return; }
    let value = f32(x[i]);
    output[i] = Scalar(select(value, value * f32(slopes[i % params.channels]), value < 0.0));
}
