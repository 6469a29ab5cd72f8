// (M, K) x matrix -> (M, N); see ops/matmul.rs. One workgroup makes a tile of ROWS x 64.

// Where moments of a norm meet: in the rows' tile, but in room of their own where that holds halves.
var<workgroup> moments: array<vec4<f32>, F16_OPERANDS * (PROLOGUE / 2u) * 2u * ROWS + 1u>;

@compute @workgroup_size(ROWS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let first = group.x * ROWS;
    let fours = params.inner / 4u;
    // Rows past the end repeat the last one; their sums are not stored.
    let rows = rows_from(min(first + local / 4u * 4u + vec4(0u, 1u, 2u, 3u), vec4(params.rows - 1u)));
    var four = init_row_stats(rows);
    let begin = matrix_start(first);
    for (var start = 0u; start < params.inner; start += DEPTH) {
        let k = start / 4u + local % 4u;
        var block = mat4x4<f32>();
        if k < fours { block = row_block(rows, k, &four); }
        fill_rows(local / 4u, local % 4u, block);
        fill_matrix(group.y, local, start, begin);
        workgroupBarrier();
        multiply_tiles(local);
        workgroupBarrier();
    }
    if PROLOGUE == 2u {
        // Each invocation has read a quarter of four rows, and keeps sums of eight others.
        keep(local, four.sum);
        keep(ROWS + local, four.squares);
        workgroupBarrier();
        let column = tile_column(group.y, local % 8u * 2u);
        let next = tile_column(group.y, local % 8u * 2u + 1u);
        let low = local / 8u * 8u;
        let low_sum = gathered(low);
        let low_squares = gathered(ROWS + low);
        sums_a0 = apply_layer_norm(sums_a0, column, low_sum, low_squares);
        sums_b0 = apply_layer_norm(sums_b0, next, low_sum, low_squares);
        let high_sum = gathered(low + 4u);
        let high_squares = gathered(ROWS + low + 4u);
        sums_a1 = apply_layer_norm(sums_a1, column, high_sum, high_squares);
        sums_b1 = apply_layer_norm(sums_b1, next, high_sum, high_squares);
    }
    finish_tile(first, group.y, local);
}

// Gives neighbours what one invocation knows of four rows.
fn keep(at: u32, known: vec4<f32>) {
    if F16_OPERANDS == 1u { moments[at] = known; } else { tile_x[at] = vec4<Operand>(known); }
}

fn kept(at: u32) -> vec4<f32> {
    if F16_OPERANDS == 1u { return moments[at]; }
    return vec4<f32>(tile_x[at]);
}

// What four neighbouring invocations have kept.
fn gathered(at: u32) -> vec4<f32> {
    return kept(at) + kept(at + 1u) + kept(at + 2u) + kept(at + 3u);
}
