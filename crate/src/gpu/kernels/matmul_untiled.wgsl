// Matrix product (M, K) x (K, N) -> (M, N) without workgroup memory; see ops/matmul.rs. One invocation computes
// 8 rows x 8 columns, so that each loaded element is used 8 times. For devices where a barrier costs more than a cache
// miss, and a load more than an addition.

@compute @workgroup_size(4, 4)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let row = id.y * 8u;
    // With GEGLU, 4 columns and the corresponding 4 gate columns of the second half.
    let column = id.x * select(8u, 4u, has_flag(GEGLU_FLAG));
    if row >= params.rows || column >= output_columns() { return; }
    let second = select(column + 4u, column + params.columns / 2u, has_flag(GEGLU_FLAG));
    let inner_vec4 = params.inner / 4u;
    let matrix_at = matrix_offset(row);
    // Rows past the end repeat the last one; their results are not stored.
    let last = vec4(params.rows - 1u);
    let rows0 = row_offsets(min(row + vec4(0u, 1u, 2u, 3u), last));
    let rows1 = row_offsets(min(row + vec4(4u, 5u, 6u, 7u), last));
    var low = init_row_stats(rows0);
    var high = init_row_stats(rows1);
    var a0 = mat4x4<f32>(); var a1 = mat4x4<f32>();
    var b0 = mat4x4<f32>(); var b1 = mat4x4<f32>();
    let step = depths_of_blocks(inner_vec4);
    for (var start = 0u; start < inner_vec4; start += step) {
        let a_blocks = blocks_at(column, matrix_at + start);
        let b_blocks = blocks_at(second, matrix_at + start);
        for (var k = start; k < start + step; k++) {
            let x0 = row_block(rows0, k, &low);
            let x1 = row_block(rows1, k, &high);
            let a = matrix_block_of(a_blocks, column, matrix_at + k);
            a0 += a * x0; a1 += a * x1;
            let b = matrix_block_of(b_blocks, second, matrix_at + k);
            b0 += b * x0; b1 += b * x1;
        }
    }
    if PROLOGUE == 2u {
        a0 = apply_layer_norm(a0, column, low.sum, low.squares); a1 = apply_layer_norm(a1, column, high.sum, high.squares);
        b0 = apply_layer_norm(b0, second, low.sum, low.squares); b1 = apply_layer_norm(b1, second, high.sum, high.squares);
    }
    // A single call in a loop that compilers do not unroll: the inlined epilogue is large.
    var sums = array<mat4x4<f32>, 4>(a0, a1, b0, b1);
    let blocks = select(2u, 1u, has_flag(GEGLU_FLAG));
    for (var i = 0u; i < blocks * min(8u, params.rows - row); i++) {
        let block_row = i / blocks;
        let block = i % blocks;
        let first = sums[2u * block + block_row / 4u][block_row % 4u];
        store_epilogue(row + block_row, column + 4u * block, first, sums[2u + block_row / 4u][block_row % 4u]);
    }
}
