// Epilogue of a matrix product: bias, channel bias, activation or GEGLU, residual; see ops/epilogue.rs. The widths of
// all tensors are multiples of 4.

struct Params {
    rows: u32, columns: u32, inner: u32, item_rows: u32, channel_bias_width: u32, channel_bias_offset: u32, flags: u32, activation: u32,
    // conv2d: sizes of the input, of the upsampled input, and of the output (the latter in winograd_sums too).
    height: u32, width: u32, upsampled_height: u32, upsampled_width: u32, out_height: u32, out_width: u32,
    channels: u32, kernel: u32, stride: u32, padding: u32,
    // matmul: columns of x, and epsilon of the layer norm.
    x_columns: u32, eps: f32,
    // winograd_sums.
    first_tile: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> bias: array<vec4<Scalar>>; // (columns)
@group(0) @binding(2) var<storage, read> channel_bias: array<vec4<Scalar>>; // (B, channel_bias_width)
@group(0) @binding(3) var<storage, read> residual: array<vec4<Scalar>>; // shape of output
@group(0) @binding(4) var<storage, read_write> output: array<vec4<Scalar>>; // (rows, output_columns())

// Tests `params.flags`, whose bits are constants of the header. A uniform, not a pipeline constant: cheap at run time, and avoids one pipeline per combination.
fn has_flag(flag: u32) -> bool {
    return (params.flags & flag) != 0u;
}

// Vectorized `erf` of common.wgsl.
fn erf4(x: vec4<f32>) -> vec4<f32> {
    let magnitude = abs(x);
    let t = 1.0 / (1.0 + 0.3275911 * magnitude);
    let tail = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))));
    return sign(x) * (1.0 - tail * exp(-magnitude * magnitude));
}

fn gelu4(x: vec4<f32>) -> vec4<f32> {
    return 0.5 * x * (1.0 + erf4(x * 0.7071067811865476));
}

// Columns of the output.
fn output_columns() -> u32 {
    return select(params.columns, params.columns / 2u, has_flag(GEGLU_FLAG));
}

// Applies the epilogue to four columns of a row from `column` on and stores them; `gate` holds the sums of the four
// columns that gate them in GEGLU.
fn store_epilogue(row: u32, column: u32, sums: vec4<f32>, gate: vec4<f32>) {
    let columns = output_columns();
    if row >= params.rows || column >= columns { return; }
    var value = sums;
    if has_flag(BIAS_FLAG) { value += vec4<f32>(bias[column / 4u]); }
    if has_flag(CHANNEL_BIAS_FLAG) { value += vec4<f32>(channel_bias[(row / params.item_rows * params.channel_bias_width + params.channel_bias_offset + column) / 4u]); }
    if has_flag(GEGLU_FLAG) {
        var biased_gate = gate;
        if has_flag(BIAS_FLAG) { biased_gate += vec4<f32>(bias[(column + columns) / 4u]); }
        value *= gelu4(biased_gate);
    }
    switch params.activation {
        case SILU_ACTIVATION: { value = value / (1.0 + exp(-value)); }
        case GELU_ACTIVATION: { value = gelu4(value); }
        case QUICK_GELU_ACTIVATION: { value = value / (1.0 + exp(-1.702 * value)); }
        case LEAKY_RELU_ACTIVATION: { value = max(value, 0.2 * value); }
        default: {}
    }
    let at = (row * columns + column) / 4u;
    if has_flag(RESIDUAL_FLAG) { value += vec4<f32>(residual[at]); }
    output[at] = vec4<Scalar>(value);
}
