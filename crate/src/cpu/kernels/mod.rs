//! Kernels: an operation's inputs -> its output. Operations without a kernel, which are rare or only copy, run by their
//! definition.

mod attention;
mod elementwise;
mod norm;
mod product;

use crate::ops::{Op, View};
use crate::simd::Elements;
use std::borrow::Cow;

/// An input of a step.
#[derive(Debug, Clone, Copy)]
pub(super) struct Operand<'a> {
    /// Elements in row-major order.
    pub elements: Elements<'a>,
    /// Shape, outermost axis first.
    pub shape: &'a [usize],
}

impl<'a> Operand<'a> {
    /// Returns the elements as f32.
    pub fn wide(&self) -> Cow<'a, [f32]> {
        match self.elements {
            Elements::F32(data) => Cow::Borrowed(data),
            narrow => {
                let mut wide = vec![0.0; narrow.len()];
                narrow.widen(0, &mut wide);
                Cow::Owned(wide)
            }
        }
    }

    /// Returns the length of the last axis.
    pub fn width(&self) -> usize {
        self.shape.last().copied().unwrap_or(1)
    }
}

/// Computes the output of an operation.
pub(super) fn run(op: &Op, inputs: &[Operand], scalars: &[f32], output: &mut [f32]) {
    let computed = match op {
        Op::Matmul(op) => product::matmul(op, inputs, output),
        Op::Conv2d(op) => product::conv2d(op, inputs, output),
        Op::Attention(op) => attention::attention(op, inputs, output),
        Op::GroupNorm(op) => norm::group_norm(op, inputs, output),
        Op::LayerNorm(op) => norm::layer_norm(op, inputs, output),
        Op::Moments(op) => norm::moments(op, inputs, output),
        Op::Normalize(op) => norm::normalize(op, inputs, output),
        Op::Add(op) => elementwise::add(op, inputs, output),
        Op::Axpy(op) => elementwise::axpy(op, inputs, scalars, output),
        Op::Geglu(_) => elementwise::geglu(inputs, output),
        Op::Unary(op) => elementwise::unary(op, inputs, output),
        Op::Widen(_) => elementwise::widen(inputs, output),
        Op::Rotate(op) => product::rotate(op, inputs, output),
        Op::Concat(_) | Op::Narrow(_) | Op::PixelShuffle(_) | Op::Prelu(_) | Op::Renorm(_) => None,
        Op::Rows(_) | Op::Scale(_) | Op::Upsample(_) => None,
    };
    if computed.is_none() {
        let wide: Vec<Cow<'_, [f32]>> = inputs.iter().map(Operand::wide).collect();
        let views: Vec<View> = wide.iter().zip(inputs).map(|(data, input)| View { data, shape: input.shape }).collect();
        op.get().run(&views, scalars, output);
    }
}
