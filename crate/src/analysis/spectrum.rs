//! Turns a change in factors into its singular values, and those into the numbers that people read.
//!
//! For left · right the squares of the singular values are the eigenvalues of Lᵀ(leftᵀ·left)L with
//! right·rightᵀ = LLᵀ, a matrix of rank · rank; for a Kronecker product they are the products of
//! both sides'. The matrix itself is formed only where it is smaller. In f64, so that values below
//! 1e-7 of the largest are rounding.

use super::matrix::{Matrix, dot, eigenvalues};
use crate::adapters::{Delta, Dense, Factorization, Lines, Numbers, gram};
use serde::Serialize;
use ts_rs::TS;

/// The singular values of one change, largest first.
#[derive(Debug, Clone, PartialEq, Serialize, TS)]
pub struct Spectrum {
    /// At strength 1.
    pub values: Vec<f64>,
}

impl Spectrum {
    /// Of the matrix that the form stands for, times `scale`.
    pub fn of(form: &Factorization, scale: f64) -> Spectrum {
        let mut values = values(form);
        values.iter_mut().for_each(|value| *value *= scale.abs());
        Spectrum { values }
    }

    /// Of a delta at strength 1; none where it depends on the base weight or is no matrix.
    pub fn of_delta(delta: &Delta, numbers: &Numbers) -> Option<Spectrum> {
        Some(Spectrum::of(&delta.change.form(numbers)?, f64::from(delta.scale)))
    }

    /// Frobenius norm.
    pub fn frobenius(&self) -> f64 {
        self.energy().sqrt()
    }

    /// The largest singular value.
    pub fn spectral(&self) -> f64 {
        self.values.first().copied().unwrap_or(0.0)
    }

    /// ‖·‖²_F / ‖·‖²: how many directions of the strongest one's strength there are (Rudelson and
    /// Vershynin 2007); 0 for a change of zeros.
    pub fn stable_rank(&self) -> f64 {
        let largest = self.spectral();
        if largest > 0.0 { self.energy() / (largest * largest) } else { 0.0 }
    }

    /// exp of the entropy of the singular values' shares of their sum (Roy and Vetterli 2007); 0
    /// for a change of zeros.
    pub fn effective_rank(&self) -> f64 {
        let sum: f64 = self.values.iter().sum();
        if sum.is_nan() || sum <= 0.0 {
            return 0.0;
        }
        let shares = self.values.iter().map(|value| value / sum).filter(|&share| share > 0.0);
        (-shares.map(|share| share * share.ln()).sum::<f64>()).exp()
    }

    /// Σσ² of the first `rank` values over that of all; 1 for a change of zeros.
    pub fn energy_kept(&self, rank: usize) -> f64 {
        let (all, kept) = (self.energy(), self.values.iter().take(rank).map(|value| value * value).sum::<f64>());
        if all > 0.0 { kept / all } else { 1.0 }
    }

    /// The smallest rank, 1 or more, that keeps this share of the energy.
    pub fn rank_for_energy(&self, share: f64) -> usize {
        let wanted = share * self.energy();
        let mut kept = 0.0;
        let enough = self.values.iter().position(|value| {
            kept += value * value;
            kept >= wanted
        });
        enough.map_or(self.values.len(), |index| index + 1).max(1)
    }

    /// How many values are at least `ratio` of the largest; 1 or more.
    pub fn rank_for_ratio(&self, ratio: f64) -> usize {
        let least = ratio * self.spectral();
        self.values.iter().take_while(|&&value| value >= least).count().max(1)
    }

    fn energy(&self) -> f64 {
        self.values.iter().map(|value| value * value).sum()
    }
}

/// Singular values, largest first, as many as the rank can be.
fn values(form: &Factorization) -> Vec<f64> {
    let count = form.rank();
    let mut values = match form {
        Factorization::Kronecker(first, second) => {
            let (first, second) = (values(first), values(second));
            first.iter().flat_map(|a| second.iter().map(move |b| a * b)).collect()
        }
        Factorization::Product(left, right) if left.columns <= count => {
            roots(eigenvalues(core(&gram_of_columns(left), &gram_of_rows(right)).1))
        }
        Factorization::Product(..) => return self::values(&Factorization::Whole(form.matrix())),
        Factorization::Whole(whole) => roots(eigenvalues(small_gram(whole))),
    };
    values.sort_by(|a, b| b.total_cmp(a));
    values.resize(count, 0.0);
    values
}

fn roots(values: Vec<f64>) -> Vec<f64> {
    values.into_iter().map(|value| if value.is_nan() { value } else { value.max(0.0).sqrt() }).collect()
}

/// L and LᵀAL for symmetric A and B = LLᵀ.
pub(super) fn core(a: &Matrix, b: &Matrix) -> (Matrix, Matrix) {
    let root = cholesky(b);
    let inner = root.transposed_times(&a.times(&root));
    (root, inner)
}

/// leftᵀ · left.
pub(super) fn gram_of_columns(matrix: &Dense) -> Matrix {
    Matrix { rows: matrix.columns, columns: matrix.columns, data: gram(&matrix.data, matrix.columns, Lines::Columns) }
}

/// right · rightᵀ.
pub(super) fn gram_of_rows(matrix: &Dense) -> Matrix {
    Matrix { rows: matrix.rows, columns: matrix.rows, data: gram(&matrix.data, matrix.columns, Lines::Rows) }
}

/// The smaller of M·Mᵀ and Mᵀ·M.
pub(super) fn small_gram(matrix: &Dense) -> Matrix {
    if matrix.columns < matrix.rows { gram_of_columns(matrix) } else { gram_of_rows(matrix) }
}

/// L with L·Lᵀ = `matrix`, positive semidefinite: one column a pivot, the largest first, until
/// what is left is rounding (Higham, Accuracy and Stability of Numerical Algorithms, 10.3).
fn cholesky(matrix: &Matrix) -> Matrix {
    let size = matrix.rows;
    let mut left: Vec<f64> = (0..size).map(|i| matrix.data[i * size + i]).collect();
    let largest = left.iter().fold(0.0, |largest: f64, &x| largest.max(x));
    let least = largest * f64::EPSILON * size as f64;
    let mut root = Matrix::zeros(size, size);
    let mut columns = 0;
    while columns < size {
        let Some(pivot) = (0..size).max_by(|&a, &b| left[a].total_cmp(&left[b])) else { break };
        if left[pivot].is_nan() || left[pivot] <= least {
            break;
        }
        let length = left[pivot].sqrt();
        let pivot_row = root.row(pivot)[..columns].to_vec();
        for i in 0..size {
            if left[i] == f64::NEG_INFINITY {
                continue;
            }
            let rest = matrix.data[i * size + pivot] - dot(&root.row(i)[..columns], &pivot_row);
            let entry = if i == pivot { length } else { rest / length };
            root.data[i * size + columns] = entry;
            left[i] -= entry * entry;
        }
        left[pivot] = f64::NEG_INFINITY;
        columns += 1;
    }
    let data = root.data.chunks_exact(size.max(1)).flat_map(|row| row[..columns].iter().copied()).collect();
    Matrix { rows: size, columns, data }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_a_known_spectrum() {
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
    fn a_root_of_a_deficient_matrix_multiplies_to_it() {
        let rows = Matrix::of(&[1.0, 2.0, 3.0, 0.5, 2.0, 4.0, 6.0, 1.0, -1.0, 0.0, 1.0, 3.0], 4);
        let gram = rows.times_transposed(&rows);
        let root = cholesky(&gram);
        assert_eq!(root.columns, 2);
        let again = root.times_transposed(&root);
        assert!(again.data.iter().zip(&gram.data).all(|(a, b)| (a - b).abs() < 1e-12));
    }
}
