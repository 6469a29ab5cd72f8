// Matrix product (M, K) x (K, N) -> (M, N); see ops/matmul.rs. One workgroup computes a tile of ROWS x 64.

// Partial row statistics of the layer norm are exchanged through the row tile, or through a separate array if that tile
// is f16.
var<workgroup> row_stats: array<vec4<f32>, F16_OPERANDS * (PROLOGUE / 2u) * 2u * ROWS + 1u>;

@compute @workgroup_size(ROWS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let first = group.x * ROWS;
    let inner_vec4 = params.inner / 4u;
    // Rows past the end repeat the last one; their results are not stored.
    let rows = row_offsets(min(first + local / 4u * 4u + vec4(0u, 1u, 2u, 3u), vec4(params.rows - 1u)));
    var stats = init_row_stats(rows);
    let matrix_at = matrix_offset(first);
    for (var start = 0u; start < params.inner; start += DEPTH) {
        let k = start / 4u + local % 4u;
        var block = mat4x4<f32>();
        if k < inner_vec4 { block = row_block(rows, k, &stats); }
        store_row_tile(local / 4u, local % 4u, block);
        load_matrix_tile(group.y, local, start, matrix_at);
        workgroupBarrier();
        multiply_tiles(local);
        workgroupBarrier();
    }
    if PROLOGUE == 2u {
        // Each invocation has read a quarter of four rows, but accumulates the sums of eight different rows.
        store_stats(local, stats.sum);
        store_stats(ROWS + local, stats.squares);
        workgroupBarrier();
        let column = tile_column(group.y, local % 8u * 2u);
        let next_column = tile_column(group.y, local % 8u * 2u + 1u);
        let low = local / 8u * 8u;
        let low_sum = sum_stats(low);
        let low_squares = sum_stats(ROWS + low);
        sums_a0 = apply_layer_norm(sums_a0, column, low_sum, low_squares);
        sums_b0 = apply_layer_norm(sums_b0, next_column, low_sum, low_squares);
        let high_sum = sum_stats(low + 4u);
        let high_squares = sum_stats(ROWS + low + 4u);
        sums_a1 = apply_layer_norm(sums_a1, column, high_sum, high_squares);
        sums_b1 = apply_layer_norm(sums_b1, next_column, high_sum, high_squares);
    }
    store_tile(first, group.y, local);
}

// Shares an invocation's partial statistics of four rows with the workgroup.
fn store_stats(at: u32, stats: vec4<f32>) {
    if F16_OPERANDS == 1u { row_stats[at] = stats; } else { tile_x[at] = vec4<Operand>(stats); }
}

fn load_stats(at: u32) -> vec4<f32> {
    if F16_OPERANDS == 1u { return row_stats[at]; }
    return vec4<f32>(tile_x[at]);
}

// Sums the partial statistics of four adjacent invocations.
fn sum_stats(at: u32) -> vec4<f32> {
    return load_stats(at) + load_stats(at + 1u) + load_stats(at + 2u) + load_stats(at + 3u);
}
