// Winograd input transform (B, H, W, C) -> (16, T, C): B^T d B of the 4x4 window of each of T tiles; see winograd.rs.
// One invocation computes four channels of a tile.

// `count` is T * C and `channels_vec4` is C, both in vec4s. `tiles` counts the tiles of the whole batch, of which this
// chunk starts at `first`.
struct Params { count: u32, channels_vec4: u32, height: u32, width: u32, upsampled_height: u32, upsampled_width: u32, tiles: u32, first: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<vec4<Scalar>>;
@group(0) @binding(2) var<storage, read_write> output: array<vec4<Scalar>>;

fn transform(d: Line) -> Line {
    return Line(d.a - d.c, d.b + d.c, d.c - d.b, d.b - d.d);
}

// Loads a pixel of the upsampled map, 0 outside; rows and columns before the first wrap around to values beyond the
// map's size.
fn pixel(image: u32, row: u32, column: u32, channel4: u32) -> vec4<f32> {
    let inside = row < params.upsampled_height && column < params.upsampled_width;
    let source = vec2(row * params.height / params.upsampled_height, column * params.width / params.upsampled_width);
    let at = ((image * params.height + source.x) * params.width + source.y) * params.channels_vec4 + channel4;
    return select(vec4(0.0), vec4<f32>(x[select(0u, at, inside)]), inside);
}

fn transformed_row(image: u32, row: u32, column: u32, channel4: u32) -> Line {
    return transform(Line(
        pixel(image, row, column, channel4),
        pixel(image, row, column + 1u, channel4),
        pixel(image, row, column + 2u, channel4),
        pixel(image, row, column + 3u, channel4),
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
    let tile = params.first + i / params.channels_vec4;
    let channel4 = i % params.channels_vec4;
    let tiles_x = (params.upsampled_width + 1u) / 2u;
    let tiles_y = (params.upsampled_height + 1u) / 2u;
    // Tiles past the last one are placed below the map, so they read zeros.
    let image = min(tile, params.tiles - 1u) / (tiles_x * tiles_y);
    let row = select(tile / tiles_x % tiles_y * 2u, params.upsampled_height + 1u, tile >= params.tiles) - 1u;
    let column = tile % tiles_x * 2u - 1u;
    let a = transformed_row(image, row, column, channel4);
    let b = transformed_row(image, row + 1u, column, channel4);
    let c = transformed_row(image, row + 2u, column, channel4);
    let d = transformed_row(image, row + 3u, column, channel4);
    store(i, 0u, transform(Line(a.a, b.a, c.a, d.a)));
    store(i, 1u, transform(Line(a.b, b.b, c.b, d.b)));
    store(i, 2u, transform(Line(a.c, b.c, c.c, d.c)));
    store(i, 3u, transform(Line(a.d, b.d, c.d, d.d)));
}
