//! Kernels: operation and shapes -> launches.
//!
//! `<op>.wgsl` is the kernel and `<op>.rs` its launch, both with the stem of ops/<op>.rs.

mod add;
mod attention;
mod axpy;
mod concat;
mod conv2d;
mod epilogue;
mod geglu;
mod group_norm;
mod layer_norm;
mod matmul;
mod moments;
mod narrow;
mod normalize;
mod product;
mod renorm;
mod rotate;
mod rows;
mod scale;
mod unary;
mod upsample;
mod widen;
mod winograd;

pub use attention::blocks as attention_blocks;
pub use product::untiled_groups;
pub use winograd::SCRATCH;

use super::kernel::{Launch, LaunchError, Style};
use super::params::ParamsLayout;
use crate::ops::{Op, Storage};

/// Returns the launch of `op` for these shapes in the given style. `stored` holds the storage type of each input.
pub fn launch(
    op: &Op,
    inputs: &[&[usize]],
    output: &[usize],
    stored: &[Storage],
    style: Style,
) -> Result<Launch, LaunchError> {
    // The other kernels would misinterpret f16 and bf16 data.
    let reads_16_bit = |input: usize| matches!((op, input), (Op::Matmul(_) | Op::Conv2d(_), 1) | (Op::Widen(_), 0));
    if let Some(input) = stored.iter().enumerate().position(|(i, stored)| *stored != Storage::F32 && !reads_16_bit(i)) {
        return Err(LaunchError {
            kernel: op.get().name(),
            reason: format!("cannot read f16 or bf16 data as input {input}"),
        });
    }
    let launch = match op {
        Op::Add(op) => add::launch(op, inputs, output),
        Op::Attention(op) => attention::launch(op, inputs, output, style),
        Op::Axpy(op) => axpy::launch(op, inputs, output),
        Op::Concat(op) => concat::launch(op, inputs, output),
        Op::Conv2d(op) => conv2d::launch(op, inputs, output, stored[1], style),
        Op::Geglu(op) => geglu::launch(op, inputs, output),
        Op::GroupNorm(op) => group_norm::launch(op, inputs, output, style),
        Op::LayerNorm(op) => layer_norm::launch(op, inputs, output, style),
        Op::Matmul(op) => matmul::launch(op, inputs, stored[1], style),
        Op::Moments(op) => moments::launch(op, inputs, style),
        Op::Normalize(op) => normalize::launch(op, inputs, output),
        Op::Renorm(op) => renorm::launch(op, inputs, output),
        Op::Rotate(op) => rotate::launch(op, inputs, output),
        Op::Rows(op) => rows::launch(op, inputs, output),
        Op::Scale(op) => scale::launch(op, inputs, output),
        Op::Narrow(op) => narrow::launch(op, output),
        Op::Unary(op) => unary::launch(op, inputs, output),
        Op::Upsample(op) => upsample::launch(op, inputs, output),
        Op::Widen(op) => widen::launch(op, output, stored[0]),
    };
    launch?.checked()
}

/// Dispatches of one step, and the scratch buffers that they need.
#[derive(Debug, Clone, PartialEq)]
pub struct KernelSequence {
    /// Dispatches in execution order.
    pub dispatches: Vec<Dispatch>,
    /// Number of elements of each scratch buffer.
    pub scratch: [u64; SCRATCH],
}

/// A launch with its buffers.
#[derive(Debug, Clone, PartialEq)]
pub struct Dispatch {
    /// The launch; its `Binding::Input` indexes `inputs`.
    pub launch: Launch,
    /// Inputs of the launch.
    pub inputs: Vec<BufferRef>,
    /// Output of the launch.
    pub output: BufferRef,
    /// Floating-point operations.
    pub flops: u64,
}

/// A buffer that a dispatch reads or writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BufferRef {
    /// The step's input with this index.
    Input(usize),
    /// The step's output.
    Output,
    /// The scratch buffer with this index.
    Scratch(usize),
}

/// Lowers `op` to dispatches: Winograd's algorithm for a convolution of at least `winograd_min_channels` channels that
/// benefits from it, otherwise a single launch.
pub fn lower(
    op: &Op,
    inputs: &[&[usize]],
    output: &[usize],
    stored: &[Storage],
    style: Style,
    winograd_min_channels: usize,
) -> Result<KernelSequence, LaunchError> {
    let sequence = match op {
        Op::Conv2d(conv) => winograd::lower(conv, inputs, output, stored[1], style, winograd_min_channels)?,
        Op::Attention(attention) => attention::lower(attention, inputs, output, style)?,
        _ => None,
    };
    if let Some(mut sequence) = sequence {
        for dispatch in &mut sequence.dispatches {
            dispatch.launch = dispatch.launch.clone().checked()?;
        }
        return Ok(sequence);
    }
    let launch = launch(op, inputs, output, stored, style)?;
    let flops = op.get().flops(inputs, output);
    let inputs = (0..inputs.len()).map(BufferRef::Input).collect();
    Ok(KernelSequence {
        dispatches: vec![Dispatch { launch, inputs, output: BufferRef::Output, flops }],
        scratch: [0; SCRATCH],
    })
}

/// Name, WGSL source and uniforms of each kernel.
pub const ALL: [(&str, &str, ParamsLayout); 33] = [
    ("add", include_str!("add.wgsl"), ParamsLayout::of::<add::AddParams>()),
    ("attention", include_str!("attention.wgsl"), ParamsLayout::of::<attention::AttentionParams>()),
    (
        "attention_untiled",
        concat!(include_str!("attention_no_state.wgsl"), include_str!("attention_untiled.wgsl")),
        ParamsLayout::of::<attention::UntiledAttentionParams>(),
    ),
    (
        "attention_untiled_chunk",
        concat!(include_str!("attention_state.wgsl"), include_str!("attention_untiled.wgsl")),
        ParamsLayout::of::<attention::UntiledAttentionParams>(),
    ),
    ("axpy", include_str!("axpy.wgsl"), ParamsLayout::of::<axpy::AxpyParams>()),
    ("concat", include_str!("concat.wgsl"), ParamsLayout::of::<concat::ConcatParams>()),
    (
        "conv2d",
        concat!(
            include_str!("epilogue.wgsl"),
            include_str!("product.wgsl"),
            include_str!("window.wgsl"),
            include_str!("tile.wgsl"),
            include_str!("conv2d.wgsl")
        ),
        ParamsLayout::of::<epilogue::ProductParams>(),
    ),
    (
        "conv2d_untiled",
        concat!(
            include_str!("epilogue.wgsl"),
            include_str!("product.wgsl"),
            include_str!("window.wgsl"),
            include_str!("conv2d_untiled.wgsl")
        ),
        ParamsLayout::of::<epilogue::ProductParams>(),
    ),
    (
        "conv2d_unaligned",
        concat!(include_str!("unaligned.wgsl"), include_str!("conv2d_unaligned.wgsl")),
        ParamsLayout::of::<conv2d::UnalignedConvParams>(),
    ),
    ("geglu", include_str!("geglu.wgsl"), ParamsLayout::of::<geglu::GegluParams>()),
    (
        "group_norm",
        concat!(include_str!("workgroup_sum.wgsl"), include_str!("group_norm.wgsl")),
        ParamsLayout::of::<group_norm::GroupNormParams>(),
    ),
    (
        "group_norm_subgroups",
        concat!(include_str!("workgroup_sum_subgroups.wgsl"), include_str!("group_norm.wgsl")),
        ParamsLayout::of::<group_norm::GroupNormParams>(),
    ),
    (
        "layer_norm",
        concat!(include_str!("workgroup_sum.wgsl"), include_str!("layer_norm.wgsl")),
        ParamsLayout::of::<layer_norm::LayerNormParams>(),
    ),
    (
        "layer_norm_subgroups",
        concat!(include_str!("workgroup_sum_subgroups.wgsl"), include_str!("layer_norm.wgsl")),
        ParamsLayout::of::<layer_norm::LayerNormParams>(),
    ),
    (
        "matmul",
        concat!(
            include_str!("epilogue.wgsl"),
            include_str!("product.wgsl"),
            include_str!("prologue.wgsl"),
            include_str!("tile.wgsl"),
            include_str!("matmul.wgsl")
        ),
        ParamsLayout::of::<epilogue::ProductParams>(),
    ),
    (
        "matmul_untiled",
        concat!(
            include_str!("epilogue.wgsl"),
            include_str!("product.wgsl"),
            include_str!("prologue.wgsl"),
            include_str!("matmul_untiled.wgsl")
        ),
        ParamsLayout::of::<epilogue::ProductParams>(),
    ),
    (
        "matmul_unaligned",
        concat!(include_str!("unaligned.wgsl"), include_str!("matmul_unaligned.wgsl")),
        ParamsLayout::of::<matmul::UnalignedMatmulParams>(),
    ),
    (
        "moments",
        concat!(include_str!("workgroup_sum.wgsl"), include_str!("moments.wgsl")),
        ParamsLayout::of::<moments::MomentsParams>(),
    ),
    (
        "moments_subgroups",
        concat!(include_str!("workgroup_sum_subgroups.wgsl"), include_str!("moments.wgsl")),
        ParamsLayout::of::<moments::MomentsParams>(),
    ),
    ("normalize", include_str!("normalize.wgsl"), ParamsLayout::of::<normalize::NormalizeParams>()),
    ("renorm", include_str!("renorm.wgsl"), ParamsLayout::of::<renorm::RenormParams>()),
    (
        "roofline_arithmetic",
        include_str!("roofline_arithmetic.wgsl"),
        ParamsLayout::of::<super::roofline::ArithmeticParams>(),
    ),
    ("roofline_copy", include_str!("roofline_copy.wgsl"), ParamsLayout::NONE),
    ("rotate", include_str!("rotate.wgsl"), ParamsLayout::of::<rotate::RotateParams>()),
    ("rows", include_str!("rows.wgsl"), ParamsLayout::of::<rows::RowsParams>()),
    ("scale", include_str!("scale.wgsl"), ParamsLayout::of::<scale::ScaleParams>()),
    ("narrow", include_str!("narrow.wgsl"), ParamsLayout::of::<narrow::NarrowParams>()),
    ("unary", include_str!("unary.wgsl"), ParamsLayout::of::<unary::UnaryParams>()),
    ("upsample", include_str!("upsample.wgsl"), ParamsLayout::of::<upsample::UpsampleParams>()),
    ("widen", include_str!("widen.wgsl"), ParamsLayout::of::<widen::WidenParams>()),
    (
        "winograd_map",
        concat!(include_str!("winograd_tile.wgsl"), include_str!("winograd_map.wgsl")),
        ParamsLayout::of::<winograd::InputTransformParams>(),
    ),
    (
        "winograd_sums",
        concat!(include_str!("epilogue.wgsl"), include_str!("winograd_sums.wgsl")),
        ParamsLayout::of::<epilogue::ProductParams>(),
    ),
    (
        "winograd_weight",
        concat!(include_str!("winograd_tile.wgsl"), include_str!("winograd_weight.wgsl")),
        ParamsLayout::of::<winograd::FilterTransformParams>(),
    ),
];

/// WGSL source shared by all kernels; it follows the definitions of `Scalar`, `Operand` and `F16_OPERANDS`.
pub const HEADER: &str = include_str!("common.wgsl");

/// Returns the constants that WGSL shares with the launches.
pub fn wgsl_constants() -> String {
    let constants = epilogue::FLAGS.iter().chain(&epilogue::ACTIVATIONS);
    constants.map(|(name, value)| format!("const {name}: u32 = {value};\n")).collect()
}
