// What matmul and conv2d share for widths that are no multiples of 4: scalar reads, weights in f32
// or halves, and rows of four sums that are stored as they are, with a bias. Each has its own Params.

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<Scalar>; // (M, K), or (B, H, W, C)
@group(0) @binding(2) var<storage, read> weight: array<u32>; // (N, K) or (K, N), or (O, kernel * kernel * C)
@group(0) @binding(3) var<storage, read> bias: array<Scalar>; // (N) or (O)
@group(0) @binding(4) var<storage, read_write> output: array<Scalar>; // (M, N), or (B, H', W', O)

override BIAS: bool = false;
override STORAGE: u32 = 0; // of the weights: 0 f32, 1 f16 in pairs, 2 bf16 in pairs

// A weight; a word holds one f32 or a pair of halves.
fn stored(i: u32) -> f32 {
    return stored_number(weight[select(i / 2u, i, STORAGE == 0u)], i, STORAGE);
}

fn stored_four(at: vec4<u32>) -> vec4<f32> {
    return vec4(stored(at.x), stored(at.y), stored(at.z), stored(at.w));
}

// Stores the sums of four columns of a row, where there are such.
fn store(row: u32, column: u32, sums: vec4<f32>, rows: u32, columns: u32) {
    if row >= rows { return; }
    for (var i = 0u; i < min(4u, columns - column); i++) {
        var value = sums[i];
        if BIAS { value += f32(bias[column + i]); }
        output[row * columns + column + i] = Scalar(value);
    }
}
