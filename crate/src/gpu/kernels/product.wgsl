// Operands of matmul and conv2d: an implicit matrix product whose rows are matrix rows or output pixels, with f32, 16-bit
// or quantized weights. Follows epilogue.wgsl.

@group(0) @binding(5) var<storage, read> x: array<vec4<Scalar>>; // (rows, inner), or (B, H, W, C)
@group(0) @binding(6) var<storage, read> matrix: array<vec4<u32>>; // (columns, inner) or (inner, columns)

override STORAGE: u32 = 0; // storage type of the matrix: 0 f32, 1 f16 in pairs, 2 bf16 in pairs, 3 q8, 4 q4
override TRANSPOSE_B: bool = true; // the matrix is stored as (columns, inner)

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

// Offset of a row's matrix in vec4s: nonzero if each batch item has its own.
fn matrix_offset(row: u32) -> u32 {
    return select(0u, row / params.item_rows * (params.columns * params.inner / 4u), has_flag(BATCHED_MATRICES_FLAG));
}
