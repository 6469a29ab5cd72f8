// What matmul multiplies: rows of x, rows of x and of another tensor side by side, or rows of x with
// mean 0 and variance 1; see ops/prologue.rs. A norm costs no pass of its own: sums are of x minus
// something near its mean, times the scale; the mean's part is taken off them at the end.

@group(0) @binding(7) var<storage, read> prologue_input: array<vec4<Scalar>>; // beside: (rows, inner - left); normed: the scale (inner)
@group(0) @binding(8) var<storage, read> scale_sums: array<vec4<Scalar>>; // normed: the scale times the matrix (columns)

// Chosen when a pipeline is made, unlike what follows a sum: it would cost every read a branch.
override PROLOGUE: u32 = 0; // 0 x as it is, 1 x and another tensor side by side, 2 x normed

// Where four rows begin, in vec4s, in x and in what stands beside it.
struct Rows { own: vec4<u32>, second: vec4<u32> }

fn rows_from(rows: vec4<u32>) -> Rows {
    let fours = params.x_columns / 4u;
    return Rows(rows * fours, rows * (params.inner / 4u - fours));
}

// Moments of four rows, as far as they were read, of x minus `pivot`.
struct RowStats4 { pivot: vec4<f32>, sum: vec4<f32>, squares: vec4<f32> }

// Four numbers of each of four rows of x: a row each column.
fn own_block(rows: Rows, k: u32) -> mat4x4<f32> {
    let at = rows.own + k;
    return mat4x4(vec4<f32>(x[at.x]), vec4<f32>(x[at.y]), vec4<f32>(x[at.z]), vec4<f32>(x[at.w]));
}

// Before the first block: the mean of the first numbers of each row, so that nothing cancels later.
fn init_row_stats(rows: Rows) -> RowStats4 {
    var pivot = vec4(0.0);
    if PROLOGUE == 2u {
        let count = min(4u, params.x_columns / 4u);
        for (var k = 0u; k < count; k++) { pivot += vec4(1.0) * own_block(rows, k); }
        pivot /= f32(4u * count);
    }
    return RowStats4(pivot, vec4(0.0), vec4(0.0));
}

// Four numbers of each of four rows as they are multiplied.
fn row_block(rows: Rows, k: u32, stats: ptr<function, RowStats4>) -> mat4x4<f32> {
    if PROLOGUE == 1u && k >= params.x_columns / 4u {
        let at = rows.second + (k - params.x_columns / 4u);
        return mat4x4(vec4<f32>(prologue_input[at.x]), vec4<f32>(prologue_input[at.y]), vec4<f32>(prologue_input[at.z]), vec4<f32>(prologue_input[at.w]));
    }
    let block = own_block(rows, k);
    if PROLOGUE != 2u { return block; }
    let pivot = (*stats).pivot;
    let centered = mat4x4(block[0] - pivot.x, block[1] - pivot.y, block[2] - pivot.z, block[3] - pivot.w);
    (*stats).sum += vec4(1.0) * centered;
    (*stats).squares += vec4(dot(centered[0], centered[0]), dot(centered[1], centered[1]), dot(centered[2], centered[2]), dot(centered[3], centered[3]));
    let scale = vec4<f32>(prologue_input[k]);
    return mat4x4(centered[0] * scale, centered[1] * scale, centered[2] * scale, centered[3] * scale);
}

// Sums of four rows (a row each column) at four columns from `column` on, as of rows of mean 0 and
// variance 1; `sum` and `squares` are those of whole rows.
fn apply_layer_norm(sums: mat4x4<f32>, column: u32, sum: vec4<f32>, squares: vec4<f32>) -> mat4x4<f32> {
    let mean = sum / f32(params.inner);
    let scale = inverseSqrt(max(squares / f32(params.inner) - mean * mean, vec4(0.0)) + params.eps);
    let part = vec4<f32>(scale_sums[min(column, params.columns - 4u) / 4u]);
    return mat4x4(
        (sums[0] - mean.x * part) * scale.x,
        (sums[1] - mean.y * part) * scale.y,
        (sums[2] - mean.z * part) * scale.z,
        (sums[3] - mean.w * part) * scale.w,
    );
}
