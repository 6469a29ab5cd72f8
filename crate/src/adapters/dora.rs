//! Turns a change and a list of lengths into a change: the changed weight's rows, or input
//! columns, brought to these lengths.
//!
//! Liu et al. 2024 (DoRA): W' = m · V / ‖V‖ with V = W + scale · ΔW. LyCORIS's `dora_scale` is
//! (outputs, 1, …) or (1, inputs, …), the shape tells which; PEFT's `lora_magnitude_vector`
//! always goes over outputs. Strength s gives W + s · (W' − W), as in ComfyUI and A1111.

use super::delta::{Change, Factor, Fold, Numbers};
use super::group::Group;
use super::read::LeftoverReason;
use crate::model::spelling::Role;
use crate::num::{host_len, numel};
use crate::ops::{Axis, Renorm};
use crate::plan::{PlanError, ValueId};

/// A change under lengths.
#[derive(Debug)]
pub struct Dora {
    change: Box<dyn Change>,
    magnitudes: Factor,
    axis: Axis,
}

/// The roles of lengths.
pub(super) const ROLES: &[Role] = &[Role::DoraScale, Role::Magnitude];

/// The change under the group's lengths, if it has any.
pub(super) fn wrap(group: &Group, change: Box<dyn Change>) -> Result<Box<dyn Change>, LeftoverReason> {
    let (lengths, axis) = match (group.get(Role::DoraScale), group.get(Role::Magnitude)) {
        (Some(lengths), _) if lengths.shape.len() > 1 && lengths.shape[0] == 1 => (lengths, Axis::Columns),
        (Some(lengths), _) | (None, Some(lengths)) => (lengths, Axis::Rows),
        (None, None) => return Ok(change),
    };
    let (lengths, shape) = (Factor::of(lengths), change.shape());
    if shape.get(usize::from(axis == Axis::Columns)) != Some(&lengths.from_axis(0)) {
        return Err(LeftoverReason::malformed(&lengths, "should hold one length for each output or each input"));
    }
    Ok(Box::new(Dora { change, magnitudes: lengths, axis }))
}

impl Change for Dora {
    fn algorithm(&self) -> &'static str {
        "dora"
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

    fn shape(&self) -> Vec<usize> {
        self.change.shape()
    }

    /// The scale goes into the first factor, of which every product is a multiple.
    fn prepare(&self, numbers: &Numbers, scale: f32) -> Numbers {
        let mut prepared = self.change.prepare(numbers, scale);
        if let Some(first) = prepared.get_mut(&self.change.factors()[0].key) {
            first.iter_mut().for_each(|x| *x *= scale);
        }
        prepared.extend(numbers.get(&self.magnitudes.key).map(|data| (self.magnitudes.key.clone(), data.clone())));
        prepared
    }

    fn fold(&self, fold: &mut Fold, base: ValueId) -> Result<ValueId, PlanError> {
        let changed = self.change.fold(&mut fold.at_full_strength(), base)?;
        let lengths = fold.factor(&self.magnitudes.key, &[host_len(numel(&self.magnitudes.shape))]);
        let difference = fold.push(Renorm { axis: self.axis }, &[base, changed, lengths])?;
        fold.blend(base, difference)
    }

    fn norm(&self, _numbers: &Numbers) -> Option<f64> {
        None
    }
}
