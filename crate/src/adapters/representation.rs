//! The smaller in-memory representation of a change, and its steps in a plan.

use super::delta::{FactorData, Fold};
use crate::linalg::{pair_is_smaller, product};
use crate::num::{host_len, numel};
use crate::ops::Matmul;
use crate::plan::{Layout, PlanError, ValueId};

/// Representation of a change in memory until it is added: two factors or the full matrix, whichever is smaller.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Representation {
    /// (outputs, rank) · (rank, columns).
    Pair { rank: usize },
    /// (outputs, columns).
    Whole,
}

/// Suffix that turns the name of a pair's first matrix into that of the second.
const RIGHT: &str = "·";

impl Representation {
    /// Returns the smaller representation of a change (outputs, columns) that is a product of this rank.
    pub(super) fn smaller(outputs: usize, columns: usize, rank: usize) -> Representation {
        if pair_is_smaller(outputs, columns, rank) { Representation::Pair { rank } } else { Representation::Whole }
    }

    /// Returns the tensors of a pair under the name `key`: `left` is (outputs, rank), `right` has the change's PyTorch
    /// shape `shape` with the rank as its first axis.
    pub(super) fn prepare(self, key: &str, left: Vec<f32>, right: Vec<f32>, shape: &[usize]) -> FactorData {
        let rank = left.len() / shape[0].max(1);
        let right_shape = [&[rank], &shape[1..]].concat();
        match self {
            Representation::Whole => Representation::whole(key, product(&left, &right, rank), shape),
            Representation::Pair { .. } => FactorData::from([
                (key.to_owned(), left),
                (format!("{key}{RIGHT}"), Layout::Ohwi.arrange(right, &right_shape)),
            ]),
        }
    }

    /// Returns the full matrix of a change of PyTorch shape `shape` under the name `key`.
    pub(super) fn whole(key: &str, change: Vec<f32>, shape: &[usize]) -> FactorData {
        FactorData::from([(key.to_owned(), Layout::Ohwi.arrange(change, shape))])
    }

    /// Adds the steps that add the change to `base`.
    pub(super) fn fold(self, key: &str, fold: &mut Fold, base: ValueId) -> Result<ValueId, PlanError> {
        let shape = fold.builder.shape(base).to_vec();
        let change = match self {
            Representation::Whole => fold.factor(key, &shape),
            Representation::Pair { rank } => {
                let left = fold.factor(key, &[shape[0], rank]);
                let right = fold.factor(&format!("{key}{RIGHT}"), &[rank, host_len(numel(&shape[1..]))]);
                fold.push(Matmul::default(), &[left, right])?
            }
        };
        fold.add(base, change)
    }
}
