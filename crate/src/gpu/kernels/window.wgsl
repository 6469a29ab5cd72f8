// Where a convolution reads: output pixels and taps to places of the input.

// Four output pixels: the first row of their map among all maps, and where their windows begin in it.
// Rows and columns above and left of the map wrap to numbers that are too large.
struct Window { map: vec4<u32>, row: vec4<u32>, column: vec4<u32> }

fn window(pixels: vec4<u32>) -> Window {
    let plane = params.out_height * params.out_width;
    let row = pixels % plane / params.out_width * params.stride - params.padding;
    let column = pixels % params.out_width * params.stride - params.padding;
    // Pixels past the last read nothing.
    let beyond = vec4(0x40000000u);
    return Window(pixels / plane * params.height, select(beyond, row, pixels < vec4(params.rows)), column);
}

// Starts (in vec4s) of the input pixels under a tap (column, row), and 1 for each, or 0 and 0 outside
// the map.
struct Sources { at: vec4<u32>, live: vec4<f32> }

fn sources(window: Window, tap: vec2<u32>) -> Sources {
    var row = window.row + tap.y;
    var column = window.column + tap.x;
    let inside = (row < vec4(params.upsampled_height)) & (column < vec4(params.upsampled_width));
    // The map as it lies; it may have been enlarged, by the nearest pixel.
    if params.upsampled_height != params.height { row = row * params.height / params.upsampled_height; }
    if params.upsampled_width != params.width { column = column * params.width / params.upsampled_width; }
    let at = ((window.map + row) * params.width + column) * (params.channels / 4u);
    return Sources(select(vec4(0u), at, inside), select(vec4(0.0), vec4(1.0), inside));
}
