//! Singular values of factorized matrices.
//!
//! For left · right, the squared singular values are the eigenvalues of Lᵀ(leftᵀ·left)L with right·rightᵀ = LLᵀ, a
//! (rank, rank) matrix; for a Kronecker product, the singular values are the products of both sides'. The matrix itself
//! is materialized only if it is smaller. Computed in f64: values below 1e-7 of the largest are rounding errors.

use super::cholesky::congruent;
use super::eigen::eigenvalues;
use super::factorization::Factorization;
use super::matrix::Matrix;

/// leftᵀ·left and right·rightᵀ of a product left · right.
#[derive(Debug, Clone)]
pub struct Grams {
    /// leftᵀ·left.
    pub left: Matrix,
    /// right·rightᵀ.
    pub right: Matrix,
}

impl Factorization {
    /// Returns the singular values, largest first, as many as the largest possible rank.
    pub fn singular_values(&self) -> Vec<f64> {
        self.singular_values_and_grams().0
    }

    /// Returns the singular values, and the Gram matrices from which those of a product were computed.
    pub fn singular_values_and_grams(&self) -> (Vec<f64>, Option<Grams>) {
        let count = self.rank();
        let mut grams = None;
        let mut values = match self {
            Factorization::Kronecker(first, second) => {
                let (first, second) = (first.singular_values(), second.singular_values());
                first.iter().flat_map(|a| second.iter().map(move |b| a * b)).collect()
            }
            Factorization::Product(left, right) if left.columns <= count => {
                let Grams { left, right } =
                    grams.insert(Grams { left: left.gram_of_columns(), right: right.gram_of_rows() });
                roots(eigenvalues(congruent(left, right).1))
            }
            Factorization::Product(..) => return (Factorization::Whole(self.matrix()).singular_values(), None),
            Factorization::Rows(..) if self.is_low_rank() && self.pair_rank() <= count => {
                let (left, right) = self.pair();
                return (Factorization::Product(left, right).singular_values(), None);
            }
            Factorization::Rows(..) => return (Factorization::Whole(self.matrix()).singular_values(), None),
            Factorization::Whole(whole) => roots(eigenvalues(whole.small_gram())),
        };
        values.sort_by(|a, b| b.total_cmp(a));
        values.resize(count, 0.0);
        (values, grams)
    }
}

fn roots(values: Vec<f64>) -> Vec<f64> {
    values.into_iter().map(|value| if value.is_nan() { value } else { value.max(0.0).sqrt() }).collect()
}
