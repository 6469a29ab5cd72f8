//! Turns one tensor of the base model into the changed tensor: which one, by what, how strongly.

use super::form::Factorization;
use crate::formats::{ByteSource, Dtype, FormatError, Header, TensorInfo};
use crate::model::{Component, Module};
use crate::num::{host_len, numel};
use crate::ops::{Add, Axpy, Broadcast, Op};
use crate::plan::{Builder, Layout, PlanError, ScalarId, ValueId};
use std::collections::HashMap;
use std::fmt::Debug;

/// A tensor of the file that takes part in a delta.
#[derive(Debug, Clone, PartialEq)]
pub struct Factor {
    /// Its key in the file.
    pub key: String,
    /// PyTorch's shape, with the kernel's axes where the file flattens them.
    pub shape: Vec<usize>,
    /// How its numbers are stored.
    pub dtype: Dtype,
}

impl Factor {
    /// The tensor as it is.
    pub fn of(tensor: &TensorInfo) -> Factor {
        Factor { key: tensor.name.clone(), shape: tensor.shape.clone(), dtype: tensor.dtype }
    }

    /// Length of axis `axis`; 1 where there is no such axis.
    pub fn axis(&self, axis: usize) -> usize {
        self.shape.get(axis).copied().unwrap_or(1)
    }

    /// Product of the axes from `axis` on.
    pub fn from_axis(&self, axis: usize) -> usize {
        host_len(numel(self.shape.get(axis..).unwrap_or(&[])))
    }
}

/// Numbers of tensors by key, in the file's order.
pub type Numbers = HashMap<String, Vec<f32>>;

/// Which of a layer's tensors changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Part {
    /// `.weight`
    Weight,
    /// `.bias`
    Bias,
}

impl Part {
    /// The last part of the tensor's name.
    pub fn name(self) -> &'static str {
        match self {
            Part::Weight => "weight",
            Part::Bias => "bias",
        }
    }
}

/// How one family of algorithms changes a tensor.
pub trait Change: Debug {
    /// The family: `lora`, `locon`, `loha`, … as reports spell it.
    fn algorithm(&self) -> &'static str;

    /// Its tensors.
    fn factors(&self) -> Vec<&Factor>;

    /// Its rank, where it has one.
    fn rank(&self) -> Option<usize>;

    /// What alpha is divided by; none where alpha scales nothing.
    fn alpha_rank(&self) -> Option<usize> {
        self.rank()
    }

    /// Shape of the change as PyTorch would store it.
    fn shape(&self) -> Vec<usize>;

    /// The tensors that [`Change::fold`] names, in the plan's order: the factors, convolutions
    /// channels last; products of small factors where they are cheaper made once. `scale` is the
    /// delta's, for changes to which strength does not apply linearly.
    fn prepare(&self, numbers: &Numbers, scale: f32) -> Numbers {
        let _ = scale;
        let arrange = |factor: &Factor| {
            let data = numbers.get(&factor.key)?.clone();
            Some((factor.key.clone(), Layout::Ohwi.arrange(data, &factor.shape)))
        };
        self.factors().into_iter().filter_map(arrange).collect()
    }

    /// Adds the steps that turn the weight `base` into `base + strength * scale * change`.
    /// A 3x3 convolution's weight is the matrix (outputs, kernel * kernel * inputs).
    fn fold(&self, fold: &mut Fold, base: ValueId) -> Result<ValueId, PlanError>;

    /// Frobenius norm of the change at scale 1, from the factors alone; none where it depends on
    /// the base weight.
    fn norm(&self, numbers: &Numbers) -> Option<f64>;

    /// The change at scale 1 as a matrix in factors; none where it depends on the base weight, is
    /// no matrix or is too large for one layer.
    fn form(&self, numbers: &Numbers) -> Option<Factorization> {
        let _ = numbers;
        None
    }
}

/// What a [`Change`] needs to add its steps to a plan.
pub struct Fold<'a> {
    /// The plan in the making.
    pub builder: &'a mut Builder,
    /// The strength given at run time; none for full strength.
    strength: Option<ScalarId>,
    /// Fixed part of the strength.
    scale: f32,
    /// Stands before every key in the plan's names, to tell stacked adapters apart.
    prefix: &'a str,
    /// Whose steps these are.
    label: &'a str,
}

impl Fold<'_> {
    /// The prepared tensor of this key in the shape `shape`.
    pub fn factor(&mut self, key: &str, shape: &[usize]) -> ValueId {
        self.builder.weight(&format!("{}{key}", self.prefix), shape, Layout::Plain)
    }

    /// One step.
    pub fn push(&mut self, op: impl Into<Op>, inputs: &[ValueId]) -> Result<ValueId, PlanError> {
        self.builder.push(op, inputs, self.label)
    }

    /// `base + strength * scale * change`, exactly `base` at strength 0. At full strength the
    /// scale is in the change already.
    pub fn add(&mut self, base: ValueId, change: ValueId) -> Result<ValueId, PlanError> {
        self.plus(base, change, self.scale)
    }

    /// `base + strength * change`, for a change that has its size.
    pub fn blend(&mut self, base: ValueId, change: ValueId) -> Result<ValueId, PlanError> {
        self.plus(base, change, 1.0)
    }

    fn plus(&mut self, base: ValueId, change: ValueId, factor: f32) -> Result<ValueId, PlanError> {
        match self.strength {
            Some(strength) => self.push(Axpy { scalar: strength.0, factor }, &[base, change]),
            None => self.push(Add { broadcast: Broadcast::None }, &[base, change]),
        }
    }

    /// The same fold at full strength, whatever the strength at run time.
    pub fn at_full_strength(&mut self) -> Fold<'_> {
        Fold { builder: self.builder, strength: None, ..*self }
    }
}

/// One changed tensor of the base model.
#[derive(Debug)]
pub struct Delta {
    /// The network.
    pub component: Component,
    /// The layer.
    pub module: Module,
    /// Which of its tensors.
    pub part: Part,
    /// The file's spelling of the layer.
    pub convention: &'static str,
    /// The family: `lora`, `loha`, … as reports spell it.
    pub algorithm: &'static str,
    /// alpha as the file or its config gives it.
    pub alpha: Option<f32>,
    /// What the change is multiplied by at strength 1.
    pub scale: f32,
    /// The change itself.
    pub change: Box<dyn Change>,
}

impl Delta {
    /// Full path of the layer: `unet.down_blocks.0…`.
    pub fn path(&self) -> String {
        format!("{}.{}", self.component, self.module.path)
    }

    /// Full name of the changed tensor: `unet.down_blocks.0….weight`.
    pub fn tensor(&self) -> String {
        format!("{}.{}", self.path(), self.part.name())
    }

    /// PyTorch shape of the tensor that it changes.
    pub fn wanted_shape(&self) -> Vec<usize> {
        match self.part {
            Part::Weight => self.module.weight_shape(),
            Part::Bias => vec![self.module.bias_len()],
        }
    }

    /// Whether the change can be added to a tensor of PyTorch shape `base`: the same axes, where
    /// a 1x1 kernel may be written or left out.
    pub fn fits(&self, base: &[usize]) -> bool {
        trimmed(&self.change.shape()) == trimmed(base)
    }

    /// Adds the steps that turn `base` into `base + strength * delta` and returns the result.
    ///
    /// `base` is the tensor in the plan's order, a convolution's weight as the matrix (outputs,
    /// kernel * kernel * inputs). The tensors of [`Delta::prepare`] become weights of the plan,
    /// named `prefix` + key.
    pub fn fold(
        &self,
        builder: &mut Builder,
        base: ValueId,
        strength: ScalarId,
        prefix: &str,
    ) -> Result<ValueId, PlanError> {
        let label = self.tensor();
        let mut fold = Fold { builder, strength: Some(strength), scale: self.scale, prefix, label: &label };
        self.change.fold(&mut fold, base)
    }

    /// Reads the factors from the file, in its order.
    pub async fn read(&self, source: &dyn ByteSource, header: &Header) -> Result<Numbers, FormatError> {
        let mut tensors: Vec<_> = self.change.factors().iter().filter_map(|factor| header.get(&factor.key)).collect();
        tensors.sort_by_key(|tensor| tensor.bytes.start);
        let mut numbers = Numbers::new();
        for tensor in tensors {
            numbers.insert(tensor.name.clone(), tensor.read(source).await?);
        }
        Ok(numbers)
    }

    /// The tensors that the folding plan wants, by key: `numbers` in the plan's order.
    pub fn prepare(&self, numbers: &Numbers) -> Numbers {
        self.change.prepare(numbers, self.scale)
    }

    /// Frobenius norm of the delta at strength 1; none where it depends on the base weight.
    pub fn norm(&self, numbers: &Numbers) -> Option<f64> {
        Some(f64::from(self.scale).abs() * self.change.norm(numbers)?)
    }
}

/// A shape without a kernel of 1x1, and without the time axis of a kernel for pictures.
fn trimmed(shape: &[usize]) -> Vec<usize> {
    match *shape {
        [outputs, inputs, 1, 1] | [outputs, inputs, 1, 1, 1] => vec![outputs, inputs],
        [outputs, inputs, 1, height, width] => vec![outputs, inputs, height, width],
        _ => shape.to_vec(),
    }
}
