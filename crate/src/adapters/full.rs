//! Turns a stored difference into a change: LyCORIS's full deltas of weights and biases, and its
//! deltas of norms. alpha plays no part.

use super::delta::{Change, Factor, Fold, Numbers};
use super::form::{Dense, Factorization};
use super::group::Group;
use super::linear::norm;
use super::read::LeftoverReason;
use crate::model::spelling::Role;
use crate::plan::{PlanError, ValueId};

/// The difference itself, in the tensor's own shape.
#[derive(Debug)]
pub struct Full {
    difference: Factor,
    algorithm: &'static str,
}

impl Full {
    /// The difference in this role.
    pub(super) fn from_group(group: &Group, role: Role) -> Result<Full, LeftoverReason> {
        let difference = group.get(role).map(Factor::of).ok_or(LeftoverReason::Incomplete { missing: "difference" })?;
        if difference.shape.contains(&0) {
            return Err(LeftoverReason::malformed(&difference, "should have numbers"));
        }
        let algorithm = if matches!(role, Role::WNorm | Role::BNorm) { "norm" } else { "full" };
        Ok(Full { difference, algorithm })
    }
}

impl Change for Full {
    fn algorithm(&self) -> &'static str {
        self.algorithm
    }

    fn factors(&self) -> Vec<&Factor> {
        vec![&self.difference]
    }

    fn rank(&self) -> Option<usize> {
        None
    }

    fn shape(&self) -> Vec<usize> {
        self.difference.shape.clone()
    }

    fn fold(&self, fold: &mut Fold, base: ValueId) -> Result<ValueId, PlanError> {
        let shape = fold.builder.shape(base).to_vec();
        let change = fold.factor(&self.difference.key, &shape);
        fold.add(base, change)
    }

    fn norm(&self, numbers: &Numbers) -> Option<f64> {
        Some(norm(numbers.get(&self.difference.key)?))
    }

    fn form(&self, numbers: &Numbers) -> Option<Factorization> {
        let is_matrix = self.difference.shape.len() > 1;
        let data = numbers.get(&self.difference.key).filter(|_| is_matrix)?;
        Some(Factorization::Whole(Dense::new(data.clone(), self.difference.from_axis(1))))
    }
}
