//! Orthonormal rows that span those of a matrix: by Gram-Schmidt, as many rows, or a basis without dependent rows.

use super::eigen::eigen;
use super::matrix::{Matrix, dot};

/// Orthonormalizes the rows by Gram-Schmidt, projecting twice to limit rounding errors; linearly
/// dependent rows become zeros.
pub fn gram_schmidt(mut rows: Matrix) -> Matrix {
    let columns = rows.columns;
    for i in 0..rows.rows {
        let (done, rest) = rows.data.split_at_mut(i * columns);
        let row = &mut rest[..columns];
        let initial_norm = dot(row, row).sqrt();
        for _ in 0..2 {
            for other in done.chunks_exact(columns) {
                let projection = dot(row, other);
                row.iter_mut().zip(other).for_each(|(x, other)| *x -= projection * other);
            }
        }
        let norm = dot(row, row).sqrt();
        let factor = if norm > 1e-10 * initial_norm { 1.0 / norm } else { 0.0 };
        row.iter_mut().for_each(|x| *x *= factor);
    }
    rows
}

/// Returns orthonormal rows that span those of a matrix, its right singular vectors: fewer rows if some depend linearly
/// on the others up to f16 rounding errors.
pub fn orthonormal_basis(matrix: &Matrix) -> Matrix {
    const MIN_NORM: f64 = 1e-3;
    let found = eigen(matrix.times_transposed(matrix));
    let largest = found.values.first().copied().unwrap_or(0.0);
    let kept = found.values.iter().take_while(|&&value| value > MIN_NORM * MIN_NORM * largest && value > 0.0).count();
    let mut rows = found.vectors.first_rows(kept).times(matrix);
    rows.scale_rows(found.values[..kept].iter().map(|value| 1.0 / value.sqrt()));
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dependent_rows_become_zeros_or_are_dropped() {
        let matrix = Matrix::of(&[3.0, 4.0, 0.0, 6.0, 8.0, 0.0, 1.0, 2.0, 2.0], 3);
        let check = |rows: Matrix, norms: &[f64]| {
            let gram = rows.times_transposed(&rows);
            assert_eq!(gram.rows, norms.len());
            for (at, dot) in gram.data.iter().enumerate() {
                let (row, column) = (at / gram.columns, at % gram.columns);
                let want = if row == column { norms[row] } else { 0.0 };
                assert!((dot - want).abs() < 1e-12, "{row} {column}: {dot}");
            }
            let again = matrix.times_transposed(&rows).times(&rows);
            assert!(again.data.iter().zip(&matrix.data).all(|(again, x)| (again - x).abs() < 1e-12));
        };
        check(gram_schmidt(matrix.clone()), &[1.0, 0.0, 1.0]);
        check(orthonormal_basis(&matrix), &[1.0, 1.0]);
    }
}
