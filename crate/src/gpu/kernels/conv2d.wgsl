// (B, H, W, C) -> (B, H', W', O); see ops/conv2d.rs. An implicit matrix product: rows are output
// pixels, columns output channels, depth is (kernel row, kernel column, channel). Nothing is
// unrolled into memory; a pixel's neighbours are found while a tile is filled.

struct Params {
    batch: u32, height: u32, width: u32, channels: u32, out_height: u32, out_width: u32, outputs: u32, kernel: u32, stride: u32, padding: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<Scalar>; // (B, H, W, C)
@group(0) @binding(2) var<storage, read> weight: array<u32>; // (O, kernel * kernel * C)
@group(0) @binding(3) var<storage, read> bias: array<Scalar>; // (O)
@group(0) @binding(4) var<storage, read_write> output: array<Scalar>; // (B, H', W', O)

override BIAS: bool = false;

override STORAGE: u32 = 0; // of the weights: 0 f32, 1 f16 in pairs, 2 bf16 in pairs

// A number of weight, whose words hold one f32 or a pair of halves.
fn stored(i: u32) -> f32 {
    if STORAGE == 0u { return bitcast<f32>(weight[i]); }
    let word = weight[i / 2u];
    if STORAGE == 1u { return unpack2x16float(word)[i % 2u]; }
    return bitcast<f32>(select(word << 16u, word & 0xffff0000u, i % 2u == 1u));
}

// An output pixel as (image, top row, left column) of its window; image = B where there is none.
fn window(pixel: u32) -> vec3<i32> {
    let image = pixel / (params.out_height * params.out_width);
    let row = pixel / params.out_width % params.out_height;
    let column = pixel % params.out_width;
    let corner = vec2<i32>(vec2(row, column) * params.stride) - i32(params.padding);
    return vec3(i32(image), corner);
}

fn x_at(window: vec3<i32>, tap: vec2<i32>, channel: u32) -> f32 {
    let at = window.yz + tap;
    let inside = u32(window.x) < params.batch && all(at >= vec2(0)) && at.x < i32(params.height) && at.y < i32(params.width);
    if !inside { return 0.0; }
    let pixel = (u32(window.x) * params.height + u32(at.x)) * params.width + u32(at.y);
    return f32(x[pixel * params.channels + channel]);
}

fn weight_at(channel: u32, k: u32, depth: u32) -> f32 {
    if channel < params.outputs && k < depth { return stored(channel * depth + k); }
    return 0.0;
}

fn store(pixel: u32, channel: u32, sums: vec4<f32>) {
    if pixel >= params.batch * params.out_height * params.out_width { return; }
    for (var i = 0u; i < 4u; i++) {
        let at = channel + i;
        if at < params.outputs {
            var value = sums[i];
            if BIAS { value += f32(bias[at]); }
            output[pixel * params.outputs + at] = Scalar(value);
        }
    }
}

@compute @workgroup_size(128)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let inner = params.kernel * params.kernel * params.channels;
    let first_pixel = group.x * TILE;
    let first_channel = group.y * TILE;
    let four = local / 8u;
    let pixel = first_pixel + four * 4u;
    let column = first_channel + four * 4u;
    let window0 = window(pixel);
    let window1 = window(pixel + 1u);
    let window2 = window(pixel + 2u);
    let window3 = window(pixel + 3u);
    for (var start = 0u; start < inner; start += DEPTH) {
        for (var half = 0u; half < 2u; half++) {
            let depth = local % 8u + half * 8u;
            let k = start + depth;
            var values = vec4(0.0);
            if k < inner {
                let channel = k % params.channels;
                let place = k / params.channels;
                let tap = vec2(i32(place / params.kernel), i32(place % params.kernel));
                values = vec4(x_at(window0, tap, channel), x_at(window1, tap, channel), x_at(window2, tap, channel), x_at(window3, tap, channel));
            }
            tile_rows[depth * 16u + four] = values;
            tile_columns[depth * 16u + four] =
                vec4(weight_at(column, k, inner), weight_at(column + 1u, k, inner), weight_at(column + 2u, k, inner), weight_at(column + 3u, k, inner));
        }
        workgroupBarrier();
        multiply_tiles(local % 16u, local / 16u);
        workgroupBarrier();
    }
    let to_pixel = first_pixel + local / 16u * 8u;
    let to_channel = first_channel + local % 16u * 4u;
    store(to_pixel, to_channel, sum0);
    store(to_pixel + 1u, to_channel, sum1);
    store(to_pixel + 2u, to_channel, sum2);
    store(to_pixel + 3u, to_channel, sum3);
    store(to_pixel + 4u, to_channel, sum4);
    store(to_pixel + 5u, to_channel, sum5);
    store(to_pixel + 6u, to_channel, sum6);
    store(to_pixel + 7u, to_channel, sum7);
}
