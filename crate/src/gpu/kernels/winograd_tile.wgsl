// Shared by winograd_map and winograd_weight: a row or column of a 4x4 tile, and the layout of the 16 matrices.
// `params.count` is the size of a matrix in vec4s.

struct Line { a: vec4<f32>, b: vec4<f32>, c: vec4<f32>, d: vec4<f32> }

// Stores a column of the tile: element i of four matrices.
fn store(i: u32, column: u32, values: Line) {
    output[i + column * params.count] = vec4<Scalar>(values.a);
    output[i + (4u + column) * params.count] = vec4<Scalar>(values.b);
    output[i + (8u + column) * params.count] = vec4<Scalar>(values.c);
    output[i + (12u + column) * params.count] = vec4<Scalar>(values.d);
}
