// The inner loop of matmul and conv2d on graphics processors: a tile of ROWS x 64 of the output by
// ROWS invocations, each of which keeps 8 rows x 8 columns in registers. A tile of each factor, 16
// deep, lies in workgroup memory (at most 12.5 KiB); one vec4 of padding a line spreads the banks.
// Where a `Factor` is a half, products are of halves and so are sums over these 16; all others are f32.

override ROWS: u32 = 64; // 32, 64 or 128

const DEPTH: u32 = 16;
const COLUMN_LINE: u32 = 17; // 64 columns and the padding, in vec4s

var<workgroup> tile_x: array<vec4<Operand>, DEPTH * (ROWS / 4 + 1)>; // 4 rows at one depth
var<workgroup> tile_matrix: array<vec4<Operand>, DEPTH * COLUMN_LINE>; // 4 columns at one depth

var<private> sums_a0: mat4x4<f32>; // rows 0-3, first four columns
var<private> sums_a1: mat4x4<f32>; // rows 4-7
var<private> sums_b0: mat4x4<f32>; // rows 0-3, second four columns
var<private> sums_b1: mat4x4<f32>;

// Column of the matrix where the four of this place in the tile begin. Fours of an invocation are
// neighbours; of a gate, the second of a pair is the one that belongs to the first.
fn tile_column(group: u32, four: u32) -> u32 {
    if has_flag(GEGLU) { return group * 32u + four / 2u * 4u + four % 2u * (params.columns / 2u); }
    return group * 64u + four * 4u;
}

// Fills the matrix's tile from depth `start` on; the matrix begins at `begin`.
fn fill_matrix(group: u32, local: u32, start: u32, begin: u32) {
    for (var block = local; block < 64u; block += ROWS) {
        let depth = block % 4u;
        let four = block / 4u;
        var values = mat4x4<f32>();
        if start + 4u * depth < params.inner { values = matrix_block(tile_column(group, four), begin + start / 4u + depth); }
        let at = 4u * depth * COLUMN_LINE + four;
        tile_matrix[at] = vec4<Operand>(values[0]);
        tile_matrix[at + COLUMN_LINE] = vec4<Operand>(values[1]);
        tile_matrix[at + 2u * COLUMN_LINE] = vec4<Operand>(values[2]);
        tile_matrix[at + 3u * COLUMN_LINE] = vec4<Operand>(values[3]);
    }
}

// Puts four rows (a row each column) at four depths into the rows' tile.
fn fill_rows(four: u32, depth: u32, rows: mat4x4<f32>) {
    let line = ROWS / 4u + 1u;
    let values = transpose(rows);
    let at = 4u * depth * line + four;
    tile_x[at] = vec4<Operand>(values[0]);
    tile_x[at + line] = vec4<Operand>(values[1]);
    tile_x[at + 2u * line] = vec4<Operand>(values[2]);
    tile_x[at + 3u * line] = vec4<Operand>(values[3]);
}

// Where the sums over one depth of the tiles begin: halves at 0, whole numbers at the sums so far.
fn init_accumulator(sums: mat4x4<f32>) -> mat4x4<Operand> {
    if F16_OPERANDS == 1u { return mat4x4<Operand>(); }
    return mat4x4<Operand>(sums);
}

// The sums so far with those over one more depth of the tiles.
fn accumulate(sums: mat4x4<f32>, part: mat4x4<Operand>) -> mat4x4<f32> {
    if F16_OPERANDS == 1u { return sums + mat4x4<f32>(part); }
    return mat4x4<f32>(part);
}

// Adds the product of the two tiles to this invocation's sums.
fn multiply_tiles(local: u32) {
    let line = ROWS / 4u + 1u;
    let column = local % 8u * 2u;
    let row = local / 8u * 2u;
    var a0 = init_accumulator(sums_a0);
    var a1 = init_accumulator(sums_a1);
    var b0 = init_accumulator(sums_b0);
    var b1 = init_accumulator(sums_b1);
    for (var depth = 0u; depth < DEPTH; depth++) {
        let a = tile_matrix[depth * COLUMN_LINE + column];
        let b = tile_matrix[depth * COLUMN_LINE + column + 1u];
        let low = tile_x[depth * line + row];
        let high = tile_x[depth * line + row + 1u];
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

// Stores this invocation's 8 x 8 sums, from one place in a loop: its text is long.
fn finish_tile(first_row: u32, group: u32, local: u32) {
    let row = first_row + local / 8u * 8u;
    let column = tile_column(group, local % 8u * 2u);
    var firsts = array<mat4x4<f32>, 2>(sums_a0, sums_a1);
    var seconds = array<mat4x4<f32>, 2>(sums_b0, sums_b1);
    for (var i = 0u; i < 8u; i++) {
        let first = firsts[i / 4u][i % 4u];
        let second = seconds[i / 4u][i % 4u];
        store_epilogue(row + i, column, first, second);
        if !has_flag(GEGLU) { store_epilogue(row + i, column + 4u, second, vec4(0.0)); }
    }
}
