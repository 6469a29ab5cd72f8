// (M, K) x matrix -> (M, N) without workgroup memory; see ops/matmul.rs. One invocation makes
// 8 rows x 8 columns, so that a number that is read is used 8 times. For devices where a barrier
// costs more than a cache miss, and a read more than an addition.

// Rows from the four starts (in vec4s) at depth 4 k: a row each column.
fn rows_block(starts: vec4<u32>, k: u32) -> mat4x4<f32> {
    return mat4x4(vec4<f32>(x[starts.x + k]), vec4<f32>(x[starts.y + k]), vec4<f32>(x[starts.z + k]), vec4<f32>(x[starts.w + k]));
}

@compute @workgroup_size(4, 4)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let row = id.y * 8u;
    // Of a gate, 4 columns and the 4 that belong to them in the second half.
    let column = id.x * select(8u, 4u, has(GATE));
    if row >= params.rows || column >= stored_columns() { return; }
    let second = select(column + 4u, column + params.columns / 2u, has(GATE));
    let fours = params.inner / 4u;
    // Rows past the end repeat the last one; their sums are not stored.
    let last = vec4(params.rows - 1u);
    let start0 = min(row + vec4(0u, 1u, 2u, 3u), last) * fours;
    let start1 = min(row + vec4(4u, 5u, 6u, 7u), last) * fours;
    var a0 = mat4x4<f32>(); var a1 = mat4x4<f32>();
    var b0 = mat4x4<f32>(); var b1 = mat4x4<f32>();
    for (var k = 0u; k < fours; k++) {
        let x0 = rows_block(start0, k);
        let x1 = rows_block(start1, k);
        let a = matrix_block(column, k);
        a0 += a * x0; a1 += a * x1;
        let b = matrix_block(second, k);
        b0 += b * x0; b1 += b * x1;
    }
    // One place that stores, in a loop that no compiler unrolls: its text is long.
    var sums = array<mat4x4<f32>, 4>(a0, a1, b0, b1);
    let places = select(2u, 1u, has(GATE));
    for (var i = 0u; i < places * min(8u, params.rows - row); i++) {
        let line = i / places;
        let place = i % places;
        let first = sums[2u * place + line / 4u][line % 4u];
        finish(row + line, column + 4u * place, first, sums[2u + line / 4u][line % 4u]);
    }
}
