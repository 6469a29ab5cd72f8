//! Matrices as products and Kronecker products of smaller ones, or as rows of these, which need not be multiplied out.

use super::dense::{Dense, norm, product};
use super::gram::{Known, Lines, gram_f32};
use super::matrix::Matrix;
use std::ops::Range;

/// A matrix as a product of factors.
#[derive(Debug, Clone, PartialEq)]
pub enum Factorization {
    /// The full matrix.
    Whole(Dense),
    /// (outputs, rank) · (rank, columns).
    Product(Dense, Dense),
    /// first ⊗ second.
    Kronecker(Box<Factorization>, Box<Factorization>),
    /// These rows of a Kronecker product, which are not whole blocks of it.
    Rows(Box<Factorization>, Range<usize>),
}

impl Factorization {
    /// Creates `left` (rows, rank) · `right` (rank, columns).
    pub fn product(left: Vec<f32>, right: Vec<f32>, rank: usize) -> Factorization {
        let columns = right.len() / rank.max(1);
        Factorization::Product(Dense::new(left, rank), Dense::new(right, columns))
    }

    /// Returns (rows, columns) of the matrix.
    pub fn size(&self) -> (usize, usize) {
        match self {
            Factorization::Whole(whole) => (whole.rows, whole.columns),
            Factorization::Product(left, right) => (left.rows, right.columns),
            Factorization::Kronecker(first, second) => {
                let ((a, b), (c, d)) = (first.size(), second.size());
                (a.saturating_mul(c), b.saturating_mul(d))
            }
            Factorization::Rows(whole, rows) => (rows.len(), whole.size().1),
        }
    }

    /// Returns an upper bound of the matrix's rank.
    pub fn rank(&self) -> usize {
        let (rows, columns) = self.size();
        match self {
            Factorization::Whole(_) => rows.min(columns),
            Factorization::Product(left, _) => left.columns.min(rows).min(columns),
            Factorization::Kronecker(first, second) => first.rank().saturating_mul(second.rank()),
            Factorization::Rows(whole, _) => whole.rank().min(rows),
        }
    }

    /// Returns the inner dimension of [`Factorization::pair`].
    pub fn pair_rank(&self) -> usize {
        match self {
            Factorization::Product(left, _) => left.columns,
            Factorization::Rows(whole, _) => whole.pair_rank(),
            _ => self.rank(),
        }
    }

    /// Returns whether the lossless product of two matrices is smaller than the full matrix.
    pub fn is_low_rank(&self) -> bool {
        let (rows, columns) = self.size();
        pair_is_smaller(rows, columns, self.pair_rank())
    }

    /// Returns the matrix as a lossless product of two: a Kronecker product is that of the left factors times that of
    /// the right factors, and a full matrix is a product with the identity.
    pub fn pair(&self) -> (Dense, Dense) {
        match self {
            Factorization::Whole(whole) if whole.rows <= whole.columns => (Dense::identity(whole.rows), whole.clone()),
            Factorization::Whole(whole) => (whole.clone(), Dense::identity(whole.columns)),
            Factorization::Product(left, right) => (left.clone(), right.clone()),
            Factorization::Kronecker(first, second) => {
                let ((a, b), (c, d)) = (first.reduced().pair(), second.reduced().pair());
                (a.kronecker(&c), b.kronecker(&d))
            }
            Factorization::Rows(whole, rows) => {
                let (left, right) = whole.pair();
                (left.row_range(rows), right)
            }
        }
    }

    /// Multiplies out a product whose inner dimension exceeds the rank of its matrix.
    fn reduced(&self) -> Factorization {
        match self {
            Factorization::Product(left, _) if left.columns > self.rank() => Factorization::Whole(self.matrix()),
            other => other.clone(),
        }
    }

    /// Returns the full matrix, multiplied out in f32.
    pub fn matrix(&self) -> Dense {
        match self {
            Factorization::Whole(whole) => whole.clone(),
            Factorization::Product(left, right) => left.times(right),
            Factorization::Kronecker(first, second) => first.matrix().kronecker(&second.matrix()),
            Factorization::Rows(whole, rows) => whole.matrix().row_range(rows),
        }
    }

    /// Returns the part of the matrix that consists of consecutive rows. That of a Kronecker product is one if the rows are
    /// whole blocks of it.
    pub fn part(self, rows: &Range<usize>) -> Factorization {
        if *rows == (0..self.size().0) {
            return self;
        }
        match self {
            Factorization::Whole(whole) => Factorization::Whole(whole.row_range(rows)),
            Factorization::Product(left, right) => Factorization::Product(left.row_range(rows), right),
            Factorization::Kronecker(first, second) => {
                let height = second.size().0.max(1);
                if rows.start.is_multiple_of(height) && rows.end.is_multiple_of(height) {
                    let first = first.part(&(rows.start / height..rows.end / height));
                    return Factorization::Kronecker(Box::new(first), second);
                }
                Factorization::Rows(Box::new(Factorization::Kronecker(first, second)), rows.clone())
            }
            Factorization::Rows(whole, all) => whole.part(&(all.start + rows.start..all.start + rows.end)),
        }
    }

    /// Returns the Frobenius norm.
    pub fn norm(&self) -> f64 {
        match self {
            Factorization::Whole(whole) => norm(&whole.data),
            Factorization::Product(left, right) if self.is_low_rank() => {
                left.gram_of_columns().dot(&right.gram_of_rows()).max(0.0).sqrt()
            }
            Factorization::Product(..) => norm(&self.matrix().data),
            Factorization::Kronecker(first, second) => first.norm() * second.norm(),
            Factorization::Rows(whole, rows) => {
                let Factorization::Kronecker(first, second) = &**whole else { return norm(&self.matrix().data) };
                let energies = |matrix: Dense| -> Vec<f64> {
                    matrix.data.chunks_exact(matrix.columns.max(1)).map(|row| norm(row).powi(2)).collect()
                };
                let (first, second) = (energies(first.matrix()), energies(second.matrix()));
                let energy = |row: usize| first[row / second.len()] * second[row % second.len()];
                rows.clone().map(energy).sum::<f64>().sqrt()
            }
        }
    }

    /// Returns these rows of the matrix.
    pub fn rows(&self, rows: &[usize]) -> Dense {
        let pick = |dense: &Dense| {
            let picked = rows.iter().flat_map(|row| &dense.data[row * dense.columns..][..dense.columns]);
            Dense::new(picked.copied().collect(), dense.columns)
        };
        match self {
            Factorization::Whole(whole) => pick(whole),
            Factorization::Product(left, right) => pick(left).times(right),
            Factorization::Kronecker(..) | Factorization::Rows(..) => pick(&self.matrix()),
        }
    }

    /// Returns the sum of the element-wise product with a matrix of the same size: Σ (left₁ᵀ·left₂) ∘ (right₁·right₂ᵀ) for
    /// factors, which are not multiplied out.
    pub fn dot(&self, other: &Factorization) -> f64 {
        if !self.is_low_rank() || !other.is_low_rank() {
            let (a, b) = (self.matrix(), other.matrix());
            return a.data.iter().zip(&b.data).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
        }
        let ((left, right), (other_left, other_right)) = (self.pair(), other.pair());
        let lefts = Matrix::from(&left).transposed_times(&Matrix::from(&other_left));
        lefts.dot(&Matrix::from(&right).times_transposed(&Matrix::from(&other_right)))
    }
}

/// Returns ‖left · right‖ for `left` (m, rank) and `right` (rank, n): its square is the trace of
/// (leftᵀ·left)·(right·rightᵀ). A product smaller than these two matrices is computed instead, which keeps memory
/// proportional to the factors.
pub fn product_norm(left: &[f32], right: &[f32], rank: usize) -> f64 {
    product_norm_with(left, right, rank, &[Known::nothing(), Known::nothing()])
}

/// The same, if a part of leftᵀ·left and of right·rightᵀ is known.
pub fn product_norm_with(left: &[f32], right: &[f32], rank: usize, known: &[Known; 2]) -> f64 {
    let product_len = (left.len() / rank.max(1)).saturating_mul(right.len() / rank.max(1));
    if product_len < rank.saturating_mul(rank) {
        return norm(&product(left, right, rank));
    }
    let columns = right.len() / rank.max(1);
    let left = gram_f32(left, rank, Lines::Columns, &known[0]);
    let right = gram_f32(right, columns, Lines::Rows, &known[1]);
    left.iter().zip(&right).map(|(a, b)| a * b).sum::<f64>().max(0.0).sqrt()
}

/// Returns whether (rows, rank) and (rank, columns) together have fewer elements than (rows, columns).
pub fn pair_is_smaller(rows: usize, columns: usize, rank: usize) -> bool {
    let [rows, columns, rank] = [rows, columns, rank].map(|count| count as u64);
    rank.saturating_mul(rows.saturating_add(columns)) < rows.saturating_mul(columns)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dense(rows: usize, columns: usize, seed: usize) -> Dense {
        let data = (0..rows * columns).map(|i| ((i * seed % 17) as f32 - 8.0) / 8.0).collect();
        Dense { rows, columns, data }
    }

    #[test]
    fn a_pair_multiplies_out_to_the_matrix() {
        let whole = |rows, columns| Box::new(Factorization::Whole(dense(rows, columns, 5)));
        let low = |rows, columns| Box::new(Factorization::Product(dense(rows, 2, 7), dense(2, columns, 3)));
        let check = |factorization: Factorization, rank: usize| {
            let (left, right) = factorization.pair();
            assert_eq!((left.columns, factorization.pair_rank()), (rank, rank));
            assert_eq!((left.rows, right.columns), factorization.size());
            let (got, want) = (left.times(&right), factorization.matrix());
            assert!(got.data.iter().zip(&want.data).all(|(got, want)| (got - want).abs() < 1e-5), "{factorization:?}");
        };
        check(Factorization::Whole(dense(3, 5, 11)), 3);
        check(*low(6, 5), 2);
        check(Factorization::Kronecker(whole(3, 2), low(4, 6)), 2 * 2);
        check(Factorization::Kronecker(low(5, 4), whole(3, 7)), 2 * 3);
        check(Factorization::Kronecker(low(1, 4), low(5, 6)), 2);
    }

    #[test]
    fn a_kronecker_product_has_its_blocks() {
        let product = Factorization::Kronecker(
            Box::new(Factorization::Whole(dense(2, 2, 3))),
            Box::new(Factorization::Whole(dense(1, 3, 5))),
        );
        let (first, second) = (dense(2, 2, 3), dense(1, 3, 5));
        assert_eq!(product.matrix().data[3], first.data[1] * second.data[0]);
        assert_eq!(product.size(), (2, 6));
    }

    #[test]
    fn parts_of_a_matrix_are_its_rows() {
        let (a, b) = (dense(4, 2, 5), dense(3, 2, 7));
        let whole = |matrix: &Dense| Box::new(Factorization::Whole(matrix.clone()));
        let kronecker = Factorization::Kronecker(whole(&a), whole(&b));
        let low = Factorization::Product(dense(12, 2, 3), dense(2, 4, 11));
        for form in [kronecker, low, Factorization::Whole(dense(12, 4, 13))] {
            let all = form.matrix();
            for rows in [3..9, 0..12, 2..7, 4..5] {
                let part = form.clone().part(&rows);
                let is_kept = !matches!(form, Factorization::Kronecker(..)) || rows == (3..9) || rows == (0..12);
                assert_eq!(!matches!(part, Factorization::Rows(..)), is_kept, "{rows:?}");
                let want = Dense::new(all.data[rows.start * 4..rows.end * 4].to_vec(), 4);
                assert_eq!((part.size(), part.matrix()), ((rows.len(), 4), want.clone()), "{rows:?}");
                let (left, right) = part.pair();
                assert_eq!((left.columns, left.times(&right).rows), (part.pair_rank(), rows.len()));
                let off =
                    left.times(&right).data.iter().zip(&want.data).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
                assert!(off < 1e-5, "{rows:?}: {off}");
                assert!((part.norm() - norm(&want.data)).abs() <= 1e-6 * part.norm(), "{rows:?}");
                let inner = part.part(&(1..rows.len()));
                assert_eq!(inner.matrix().data, want.data[4..], "{rows:?}");
            }
        }
    }

    #[test]
    fn rows_and_dot_products_are_those_of_the_matrix() {
        let low = Factorization::Product(dense(6, 2, 7), dense(2, 5, 3));
        let forms = [
            Factorization::Whole(dense(6, 5, 11)),
            Factorization::Product(dense(6, 1, 13), dense(1, 5, 3)),
            Factorization::Kronecker(
                Box::new(Factorization::Whole(dense(3, 1, 5))),
                Box::new(Factorization::Whole(dense(2, 5, 3))),
            ),
            low.clone(),
        ];
        for form in forms {
            let matrix = form.matrix();
            assert_eq!(form.rows(&[1, 4]).data, [&matrix.data[5..10], &matrix.data[20..25]].concat());
            let want: f64 = matrix.data.iter().zip(&low.matrix().data).map(|(a, b)| f64::from(a * b)).sum();
            assert!((form.dot(&low) - want).abs() < 1e-5, "{form:?}");
        }
    }

    #[test]
    fn product_norm_matches_the_norm_of_the_computed_product() {
        let (left, right) = (dense(5, 3, 7), dense(3, 7, 5));
        let computed = left.times(&right);
        assert!((product_norm(&left.data, &right.data, 3) / norm(&computed.data) - 1.0).abs() < 1e-6);
    }
}
