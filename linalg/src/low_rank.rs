//! Truncated SVD of factorized matrices: the best approximation of a lower rank (Eckart and Young 1936).

use super::cholesky::congruent;
use super::dense::Dense;
use super::eigen::eigen;
use super::factorization::Factorization;
use super::matrix::Matrix;
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

/// SVD of a dense matrix.
fn whole(dense: &Dense, rank: usize) -> LowRank {
    /// Largest shorter side for which an exact decomposition is fast.
    const EXACT_SVD_MAX_SIDE: usize = 384;
    let side = dense.rows.min(dense.columns);
    if side > EXACT_SVD_MAX_SIDE && rank * 4 < side {
        return randomized(dense, rank);
    }
    from_directions(dense, leading_vectors(dense.small_gram(), rank))
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
fn from_directions(dense: &Dense, directions: Matrix) -> LowRank {
    if dense.rows <= dense.columns {
        let right = blocked_product(dense, &directions, false);
        normalized(directions.transposed(), right)
    } else {
        let flipped = normalized(directions.transposed(), blocked_product(dense, &directions, true));
        LowRank { left: flipped.right.transposed(), right: flipped.left.transposed(), values: flipped.values }
    }
}

/// Computes directions · M, or directions · Mᵀ, by blocks of M's rows.
fn blocked_product(dense: &Dense, directions: &Matrix, transposed: bool) -> Matrix {
    const BLOCK: usize = 256;
    let width = if transposed { dense.rows } else { dense.columns };
    let mut out = Matrix::zeros(directions.rows, width);
    for (index, block) in dense.data.chunks(BLOCK * dense.columns.max(1)).enumerate() {
        let (block, start) = (Matrix::of(block, dense.columns), index * BLOCK);
        if transposed {
            let part = directions.times_transposed(&block);
            for row in 0..part.rows {
                out.data[row * width + start..][..part.columns].copy_from_slice(part.row(row));
            }
        } else {
            let columns_of_block = (0..directions.rows).flat_map(|row| &directions.row(row)[start..start + block.rows]);
            let part = Matrix { rows: directions.rows, columns: block.rows, data: columns_of_block.copied().collect() };
            out.data.iter_mut().zip(part.times(&block).data).for_each(|(out, x)| *out += x);
        }
    }
    out
}

/// SVD by randomized subspace iteration (Halko, Martinsson and Tropp 2011, algorithm 4.4): power
/// iterations on a random sketch, then an exact decomposition within its subspace.
fn randomized(dense: &Dense, rank: usize) -> LowRank {
    const OVERSAMPLING: usize = 10;
    const POWER_ITERATIONS: usize = 4;
    let wide = dense.rows <= dense.columns;
    let width = dense.rows.min(dense.columns);
    let mut directions = gram_schmidt(random(rank + OVERSAMPLING, width));
    for _ in 0..POWER_ITERATIONS {
        let opposite = gram_schmidt(blocked_product(dense, &directions, !wide));
        directions = gram_schmidt(blocked_product(dense, &opposite, wide));
    }
    let gram = {
        let opposite = blocked_product(dense, &directions, !wide);
        opposite.times_transposed(&opposite)
    };
    from_directions(dense, leading_vectors(gram, rank).times(&directions))
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
