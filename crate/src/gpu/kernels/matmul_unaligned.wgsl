// Matrix product (M, K) x (K, N) -> (M, N) for widths that are not multiples of 4; see ops/matmul.rs. One invocation
// computes 8 rows x 4 columns.

struct Params { rows: u32, columns: u32, inner: u32 }

override TRANSPOSE_B: bool = true; // the matrix is stored as (columns, inner)

@compute @workgroup_size(8, 4)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let row = id.y * 8u;
    let column = id.x * 4u;
    if row >= params.rows || column >= params.columns { return; }
    // Rows and columns past the end repeat the last one; their results are not stored.
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
        let b = load_weight4(at);
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
    store(row, column, sum0, params.rows, params.columns);
    store(row + 1u, column, sum1, params.rows, params.columns);
    store(row + 2u, column, sum2, params.rows, params.columns);
    store(row + 3u, column, sum3, params.rows, params.columns);
    store(row + 4u, column, sum4, params.rows, params.columns);
    store(row + 5u, column, sum5, params.rows, params.columns);
    store(row + 6u, column, sum6, params.rows, params.columns);
    store(row + 7u, column, sum7, params.rows, params.columns);
}
