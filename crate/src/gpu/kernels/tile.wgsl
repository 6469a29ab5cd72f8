// Inner loop of the tiled matmul and conv2d: ROWS invocations compute an output tile of ROWS x 64, each 8 rows x
// 8 columns in registers. Tiles of both operands with a depth of 16 are in workgroup memory (at most 12.5 KiB); a vec4
// of padding per depth avoids bank conflicts. With f16 operands, products and sums over a depth tile are f16; all other
// sums are f32.

override ROWS: u32 = 64; // 32, 64 or 128

const DEPTH: u32 = 16;
const MATRIX_STRIDE: u32 = 17; // 64 columns and the padding, in vec4s

var<workgroup> tile_x: array<vec4<Operand>, DEPTH * (ROWS / 4 + 1)>; // 4 rows at one depth
var<workgroup> tile_matrix: array<vec4<Operand>, DEPTH * MATRIX_STRIDE>; // 4 columns at one depth

var<private> sums_a0: mat4x4<f32>; // rows 0-3, first four columns
var<private> sums_a1: mat4x4<f32>; // rows 4-7
var<private> sums_b0: mat4x4<f32>; // rows 0-3, second four columns
var<private> sums_b1: mat4x4<f32>;

// First matrix column of the vec4 with this index in the tile's rows. An invocation computes two adjacent vec4s; with
// GEGLU the second one is the gate of the first.
fn tile_column(group: u32, index: u32) -> u32 {
    if has_flag(GEGLU_FLAG) { return group * 32u + index / 2u * 4u + index % 2u * (params.columns / 2u); }
    return group * 64u + index * 4u;
}

// Loads the matrix tile from depth `start` on; the matrix starts at the offset `matrix_at`, in vec4s.
fn load_matrix_tile(group: u32, local: u32, start: u32, matrix_at: u32) {
    for (var block = local; block < 64u; block += ROWS) {
        let depth = block % 4u;
        let column4 = block / 4u;
        var values = mat4x4<f32>();
        if start + 4u * depth < params.inner { values = matrix_block(tile_column(group, column4), matrix_at + start / 4u + depth); }
        let at = 4u * depth * MATRIX_STRIDE + column4;
        tile_matrix[at] = vec4<Operand>(values[0]);
        tile_matrix[at + MATRIX_STRIDE] = vec4<Operand>(values[1]);
        tile_matrix[at + 2u * MATRIX_STRIDE] = vec4<Operand>(values[2]);
        tile_matrix[at + 3u * MATRIX_STRIDE] = vec4<Operand>(values[3]);
    }
}

// Stores four rows (one per column of `rows`) at four depths to the row tile.
fn store_row_tile(row4: u32, depth: u32, rows: mat4x4<f32>) {
    let stride = ROWS / 4u + 1u;
    let values = transpose(rows);
    let at = 4u * depth * stride + row4;
    tile_x[at] = vec4<Operand>(values[0]);
    tile_x[at + stride] = vec4<Operand>(values[1]);
    tile_x[at + 2u * stride] = vec4<Operand>(values[2]);
    tile_x[at + 3u * stride] = vec4<Operand>(values[3]);
}

// Accumulators for a depth tile: f16 ones restart at 0, f32 ones continue from the sums so far.
fn init_accumulator(sums: mat4x4<f32>) -> mat4x4<Operand> {
    if F16_OPERANDS == 1u { return mat4x4<Operand>(); }
    return mat4x4<Operand>(sums);
}

// Adds the accumulators of a depth tile to the sums so far, which f32 accumulators already contain.
fn accumulate(sums: mat4x4<f32>, part: mat4x4<Operand>) -> mat4x4<f32> {
    if F16_OPERANDS == 1u { return sums + mat4x4<f32>(part); }
    return mat4x4<f32>(part);
}

// Adds the product of the two tiles to this invocation's sums.
fn multiply_tiles(local: u32) {
    let stride = ROWS / 4u + 1u;
    let column = local % 8u * 2u;
    let row = local / 8u * 2u;
    var a0 = init_accumulator(sums_a0);
    var a1 = init_accumulator(sums_a1);
    var b0 = init_accumulator(sums_b0);
    var b1 = init_accumulator(sums_b1);
    for (var depth = 0u; depth < DEPTH; depth++) {
        let a = tile_matrix[depth * MATRIX_STRIDE + column];
        let b = tile_matrix[depth * MATRIX_STRIDE + column + 1u];
        let low = tile_x[depth * stride + row];
        let high = tile_x[depth * stride + row + 1u];
        a0 += mat4x4(a * low.x, a * low.y, a * low.z, a * low.w);
        a1 += mat4x4(a * high.x, a * high.y, a * high.z, a * high.w);
        b0 += mat4x4(b * low.x, b * low.y, b * low.z, b * low.w);
        b1 += mat4x4(b * high.x, b * high.y, b * high.z, b * high.w);
    }
    sums_a0 = accumulate(sums_a0, a0);
    sums_a1 = accumulate(sums_a1, a1);
    sums_b0 = accumulate(sums_b0, b0);
    sums_b1 = accumulate(sums_b1, b1);
}

// Stores this invocation's 8 x 8 sums, in a loop to limit code size: the inlined epilogue is large.
fn store_tile(first_row: u32, group: u32, local: u32) {
    let row = first_row + local / 8u * 8u;
    let column = tile_column(group, local % 8u * 2u);
    var firsts = array<mat4x4<f32>, 2>(sums_a0, sums_a1);
    var seconds = array<mat4x4<f32>, 2>(sums_b0, sums_b1);
    for (var i = 0u; i < 8u; i++) {
        let first = firsts[i / 4u][i % 4u];
        let second = seconds[i / 4u][i % 4u];
        store_epilogue(row + i, column, first, second);
        if !has_flag(GEGLU_FLAG) { store_epilogue(row + i, column + 4u, second, vec4(0.0)); }
    }
}
