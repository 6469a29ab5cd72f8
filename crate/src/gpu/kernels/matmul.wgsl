// (M, K) x matrix -> (M, N); see ops/matmul.rs. One workgroup makes a 64 x 64 tile.

struct Params { rows: u32, columns: u32, inner: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<Scalar>; // (M, K)
@group(0) @binding(2) var<storage, read> matrix: array<u32>; // (N, K) or (K, N)
@group(0) @binding(3) var<storage, read> bias: array<Scalar>; // (N)
@group(0) @binding(4) var<storage, read_write> output: array<Scalar>; // (M, N)

override TRANSPOSE_B: bool = true;
override BIAS: bool = false;

override STORAGE: u32 = 0; // of the weights: 0 f32, 1 f16 in pairs, 2 bf16 in pairs

// A number of matrix, whose words hold one f32 or a pair of halves.
fn stored(i: u32) -> f32 {
    if STORAGE == 0u { return bitcast<f32>(matrix[i]); }
    let word = matrix[i / 2u];
    if STORAGE == 1u { return unpack2x16float(word)[i % 2u]; }
    return bitcast<f32>(select(word << 16u, word & 0xffff0000u, i % 2u == 1u));
}

fn x_at(row: u32, k: u32) -> f32 {
    if row < params.rows && k < params.inner { return f32(x[row * params.inner + k]); }
    return 0.0;
}

fn matrix_at(column: u32, k: u32) -> f32 {
    if column >= params.columns || k >= params.inner { return 0.0; }
    if TRANSPOSE_B { return stored(column * params.inner + k); }
    return stored(k * params.columns + column);
}

fn store(row: u32, column: u32, sums: vec4<f32>) {
    if row >= params.rows { return; }
    for (var i = 0u; i < 4u; i++) {
        let at = column + i;
        if at < params.columns {
            var value = sums[i];
            if BIAS { value += f32(bias[at]); }
            output[row * params.columns + at] = Scalar(value);
        }
    }
}

@compute @workgroup_size(128)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let first_row = group.x * TILE;
    let first_column = group.y * TILE;
    let four = local / 8u;
    let row = first_row + four * 4u;
    let column = first_column + four * 4u;
    for (var start = 0u; start < params.inner; start += DEPTH) {
        for (var half = 0u; half < 2u; half++) {
            let depth = local % 8u + half * 8u;
            let k = start + depth;
            tile_rows[depth * 16u + four] = vec4(x_at(row, k), x_at(row + 1u, k), x_at(row + 2u, k), x_at(row + 3u, k));
            tile_columns[depth * 16u + four] =
                vec4(matrix_at(column, k), matrix_at(column + 1u, k), matrix_at(column + 2u, k), matrix_at(column + 3u, k));
        }
        workgroupBarrier();
        multiply_tiles(local % 16u, local / 16u);
        workgroupBarrier();
    }
    let to_row = first_row + local / 16u * 8u;
    let to_column = first_column + local % 16u * 4u;
    store(to_row, to_column, sum0);
    store(to_row + 1u, to_column, sum1);
    store(to_row + 2u, to_column, sum2);
    store(to_row + 3u, to_column, sum3);
    store(to_row + 4u, to_column, sum4);
    store(to_row + 5u, to_column, sum5);
    store(to_row + 6u, to_column, sum6);
    store(to_row + 7u, to_column, sum7);
}
