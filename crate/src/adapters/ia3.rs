//! Turns a list of numbers into a change: each row, or each input column, of the weight times its
//! number.
//!
//! Liu et al. 2022, LyCORIS's (IA)^3: W ∘ w, along the inputs where `on_input` is 1. There is no
//! alpha.

use super::delta::{Change, Factor, Fold, Numbers};
use super::group::Group;
use super::read::LeftoverReason;
use crate::model::Module;
use crate::model::spelling::Role;
use crate::num::{host_len, numel};
use crate::ops::{Axis, Scale};
use crate::plan::{PlanError, ValueId};

/// W ∘ numbers.
#[derive(Debug)]
pub struct Ia3 {
    numbers: Factor,
    axis: Axis,
    shape: Vec<usize>,
}

/// The roles of the numbers and of their direction.
pub(super) const ROLES: &[Role] = &[Role::OnInput, Role::Weight];

impl Ia3 {
    /// The numbers of a group for this layer.
    pub(super) fn from_group(group: &Group, module: &Module) -> Result<Ia3, LeftoverReason> {
        let missing = LeftoverReason::Incomplete { missing: "weight or on_input" };
        let numbers = group.get(Role::Weight).map(Factor::of).ok_or(missing.clone())?;
        let on_input = group.number(Role::OnInput).ok_or(missing)?;
        let mut shape = module.weight_shape();
        if shape.len() < 2 {
            return Err(LeftoverReason::malformed(&numbers, "belongs to a layer that is neither linear nor a convolution"));
        }
        let axis = if on_input > 0.0 { Axis::Columns } else { Axis::Rows };
        shape[usize::from(axis == Axis::Columns)] = host_len(numel(&numbers.shape));
        Ok(Ia3 { numbers, axis, shape })
    }
}

impl Change for Ia3 {
    fn algorithm(&self) -> &'static str {
        "ia3"
    }

    fn factors(&self) -> Vec<&Factor> {
        vec![&self.numbers]
    }

    fn rank(&self) -> Option<usize> {
        None
    }

    fn shape(&self) -> Vec<usize> {
        self.shape.clone()
    }

    fn fold(&self, fold: &mut Fold, base: ValueId) -> Result<ValueId, PlanError> {
        let numbers = fold.factor(&self.numbers.key, &[host_len(numel(&self.numbers.shape))]);
        let change = fold.push(Scale { axis: self.axis }, &[base, numbers])?;
        fold.add(base, change)
    }

    fn norm(&self, _numbers: &Numbers) -> Option<f64> {
        None
    }
}
