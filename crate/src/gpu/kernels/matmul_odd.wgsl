// (M, K) x matrix -> (M, N) for widths that are no multiples of 4; see ops/matmul.rs. One invocation
// makes 8 rows x 4 columns.

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

@compute @workgroup_size(8, 4)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let row = id.y * 8u;
    let column = id.x * 4u;
    if row >= params.rows || column >= params.columns { return; }
    // Rows and columns past the end repeat the last one; their sums are not stored.
    let last = vec4(params.rows - 1u);
    let low = min(row + vec4(0u, 1u, 2u, 3u), last) * params.inner;
    let high = min(row + vec4(4u, 5u, 6u, 7u), last) * params.inner;
    var sum0 = vec4(0.0); var sum1 = vec4(0.0); var sum2 = vec4(0.0); var sum3 = vec4(0.0);
    var sum4 = vec4(0.0); var sum5 = vec4(0.0); var sum6 = vec4(0.0); var sum7 = vec4(0.0);
    var at = min(column + vec4(0u, 1u, 2u, 3u), vec4(params.columns - 1u));
    var step = params.columns;
    if TRANSPOSE_B {
        at *= params.inner;
        step = 1u;
    }
    for (var k = 0u; k < params.inner; k++) {
        let b = vec4(stored(at.x), stored(at.y), stored(at.z), stored(at.w));
        sum0 += f32(x[low.x + k]) * b;
        sum1 += f32(x[low.y + k]) * b;
        sum2 += f32(x[low.z + k]) * b;
        sum3 += f32(x[low.w + k]) * b;
        sum4 += f32(x[high.x + k]) * b;
        sum5 += f32(x[high.y + k]) * b;
        sum6 += f32(x[high.z + k]) * b;
        sum7 += f32(x[high.w + k]) * b;
        at += step;
    }
    store(row, column, sum0);
    store(row + 1u, column, sum1);
    store(row + 2u, column, sum2);
    store(row + 3u, column, sum3);
    store(row + 4u, column, sum4);
    store(row + 5u, column, sum5);
    store(row + 6u, column, sum6);
    store(row + 7u, column, sum7);
}
