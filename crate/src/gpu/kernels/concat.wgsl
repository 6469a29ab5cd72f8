// Concatenation of x and y along the channels; see ops/concat.rs.

struct Params { count: u32, left: u32, right: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<Scalar>; // (rows, left)
@group(0) @binding(2) var<storage, read> y: array<Scalar>; // (rows, right)
@group(0) @binding(3) var<storage, read_write> output: array<Scalar>; // (rows, left + right)

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let i = workgroup_index(group, groups) * 256u + local;
    if i >= params.count { return; }
    let width = params.left + params.right;
    let row = i / width;
    let channel = i % width;
    if channel < params.left {
        output[i] = x[row * params.left + channel];
    } else {
        output[i] = y[row * params.right + channel - params.left];
    }
}
