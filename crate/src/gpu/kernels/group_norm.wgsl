// Group normalization over (B, P, C), optionally with SiLU; see ops/group_norm.rs. One workgroup per group and batch
// item. Three passes (mean, variance, result) avoid the cancellation of a one-pass variance.

// Channels from `x_channels` on belong to the second input.
struct Params { pixels: u32, channels: u32, groups: u32, eps: f32, x_channels: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<Scalar>; // (B, P, x_channels)
@group(0) @binding(2) var<storage, read> weight: array<Scalar>; // (C)
@group(0) @binding(3) var<storage, read> bias: array<Scalar>; // (C)
@group(0) @binding(4) var<storage, read> beside: array<Scalar>; // (B, P, C - x_channels)
@group(0) @binding(5) var<storage, read_write> output: array<Scalar>; // (B, P, C)

override SILU: bool = false;

// Loads a channel of a pixel; pixels are numbered across the batch.
fn load_input(pixel: u32, channel: u32) -> f32 {
    if channel < params.x_channels { return f32(x[pixel * params.x_channels + channel]); }
    return f32(beside[pixel * (params.channels - params.x_channels) + channel - params.x_channels]);
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) id: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let group_size = params.channels / params.groups;
    let count = params.pixels * group_size;
    let first_pixel = id.y * params.pixels;
    let first_channel = id.x * group_size;

    var sum = 0.0;
    for (var i = local; i < count; i += THREADS) { sum += load_input(first_pixel + i / group_size, first_channel + i % group_size); }
    let mean = workgroup_sum(local, sum, false) / f32(count);

    var squares = 0.0;
    for (var i = local; i < count; i += THREADS) {
        let centered = load_input(first_pixel + i / group_size, first_channel + i % group_size) - mean;
        squares = fma(centered, centered, squares);
    }
    let scale = inverseSqrt(workgroup_sum(local, squares, true) / f32(count) + params.eps);

    for (var i = local; i < count; i += THREADS) {
        let pixel = first_pixel + i / group_size;
        let channel = first_channel + i % group_size;
        var value = (load_input(pixel, channel) - mean) * scale * f32(weight[channel]) + f32(bias[channel]);
        if SILU { value = silu(value); }
        output[pixel * params.channels + channel] = Scalar(value);
    }
}
