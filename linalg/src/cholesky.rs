//! Cholesky factors of positive semidefinite matrices.

use super::matrix::{Matrix, dot};

/// Returns the Cholesky factor L of B = LLᵀ and LᵀAL, which is congruent to the symmetric A and has the nonzero
/// eigenvalues of A·B.
pub fn congruent(a: &Matrix, b: &Matrix) -> (Matrix, Matrix) {
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
    fn cholesky_reconstructs_a_rank_deficient_matrix() {
        let rows = Matrix::of(&[1.0, 2.0, 3.0, 0.5, 2.0, 4.0, 6.0, 1.0, -1.0, 0.0, 1.0, 3.0], 4);
        let gram = rows.times_transposed(&rows);
        let root = cholesky(&gram);
        assert_eq!(root.columns, 2);
        let product = root.times_transposed(&root);
        assert!(product.data.iter().zip(&gram.data).all(|(a, b)| (a - b).abs() < 1e-12));
    }
}
