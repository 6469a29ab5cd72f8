//! Deltas: the change of one tensor of the base model, its target and its scale.

use super::algorithm::Algorithm;
use crate::formats::{ByteSource, Dtype, FormatError, Header, TensorInfo};
use crate::linalg::Factorization;
use crate::model::{Component, Module};
use crate::num::{host_len, numel};
use crate::ops::{Add, Axpy, Broadcast, Op};
use crate::plan::{Builder, Layout, PlanError, ScalarId, ValueId};
use crate::sorting;
use std::collections::HashMap;
use std::fmt::Debug;

/// A tensor of the file from which a delta is computed.
#[derive(Debug, Clone, PartialEq)]
pub struct Factor {
    /// Key in the file.
    pub key: String,
    /// PyTorch shape, as in the file.
    pub shape: Vec<usize>,
    /// dtype in the file.
    pub dtype: Dtype,
}

impl Factor {
    /// Creates the factor for a tensor of the file.
    pub fn of(tensor: &TensorInfo) -> Factor {
        Factor { key: tensor.name.clone(), shape: tensor.shape.clone(), dtype: tensor.dtype }
    }

    /// Returns the length of axis `axis`, or 1 if the tensor has fewer axes.
    pub fn axis(&self, axis: usize) -> usize {
        self.shape.get(axis).copied().unwrap_or(1)
    }

    /// Returns the product of the axis lengths from `axis` on.
    pub fn from_axis(&self, axis: usize) -> usize {
        host_len(numel(self.shape.get(axis..).unwrap_or(&[])))
    }
}

/// Elements of tensors by key, in the file's axis order unless stated otherwise.
pub type FactorData = HashMap<String, Vec<f32>>;

/// A parameter of a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Part {
    /// `.weight`
    Weight,
    /// `.bias`
    Bias,
}

impl Part {
    /// Returns the last component of the parameter's name.
    pub fn name(self) -> &'static str {
        match self {
            Part::Weight => "weight",
            Part::Bias => "bias",
        }
    }
}

/// The change of a tensor, as computed by one algorithm family.
pub trait Change: Debug {
    /// Returns the algorithm, as far as the factors identify it.
    fn algorithm(&self) -> Algorithm;

    /// Returns the tensors of the file that it is computed from.
    fn factors(&self) -> Vec<&Factor>;

    /// Returns the rank, if the algorithm has one.
    fn rank(&self) -> Option<usize>;

    /// Returns the divisor of alpha, or `None` if alpha does not scale the change.
    fn alpha_rank(&self) -> Option<usize> {
        self.rank()
    }

    /// Returns the algorithm of the change whose rows or columns DoRA rescales, if it is not LoRA.
    fn decomposed(&self) -> Option<Algorithm> {
        None
    }

    /// Returns the PyTorch shape of the change.
    fn shape(&self) -> Vec<usize>;

    /// Returns whether that shape is known. The tensors of some algorithms do not show it, so that it is the published
    /// model's or the base model's; `false` if what they show contradicts it.
    fn is_sized(&self) -> bool {
        true
    }

    /// Returns what the elements of the first factor are multiplied by because a mark beside it says so.
    fn mark(&self) -> f32 {
        1.0
    }

    /// Returns the tensors that the plan of [`Change::fold`] reads, in its layout: the factors, convolution
    /// weights channels-last; products of small factors if computing them once is cheaper. `scale` is the
    /// delta's, for changes that are not linear in the strength.
    fn prepare(&self, numbers: &FactorData, scale: f32) -> FactorData {
        let _ = scale;
        let arrange = |factor: &Factor| {
            let data = numbers.get(&factor.key)?.clone();
            Some((factor.key.clone(), Layout::Ohwi.arrange(data, &factor.shape)))
        };
        self.factors().into_iter().filter_map(arrange).collect()
    }

    /// Returns the key of the prepared tensor whose rows are those of the change, if each row of the change depends on
    /// that row and other tensors alone: some of its rows can then be folded by themselves.
    fn row_factor(&self) -> Option<&str> {
        None
    }

    /// Adds the steps that compute `base + strength * scale * change`, where `base` may be some rows of the tensor if
    /// there is a [`Change::row_factor`].
    /// The weight of a 3x3 convolution is the matrix (outputs, kernel * kernel * inputs).
    fn fold(&self, fold: &mut Fold, base: ValueId) -> Result<ValueId, PlanError>;

    /// Returns the Frobenius norm of the change at scale 1, computed from the factors alone, or `None` if the
    /// change depends on the base weight.
    fn norm(&self, numbers: &FactorData) -> Option<f64>;

    /// Returns the change at scale 1 as the factorized matrix (outputs, inputs · kernel²) in PyTorch's order, or `None`
    /// if it depends on the base weight, is not a matrix, or is too large for one layer.
    fn form(&self, numbers: &FactorData) -> Option<Factorization> {
        let _ = numbers;
        None
    }
}

/// Whether changes are folded at all: the module of reports alone never does, and leaves plans and operations out.
const IS_FOLDED: bool = cfg!(any(feature = "inspector", feature = "engine"));

/// Context in which a [`Change`] adds its steps to a plan.
pub struct Fold<'a> {
    /// The plan under construction.
    pub builder: &'a mut Builder,
    /// Run-time strength; `None` for full strength.
    strength: Option<ScalarId>,
    /// Constant multiplier of the strength.
    scale: f32,
    /// Prefix of every key in the plan, which keeps stacked adapters apart.
    prefix: &'a str,
    /// Label of the added steps.
    label: &'a str,
}

impl Fold<'_> {
    /// Adds the prepared tensor with this key as a weight of shape `shape`.
    pub fn factor(&mut self, key: &str, shape: &[usize]) -> ValueId {
        if !IS_FOLDED {
            return ValueId(0);
        }
        self.builder.weight(&format!("{}{key}", self.prefix), shape, Layout::Plain)
    }

    /// Adds one step and returns its output.
    pub fn push(&mut self, op: impl Into<Op>, inputs: &[ValueId]) -> Result<ValueId, PlanError> {
        if !IS_FOLDED {
            return Err(PlanError::Missing { plan: self.label.into(), name: String::new() });
        }
        self.builder.push(op, inputs, self.label)
    }

    /// Adds `base + strength * scale * change`, which is exactly `base` at strength 0. At full strength, `change`
    /// already includes the scale.
    pub fn add(&mut self, base: ValueId, change: ValueId) -> Result<ValueId, PlanError> {
        self.add_scaled(base, change, self.scale)
    }

    /// Adds `base + strength * change`, for a change that already includes the scale.
    pub fn blend(&mut self, base: ValueId, change: ValueId) -> Result<ValueId, PlanError> {
        self.add_scaled(base, change, 1.0)
    }

    /// Adds `base + change`, which is exactly `base` at strength 0.
    pub fn gate(&mut self, base: ValueId, change: ValueId) -> Result<ValueId, PlanError> {
        match self.strength {
            Some(strength) => self.push(Axpy { scalar: strength.0, factor: 1.0, gate: true }, &[base, change]),
            None => self.add_scaled(base, change, 1.0),
        }
    }

    fn add_scaled(&mut self, base: ValueId, change: ValueId, factor: f32) -> Result<ValueId, PlanError> {
        match self.strength {
            Some(strength) => self.push(Axpy { scalar: strength.0, factor, gate: false }, &[base, change]),
            None => self.push(Add { broadcast: Broadcast::None }, &[base, change]),
        }
    }

    /// Returns the same context at full strength, which ignores the run-time strength.
    pub fn at_full_strength(&mut self) -> Fold<'_> {
        Fold { builder: self.builder, strength: None, ..*self }
    }
}

/// One changed tensor of the base model.
#[derive(Debug)]
pub struct Delta {
    /// Network of the layer.
    pub component: Component,
    /// The changed layer.
    pub module: Module,
    /// The changed parameter of the layer.
    pub part: Part,
    /// Naming convention of the layer's keys.
    pub convention: &'static str,
    /// Algorithm, under the name that the file's trainer gives it.
    pub algorithm: Algorithm,
    /// alpha from the file or its config.
    pub alpha: Option<f32>,
    /// Multiplier of the change at strength 1.
    pub scale: f32,
    /// The change at scale 1.
    pub change: Box<dyn Change>,
}

impl Delta {
    /// Returns the full path of the layer: `unet.down_blocks.0…`.
    pub fn path(&self) -> String {
        format!("{}.{}", self.component, self.module.path)
    }

    /// Returns the full name of the changed tensor: `unet.down_blocks.0….weight`.
    pub fn tensor(&self) -> String {
        format!("{}.{}", self.path(), self.part.name())
    }

    /// Returns the PyTorch shape of the changed tensor in the model.
    pub fn target_shape(&self) -> Vec<usize> {
        match self.part {
            Part::Weight => self.module.weight_shape(),
            Part::Bias => vec![self.module.bias_len()],
        }
    }

    /// Returns whether the change can be added to a tensor of PyTorch shape `base`: the axes are equal, except that
    /// either side may omit a 1x1 kernel.
    pub fn fits(&self, base: &[usize]) -> bool {
        trimmed(&self.change.shape()) == trimmed(base)
    }

    /// Adds the steps that compute `base + strength * delta` and returns the result.
    ///
    /// `base` is the tensor in the plan's layout, a convolution weight as the matrix (outputs, kernel * kernel *
    /// inputs). The tensors of [`Delta::prepare`] become weights of the plan, named `prefix` + key.
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

    /// Reads the factors from the file, in the order of their bytes.
    pub async fn read(&self, source: &dyn ByteSource, header: &Header) -> Result<FactorData, FormatError> {
        let mut tensors: Vec<_> = self.change.factors().iter().filter_map(|factor| header.get(&factor.key)).collect();
        sorting::sort_by_key(&mut tensors, |tensor| tensor.bytes.start);
        let mut numbers = FactorData::new();
        for tensor in tensors {
            numbers.insert(tensor.name.clone(), tensor.read(source).await?);
        }
        Ok(numbers)
    }

    /// Returns the tensors that the fold's plan reads, by key: `numbers` in the plan's layout.
    pub fn prepare(&self, numbers: &FactorData) -> FactorData {
        self.change.prepare(numbers, self.scale)
    }

    /// Returns the Frobenius norm of the delta at strength 1, or `None` if it depends on the base weight.
    pub fn norm(&self, numbers: &FactorData) -> Option<f64> {
        Some(f64::from(self.scale).abs() * self.change.norm(numbers)?)
    }
}

/// Drops a 1x1 kernel from a shape, and the time axis of an image kernel.
fn trimmed(shape: &[usize]) -> Vec<usize> {
    match *shape {
        [outputs, inputs, 1, 1] | [outputs, inputs, 1, 1, 1] => vec![outputs, inputs],
        [outputs, inputs, 1, height, width] => vec![outputs, inputs, height, width],
        _ => shape.to_vec(),
    }
}
