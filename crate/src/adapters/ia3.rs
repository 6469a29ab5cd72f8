//! (IA)^3: a change that multiplies each row, or each input column, of the weight by a learned factor.
//!
//! Liu et al. 2022. LyCORIS's (IA)^3 is W + W ∘ w, along the inputs if `on_input` is 1. PEFT's is W ∘ l, along the
//! inputs of the layers that its config calls feed-forward, else along the outputs, where it multiplies the bias too;
//! it has no strength, and strength s gives W + s · W ∘ (l − 1) here. There is no alpha.

use super::algorithm::Algorithm;
use super::delta::{Change, Factor, FactorData, Fold};
use super::group::Group;
use super::layer::Layer;
use super::leftover::LeftoverReason;
use crate::model::spelling::Role;
use crate::num::{host_len, numel};
use crate::ops::{Axis, Scale};
use crate::plan::{PlanError, ValueId};

/// W ∘ w, or a bias times its factors.
#[derive(Debug)]
pub struct Ia3 {
    /// One element per output or per input.
    w: Factor,
    axis: Axis,
    is_peft: bool,
    shape: Vec<usize>,
}

/// Roles of LyCORIS's tensors, the axis flag first.
pub(super) const ROLES: &[Role] = &[Role::OnInput, Role::Weight];

/// Role of PEFT's tensor.
pub(super) const PEFT_ROLES: &[Role] = &[Role::Ia3L];

impl Ia3 {
    /// Creates the change of this layer from a group of LyCORIS.
    pub(super) fn from_group(group: &Group, layer: &Layer) -> Result<Ia3, LeftoverReason> {
        let missing = LeftoverReason::Incomplete { missing: "weight or on_input" };
        let w = group.get(Role::Weight).map(Factor::of).ok_or(missing.clone())?;
        let on_input = group.number(Role::OnInput).ok_or(missing)?;
        let axis = if on_input > 0.0 { Axis::Columns } else { Axis::Rows };
        Ia3::along(axis, w, false, layer)
    }

    /// Creates the change of this layer's weight from a group of PEFT.
    pub(super) fn from_peft_group(group: &Group, layer: &Layer) -> Result<Ia3, LeftoverReason> {
        let l = group.get(Role::Ia3L).map(Factor::of).ok_or(LeftoverReason::Incomplete { missing: "ia3_l" })?;
        let axis = peft_axis(&l, group, layer)?;
        Ia3::along(axis, l, true, layer)
    }

    /// Creates the change of this layer's bias from a group of PEFT, if it has one.
    pub(super) fn bias_from_peft_group(group: &Group, layer: &Layer) -> Result<Option<Ia3>, LeftoverReason> {
        let weight = Ia3::from_peft_group(group, layer)?;
        let has_bias = weight.axis == Axis::Rows && layer.module.bias_len() > 0;
        let shape = vec![weight.shape[0]];
        Ok(has_bias.then_some(Ia3 { axis: Axis::Columns, shape, ..weight }))
    }

    fn along(axis: Axis, w: Factor, is_peft: bool, layer: &Layer) -> Result<Ia3, LeftoverReason> {
        let mut shape = layer.module.weight_shape();
        if shape.len() < 2 {
            return Err(LeftoverReason::malformed(&w, "shape.linear_or_conv"));
        }
        shape[usize::from(axis == Axis::Columns)] = host_len(numel(&w.shape));
        Ok(Ia3 { w, axis, is_peft, shape })
    }
}

/// Returns the axis of PEFT's factors: (outputs, 1) or (1, inputs) for a linear layer; (1, factors, 1, 1) for a
/// convolution, of which the size or the config tells the axis.
fn peft_axis(l: &Factor, group: &Group, layer: &Layer) -> Result<Axis, LeftoverReason> {
    let (shape, count) = (layer.module.weight_shape(), l.from_axis(0));
    match (&*l.shape, &*shape) {
        (&[_, 1], _) => return Ok(Axis::Rows),
        (&[1, _], _) => return Ok(Axis::Columns),
        (_, &[outputs, inputs, ..]) if outputs != inputs && count == inputs => return Ok(Axis::Columns),
        (_, &[outputs, inputs, ..]) if outputs != inputs && count == outputs => return Ok(Axis::Rows),
        _ => {}
    }
    match layer.config {
        Some(config) if config.is_feedforward(&group.stem) => Ok(Axis::Columns),
        Some(_) => Ok(Axis::Rows),
        None => Err(LeftoverReason::UnsupportedAlgorithm("(IA)³ on such a convolution without adapter_config.json")),
    }
}

impl Change for Ia3 {
    fn algorithm(&self) -> Algorithm {
        if self.is_peft { Algorithm::PeftIa3 } else { Algorithm::Ia3 }
    }

    fn factors(&self) -> Vec<&Factor> {
        vec![&self.w]
    }

    fn rank(&self) -> Option<usize> {
        None
    }

    fn shape(&self) -> Vec<usize> {
        self.shape.clone()
    }

    fn prepare(&self, numbers: &FactorData, _scale: f32) -> FactorData {
        let neutral = if self.is_peft { 1.0 } else { 0.0 };
        let w = numbers.get(&self.w.key).map(|w| w.iter().map(|x| x - neutral).collect());
        w.map(|w| (self.w.key.clone(), w)).into_iter().collect()
    }

    fn fold(&self, fold: &mut Fold, base: ValueId) -> Result<ValueId, PlanError> {
        let w = fold.factor(&self.w.key, &[host_len(numel(&self.w.shape))]);
        let change = fold.push(Scale { axis: self.axis }, &[base, w])?;
        fold.add(base, change)
    }

    fn norm(&self, _numbers: &FactorData) -> Option<f64> {
        None
    }
}
