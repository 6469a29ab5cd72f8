//! DoRA: a change after which the rows, or input columns, of the weight are rescaled to learned magnitudes.
//!
//! Liu et al. 2024 (DoRA): W' = m · V / ‖V‖ with V = W + scale · ΔW. LyCORIS's `dora_scale` is (outputs, 1, …) or
//! (1, inputs, …), distinguished by its shape; PEFT's `lora_magnitude_vector` always has one magnitude per output.
//! Strength s gives W + s · (W' − W), as in ComfyUI and A1111.

use super::algorithm::Algorithm;
use super::delta::{Change, Factor, FactorData, Fold};
use super::group::Group;
use super::leftover::LeftoverReason;
use crate::model::spelling::Role;
use crate::num::{host_len, numel};
use crate::ops::{Axis, Renorm};
use crate::plan::{PlanError, ValueId};

/// A change with magnitudes.
#[derive(Debug)]
pub struct Dora {
    change: Box<dyn Change>,
    magnitudes: Factor,
    axis: Axis,
}

/// Roles of the magnitudes.
pub(super) const ROLES: &[Role] = &[Role::DoraScale, Role::Magnitude];

/// Wraps the change in the group's magnitudes, if it has any.
pub(super) fn wrap(group: &Group, change: Box<dyn Change>) -> Result<Box<dyn Change>, LeftoverReason> {
    let (magnitudes, axis) = match (group.get(Role::DoraScale), group.get(Role::Magnitude)) {
        (Some(magnitudes), _) if magnitudes.shape.len() > 1 && magnitudes.shape[0] == 1 => (magnitudes, Axis::Columns),
        (Some(magnitudes), _) | (None, Some(magnitudes)) => (magnitudes, Axis::Rows),
        (None, None) => return Ok(change),
    };
    let (magnitudes, shape) = (Factor::of(magnitudes), change.shape());
    if shape.get(usize::from(axis == Axis::Columns)) != Some(&magnitudes.from_axis(0)) {
        return Err(LeftoverReason::malformed(&magnitudes, "shape.magnitudes"));
    }
    Ok(Box::new(Dora { change, magnitudes, axis }))
}

impl Change for Dora {
    fn algorithm(&self) -> Algorithm {
        Algorithm::Dora
    }

    fn factors(&self) -> Vec<&Factor> {
        let mut factors = self.change.factors();
        factors.push(&self.magnitudes);
        factors
    }

    fn rank(&self) -> Option<usize> {
        self.change.rank()
    }

    fn alpha_rank(&self) -> Option<usize> {
        self.change.alpha_rank()
    }

    fn decomposed(&self) -> Option<Algorithm> {
        Some(self.change.algorithm()).filter(|algorithm| !algorithm.is_pair())
    }

    fn shape(&self) -> Vec<usize> {
        self.change.shape()
    }

    /// Multiplies the scale into the first factor, in which every product is linear.
    fn prepare(&self, numbers: &FactorData, scale: f32) -> FactorData {
        let mut prepared = self.change.prepare(numbers, scale);
        if let Some(first) = prepared.get_mut(&self.change.factors()[0].key) {
            first.iter_mut().for_each(|x| *x *= scale);
        }
        prepared.extend(numbers.get(&self.magnitudes.key).map(|data| (self.magnitudes.key.clone(), data.clone())));
        prepared
    }

    fn fold(&self, fold: &mut Fold, base: ValueId) -> Result<ValueId, PlanError> {
        let changed = self.change.fold(&mut fold.at_full_strength(), base)?;
        let magnitudes = fold.factor(&self.magnitudes.key, &[host_len(numel(&self.magnitudes.shape))]);
        let difference = fold.push(Renorm { axis: self.axis }, &[base, changed, magnitudes])?;
        fold.blend(base, difference)
    }

    fn norm(&self, _numbers: &FactorData) -> Option<f64> {
        None
    }
}
