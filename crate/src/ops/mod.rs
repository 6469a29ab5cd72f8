//! Tensor operations with their CPU reference implementations: tensors -> tensors.
//!
//! One operation per file: fields, shape inference and reference implementation in plain f32 loops.
//! The reference is the oracle for the kernel of the same name in gpu/kernels/, and is itself checked
//! against PyTorch. Sums are accumulated in f64, so that the reference is the more accurate side of a
//! comparison.
//!
//! Activations are channels-last: (B, H, W, C) or (B, T, D). An operation on the last axis accepts
//! any number of leading axes, so a feature map is a token sequence without a copy.

mod add;
mod attention;
mod axpy;
mod blocks;
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
mod operands;
mod pixel_shuffle;
mod prelu;
mod product;
mod prologue;
mod renorm;
mod rotate;
mod rows;
mod scale;
mod unary;
mod upsample;
mod widen;

pub use add::{Add, Broadcast};
pub use attention::{Attention, QkvSlice};
pub use axpy::Axpy;
pub use blocks::{BLOCK, Blocks, SUPERBLOCK};
pub use concat::Concat;
pub use conv2d::Conv2d;
pub use epilogue::Epilogue;
pub use geglu::Geglu;
pub use group_norm::{GroupNorm, GroupNormOperands};
pub use layer_norm::LayerNorm;
pub use matmul::Matmul;
pub use moments::Moments;
pub use narrow::{Narrow, Storage};
pub use normalize::Normalize;
pub use operands::{NormOperands, ProductOperands};
pub use pixel_shuffle::PixelShuffle;
pub use prelu::Prelu;
pub use product::operand_indices;
pub use prologue::Prologue;
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

/// Error of an operation whose inputs have unsupported shapes.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{op}: {reason} (inputs {})", shapes(.inputs))]
pub struct ShapeError {
    /// Name of the operation.
    pub op: &'static str,
    /// Description of the mismatch.
    pub reason: String,
    /// Shapes of the inputs.
    pub inputs: Vec<Vec<usize>>,
}

fn shapes(list: &[Vec<usize>]) -> String {
    list.iter().map(|shape| format!("{shape:?}")).collect::<Vec<_>>().join(", ")
}

/// A borrowed tensor in row-major order.
#[derive(Debug, Clone, Copy)]
pub struct View<'a> {
    /// Elements.
    pub data: &'a [f32],
    /// Shape, outermost axis first.
    pub shape: &'a [usize],
}

impl<'a> View<'a> {
    /// Returns the length of the last axis.
    pub fn width(&self) -> usize {
        self.shape.last().copied().unwrap_or(1)
    }

    /// Iterates over the rows along the last axis.
    pub fn rows(&self) -> std::slice::ChunksExact<'a, f32> {
        self.data.chunks_exact(self.width().max(1))
    }
}

/// Common interface of the operations.
pub trait Operation {
    /// Returns the short name, which is also the file stem of the kernel.
    fn name(&self) -> &'static str;
    /// Infers the output shape, or returns the mismatch.
    fn shape(&self, inputs: &[&[usize]]) -> Result<Vec<usize>, ShapeError>;
    /// Reference implementation. `inputs` have passed [`Operation::shape`]; `output` has the inferred shape's length.
    fn run(&self, inputs: &[View], scalars: &[f32], output: &mut [f32]);
    /// Returns the floating-point operations of one run; a multiply-add counts as two.
    fn flops(&self, inputs: &[&[usize]], output: &[usize]) -> u64 {
        let _ = inputs;
        numel(output)
    }
    /// Formats the fields for printed plans; empty if there are none.
    fn details(&self) -> String;
    /// Builds the error for these inputs.
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
            /// Returns the operation as a trait object.
            pub fn get(&self) -> &dyn DynOperation {
                match self { $(Op::$name(op) => op,)* }
            }
        }
        $(impl From<$name> for Op { fn from(op: $name) -> Op { Op::$name(op) } })*
    };
}
operations!(
    Add,
    Attention,
    Axpy,
    Concat,
    Conv2d,
    Geglu,
    GroupNorm,
    LayerNorm,
    Matmul,
    Moments,
    Narrow,
    Normalize,
    PixelShuffle,
    Prelu,
    Renorm,
    Rotate,
    Rows,
    Scale,
    Unary,
    Upsample,
    Widen
);

/// Object-safe form of [`Operation`].
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

/// Returns the product of all axes before the last: the rows of a matrix whose columns are the last axis.
pub fn leading(shape: &[usize]) -> u64 {
    numel(&shape[..shape.len().saturating_sub(1)])
}
