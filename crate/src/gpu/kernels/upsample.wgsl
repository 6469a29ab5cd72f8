// Nearest-neighbor upsampling of (B, H, W, C); see ops/upsample.rs.

struct Params { count: u32, height: u32, width: u32, channels: u32, out_height: u32, out_width: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<Scalar>; // (B, H, W, C)
@group(0) @binding(2) var<storage, read_write> output: array<Scalar>; // (B, H', W', C)

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let i = workgroup_index(group, groups) * 256u + local;
    if i >= params.count { return; }
    let channel = i % params.channels;
    let pixel = i / params.channels;
    let column = pixel % params.out_width * params.width / params.out_width;
    let row = pixel / params.out_width % params.out_height * params.height / params.out_height;
    let image = pixel / (params.out_width * params.out_height);
    output[i] = x[((image * params.height + row) * params.width + column) * params.channels + channel];
}
