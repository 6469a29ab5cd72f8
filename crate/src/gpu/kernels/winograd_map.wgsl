// (B, H, W, C) -> (16, T, C): B^T d B of the 4x4 window of each of T tiles; see winograd.rs. One
// invocation makes four channels of a tile.

// `count` is T * C and `fours` is C, in vec4s; of the map and its tiles, `first` is the first of T.
struct Params { count: u32, fours: u32, height: u32, width: u32, upsampled_height: u32, upsampled_width: u32, tiles: u32, first: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<vec4<Scalar>>;
@group(0) @binding(2) var<storage, read_write> output: array<vec4<Scalar>>;

fn across(d: Line) -> Line {
    return Line(d.a - d.c, d.b + d.c, d.c - d.b, d.b - d.d);
}

// A pixel of the enlarged map, 0 outside; rows and columns before the first are too large.
fn pixel(image: u32, row: u32, column: u32, four: u32) -> vec4<f32> {
    let inside = row < params.upsampled_height && column < params.upsampled_width;
    let place = vec2(row * params.height / params.upsampled_height, column * params.width / params.upsampled_width);
    let at = ((image * params.height + place.x) * params.width + place.y) * params.fours + four;
    return select(vec4(0.0), vec4<f32>(x[select(0u, at, inside)]), inside);
}

fn line(image: u32, row: u32, column: u32, four: u32) -> Line {
    return across(Line(
        pixel(image, row, column, four),
        pixel(image, row, column + 1u, four),
        pixel(image, row, column + 2u, four),
        pixel(image, row, column + 3u, four),
    ));
}

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let i = workgroup_index(group, groups) * 256u + local;
    if i >= params.count { return; }
    let tile = params.first + i / params.fours;
    let four = i % params.fours;
    let wide = (params.upsampled_width + 1u) / 2u;
    let high = (params.upsampled_height + 1u) / 2u;
    // Tiles beyond those of the map lie below it: all outside.
    let image = min(tile, params.tiles - 1u) / (wide * high);
    let row = select(tile / wide % high * 2u, params.upsampled_height + 1u, tile >= params.tiles) - 1u;
    let column = tile % wide * 2u - 1u;
    let a = line(image, row, column, four);
    let b = line(image, row + 1u, column, four);
    let c = line(image, row + 2u, column, four);
    let d = line(image, row + 3u, column, four);
    store(i, 0u, across(Line(a.a, b.a, c.a, d.a)));
    store(i, 1u, across(Line(a.b, b.b, c.b, d.b)));
    store(i, 2u, across(Line(a.c, b.c, c.c, d.c)));
    store(i, 3u, across(Line(a.d, b.d, c.d, d.d)));
}
