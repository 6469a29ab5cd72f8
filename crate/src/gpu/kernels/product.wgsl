// What matmul and conv2d share before epilogue.wgsl: an implicit matrix product whose rows are rows or
// output pixels, its weights in f32 or halves.

@group(0) @binding(5) var<storage, read> x: array<vec4<Scalar>>; // (rows, inner), or (B, H, W, C)
@group(0) @binding(6) var<storage, read> matrix: array<vec4<u32>>; // (columns, inner) or (inner, columns)

override STORAGE: u32 = 0; // of the matrix: 0 f32, 1 f16 in pairs, 2 bf16 in pairs
override TRANSPOSE_B: bool = true; // the matrix lies (columns, inner)

// Numbers 4 i to 4 i + 3 of the matrix.
fn load_matrix4(i: u32) -> vec4<f32> {
    if STORAGE == 0u { return bitcast<vec4<f32>>(matrix[i]); }
    let eight = matrix[i / 2u];
    return widened(select(eight.xy, eight.zw, i % 2u == 1u), STORAGE);
}

// Four columns from `column` on at four depths from 4 `depth` on: one column of the result for
// each depth. Columns past the end repeat the last four.
fn matrix_block(column: u32, depth: u32) -> mat4x4<f32> {
    let first = min(column, params.columns - 4u);
    if TRANSPOSE_B {
        let step = params.inner / 4u;
        let at = first * step + depth;
        return transpose(mat4x4(load_matrix4(at), load_matrix4(at + step), load_matrix4(at + 2u * step), load_matrix4(at + 3u * step)));
    }
    let step = params.columns / 4u;
    let at = 4u * depth * step + first / 4u;
    return mat4x4(load_matrix4(at), load_matrix4(at + step), load_matrix4(at + 2u * step), load_matrix4(at + 3u * step));
}

// Where the matrix of a row begins, in vec4s: there may be one for each item.
fn matrix_start(row: u32) -> u32 {
    return select(0u, row / params.item_rows * (params.columns * params.inner / 4u), has_flag(BATCHED_MATRICES));
}
