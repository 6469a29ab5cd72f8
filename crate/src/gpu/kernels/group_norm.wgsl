// Group norm over (B, P, C), perhaps with SiLU; see ops/group_norm.rs. One workgroup: one group
// of one item, read three times (mean, variance, result), so that nothing cancels.

// Channels from `left` on are the second map's.
struct Params { pixels: u32, channels: u32, groups: u32, eps: f32, left: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<Scalar>; // (B, P, left)
@group(0) @binding(2) var<storage, read> weight: array<Scalar>; // (C)
@group(0) @binding(3) var<storage, read> bias: array<Scalar>; // (C)
@group(0) @binding(4) var<storage, read> beside: array<Scalar>; // (B, P, C - left)
@group(0) @binding(5) var<storage, read_write> output: array<Scalar>; // (B, P, C)

override SILU: bool = false;

// A channel of a pixel, counted over all items.
fn number(pixel: u32, channel: u32) -> f32 {
    if channel < params.left { return f32(x[pixel * params.left + channel]); }
    return f32(beside[pixel * (params.channels - params.left) + channel - params.left]);
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) id: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let size = params.channels / params.groups;
    let count = params.pixels * size;
    let first = id.y * params.pixels;
    let channels = id.x * size;

    var sum = 0.0;
    for (var i = local; i < count; i += THREADS) { sum += number(first + i / size, channels + i % size); }
    let mean = workgroup_sum(local, sum, false) / f32(count);

    var squares = 0.0;
    for (var i = local; i < count; i += THREADS) {
        let off = number(first + i / size, channels + i % size) - mean;
        squares = fma(off, off, squares);
    }
    let scale = inverseSqrt(workgroup_sum(local, squares, true) / f32(count) + params.eps);

    for (var i = local; i < count; i += THREADS) {
        let pixel = first + i / size;
        let channel = channels + i % size;
        var value = (number(pixel, channel) - mean) * scale * f32(weight[channel]) + f32(bias[channel]);
        if SILU { value = silu(value); }
        output[pixel * params.channels + channel] = Scalar(value);
    }
}
