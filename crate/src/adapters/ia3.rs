//! (IA)^3: a change that multiplies each row, or each input column, of the weight by a learned factor.
//!
//! Liu et al. 2022, LyCORIS's (IA)^3: W ∘ w, along the inputs if `on_input` is 1. There is no alpha.

use super::algorithm::Algorithm;
use super::delta::{Change, Factor, FactorData, Fold};
use super::group::Group;
use super::leftover::LeftoverReason;
use crate::model::Module;
use crate::model::spelling::Role;
use crate::num::{host_len, numel};
use crate::ops::{Axis, Scale};
use crate::plan::{PlanError, ValueId};

/// W ∘ w.
#[derive(Debug)]
pub struct Ia3 {
    /// One element per output or per input.
    w: Factor,
    axis: Axis,
    shape: Vec<usize>,
}

/// Roles of the tensors, the axis flag first.
pub(super) const ROLES: &[Role] = &[Role::OnInput, Role::Weight];

impl Ia3 {
    /// Creates the change of this layer from a group.
    pub(super) fn from_group(group: &Group, module: &Module) -> Result<Ia3, LeftoverReason> {
        let missing = LeftoverReason::Incomplete { missing: "weight or on_input" };
        let w = group.get(Role::Weight).map(Factor::of).ok_or(missing.clone())?;
        let on_input = group.number(Role::OnInput).ok_or(missing)?;
        let mut shape = module.weight_shape();
        if shape.len() < 2 {
            return Err(LeftoverReason::malformed(&w, "belongs to a layer that is neither linear nor a convolution"));
        }
        let axis = if on_input > 0.0 { Axis::Columns } else { Axis::Rows };
        shape[usize::from(axis == Axis::Columns)] = host_len(numel(&w.shape));
        Ok(Ia3 { w, axis, shape })
    }
}

impl Change for Ia3 {
    fn algorithm(&self) -> Algorithm {
        Algorithm::Ia3
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

    fn fold(&self, fold: &mut Fold, base: ValueId) -> Result<ValueId, PlanError> {
        let w = fold.factor(&self.w.key, &[host_len(numel(&self.w.shape))]);
        let change = fold.push(Scale { axis: self.axis }, &[base, w])?;
        fold.add(base, change)
    }

    fn norm(&self, _numbers: &FactorData) -> Option<f64> {
        None
    }
}
