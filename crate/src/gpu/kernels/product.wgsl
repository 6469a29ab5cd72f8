// Operands of matmul and conv2d: an implicit matrix product whose rows are matrix rows or output pixels, with f32, 16-bit
// or quantized weights. Follows epilogue.wgsl.

@group(0) @binding(5) var<storage, read> x: array<vec4<Scalar>>; // (rows, inner), or (B, H, W, C)
@group(0) @binding(6) var<storage, read> matrix: array<vec4<u32>>; // (columns, inner) or (inner, columns)

override STORAGE: u32 = 0; // storage type of the matrix: 0 f32, 1 f16 in pairs, 2 bf16 in pairs, 3 q8, 4 q4
override TRANSPOSE_B: bool = true; // the matrix is stored as (columns, inner)
override WHOLE_BLOCKS: bool = false; // the matrix is quantized, and its rows, as those of x, are whole blocks

fn matrix_word(i: u32) -> u32 {
    return matrix[i / 4u][i % 4u];
}

// Loads elements 4 i to 4 i + 3 of the matrix.
fn load_matrix4(i: u32) -> vec4<f32> {
    if STORAGE == 0u { return bitcast<vec4<f32>>(matrix[i]); }
    if STORAGE >= 3u {
        return dequantize4(i, matrix_word(quants_word(i, STORAGE)), matrix_word(scales_word(i, STORAGE)), STORAGE);
    }
    let words = matrix[i / 2u];
    return unpack4(select(words.xy, words.zw, i % 2u == 1u), STORAGE);
}

// Loads four columns from `column` on at four depths from 4 * `depth` on; the result has one column per depth. Columns
// past the end repeat the last four.
fn matrix_block(column: u32, depth: u32) -> mat4x4<f32> {
    let first = min(column, params.columns - 4u);
    if TRANSPOSE_B {
        let stride = params.inner / 4u;
        let at = first * stride + depth;
        return transpose(mat4x4(load_matrix4(at), load_matrix4(at + stride), load_matrix4(at + 2u * stride), load_matrix4(at + 3u * stride)));
    }
    let stride = params.columns / 4u;
    let at = 4u * depth * stride + first / 4u;
    return mat4x4(load_matrix4(at), load_matrix4(at + stride), load_matrix4(at + 2u * stride), load_matrix4(at + 3u * stride));
}

// Number of depths, of so many, that blocks_at is called for: a block's, or all if there are no whole blocks.
fn depths_of_blocks(depths: u32) -> u32 {
    return select(depths, 8u, WHOLE_BLOCKS);
}

// Blocks of four columns: where their quants begin, in vec4s, and their scales.
struct Blocks { at: vec4<u32>, scales: vec4<f32> }

// Blocks of four columns from `column` on at the depths from 4 * `depth` on.
fn blocks_at(column: u32, depth: u32) -> Blocks {
    if !WHOLE_BLOCKS || !TRANSPOSE_B { return Blocks(vec4(0u), vec4(0.0)); }
    let stride = params.inner / 4u;
    let groups = min(column, params.columns - 4u) * stride + depth + vec4(0u, stride, 2u * stride, 3u * stride);
    let at = vec4(quants_word(groups.x, STORAGE), quants_word(groups.y, STORAGE), quants_word(groups.z, STORAGE), quants_word(groups.w, STORAGE));
    return Blocks(at / 4u, vec4(scale_at(groups.x), scale_at(groups.y), scale_at(groups.z), scale_at(groups.w)));
}

fn scale_at(group: u32) -> f32 {
    return block_scale(group, matrix_word(scales_word(group, STORAGE)), STORAGE);
}

// The same as matrix_block, from the blocks at this depth: their addresses and scales are computed once.
fn matrix_block_of(blocks: Blocks, column: u32, depth: u32) -> mat4x4<f32> {
    if !WHOLE_BLOCKS || !TRANSPOSE_B { return matrix_block(column, depth); }
    return transpose(mat4x4(
        blocks.scales.x * quants_at(blocks.at.x, depth),
        blocks.scales.y * quants_at(blocks.at.y, depth),
        blocks.scales.z * quants_at(blocks.at.z, depth),
        blocks.scales.w * quants_at(blocks.at.w, depth),
    ));
}

// Quants at a depth of a block.
fn quants_at(block: u32, depth: u32) -> vec4<f32> {
    return quants4(depth, matrix[block + select(0u, depth / 4u % 2u, STORAGE == 3u)][depth % 4u], STORAGE);
}

// Offset of a row's matrix in vec4s: nonzero if each batch item has its own.
fn matrix_offset(row: u32) -> u32 {
    return select(0u, row / params.item_rows * (params.columns * params.inner / 4u), has_flag(BATCHED_MATRICES_FLAG));
}
