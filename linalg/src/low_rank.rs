//! Truncated SVD of factorized matrices: the best approximation of a lower rank (Eckart and Young 1936).

use super::cholesky::congruent;
use super::dense::Dense;
use super::eigen::eigen;
use super::factorization::Factorization;
use super::matrix::Matrix;
use super::operand::{KroneckerRows, Operand};
use super::orthonormal::gram_schmidt;

/// A truncated SVD: left · diag(values) · right.
#[derive(Debug, Clone)]
pub struct LowRank {
    /// Singular values, largest first.
    pub values: Vec<f64>,
    /// Left singular vectors (outputs, rank): unit columns.
    pub left: Matrix,
    /// Right singular vectors (rank, columns): unit rows.
    pub right: Matrix,
}

/// Singular values below this fraction of the largest are rounding errors and are dropped.
const MIN_SINGULAR_RATIO: f64 = 1e-7;

impl LowRank {
    /// Computes the `rank` largest singular values and their vectors, or fewer if the matrix has fewer.
    pub fn of(form: &Factorization, rank: usize) -> LowRank {
        let rank = rank.min(form.rank());
        match form {
            Factorization::Kronecker(first, second) => {
                kronecker(&LowRank::of(first, rank), &LowRank::of(second, rank), rank)
            }
            Factorization::Product(left, right) if left.columns <= form.rank() => product(left, right, rank),
            Factorization::Product(..) => whole(&form.matrix(), rank),
            Factorization::Whole(dense) => whole(dense, rank),
            Factorization::Rows(inner, rows) => match &**inner {
                Factorization::Kronecker(first, second) if is_randomized(form.size(), rank, form.pair_rank()) => {
                    randomized(&Operand::Rows(KroneckerRows::new(&first.matrix(), &second.matrix(), rows)), rank)
                }
                _ if form.pair_rank() <= form.rank() && form.is_low_rank() => {
                    let (left, right) = form.pair();
                    product(&left, &right, rank)
                }
                _ => whole(&form.matrix(), rank),
            },
        }
    }

    /// Returns factors (outputs, rank) · (rank, columns) that share the singular values evenly, padded
    /// with zeros to `rank`.
    pub fn balanced(&self, rank: usize) -> (Vec<f32>, Vec<f32>) {
        let (mut left, mut right) = (self.left.transposed(), self.right.clone());
        left.scale_rows(self.values.iter().map(|value| value.sqrt()));
        right.scale_rows(self.values.iter().map(|value| value.sqrt()));
        for matrix in [&mut left, &mut right] {
            matrix.rows = rank;
            matrix.data.resize(rank * matrix.columns, 0.0);
        }
        (left.transposed().to_f32(), right.to_f32())
    }
}

/// Splits `right` = σWᵀ into the singular values (its row norms) and unit rows.
fn normalized(left: Matrix, mut right: Matrix) -> LowRank {
    let rows = right.data.chunks_exact(right.columns.max(1));
    let values: Vec<f64> = rows.map(|row| row.iter().map(|x| x * x).sum::<f64>().sqrt()).collect();
    right.scale_rows(values.iter().map(|&value| if value > 0.0 { 1.0 / value } else { 0.0 }));
    LowRank { values, left, right }
}

/// SVD of left · right. With T = diag(1/σ)·Y·Lᵀ (Y the eigenvectors of LᵀAL) the left vectors are
/// left · Tᵀ; projecting the product onto them gives T·(leftᵀ·left)·right.
fn product(left: &Dense, right: &Dense, rank: usize) -> LowRank {
    let a = left.gram_of_columns();
    let (root, inner) = congruent(&a, &right.gram_of_rows());
    let found = eigen(inner);
    let values: Vec<f64> = found.values.iter().take(rank).map(|value| value.max(0.0).sqrt()).collect();
    let kept = values.iter().take_while(|&&value| value > MIN_SINGULAR_RATIO * values[0]).count();
    let mut transform = found.vectors.first_rows(kept).times_transposed(&root);
    transform.scale_rows(values[..kept].iter().map(|value| 1.0 / value));
    let left_vectors = Matrix::from(left).times_transposed(&transform);
    let scaled_right = transform.times(&a).times(&Matrix::from(right));
    normalized(left_vectors, scaled_right)
}

/// Returns whether the SVD of a matrix of this size and of at most this rank is computed from a random sketch: an exact
/// decomposition would be slow, and few of its singular values are wanted.
fn is_randomized((rows, columns): (usize, usize), wanted: usize, rank: usize) -> bool {
    /// Largest side of a matrix whose exact decomposition is fast.
    const EXACT_SVD_MAX_SIDE: usize = 384;
    let side = rows.min(columns).min(rank);
    side > EXACT_SVD_MAX_SIDE && wanted * 4 < side
}

/// SVD of a dense matrix.
fn whole(dense: &Dense, rank: usize) -> LowRank {
    let operand = Operand::Dense(dense);
    if is_randomized(operand.size(), rank, usize::MAX) {
        return randomized(&operand, rank);
    }
    from_directions(&operand, leading_vectors(dense.small_gram(), rank))
}

/// Returns the first eigenvectors of M·Mᵀ or Mᵀ·M, at most `rank`, without those of singular values that are rounding
/// errors.
fn leading_vectors(gram: Matrix, rank: usize) -> Matrix {
    let found = eigen(gram);
    let largest = found.values.first().copied().unwrap_or(0.0);
    let kept = found
        .values
        .iter()
        .take(rank)
        .take_while(|&&value| value > MIN_SINGULAR_RATIO * MIN_SINGULAR_RATIO * largest && value > 0.0)
        .count();
    found.vectors.first_rows(kept)
}

/// SVD of a matrix whose singular vectors on the shorter side are `directions`, one per row.
fn from_directions(matrix: &Operand, directions: Matrix) -> LowRank {
    let (rows, columns) = matrix.size();
    if rows <= columns {
        let right = matrix.product(&directions, false);
        normalized(directions.transposed(), right)
    } else {
        let flipped = normalized(directions.transposed(), matrix.product(&directions, true));
        LowRank { left: flipped.right.transposed(), right: flipped.left.transposed(), values: flipped.values }
    }
}

/// SVD by randomized subspace iteration (Halko, Martinsson and Tropp 2011, algorithm 4.4): power
/// iterations on a random sketch, then an exact decomposition within its subspace.
fn randomized(matrix: &Operand, rank: usize) -> LowRank {
    const OVERSAMPLING: usize = 10;
    const POWER_ITERATIONS: usize = 4;
    let (rows, columns) = matrix.size();
    let (wide, width) = (rows <= columns, rows.min(columns));
    let mut directions = gram_schmidt(random(rank + OVERSAMPLING, width));
    for _ in 0..POWER_ITERATIONS {
        let opposite = gram_schmidt(matrix.product(&directions, !wide));
        directions = gram_schmidt(matrix.product(&opposite, wide));
    }
    let gram = {
        let opposite = matrix.product(&directions, !wide);
        opposite.times_transposed(&opposite)
    };
    from_directions(matrix, leading_vectors(gram, rank).times(&directions))
}

/// Returns a random matrix from a fixed seed.
fn random(rows: usize, columns: usize) -> Matrix {
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 11) as f64 / (1u64 << 53) as f64 - 0.5
    };
    let data = (0..rows * columns).map(|_| next() + next() + next()).collect();
    Matrix { rows, columns, data }
}

/// SVD of a Kronecker product: the largest products of both sides' singular values.
fn kronecker(first: &LowRank, second: &LowRank, rank: usize) -> LowRank {
    let pairs = (0..first.values.len()).flat_map(|i| (0..second.values.len()).map(move |j| (i, j)));
    let mut pairs: Vec<(f64, usize, usize)> = pairs.map(|(i, j)| (first.values[i] * second.values[j], i, j)).collect();
    pairs.sort_by(|a, b| b.0.total_cmp(&a.0));
    pairs.truncate(rank);
    let (first_left, second_left) = (first.left.transposed(), second.left.transposed());
    let spread = |a: &Matrix, b: &Matrix| {
        let rows = pairs.iter().flat_map(|&(_, i, j)| {
            a.row(i).iter().flat_map(move |x| b.row(j).iter().map(move |y| x * y)).collect::<Vec<f64>>()
        });
        Matrix { rows: pairs.len(), columns: a.columns * b.columns, data: rows.collect() }
    };
    LowRank {
        values: pairs.iter().map(|&(value, ..)| value).collect(),
        left: spread(&first_left, &second_left).transposed(),
        right: spread(&first.right, &second.right),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns a matrix with falling singular values.
    fn falling(rows: usize, columns: usize, seed: usize) -> Dense {
        let angle = |at: usize, k: usize| ((at + seed) * (2 * k + 1)) as f32 * 0.37;
        let element = |row: usize, column: usize| {
            (0..12).map(|k| 0.6f32.powi(k as i32) * angle(row, k).sin() * angle(column, k).cos()).sum::<f32>()
        };
        let noise = |at: usize| ((at * 7919 + seed) % 101) as f32 / 5000.0;
        let data = (0..rows * columns).map(|at| element(at / columns, at % columns) + noise(at));
        Dense::new(data.collect(), columns)
    }

    /// Rows that are no whole blocks of a Kronecker product: as of the multiplied matrix, whose exact spectrum is known.
    #[test]
    fn rows_of_a_kronecker_product_have_the_svd_of_their_elements() {
        let whole = |dense: Dense| Box::new(Factorization::Whole(dense));
        let kronecker = Factorization::Kronecker(whole(falling(3, 4, 5)), whole(falling(300, 150, 11)));
        let rank = 12;
        for rows in [100..560, 0..850] {
            let part = kronecker.clone().part(&rows);
            assert!(matches!(part, Factorization::Rows(..)) && is_randomized(part.size(), rank, part.pair_rank()));
            let elements = Factorization::Whole(part.matrix());
            let (got, want) = (LowRank::of(&part, rank), LowRank::of(&elements, rank));
            let exact = elements.singular_values();
            for at in 0..rank {
                assert!((got.values[at] - want.values[at]).abs() < 1e-7 * exact[0], "{rows:?}: {got:?}");
                assert!((got.values[at] - exact[at]).abs() < 1e-4 * exact[0], "{rows:?}: {:?} {exact:?}", got.values);
            }
            let (left, right) = got.balanced(rank);
            let near = Dense::new(left, rank).times(&Dense::new(right, 600));
            let off: f64 = near.data.iter().zip(&part.matrix().data).map(|(a, b)| f64::from(a - b).powi(2)).sum();
            let least: f64 = exact[rank..].iter().map(|value| value * value).sum();
            assert!(off.sqrt() < 1.001 * least.sqrt() + 1e-6 * exact[0], "{rows:?}: {off}, {least}");
        }
        let low = Factorization::Kronecker(
            whole(falling(3, 4, 5)),
            Box::new(Factorization::Product(falling(300, 2, 3), falling(2, 150, 7))),
        );
        let part = low.part(&(100..560));
        let (got, want) = (LowRank::of(&part, 4).values, Factorization::Whole(part.matrix()).singular_values());
        assert!(got.iter().zip(&want).all(|(got, want)| (got - want).abs() < 1e-6 * want), "{got:?}");
    }
}
