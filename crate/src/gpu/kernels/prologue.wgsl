// Prologue of matmul: rows of x, of x concatenated with a second tensor, or of x normalized to mean 0 and variance 1;
// see ops/prologue.rs. The layer norm needs no separate pass: the product is of scale * (x - pivot), with a pivot near
// the mean to avoid cancellation, and is corrected for the mean at the end.

@group(0) @binding(7) var<storage, read> prologue_input: array<vec4<Scalar>>; // see PROLOGUE
@group(0) @binding(8) var<storage, read> scale_sums: array<vec4<Scalar>>; // (columns)

// 0 none; 1 concat: prologue_input is the second tensor (rows, inner - x_columns); 2 layer norm: prologue_input is the
// scale (inner), and scale_sums is its product with the matrix.
// A pipeline constant, unlike the epilogue's flags: a uniform would add a branch to every load.
override PROLOGUE: u32 = 0;

// Offsets of four rows in vec4s, in x and in the second tensor of a concatenation.
struct Rows { x: vec4<u32>, second: vec4<u32> }

fn row_offsets(rows: vec4<u32>) -> Rows {
    let x_columns_vec4 = params.x_columns / 4u;
    return Rows(rows * x_columns_vec4, rows * (params.inner / 4u - x_columns_vec4));
}

// Running sums of x - `pivot` and of its square over four rows.
struct RowStats4 { pivot: vec4<f32>, sum: vec4<f32>, squares: vec4<f32> }

// Loads four elements of each of four rows of x, one row per column.
fn x_block(rows: Rows, k: u32) -> mat4x4<f32> {
    let at = rows.x + k;
    return mat4x4(vec4<f32>(x[at.x]), vec4<f32>(x[at.y]), vec4<f32>(x[at.z]), vec4<f32>(x[at.w]));
}

// Sets the pivot of each row to the mean of its first elements (up to 16).
fn init_row_stats(rows: Rows) -> RowStats4 {
    var pivot = vec4(0.0);
    if PROLOGUE == 2u {
        let count = min(4u, params.x_columns / 4u);
        for (var k = 0u; k < count; k++) { pivot += vec4(1.0) * x_block(rows, k); }
        pivot /= f32(4u * count);
    }
    return RowStats4(pivot, vec4(0.0), vec4(0.0));
}

// Loads four elements of each of four rows, one row per column, with the prologue applied.
fn row_block(rows: Rows, k: u32, stats: ptr<function, RowStats4>) -> mat4x4<f32> {
    if PROLOGUE == 1u && k >= params.x_columns / 4u {
        let at = rows.second + (k - params.x_columns / 4u);
        return mat4x4(vec4<f32>(prologue_input[at.x]), vec4<f32>(prologue_input[at.y]), vec4<f32>(prologue_input[at.z]), vec4<f32>(prologue_input[at.w]));
    }
    let block = x_block(rows, k);
    if PROLOGUE != 2u { return block; }
    let pivot = (*stats).pivot;
    let centered = mat4x4(block[0] - pivot.x, block[1] - pivot.y, block[2] - pivot.z, block[3] - pivot.w);
    (*stats).sum += vec4(1.0) * centered;
    (*stats).squares += vec4(dot(centered[0], centered[0]), dot(centered[1], centered[1]), dot(centered[2], centered[2]), dot(centered[3], centered[3]));
    let scale = vec4<f32>(prologue_input[k]);
    return mat4x4(centered[0] * scale, centered[1] * scale, centered[2] * scale, centered[3] * scale);
}

// Completes the layer norm of the products of four rows (one per column) with four matrix columns from `column` on;
// `sum` and `squares` are the row statistics over whole rows.
fn apply_layer_norm(sums: mat4x4<f32>, column: u32, sum: vec4<f32>, squares: vec4<f32>) -> mat4x4<f32> {
    let mean = sum / f32(params.inner);
    let scale = inverseSqrt(max(squares / f32(params.inner) - mean * mean, vec4(0.0)) + params.eps);
    let mean_term = vec4<f32>(scale_sums[min(column, params.columns - 4u) / 4u]);
    return mat4x4(
        (sums[0] - mean.x * mean_term) * scale.x,
        (sums[1] - mean.y * mean_term) * scale.y,
        (sums[2] - mean.z * mean_term) * scale.z,
        (sums[3] - mean.w * mean_term) * scale.w,
    );
}
