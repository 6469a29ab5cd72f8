// Shared by matmul and conv2d for widths that are not multiples of 4: scalar loads, f32, f16 or bf16 weights, and
// stores of four columns of a row with an optional bias. Each kernel defines its own Params.

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<Scalar>; // (M, K), or (B, H, W, C)
@group(0) @binding(2) var<storage, read> weight: array<u32>; // (N, K) or (K, N), or (O, kernel * kernel * C)
@group(0) @binding(3) var<storage, read> bias: array<Scalar>; // (N) or (O)
@group(0) @binding(4) var<storage, read_write> output: array<Scalar>; // (M, N), or (B, H', W', O)

override BIAS: bool = false;
override STORAGE: u32 = 0; // storage type of the weights: 0 f32, 1 f16 in pairs, 2 bf16 in pairs

// Loads a weight; a word holds one f32 or a pair of 16-bit elements.
fn load_weight(i: u32) -> f32 {
    return unpack_element(weight[select(i / 2u, i, STORAGE == 0u)], i, STORAGE);
}

fn load_weight4(at: vec4<u32>) -> vec4<f32> {
    return vec4(load_weight(at.x), load_weight(at.y), load_weight(at.z), load_weight(at.w));
}

// Stores up to four columns of a row, as far as they exist.
fn store(row: u32, column: u32, sums: vec4<f32>, rows: u32, columns: u32) {
    if row >= rows { return; }
    for (var i = 0u; i < min(4u, columns - column); i++) {
        var value = sums[i];
        if BIAS { value += f32(bias[column + i]); }
        output[row * columns + column + i] = Scalar(value);
    }
}
