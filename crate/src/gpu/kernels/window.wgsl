// Input addressing of convolutions: output pixels and taps to offsets of input pixels.

// Windows of four output pixels: the first row of their feature map in the batch, and the window's first row and column
// in the map. Rows and columns above and left of the map wrap around to values beyond its size.
struct Window { map: vec4<u32>, row: vec4<u32>, column: vec4<u32> }

fn window(pixels: vec4<u32>) -> Window {
    let plane = params.out_height * params.out_width;
    let row = pixels % plane / params.out_width * params.stride - params.padding;
    let column = pixels % params.out_width * params.stride - params.padding;
    // Pixels past the last one are placed outside the map, so they read zeros.
    let beyond = vec4(0x40000000u);
    return Window(pixels / plane * params.height, select(beyond, row, pixels < vec4(params.rows)), column);
}

// Offsets (in vec4s) of the input pixels under a tap (column, row), and a mask of 1; both are 0 outside the map.
struct Sources { at: vec4<u32>, mask: vec4<f32> }

fn sources(window: Window, tap: vec2<u32>) -> Sources {
    var row = window.row + tap.y;
    var column = window.column + tap.x;
    let inside = (row < vec4(params.upsampled_height)) & (column < vec4(params.upsampled_width));
    // Nearest-neighbor upsampling is fused: map to the stored, smaller feature map.
    if params.upsampled_height != params.height { row = row * params.height / params.upsampled_height; }
    if params.upsampled_width != params.width { column = column * params.width / params.upsampled_width; }
    let at = ((window.map + row) * params.width + column) * (params.channels / 4u);
    return Sources(select(vec4(0u), at, inside), select(vec4(0.0), vec4(1.0), inside));
}
