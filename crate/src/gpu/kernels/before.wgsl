// What matmul multiplies: rows of x, rows of x and of another tensor side by side, or rows of x with
// mean 0 and variance 1; see ops/before.rs. A norm costs no pass of its own: sums are of x minus
// something near its mean, times the scale; the mean's part is taken off them at the end.

@group(0) @binding(7) var<storage, read> before: array<vec4<Scalar>>; // beside: (rows, inner - left); normed: the scale (inner)
@group(0) @binding(8) var<storage, read> scale_sums: array<vec4<Scalar>>; // normed: the scale times the matrix (columns)

// Chosen when a pipeline is made, unlike what follows a sum: it would cost every read a branch.
override BEFORE: u32 = 0; // 0 x as it is, 1 x and another tensor side by side, 2 x normed

// Where four rows begin, in vec4s, in x and in what stands beside it.
struct Rows { own: vec4<u32>, beside: vec4<u32> }

fn rows_from(rows: vec4<u32>) -> Rows {
    let fours = params.left / 4u;
    return Rows(rows * fours, rows * (params.inner / 4u - fours));
}

// Moments of four rows, as far as they were read, of x minus `near`.
struct Four { near: vec4<f32>, sum: vec4<f32>, squares: vec4<f32> }

// Four numbers of each of four rows of x: a row each column.
fn own_block(rows: Rows, k: u32) -> mat4x4<f32> {
    let at = rows.own + k;
    return mat4x4(vec4<f32>(x[at.x]), vec4<f32>(x[at.y]), vec4<f32>(x[at.z]), vec4<f32>(x[at.w]));
}

// Before the first block: the mean of the first numbers of each row, so that nothing cancels later.
fn start_four(rows: Rows) -> Four {
    var near = vec4(0.0);
    if BEFORE == 2u {
        let count = min(4u, params.left / 4u);
        for (var k = 0u; k < count; k++) { near += vec4(1.0) * own_block(rows, k); }
        near /= f32(4u * count);
    }
    return Four(near, vec4(0.0), vec4(0.0));
}

// Four numbers of each of four rows as they are multiplied.
fn row_block(rows: Rows, k: u32, four: ptr<function, Four>) -> mat4x4<f32> {
    if BEFORE == 1u && k >= params.left / 4u {
        let at = rows.beside + (k - params.left / 4u);
        return mat4x4(vec4<f32>(before[at.x]), vec4<f32>(before[at.y]), vec4<f32>(before[at.z]), vec4<f32>(before[at.w]));
    }
    let block = own_block(rows, k);
    if BEFORE != 2u { return block; }
    let near = (*four).near;
    let off = mat4x4(block[0] - near.x, block[1] - near.y, block[2] - near.z, block[3] - near.w);
    (*four).sum += vec4(1.0) * off;
    (*four).squares += vec4(dot(off[0], off[0]), dot(off[1], off[1]), dot(off[2], off[2]), dot(off[3], off[3]));
    let scale = vec4<f32>(before[k]);
    return mat4x4(off[0] * scale, off[1] * scale, off[2] * scale, off[3] * scale);
}

// Sums of four rows (a row each column) at four columns from `column` on, as of rows of mean 0 and
// variance 1; `sum` and `squares` are those of whole rows.
fn normed(sums: mat4x4<f32>, column: u32, sum: vec4<f32>, squares: vec4<f32>) -> mat4x4<f32> {
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
