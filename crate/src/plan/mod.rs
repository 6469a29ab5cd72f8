//! Turns networks into plans: a flat list of operations on named and temporary tensors.
//!
//! A plan knows shapes and names, no weights and no GPU. It prints one step a line, says how much
//! memory it needs, and runs on the CPU step by step; the GPU runner executes the same value.

mod prologue;
mod builder;
mod clip;
mod epilogue;
mod interpret;
mod merge_projections;
mod memory;
mod print;
mod strip_mine;
mod unet;
mod vae;

pub use builder::Builder;
pub use clip::{TextOutput, text_encoder};
pub use interpret::{interpret, interpret_values};
pub use memory::{Memory, Allocation};
pub use unet::{UNET_VARYING, unet, unet_layer};
pub use vae::{vae_decoder, vae_encoder, vae_strip};

use crate::num::numel;
use crate::ops::{Op, ShapeError};

/// Index of a tensor in its plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ValueId(pub usize);

/// Index of a run-time number in its plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ScalarId(pub usize);

/// How a file's tensor is ordered before a plan reads it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Layout {
    /// As stored.
    Plain,
    /// Stored (O, I, H, W), read as (O, H, W, I): convolution weights on channels-last maps.
    Ohwi,
}

/// Where a tensor's numbers come from.
#[derive(Debug, Clone, PartialEq)]
#[expect(missing_docs, reason = "each variant says what its fields are")]
pub enum Source {
    /// Given at each run, by name.
    Input(String),
    /// Resident between runs, by name: `unet.conv_in.weight`.
    Weight { name: String, layout: Layout },
    /// Resident weights of equal rows read as one, in this order: their rows follow each other.
    Concatenated(Vec<ValueId>),
    /// The output of the step with this index.
    Step(usize),
}

/// A tensor of a plan.
#[derive(Debug, Clone, PartialEq)]
pub struct Value {
    /// Its shape, in the plan's order.
    pub shape: Vec<usize>,
    /// Where it comes from.
    pub source: Source,
}

impl Value {
    /// Elements of it.
    pub fn numel(&self) -> u64 {
        numel(&self.shape)
    }
}

/// One operation.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// What to compute.
    pub op: Op,
    /// From which tensors.
    pub inputs: Vec<ValueId>,
    /// Into which.
    pub output: ValueId,
    /// Whose step it is: a module path, or what the step does between modules.
    pub label: String,
}

/// A finished list of operations.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// What it computes.
    pub name: String,
    /// Every tensor.
    pub values: Vec<Value>,
    /// The operations, in order.
    pub steps: Vec<Step>,
    /// Names of the numbers given at each run.
    pub scalars: Vec<String>,
    /// Tensors that outlive a run, by name.
    pub outputs: Vec<(String, ValueId)>,
    /// Whether its products may be formed of halves (f16) where those are faster: its numbers stay
    /// far below 65504, and nothing hangs on their last digits.
    pub allows_f16_math: bool,
    /// Whether its convolutions may be computed by Winograd's algorithm where that is faster: in more
    /// dispatches, with memory of their own.
    pub allows_winograd: bool,
}

impl Plan {
    /// The tensor with this index.
    pub fn value(&self, id: ValueId) -> &Value {
        &self.values[id.0]
    }

    /// Shapes of a step's inputs.
    pub fn input_shapes(&self, step: &Step) -> Vec<&[usize]> {
        step.inputs.iter().map(|&id| self.value(id).shape.as_slice()).collect()
    }

    /// The same plan with the outputs of the last steps of these labels among its outputs, so that
    /// a run can be compared step by step. Labels that no step has are left out.
    pub fn tapped(mut self, labels: &[String]) -> Plan {
        for label in labels {
            if let Some(step) = self.steps.iter().rev().find(|step| step.label == *label) {
                self.outputs.push((label.clone(), step.output));
            }
        }
        self
    }

    /// The named weights, in order of first use: (name, layout, shape in the plan).
    pub fn weights(&self) -> impl Iterator<Item = (&str, Layout, &[usize])> {
        self.values.iter().filter_map(|value| match &value.source {
            Source::Weight { name, layout } => Some((name.as_str(), *layout, value.shape.as_slice())),
            _ => None,
        })
    }

    /// The weights that are read as one: for each such tensor its parts, as [`Plan::weights`] gives them.
    pub fn concatenated(&self) -> impl Iterator<Item = Vec<(&str, Layout, &[usize])>> {
        let part = |id: &ValueId| match &self.value(*id).source {
            Source::Weight { name, layout } => (name.as_str(), *layout, self.value(*id).shape.as_slice()),
            _ => unreachable!("only weights are joined"),
        };
        self.values.iter().filter_map(move |value| match &value.source {
            Source::Concatenated(parts) => Some(parts.iter().map(part).collect()),
            _ => None,
        })
    }

    /// What people call a tensor.
    pub fn display_name(&self, id: ValueId) -> String {
        match &self.value(id).source {
            Source::Input(name) | Source::Weight { name, .. } => name.clone(),
            Source::Concatenated(parts) => parts.iter().map(|&part| self.display_name(part)).collect::<Vec<_>>().join(" + "),
            Source::Step(step) => self.steps[*step].label.clone(),
        }
    }

    /// Floating-point operations of one run, multiply and add counted as two.
    pub fn flops(&self) -> u64 {
        self.steps
            .iter()
            .map(|step| step.op.get().flops(&self.input_shapes(step), &self.value(step.output).shape))
            .sum()
    }
}

/// Why a plan cannot be built or run.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[expect(missing_docs, reason = "each variant's message says what its fields are")]
pub enum PlanError {
    /// Shapes that do not fit.
    #[error("{label}: {source}")]
    Shape { label: String, source: ShapeError },
    /// A tensor that nobody gave.
    #[error("plan `{plan}` needs the tensor `{name}`, which is missing")]
    Missing { plan: String, name: String },
    /// A tensor of another size.
    #[error("plan `{plan}`: `{name}` has {found} numbers, the plan wants {wanted}")]
    Length { plan: String, name: String, found: u64, wanted: u64 },
    /// A size that the network cannot take.
    #[error("{what} must be {wanted}, not {found}")]
    Size { what: String, wanted: String, found: String },
}

impl Layout {
    /// Puts a tensor of this PyTorch `shape` into the plan's order. Shapes of other than four
    /// axes have no other order and pass unchanged.
    pub fn arrange<T: Copy>(self, data: Vec<T>, shape: &[usize]) -> Vec<T> {
        match (self, shape) {
            (Layout::Ohwi, &[outer, channels, height, width]) if channels > 1 && height * width > 1 => {
                permute(&data, outer, channels, height * width)
            }
            _ => data,
        }
    }

    /// Undoes [`Layout::arrange`].
    pub fn restore<T: Copy>(self, data: Vec<T>, shape: &[usize]) -> Vec<T> {
        match (self, shape) {
            (Layout::Ohwi, &[outer, channels, height, width]) if channels > 1 && height * width > 1 => {
                permute(&data, outer, height * width, channels)
            }
            _ => data,
        }
    }
}

/// (outer, rows, columns) to (outer, columns, rows).
fn permute<T: Copy>(data: &[T], outer: usize, rows: usize, columns: usize) -> Vec<T> {
    let mut out = Vec::with_capacity(data.len());
    for matrix in data.chunks_exact(rows * columns).take(outer) {
        for column in 0..columns {
            out.extend((0..rows).map(|row| matrix[row * columns + column]));
        }
    }
    out
}
