//! Turns tensors into tensors: what each operation means, in plain f32 loops.
//!
//! One operation a file: its fields, its shape rule and its definition. The definition is the
//! oracle for the kernel of the same stem in gpu/kernels/, and is itself checked against PyTorch.
//! Sums run in f64, so that a definition is never the less exact side of a comparison.
//!
//! Activations are (B, H, W, C) or (B, T, D): channels last. An operation that works on the last
//! axis takes any number of axes before it, so a feature map is a token sequence without a copy.

mod add;
mod epilogue;
mod attention;
mod axpy;
mod prologue;
mod concat;
mod conv2d;
mod geglu;
mod group_norm;
mod layer_norm;
mod matmul;
mod moments;
mod narrow;
mod normalize;
mod renorm;
mod rotate;
mod rows;
mod scale;
mod unary;
mod upsample;
mod widen;

pub use add::{Add, Broadcast};
pub use epilogue::Epilogue;
pub use attention::{Attention, Part};
pub use axpy::Axpy;
pub use prologue::Prologue;
pub use concat::Concat;
pub use conv2d::Conv2d;
pub use geglu::Geglu;
pub use group_norm::GroupNorm;
pub use layer_norm::LayerNorm;
pub use matmul::Matmul;
pub use moments::Moments;
pub use narrow::{Narrow, Storage};
pub use normalize::Normalize;
pub use renorm::Renorm;
pub use rotate::Rotate;
pub use rows::{MAX_PARTS, Rows};
pub use scale::{Axis, Scale};
pub use unary::{Activation, Unary};
pub use upsample::Upsample;
pub use widen::Widen;

use crate::num::numel;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Why an operation cannot take these inputs.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{op}: {reason} (inputs {})", shapes(.inputs))]
pub struct ShapeError {
    /// The operation's name.
    pub op: &'static str,
    /// What does not fit.
    pub reason: String,
    /// The shapes that came in.
    pub inputs: Vec<Vec<usize>>,
}

fn shapes(list: &[Vec<usize>]) -> String {
    list.iter().map(|shape| format!("{shape:?}")).collect::<Vec<_>>().join(", ")
}

/// A tensor that somebody else owns: numbers in row-major order and their shape.
#[derive(Debug, Clone, Copy)]
pub struct View<'a> {
    /// The numbers.
    pub data: &'a [f32],
    /// Their shape, outermost axis first.
    pub shape: &'a [usize],
}

impl<'a> View<'a> {
    /// Length of the last axis.
    pub fn width(&self) -> usize {
        self.shape.last().copied().unwrap_or(1)
    }

    /// Rows of the last axis's length.
    pub fn rows(&self) -> std::slice::ChunksExact<'a, f32> {
        self.data.chunks_exact(self.width().max(1))
    }
}

/// What every operation can say and do.
pub trait Operation {
    /// Short name, also the stem of its kernel.
    fn name(&self) -> &'static str;
    /// Shape of the output, or what does not fit.
    fn shape(&self, inputs: &[&[usize]]) -> Result<Vec<usize>, ShapeError>;
    /// The definition. `inputs` have passed [`Operation::shape`]; `output` has its length.
    fn run(&self, inputs: &[View], scalars: &[f32], output: &mut [f32]);
    /// Floating-point operations of one run, multiply and add counted as two.
    fn flops(&self, inputs: &[&[usize]], output: &[usize]) -> u64 {
        let _ = inputs;
        numel(output)
    }
    /// The fields, as the printed plan shows them; empty where there are none.
    fn details(&self) -> String;
    /// The refusal of these inputs.
    fn shape_error(&self, inputs: &[&[usize]], reason: impl Into<String>) -> ShapeError
    where
        Self: Sized,
    {
        ShapeError {
            op: self.name(),
            reason: reason.into(),
            inputs: inputs.iter().map(|shape| shape.to_vec()).collect(),
        }
    }
}

macro_rules! operations {
    ($($name:ident),*) => {
        /// Any operation of a plan.
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum Op {
            $(#[doc = concat!("See [`", stringify!($name), "`].")] $name($name),)*
        }
        impl Op {
            /// The operation behind the tag.
            pub fn get(&self) -> &dyn DynOperation {
                match self { $(Op::$name(op) => op,)* }
            }
        }
        $(impl From<$name> for Op { fn from(op: $name) -> Op { Op::$name(op) } })*
    };
}
operations!(
    Add, Attention, Axpy, Concat, Conv2d, Geglu, GroupNorm, LayerNorm, Matmul, Moments, Narrow, Normalize, Renorm,
    Rotate, Rows, Scale, Unary, Upsample, Widen
);

/// [`Operation`] behind a reference.
pub trait DynOperation {
    /// See [`Operation::name`].
    fn name(&self) -> &'static str;
    /// See [`Operation::shape`].
    fn shape(&self, inputs: &[&[usize]]) -> Result<Vec<usize>, ShapeError>;
    /// See [`Operation::run`].
    fn run(&self, inputs: &[View], scalars: &[f32], output: &mut [f32]);
    /// See [`Operation::flops`].
    fn flops(&self, inputs: &[&[usize]], output: &[usize]) -> u64;
    /// See [`Operation::details`].
    fn details(&self) -> String;
}

impl<T: Operation> DynOperation for T {
    fn name(&self) -> &'static str {
        Operation::name(self)
    }
    fn shape(&self, inputs: &[&[usize]]) -> Result<Vec<usize>, ShapeError> {
        Operation::shape(self, inputs)
    }
    fn run(&self, inputs: &[View], scalars: &[f32], output: &mut [f32]) {
        Operation::run(self, inputs, scalars, output);
    }
    fn flops(&self, inputs: &[&[usize]], output: &[usize]) -> u64 {
        Operation::flops(self, inputs, output)
    }
    fn details(&self) -> String {
        Operation::details(self)
    }
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.get().name())
    }
}

/// Product of the axes before the last: rows of a matrix whose columns are the last axis.
pub fn leading(shape: &[usize]) -> u64 {
    numel(&shape[..shape.len().saturating_sub(1)])
}
