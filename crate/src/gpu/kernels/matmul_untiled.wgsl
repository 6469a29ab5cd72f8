// (M, K) x matrix -> (M, N) without workgroup memory; see ops/matmul.rs. One invocation makes
// 8 rows x 8 columns, so that a number that is read is used 8 times. For devices where a barrier
// costs more than a cache miss, and a read more than an addition.

@compute @workgroup_size(4, 4)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let row = id.y * 8u;
    // Of a gate, 4 columns and the 4 that belong to them in the second half.
    let column = id.x * select(8u, 4u, has_flag(GEGLU));
    if row >= params.rows || column >= stored_columns() { return; }
    let second = select(column + 4u, column + params.columns / 2u, has_flag(GEGLU));
    let fours = params.inner / 4u;
    let begin = matrix_start(row);
    // Rows past the end repeat the last one; their sums are not stored.
    let last = vec4(params.rows - 1u);
    let rows0 = rows_from(min(row + vec4(0u, 1u, 2u, 3u), last));
    let rows1 = rows_from(min(row + vec4(4u, 5u, 6u, 7u), last));
    var low = init_row_stats(rows0);
    var high = init_row_stats(rows1);
    var a0 = mat4x4<f32>(); var a1 = mat4x4<f32>();
    var b0 = mat4x4<f32>(); var b1 = mat4x4<f32>();
    for (var k = 0u; k < fours; k++) {
        let x0 = row_block(rows0, k, &low);
        let x1 = row_block(rows1, k, &high);
        let a = matrix_block(column, begin + k);
        a0 += a * x0; a1 += a * x1;
        let b = matrix_block(second, begin + k);
        b0 += b * x0; b1 += b * x1;
    }
    if PROLOGUE == 2u {
        a0 = apply_layer_norm(a0, column, low.sum, low.squares); a1 = apply_layer_norm(a1, column, high.sum, high.squares);
        b0 = apply_layer_norm(b0, second, low.sum, low.squares); b1 = apply_layer_norm(b1, second, high.sum, high.squares);
    }
    // One place that stores, in a loop that no compiler unrolls: its text is long.
    var sums = array<mat4x4<f32>, 4>(a0, a1, b0, b1);
    let places = select(2u, 1u, has_flag(GEGLU));
    for (var i = 0u; i < places * min(8u, params.rows - row); i++) {
        let line = i / places;
        let place = i % places;
        let first = sums[2u * place + line / 4u][line % 4u];
        store_epilogue(row + line, column + 4u * place, first, sums[2u + line / 4u][line % 4u]);
    }
}
