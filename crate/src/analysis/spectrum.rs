//! Singular values of factorized changes, and statistics of them.
//!
//! For left · right, the squared singular values are the eigenvalues of Lᵀ(leftᵀ·left)L with
//! right·rightᵀ = LLᵀ, a (rank, rank) matrix; for a Kronecker product, the singular values are the
//! products of both sides'. The matrix itself is materialized only if it is smaller. Computed in f64:
//! values below 1e-7 of the largest are rounding errors.

use crate::adapters::{Delta, FactorData};
use crate::linalg::{Factorization, Matrix, dot, eigenvalues};
use serde::Serialize;
use ts_rs::TS;

/// Singular values of one change.
#[derive(Debug, Clone, PartialEq, Serialize, TS)]
pub struct Spectrum {
    /// Values at strength 1, largest first.
    pub values: Vec<f64>,
}

impl Spectrum {
    /// Computes the singular values of a factorized matrix times `scale`.
    pub fn of(form: &Factorization, scale: f64) -> Spectrum {
        let mut values = values(form);
        values.iter_mut().for_each(|value| *value *= scale.abs());
        Spectrum { values }
    }

    /// Computes those of a delta at strength 1; `None` if it depends on the base weight or is not a matrix.
    pub fn of_delta(delta: &Delta, numbers: &FactorData) -> Option<Spectrum> {
        Some(Spectrum::of(&delta.change.form(numbers)?, f64::from(delta.scale)))
    }

    /// Returns the Frobenius norm.
    pub fn frobenius(&self) -> f64 {
        self.energy().sqrt()
    }

    /// Returns the largest singular value, the spectral norm.
    pub fn spectral(&self) -> f64 {
        self.values.first().copied().unwrap_or(0.0)
    }

    /// Returns the stable rank ‖·‖²_F / ‖·‖²₂ (Rudelson and Vershynin 2007); 0 for a zero change.
    pub fn stable_rank(&self) -> f64 {
        let largest = self.spectral();
        if largest > 0.0 { self.energy() / (largest * largest) } else { 0.0 }
    }

    /// Returns the effective rank, exp of the entropy of the normalized singular values (Roy and
    /// Vetterli 2007); 0 for a zero change.
    pub fn effective_rank(&self) -> f64 {
        let sum: f64 = self.values.iter().sum();
        if sum.is_nan() || sum <= 0.0 {
            return 0.0;
        }
        let shares = self.values.iter().map(|value| value / sum).filter(|&share| share > 0.0);
        (-shares.map(|share| share * share.ln()).sum::<f64>()).exp()
    }

    /// Returns Σσ² of the first `rank` values over that of all; 1 for a zero change.
    pub fn energy_kept(&self, rank: usize) -> f64 {
        let (all, kept) = (self.energy(), self.values.iter().take(rank).map(|value| value * value).sum::<f64>());
        if all > 0.0 { kept / all } else { 1.0 }
    }

    /// Returns the smallest rank, at least 1, that keeps this fraction of the energy.
    pub fn rank_for_energy(&self, share: f64) -> usize {
        let wanted = share * self.energy();
        let mut kept = 0.0;
        let enough = self.values.iter().position(|value| {
            kept += value * value;
            kept >= wanted
        });
        enough.map_or(self.values.len(), |index| index + 1).max(1)
    }

    /// Returns the number of values that are at least `ratio` of the largest, at least 1.
    pub fn rank_for_ratio(&self, ratio: f64) -> usize {
        let threshold = ratio * self.spectral();
        self.values.iter().take_while(|&&value| value >= threshold).count().max(1)
    }

    fn energy(&self) -> f64 {
        self.values.iter().map(|value| value * value).sum()
    }
}

/// Returns the singular values, largest first, as many as the largest possible rank.
fn values(form: &Factorization) -> Vec<f64> {
    let count = form.rank();
    let mut values = match form {
        Factorization::Kronecker(first, second) => {
            let (first, second) = (values(first), values(second));
            first.iter().flat_map(|a| second.iter().map(move |b| a * b)).collect()
        }
        Factorization::Product(left, right) if left.columns <= count => {
            roots(eigenvalues(core(&left.gram_of_columns(), &right.gram_of_rows()).1))
        }
        Factorization::Product(..) => return self::values(&Factorization::Whole(form.matrix())),
        Factorization::Whole(whole) => roots(eigenvalues(whole.small_gram())),
    };
    values.sort_by(|a, b| b.total_cmp(a));
    values.resize(count, 0.0);
    values
}

fn roots(values: Vec<f64>) -> Vec<f64> {
    values.into_iter().map(|value| if value.is_nan() { value } else { value.max(0.0).sqrt() }).collect()
}

/// Returns L and LᵀAL for symmetric A and B = LLᵀ.
pub(super) fn core(a: &Matrix, b: &Matrix) -> (Matrix, Matrix) {
    let root = cholesky(b);
    let inner = root.transposed_times(&a.times(&root));
    (root, inner)
}

/// Pivoted Cholesky factor L with L·Lᵀ = `matrix`, positive semidefinite: one column per pivot,
/// largest first, until the remainder is rounding error (Higham, Accuracy and Stability of Numerical
/// Algorithms, 10.3).
fn cholesky(matrix: &Matrix) -> Matrix {
    let size = matrix.rows;
    let mut remainder: Vec<f64> = (0..size).map(|i| matrix.data[i * size + i]).collect();
    let largest = remainder.iter().fold(0.0, |largest: f64, &x| largest.max(x));
    let tolerance = largest * f64::EPSILON * size as f64;
    let mut root = Matrix::zeros(size, size);
    let mut columns = 0;
    while columns < size {
        let Some(pivot) = (0..size).max_by(|&a, &b| remainder[a].total_cmp(&remainder[b])) else { break };
        if remainder[pivot].is_nan() || remainder[pivot] <= tolerance {
            break;
        }
        let diagonal = remainder[pivot].sqrt();
        let pivot_row = root.row(pivot)[..columns].to_vec();
        for i in 0..size {
            if remainder[i] == f64::NEG_INFINITY {
                continue;
            }
            let rest = matrix.data[i * size + pivot] - dot(&root.row(i)[..columns], &pivot_row);
            let entry = if i == pivot { diagonal } else { rest / diagonal };
            root.data[i * size + columns] = entry;
            remainder[i] -= entry * entry;
        }
        remainder[pivot] = f64::NEG_INFINITY;
        columns += 1;
    }
    let data = root.data.chunks_exact(size.max(1)).flat_map(|row| row[..columns].iter().copied()).collect();
    Matrix { rows: size, columns, data }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statistics_of_a_known_spectrum() {
        let spectrum = Spectrum { values: vec![2.0, 1.0, 1.0, 0.0] };
        assert_eq!((spectrum.frobenius(), spectrum.spectral(), spectrum.stable_rank()), (6f64.sqrt(), 2.0, 1.5));
        assert!((spectrum.effective_rank() - 8f64.sqrt()).abs() < 1e-12, "{}", spectrum.effective_rank());
        assert_eq!((spectrum.energy_kept(1), spectrum.energy_kept(9)), (4.0 / 6.0, 1.0));
        assert_eq!(
            (spectrum.rank_for_energy(0.66), spectrum.rank_for_energy(0.9), spectrum.rank_for_ratio(0.5)),
            (1, 3, 3)
        );
        let nothing = Spectrum { values: vec![0.0; 3] };
        assert_eq!((nothing.stable_rank(), nothing.effective_rank(), nothing.energy_kept(1)), (0.0, 0.0, 1.0));
        assert_eq!(nothing.rank_for_energy(0.9), 1);
    }

    #[test]
    fn cholesky_reconstructs_a_rank_deficient_matrix() {
        let rows = Matrix::of(&[1.0, 2.0, 3.0, 0.5, 2.0, 4.0, 6.0, 1.0, -1.0, 0.0, 1.0, 3.0], 4);
        let gram = rows.times_transposed(&rows);
        let root = cholesky(&gram);
        assert_eq!(root.columns, 2);
        let product = root.times_transposed(&root);
        assert!(product.data.iter().zip(&gram.data).all(|(a, b)| (a - b).abs() < 1e-12));
    }
}
