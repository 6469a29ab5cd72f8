// Convolution (B, H, W, C) -> (B, H', W', O) without workgroup memory; see ops/conv2d.rs. One invocation computes
// 8 pixels x 8 channels. For devices where a barrier costs more than a cache miss.

// Loads four channels of four pixels, one pixel per column; zeros outside the feature map.
fn pixels_block(source: Sources, k: u32) -> mat4x4<f32> {
    return mat4x4(
        source.mask.x * vec4<f32>(x[source.at.x + k]),
        source.mask.y * vec4<f32>(x[source.at.y + k]),
        source.mask.z * vec4<f32>(x[source.at.z + k]),
        source.mask.w * vec4<f32>(x[source.at.w + k]),
    );
}

@compute @workgroup_size(4, 4)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let pixel = id.y * 8u;
    let channel = id.x * 8u;
    if pixel >= params.rows || channel >= params.columns { return; }
    let low = window(pixel + vec4(0u, 1u, 2u, 3u));
    let high = window(pixel + vec4(4u, 5u, 6u, 7u));
    let channels_vec4 = params.channels / 4u;
    var a0 = mat4x4<f32>(); var a1 = mat4x4<f32>();
    var b0 = mat4x4<f32>(); var b1 = mat4x4<f32>();
    let step = depths_of_blocks(channels_vec4);
    for (var tap = 0u; tap < params.kernel * params.kernel; tap++) {
        let tap_position = vec2(tap % params.kernel, tap / params.kernel);
        let low_sources = sources(low, tap_position);
        let high_sources = sources(high, tap_position);
        if all(low_sources.mask + high_sources.mask == vec4(0.0)) { continue; }
        for (var start = 0u; start < channels_vec4; start += step) {
            let a_blocks = blocks_at(channel, tap * channels_vec4 + start);
            let b_blocks = blocks_at(channel + 4u, tap * channels_vec4 + start);
            for (var k = start; k < start + step; k++) {
                let x0 = pixels_block(low_sources, k);
                let x1 = pixels_block(high_sources, k);
                let depth = tap * channels_vec4 + k;
                let a = matrix_block_of(a_blocks, channel, depth);
                a0 += a * x0; a1 += a * x1;
                let b = matrix_block_of(b_blocks, channel + 4u, depth);
                b0 += b * x0; b1 += b * x1;
            }
        }
    }
    // A single call in a loop that compilers do not unroll: the inlined epilogue is large.
    var sums = array<mat4x4<f32>, 4>(a0, a1, b0, b1);
    for (var i = 0u; i < 2u * min(8u, params.rows - pixel); i++) {
        let row = i / 2u;
        store_epilogue(pixel + row, channel + i % 2u * 4u, sums[row / 4u + i % 2u * 2u][row % 4u], vec4(0.0));
    }
}
