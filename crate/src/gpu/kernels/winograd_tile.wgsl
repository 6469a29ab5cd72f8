// What winograd_map and winograd_weight share: lines of a tile of 4x4 places, and where its numbers go.
// `params.count` is the vec4s of one place.

struct Line { a: vec4<f32>, b: vec4<f32>, c: vec4<f32>, d: vec4<f32> }

// Stores a column of the tile.
fn store(i: u32, column: u32, values: Line) {
    output[i + column * params.count] = vec4<Scalar>(values.a);
    output[i + (4u + column) * params.count] = vec4<Scalar>(values.b);
    output[i + (8u + column) * params.count] = vec4<Scalar>(values.c);
    output[i + (12u + column) * params.count] = vec4<Scalar>(values.d);
}
