//! Changes that are a product of two matrices which are computed from the file's tensors: AdaLoRA, VeRA, DeLoRA, MiSS.

use super::algorithm::Algorithm;
use super::delta::{Change, Factor, FactorData, Fold};
use super::projections::Projections;
use super::representation::Representation;
use crate::linalg::{Factorization, product_norm};
use crate::num::{host_len, numel};
use crate::plan::{PlanError, ValueId};

/// Sizes of the product (outputs, rank) · (rank, columns).
#[derive(Debug, Clone, Copy)]
pub(super) struct ProductSizes {
    pub(super) outputs: usize,
    pub(super) rank: usize,
    /// Inputs, times the kernel's positions.
    pub(super) columns: usize,
}

/// Computes both matrices from the tensors, in the order of the factors; `None` if one has another length.
pub(super) type Compute = fn(&[&[f32]], ProductSizes) -> Option<(Vec<f32>, Vec<f32>)>;

/// A product of two matrices that are computed from the factors.
#[derive(Debug)]
pub(super) struct Composed {
    pub(super) algorithm: Algorithm,
    pub(super) factors: Vec<Factor>,
    pub(super) rank: usize,
    /// Divisor of alpha, if alpha scales the change.
    pub(super) alpha_rank: Option<usize>,
    /// PyTorch shape of the change.
    pub(super) shape: Vec<usize>,
    pub(super) compute: Compute,
    /// Matrices that follow from a seed; `compute` gets them after the file's tensors.
    pub(super) projections: Option<Projections>,
    /// Whether the layer's size is known: some tensors show a part of it, and the rest is the model's, unless that
    /// part is not.
    pub(super) is_sized: bool,
}

impl Composed {
    fn sizes(&self) -> ProductSizes {
        ProductSizes { outputs: self.shape[0], rank: self.rank, columns: host_len(numel(&self.shape[1..])) }
    }

    fn representation(&self) -> Representation {
        let ProductSizes { outputs, rank, columns } = self.sizes();
        Representation::smaller(outputs, columns, rank)
    }

    /// Returns (outputs, rank) and (rank, columns) in PyTorch's order.
    fn pair(&self, numbers: &FactorData) -> Option<(Vec<f32>, Vec<f32>)> {
        let tensors: Option<Vec<&[f32]>> =
            self.factors.iter().map(|factor| numbers.get(&factor.key).map(Vec::as_slice)).collect();
        let drawn = match self.projections {
            Some(projections) => Some(projections.draw(self.rank)?),
            None => None,
        };
        let tensors: Vec<&[f32]> = tensors?.into_iter().chain(drawn.iter().flatten().map(Vec::as_slice)).collect();
        (self.compute)(&tensors, self.sizes())
    }
}

impl Change for Composed {
    fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    fn factors(&self) -> Vec<&Factor> {
        self.factors.iter().collect()
    }

    fn rank(&self) -> Option<usize> {
        Some(self.rank)
    }

    fn alpha_rank(&self) -> Option<usize> {
        self.alpha_rank
    }

    fn shape(&self) -> Vec<usize> {
        self.shape.clone()
    }

    fn is_sized(&self) -> bool {
        self.is_sized
    }

    fn prepare(&self, numbers: &FactorData, _scale: f32) -> FactorData {
        let Some((left, right)) = self.pair(numbers) else { return FactorData::new() };
        self.representation().prepare(&self.factors[0].key, left, right, &self.shape)
    }

    fn row_factor(&self) -> Option<&str> {
        Some(&self.factors[0].key)
    }

    fn fold(&self, fold: &mut Fold, base: ValueId) -> Result<ValueId, PlanError> {
        self.representation().fold(&self.factors[0].key, fold, base)
    }

    fn norm(&self, numbers: &FactorData) -> Option<f64> {
        let (left, right) = self.pair(numbers).filter(|_| self.is_sized)?;
        Some(product_norm(&left, &right, self.rank))
    }

    fn form(&self, numbers: &FactorData) -> Option<Factorization> {
        let (left, right) = self.pair(numbers).filter(|_| self.is_sized)?;
        Some(Factorization::product(left, right, self.rank))
    }
}

/// Multiplies each row of a matrix by its own factor.
pub(super) fn scale_rows(matrix: &mut [f32], columns: usize, factors: &[f32]) {
    for (row, factor) in matrix.chunks_exact_mut(columns.max(1)).zip(factors) {
        row.iter_mut().for_each(|x| *x *= factor);
    }
}
