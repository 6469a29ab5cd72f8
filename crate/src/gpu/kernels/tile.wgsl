// The inner loop of matmul and conv2d: a 64 x 64 tile of the output by 128 invocations, each of
// which keeps 8 rows x 4 columns. A tile of each factor, 16 deep, lies in workgroup memory (8 KiB).

const TILE: u32 = 64;
const DEPTH: u32 = 16;

var<workgroup> tile_rows: array<vec4<f32>, 256>; // (DEPTH, TILE / 4): 4 rows of x at one depth
var<workgroup> tile_columns: array<vec4<f32>, 256>; // (DEPTH, TILE / 4): 4 columns of the matrix

var<private> sum0: vec4<f32>;
var<private> sum1: vec4<f32>;
var<private> sum2: vec4<f32>;
var<private> sum3: vec4<f32>;
var<private> sum4: vec4<f32>;
var<private> sum5: vec4<f32>;
var<private> sum6: vec4<f32>;
var<private> sum7: vec4<f32>;

// Adds the product of the two tiles to this invocation's sums.
fn multiply_tiles(column: u32, row: u32) {
    for (var depth = 0u; depth < DEPTH; depth++) {
        let b = tile_columns[depth * 16 + column];
        let low = tile_rows[depth * 16 + row * 2];
        let high = tile_rows[depth * 16 + row * 2 + 1];
        sum0 = fma(vec4(low.x), b, sum0);
        sum1 = fma(vec4(low.y), b, sum1);
        sum2 = fma(vec4(low.z), b, sum2);
        sum3 = fma(vec4(low.w), b, sum3);
        sum4 = fma(vec4(high.x), b, sum4);
        sum5 = fma(vec4(high.y), b, sum5);
        sum6 = fma(vec4(high.z), b, sum6);
        sum7 = fma(vec4(high.w), b, sum7);
    }
}
