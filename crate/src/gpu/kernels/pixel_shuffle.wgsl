// Pixels from channels and back; see ops/pixel_shuffle.rs.

struct Params { count: u32, width: u32, channels: u32, factor: u32, inverse: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<Scalar>; // (B, H, W, C), of the larger or the smaller map
@group(0) @binding(2) var<storage, read_write> output: array<Scalar>; // the other map

// Index in the smaller map of element `i` of the larger map.
fn shuffled(i: u32) -> u32 {
    let factor = params.factor;
    let pixel = i / params.channels;
    let row = pixel / params.width;
    let column = pixel % params.width;
    let channel = (i % params.channels * factor + row % factor) * factor + column % factor;
    return (row / factor * (params.width / factor) + column / factor) * params.channels * factor * factor + channel;
}

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let i = workgroup_index(group, groups) * 256u + local;
    if i >= params.count { return; }
    if params.inverse == 1u {
        output[shuffled(i)] = x[i];
    } else {
        output[i] = x[shuffled(i)];
    }
}
