//! Full diffs: LyCORIS's stored differences of weights and biases, and of norm layers. alpha does not apply.

use super::algorithm::Algorithm;
use super::delta::{Change, Factor, FactorData, Fold};
use super::group::Group;
use super::leftover::LeftoverReason;
use crate::linalg::{Dense, Factorization, norm};
use crate::model::spelling::Role;
use crate::plan::{PlanError, ValueId};

/// The difference, in the shape of the changed tensor.
#[derive(Debug)]
pub struct Full {
    diff: Factor,
    algorithm: Algorithm,
}

impl Full {
    /// Creates the change from the group's tensor with this role.
    pub(super) fn from_group(group: &Group, role: Role) -> Result<Full, LeftoverReason> {
        let diff = group.get(role).map(Factor::of).ok_or(LeftoverReason::Incomplete { missing: "diff" })?;
        if diff.shape.contains(&0) {
            return Err(LeftoverReason::malformed(&diff, "shape.not_empty"));
        }
        let is_norm = matches!(role, Role::WNorm | Role::BNorm);
        let algorithm = if is_norm { Algorithm::Norm } else { Algorithm::Full };
        Ok(Full { diff, algorithm })
    }
}

impl Change for Full {
    fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    fn factors(&self) -> Vec<&Factor> {
        vec![&self.diff]
    }

    fn rank(&self) -> Option<usize> {
        None
    }

    fn shape(&self) -> Vec<usize> {
        self.diff.shape.clone()
    }

    fn row_factor(&self) -> Option<&str> {
        Some(&self.diff.key)
    }

    fn fold(&self, fold: &mut Fold, base: ValueId) -> Result<ValueId, PlanError> {
        let shape = fold.builder.shape(base).to_vec();
        let change = fold.factor(&self.diff.key, &shape);
        fold.add(base, change)
    }

    fn norm(&self, numbers: &FactorData) -> Option<f64> {
        Some(norm(numbers.get(&self.diff.key)?))
    }

    fn form(&self, numbers: &FactorData) -> Option<Factorization> {
        let is_matrix = self.diff.shape.len() > 1;
        let data = numbers.get(&self.diff.key).filter(|_| is_matrix)?;
        Some(Factorization::Whole(Dense::new(data.clone(), self.diff.from_axis(1))))
    }
}
