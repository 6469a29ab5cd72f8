//! Kernels: operation and shapes -> launches.
//!
//! `<op>.wgsl` is the kernel and `<op>.rs` its launch, both with the stem of ops/<op>.rs.

pub(super) mod add;
pub(super) mod attention;
pub(super) mod axpy;
pub(super) mod concat;
pub(super) mod conv2d;
pub(super) mod epilogue;
pub(super) mod geglu;
pub(super) mod group_norm;
pub(super) mod layer_norm;
pub(super) mod matmul;
pub(super) mod moments;
pub(super) mod narrow;
pub(super) mod normalize;
pub(super) mod product;
pub(super) mod renorm;
pub(super) mod roofline;
pub(super) mod rotate;
pub(super) mod rows;
pub(super) mod scale;
pub(super) mod unary;
pub(super) mod upsample;
pub(super) mod widen;
pub(super) mod winograd;

use super::kernel::{Launch, LaunchError, Style};
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
