//! SHiRA: differences of a few elements of a weight.
//!
//! Bhardwaj et al. 2024 (SHiRA), PEFT's SHiRA: `shira_weight` has the differences, `shira_indices` (2, count) their
//! rows and columns.

use super::algorithm::Algorithm;
use super::delta::{Change, Factor, FactorData, Fold};
use super::group::Group;
use super::layer::Layer;
use super::leftover::LeftoverReason;
use super::representation::Representation;
use super::tucker::MAX_DENSE_LEN;
use crate::linalg::{Dense, Factorization, norm};
use crate::model::spelling::Role;
use crate::num::to_index;
use crate::plan::{PlanError, ValueId};

/// A sparse difference.
#[derive(Debug)]
pub(super) struct Shira {
    /// One element per difference.
    values: Factor,
    /// (2, differences): rows and columns.
    indices: Factor,
    shape: [usize; 2],
    /// Whether the layer has that shape: PEFT changes as many elements as a LoRA of its rank has.
    is_sized: bool,
}

/// Roles of the factors.
pub(super) const ROLES: &[Role] = &[Role::ShiraWeight, Role::ShiraIndices];

impl Shira {
    /// Creates the change of this layer from a group, or returns an error if the shapes of its factors do not match.
    pub(super) fn from_group(group: &Group, layer: &Layer) -> Result<Shira, LeftoverReason> {
        let factor = |role, name| group.get(role).map(Factor::of).ok_or(LeftoverReason::Incomplete { missing: name });
        let values = factor(Role::ShiraWeight, "shira_weight")?;
        let indices = factor(Role::ShiraIndices, "shira_indices")?;
        if indices.shape != [2, values.from_axis(0)] {
            return Err(LeftoverReason::malformed(&indices, "shape.two_index_rows"));
        }
        match *layer.module.weight_shape() {
            [rows, columns] => {
                let count = |rank: usize| rows.checked_add(columns)?.checked_mul(rank);
                let rank = layer.config.and_then(|config| config.r);
                let is_sized = rank.is_none_or(|rank| count(rank) == Some(values.from_axis(0)));
                Ok(Shira { values, indices, shape: [rows, columns], is_sized })
            }
            _ => Err(LeftoverReason::malformed(&values, "shape.not_linear")),
        }
    }

    /// Returns the matrix, or `None` if an index is outside of it.
    fn matrix(&self, numbers: &FactorData) -> Option<Vec<f32>> {
        let [rows, columns] = self.shape;
        let count = rows.checked_mul(columns).filter(|&count| count <= 8 * MAX_DENSE_LEN)?;
        let (values, indices) = (numbers.get(&self.values.key)?, numbers.get(&self.indices.key)?);
        let (row_indices, column_indices) = indices.split_at_checked(values.len())?;
        let mut matrix = vec![0.0; count];
        for ((&value, &row), &column) in values.iter().zip(row_indices).zip(column_indices) {
            if !(0.0..rows as f32).contains(&row) || !(0.0..columns as f32).contains(&column) {
                return None;
            }
            // Indices in f32 are exact below 2^24.
            matrix[to_index(row.into()) * columns + to_index(column.into())] += value;
        }
        Some(matrix)
    }
}

impl Change for Shira {
    fn algorithm(&self) -> Algorithm {
        Algorithm::Shira
    }

    fn factors(&self) -> Vec<&Factor> {
        vec![&self.values, &self.indices]
    }

    fn rank(&self) -> Option<usize> {
        None
    }

    fn shape(&self) -> Vec<usize> {
        self.shape.to_vec()
    }

    fn is_sized(&self) -> bool {
        self.is_sized
    }

    fn prepare(&self, numbers: &FactorData, _scale: f32) -> FactorData {
        let matrix = self.matrix(numbers);
        matrix.map(|matrix| Representation::whole(&self.values.key, matrix, &self.shape)).unwrap_or_default()
    }

    fn row_factor(&self) -> Option<&str> {
        Some(&self.values.key)
    }

    fn fold(&self, fold: &mut Fold, base: ValueId) -> Result<ValueId, PlanError> {
        Representation::Whole.fold(&self.values.key, fold, base)
    }

    /// No two indices are equal.
    fn norm(&self, numbers: &FactorData) -> Option<f64> {
        Some(norm(numbers.get(&self.values.key)?))
    }

    fn form(&self, numbers: &FactorData) -> Option<Factorization> {
        Some(Factorization::Whole(Dense::new(self.matrix(numbers).filter(|_| self.is_sized)?, self.shape[1])))
    }
}
