//! HRA: Householder reflections of a layer's inputs.
//!
//! Yuan et al. 2024 (HRA), PEFT's HRA: W' = W · (I − 2 u_1 u_1ᵀ) · … · (I − 2 u_r u_rᵀ) for unit vectors u_i, the
//! columns of `hra_u`; with apply_GS, they are orthonormalized first. A convolution's weight is the matrix (outputs,
//! inputs · kernel²). PEFT has no strength for it; here, strength s gives W + s · (W' − W).
//!
//! The product of the reflections is I + A · B with B of the unit vectors, so that the change is (W · A) · B.

use super::algorithm::Algorithm;
use super::delta::{Change, Factor, FactorData, Fold};
use super::group::Group;
use super::layer::Layer;
use super::leftover::LeftoverReason;
use crate::linalg::{Matrix, transposed};
use crate::model::spelling::Role;
use crate::num::{host_len, numel};
use crate::ops::Matmul;
use crate::plan::{Layout, PlanError, ValueId};

/// A product of reflections.
#[derive(Debug)]
pub(super) struct Hra {
    /// (inputs · kernel², rank).
    vectors: Factor,
    is_orthonormalized: bool,
    shape: Vec<usize>,
}

/// Roles of the factor.
pub(super) const ROLES: &[Role] = &[Role::HraU];

/// Suffix that turns the name of A into that of B.
const RIGHT: &str = "·";

impl Hra {
    /// Creates the change of this layer from a group, or returns an error if the shape of its factor does not match.
    pub(super) fn from_group(group: &Group, layer: &Layer) -> Result<Hra, LeftoverReason> {
        let vectors = group.get(Role::HraU).map(Factor::of).ok_or(LeftoverReason::Incomplete { missing: "hra_u" })?;
        let weight = layer.module.weight_shape();
        let &[columns, rank] = &*vectors.shape else {
            return Err(LeftoverReason::malformed(&vectors, "shape.matrix"));
        };
        if weight.len() < 2 || rank == 0 || columns == 0 {
            return Err(LeftoverReason::malformed(&vectors, "shape.reflections"));
        }
        let shape = layer.shape_of(weight[0], columns);
        let is_orthonormalized = layer.config.is_some_and(|config| config.apply_gs == Some(true));
        Ok(Hra { vectors, is_orthonormalized, shape })
    }

    fn rank(&self) -> usize {
        self.vectors.axis(1)
    }

    /// Returns A and B as rows: both (rank, inputs · kernel²).
    fn reflections(&self, numbers: &FactorData) -> Option<(Matrix, Matrix)> {
        let mut units = Matrix::of(numbers.get(&self.vectors.key)?, self.rank()).transposed();
        let mut moved = Matrix::zeros(units.rows, units.columns);
        for at in 0..units.rows {
            let (before, row) = units.data.split_at_mut(at * units.columns);
            let row = &mut row[..units.columns];
            if self.is_orthonormalized {
                for other in before.chunks_exact(units.columns) {
                    let overlap = dot(row, other);
                    row.iter_mut().zip(other).for_each(|(x, y)| *x -= overlap * y);
                }
            }
            let length = dot(row, row).sqrt();
            row.iter_mut().for_each(|x| *x /= length);
            // A's next column is −2 (I + A · B) u, with the reflections so far.
            let mut sum = row.to_vec();
            for (other, image) in before.chunks_exact(units.columns).zip(moved.data.chunks_exact(units.columns)) {
                let overlap = dot(row, other);
                sum.iter_mut().zip(image).for_each(|(x, y)| *x += overlap * y);
            }
            moved.data[at * units.columns..][..units.columns].iter_mut().zip(sum).for_each(|(x, y)| *x = -2.0 * y);
        }
        Some((moved, units))
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}

impl Change for Hra {
    fn algorithm(&self) -> Algorithm {
        Algorithm::Hra
    }

    fn factors(&self) -> Vec<&Factor> {
        vec![&self.vectors]
    }

    fn rank(&self) -> Option<usize> {
        Some(self.rank())
    }

    fn alpha_rank(&self) -> Option<usize> {
        None
    }

    fn shape(&self) -> Vec<usize> {
        self.shape.clone()
    }

    fn prepare(&self, numbers: &FactorData, _scale: f32) -> FactorData {
        let Some((moved, units)) = self.reflections(numbers) else { return FactorData::new() };
        let shape = [&[self.rank()], &self.shape[1..]].concat();
        let arranged = |rows: Matrix| Layout::Ohwi.arrange(rows.to_f32(), &shape);
        FactorData::from([
            (self.vectors.key.clone(), transposed(&arranged(moved), units.columns)),
            (format!("{}{RIGHT}", self.vectors.key), arranged(units)),
        ])
    }

    fn fold(&self, fold: &mut Fold, base: ValueId) -> Result<ValueId, PlanError> {
        let (rank, columns) = (self.rank(), host_len(numel(&self.shape[1..])));
        let a = fold.factor(&self.vectors.key, &[columns, rank]);
        let b = fold.factor(&format!("{}{RIGHT}", self.vectors.key), &[rank, columns]);
        let narrow = fold.push(Matmul::default(), &[base, a])?;
        let change = fold.push(Matmul::default(), &[narrow, b])?;
        fold.blend(base, change)
    }

    fn norm(&self, _numbers: &FactorData) -> Option<f64> {
        None
    }
}
