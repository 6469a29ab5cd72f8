// Where a convolution reads: output pixels and taps to places of the input.

// Starts (in vec4s) of the input pixels under a tap of four output pixels, and 1 for each, or 0 and
// 0 outside the map.
struct Sources { at: vec4<u32>, live: vec4<f32> }

fn sources(pixels: vec4<u32>, tap: u32) -> Sources {
    let plane = params.out_height * params.out_width;
    let image = pixels / plane;
    // Rows and columns above and left of the map wrap to numbers that are too large.
    var row = pixels % plane / params.out_width * params.stride + tap / params.kernel - params.padding;
    var column = pixels % params.out_width * params.stride + tap % params.kernel - params.padding;
    let inside = (row < vec4(params.large_height)) & (column < vec4(params.large_width)) & (pixels < vec4(params.rows));
    // The map as it lies; it may have been enlarged, by the nearest pixel.
    row = row * params.height / params.large_height;
    column = column * params.width / params.large_width;
    let at = ((image * params.height + row) * params.width + column) * (params.channels / 4u);
    return Sources(select(vec4(0u), at, inside), select(vec4(0.0), vec4(1.0), inside));
}
