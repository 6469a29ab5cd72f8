//! Turns a change in factors into the nearest one of a lower rank (Eckart and Young 1936).

use super::matrix::{Matrix, eigen};
use super::spectrum::{core, gram_of_columns, gram_of_rows, small_gram};
use crate::adapters::{Dense, Factorization};

/// The strongest directions of a matrix: left · diag(values) · right.
#[derive(Debug, Clone)]
pub struct LowRank {
    /// Singular values, largest first.
    pub values: Vec<f64>,
    /// (outputs, rank), columns of length 1.
    pub left: Matrix,
    /// (rank, columns), rows of length 1.
    pub right: Matrix,
}

/// Values below this share of the largest are rounding, and their directions are left out.
const MIN_SINGULAR_RATIO: f64 = 1e-7;

impl LowRank {
    /// The `rank` strongest directions of the matrix that the form stands for, or fewer where it
    /// has fewer.
    pub fn of(form: &Factorization, rank: usize) -> LowRank {
        let rank = rank.min(form.rank());
        match form {
            Factorization::Kronecker(first, second) => kronecker(&LowRank::of(first, rank), &LowRank::of(second, rank), rank),
            Factorization::Product(left, right) if left.columns <= form.rank() => product(left, right, rank),
            Factorization::Product(..) => whole(&form.matrix(), rank),
            Factorization::Whole(dense) => whole(dense, rank),
        }
    }

    /// As (outputs, rank) · (rank, columns), the size shared evenly between both and `rank`
    /// columns whatever the matrix has.
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

/// From P = Z·diag(σ)·Wᵀ with unknown scale of the rows of σWᵀ: lengths become values.
fn normalised(left: Matrix, mut right: Matrix) -> LowRank {
    let rows = right.data.chunks_exact(right.columns.max(1));
    let values: Vec<f64> = rows.map(|row| row.iter().map(|x| x * x).sum::<f64>().sqrt()).collect();
    right.scale_rows(values.iter().map(|&value| if value > 0.0 { 1.0 / value } else { 0.0 }));
    LowRank { values, left, right }
}

/// Of left · right: with T = diag(1/σ)·Y·Lᵀ (Y the eigenvectors of LᵀAL) the left directions are
/// left · Tᵀ, and the right ones what they make of the product: T·(leftᵀ·left)·right.
fn product(left: &Dense, right: &Dense, rank: usize) -> LowRank {
    let a = gram_of_columns(left);
    let (root, inner) = core(&a, &gram_of_rows(right));
    let found = eigen(inner);
    let values: Vec<f64> = found.values.iter().take(rank).map(|value| value.max(0.0).sqrt()).collect();
    let kept = values.iter().take_while(|&&value| value > MIN_SINGULAR_RATIO * values[0]).count();
    let mut turn = found.vectors.first_rows(kept).times_transposed(&root);
    turn.scale_rows(values[..kept].iter().map(|value| 1.0 / value));
    let directions = Matrix::of(&left.data, left.columns).times_transposed(&turn);
    let rest = turn.times(&a).times(&Matrix::of(&right.data, right.columns));
    normalised(directions, rest)
}

/// Of a matrix itself.
fn whole(dense: &Dense, rank: usize) -> LowRank {
    /// Below this an exact decomposition is quick.
    const EXACT_SVD_MAX_SIDE: usize = 384;
    let least = dense.rows.min(dense.columns);
    if least > EXACT_SVD_MAX_SIDE && rank * 4 < least {
        return sketched(dense, rank);
    }
    let found = eigen(small_gram(dense));
    let largest = found.values.first().copied().unwrap_or(0.0);
    let kept =
        found.values.iter().take(rank).take_while(|&&value| value > MIN_SINGULAR_RATIO * MIN_SINGULAR_RATIO * largest && value > 0.0).count();
    let directions = found.vectors.first_rows(kept);
    along(dense, directions)
}

/// What a matrix does along orthonormal directions of its shorter side, one a row.
fn along(dense: &Dense, directions: Matrix) -> LowRank {
    if dense.rows <= dense.columns {
        let right = blocks(dense, &directions, false);
        normalised(directions.transposed(), right)
    } else {
        let flipped = normalised(directions.transposed(), blocks(dense, &directions, true));
        LowRank { left: flipped.right.transposed(), right: flipped.left.transposed(), values: flipped.values }
    }
}

/// directions · M, or directions · Mᵀ, by blocks of M's rows.
fn blocks(dense: &Dense, directions: &Matrix, transposed: bool) -> Matrix {
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
            let lines = (0..directions.rows).flat_map(|row| &directions.row(row)[start..start + block.rows]);
            let part = Matrix { rows: directions.rows, columns: block.rows, data: lines.copied().collect() };
            out.data.iter_mut().zip(part.times(&block).data).for_each(|(out, x)| *out += x);
        }
    }
    out
}

/// A randomised subspace iteration (Halko, Martinsson and Tropp 2011, algorithm 4.4): directions
/// of random mixtures, sharpened, then an exact decomposition among them.
fn sketched(dense: &Dense, rank: usize) -> LowRank {
    const OVERSAMPLING: usize = 10;
    const POWER_ITERATIONS: usize = 4;
    let wide = dense.rows <= dense.columns;
    let width = dense.rows.min(dense.columns);
    let mut directions = orthonormal(random(rank + OVERSAMPLING, width));
    for _ in 0..POWER_ITERATIONS {
        let far = orthonormal(blocks(dense, &directions, !wide));
        directions = orthonormal(blocks(dense, &far, wide));
    }
    let found = {
        let far = blocks(dense, &directions, !wide);
        eigen(far.times_transposed(&far))
    };
    let largest = found.values.first().copied().unwrap_or(0.0);
    let kept =
        found.values.iter().take(rank).take_while(|&&value| value > MIN_SINGULAR_RATIO * MIN_SINGULAR_RATIO * largest && value > 0.0).count();
    along(dense, found.vectors.first_rows(kept).times(&directions))
}

/// Rows brought to length 1 and at right angles to each other, twice for the sake of rounding;
/// rows that depend on others become zeros.
fn orthonormal(mut rows: Matrix) -> Matrix {
    let columns = rows.columns;
    for i in 0..rows.rows {
        let (done, rest) = rows.data.split_at_mut(i * columns);
        let row = &mut rest[..columns];
        let before = super::matrix::dot(row, row).sqrt();
        for _ in 0..2 {
            for other in done.chunks_exact(columns) {
                let along = super::matrix::dot(row, other);
                row.iter_mut().zip(other).for_each(|(x, other)| *x -= along * other);
            }
        }
        let length = super::matrix::dot(row, row).sqrt();
        let factor = if length > 1e-10 * before { 1.0 / length } else { 0.0 };
        row.iter_mut().for_each(|x| *x *= factor);
    }
    rows
}

/// The same random numbers every time.
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

/// The strongest of all pairs of directions.
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
