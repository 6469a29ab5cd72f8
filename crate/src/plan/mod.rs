//! Execution plans: networks -> flat lists of operations on named and temporary tensors.
//!
//! A plan contains shapes and names, but no weights, and is independent of the GPU. It prints one step
//! per line, reports its memory needs and can be interpreted on the CPU; the GPU runner executes the
//! same value.

mod builder;
mod clip;
mod divide;
mod epilogue;
mod interpret;
mod memory;
mod merge_projections;
mod print;
mod product;
mod prologue;
mod strip_mine;
mod unet;
mod upscaler;
mod vae;

pub use builder::Builder;
pub use clip::{TextOutput, short_text_encoder, text_encoder};
pub use divide::Part;
pub use interpret::{interpret, interpret_values};
pub use memory::{Allocation, Memory, shared_slots, slot_order, slots_fit};
pub use unet::{UNET_VARYING, unet, unet_layer};
pub use upscaler::{UPSCALER, upscaler, upscaler_strip};
pub use vae::{vae_decoder, vae_encoder, vae_strip};

use crate::num::numel;
use crate::ops::{Op, ShapeError};
use std::collections::BTreeSet;

/// Index of a tensor in its plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ValueId(pub usize);

/// Index of a run-time scalar in its plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ScalarId(pub usize);

/// Memory layout in which a plan reads a weight.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Layout {
    /// As stored.
    Plain,
    /// Stored (O, I, H, W), read as (O, H, W, I): convolution weights on channels-last maps.
    Ohwi,
}

/// Origin of a tensor's data.
#[derive(Debug, Clone, PartialEq)]
#[expect(missing_docs, reason = "the variants' docs describe their fields")]
pub enum Source {
    /// An input, set at each run, by name.
    Input(String),
    /// A weight, resident between runs, by name: `unet.conv_in.weight`.
    Weight { name: String, layout: Layout },
    /// Weights of equal row length, concatenated along the first axis in this order.
    Concatenated(Vec<ValueId>),
    /// The output of the step with this index.
    Step(usize),
}

/// A tensor of a plan.
#[derive(Debug, Clone, PartialEq)]
pub struct Value {
    /// Shape, in the plan's layout.
    pub shape: Vec<usize>,
    /// Origin of the data.
    pub source: Source,
}

impl Value {
    /// Returns the number of elements.
    pub fn numel(&self) -> u64 {
        numel(&self.shape)
    }
}

/// One operation.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// Operation.
    pub op: Op,
    /// Operands.
    pub inputs: Vec<ValueId>,
    /// Result.
    pub output: ValueId,
    /// Module path, or a description of a step between modules; for display.
    pub label: String,
}

/// A complete list of operations.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// Name, for display.
    pub name: String,
    /// All tensors.
    pub values: Vec<Value>,
    /// Operations in execution order.
    pub steps: Vec<Step>,
    /// Names of the scalars set at each run.
    pub scalars: Vec<String>,
    /// Tensors that stay valid after a run, by name.
    pub outputs: Vec<(String, ValueId)>,
    /// Whether matmuls and convolutions may multiply in f16 where that is faster: the plan's values stay
    /// far below 65504, and it tolerates the rounding.
    pub allows_f16_math: bool,
    /// Whether convolutions may use Winograd's algorithm where that is faster, at the cost of more
    /// dispatches and scratch memory.
    pub allows_winograd: bool,
}

impl Plan {
    /// Returns the tensor with this index.
    pub fn value(&self, id: ValueId) -> &Value {
        &self.values[id.0]
    }

    /// Returns the shapes of a step's inputs.
    pub fn input_shapes(&self, step: &Step) -> Vec<&[usize]> {
        step.inputs.iter().map(|&id| self.value(id).shape.as_slice()).collect()
    }

    /// Adds the result of the last step with each of these labels to the outputs, for step-by-step
    /// comparisons. Unknown labels are ignored.
    pub fn with_taps(mut self, labels: &[String]) -> Plan {
        for label in labels {
            if let Some(step) = self.steps.iter().rev().find(|step| step.label == *label) {
                self.outputs.push((label.clone(), step.output));
            }
        }
        self
    }

    /// Iterates over the weights in order of first use: (name, layout, shape in the plan).
    pub fn weights(&self) -> impl Iterator<Item = (&str, Layout, &[usize])> {
        self.values.iter().filter_map(|value| match &value.source {
            Source::Weight { name, layout } => Some((name.as_str(), *layout, value.shape.as_slice())),
            _ => None,
        })
    }

    /// Iterates over the concatenated weights: the parts of each, in the form of [`Plan::weights`].
    pub fn concatenated(&self) -> impl Iterator<Item = Vec<(&str, Layout, &[usize])>> {
        let part = |id: &ValueId| match &self.value(*id).source {
            Source::Weight { name, layout } => Some((name.as_str(), *layout, self.value(*id).shape.as_slice())),
            _ => None,
        };
        self.values.iter().filter_map(move |value| match &value.source {
            Source::Concatenated(parts) => Some(parts.iter().filter_map(part).collect()),
            _ => None,
        })
    }

    /// Returns the weights in groups that share a buffer, because the plan reads them as one tensor: names and shapes.
    pub fn weight_groups(&self) -> Vec<Vec<(&str, &[usize])>> {
        let mut groups = Vec::new();
        for parts in self.concatenated() {
            groups.push(parts.into_iter().map(|(name, _, shape)| (name, shape)).collect::<Vec<_>>());
        }
        let grouped: BTreeSet<&str> = groups.iter().flatten().map(|(name, _)| *name).collect();
        let single = self.weights().filter(|(name, ..)| !grouped.contains(name));
        let single: Vec<_> = single.map(|(name, _, shape)| vec![(name, shape)]).collect();
        groups.extend(single);
        groups
    }

    /// Returns a tensor's human-readable name.
    pub fn display_name(&self, id: ValueId) -> String {
        match &self.value(id).source {
            Source::Input(name) | Source::Weight { name, .. } => name.clone(),
            Source::Concatenated(parts) => {
                parts.iter().map(|&part| self.display_name(part)).collect::<Vec<_>>().join(" + ")
            }
            Source::Step(step) => self.steps[*step].label.clone(),
        }
    }

    /// Returns the floating-point operations of one run; a multiply-add counts as two.
    pub fn flops(&self) -> u64 {
        self.steps
            .iter()
            .map(|step| step.op.get().flops(&self.input_shapes(step), &self.value(step.output).shape))
            .sum()
    }
}

/// Error while building or running a plan.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[expect(missing_docs, reason = "the variants' messages describe their fields")]
pub enum PlanError {
    /// Incompatible shapes.
    #[error("{label}: {source}")]
    Shape { label: String, source: ShapeError },
    /// A missing input or weight.
    #[error("plan `{plan}` needs the tensor `{name}`, which is missing")]
    Missing { plan: String, name: String },
    /// A tensor with the wrong number of elements.
    #[error("plan `{plan}`: the tensor `{name}` has {found} elements, expected {wanted}")]
    Length { plan: String, name: String, found: u64, wanted: u64 },
    /// A prompt that is too long for a text encoder.
    #[error("the prompt has {found} tokens; this text encoder reads at most {limit}")]
    TooManyTokens { found: usize, limit: usize },
    /// More skipped layers than a text encoder has.
    #[error("clip skip is {found}; it must be at most {limit} with this model")]
    ClipSkip { found: usize, limit: usize },
    /// An unsupported size.
    #[error("{what} must be {wanted}, not {found}")]
    Size { what: String, wanted: String, found: String },
}

impl Layout {
    /// Converts a tensor of this PyTorch `shape` to this layout. Tensors that do not have four axes are
    /// returned unchanged.
    pub fn arrange<T: Copy>(self, data: Vec<T>, shape: &[usize]) -> Vec<T> {
        match (self, shape) {
            (Layout::Ohwi, &[outer, channels, height, width]) if channels > 1 && height * width > 1 => {
                transpose(&data, outer, channels, height * width)
            }
            _ => data,
        }
    }

    /// Inverse of [`Layout::arrange`].
    pub fn restore<T: Copy>(self, data: Vec<T>, shape: &[usize]) -> Vec<T> {
        match (self, shape) {
            (Layout::Ohwi, &[outer, channels, height, width]) if channels > 1 && height * width > 1 => {
                transpose(&data, outer, height * width, channels)
            }
            _ => data,
        }
    }
}

/// Transposes the last two axes of (outer, rows, columns).
fn transpose<T: Copy>(data: &[T], outer: usize, rows: usize, columns: usize) -> Vec<T> {
    let mut out = Vec::with_capacity(data.len());
    for matrix in data.chunks_exact(rows * columns).take(outer) {
        for column in 0..columns {
            out.extend((0..rows).map(|row| matrix[row * columns + column]));
        }
    }
    out
}
