//! Systems of linear equations.

use super::matrix::{Matrix, axpy};

/// Solves `a` · X = `b` for a square `a` by Gaussian elimination with partial pivoting (Golub and Van Loan, Matrix
/// Computations, 4th edition, 3.4). If a pivot is 0, `a` is singular and elements of the result are not finite.
pub fn solve(mut a: Matrix, mut b: Matrix) -> Matrix {
    let (size, width) = (a.rows, b.columns);
    assert_eq!((a.columns, b.rows), (size, size), "({size}, {}) · X = ({}, {width})", a.columns, b.rows);
    for column in 0..size {
        let magnitude = |row: usize| a.data[row * size + column].abs();
        let pivot = (column..size).max_by(|&i, &j| magnitude(i).total_cmp(&magnitude(j))).unwrap_or(column);
        a.swap_rows(column, pivot);
        b.swap_rows(column, pivot);
        let (pivot_row, lower) = a.data[column * size..].split_at_mut(size);
        let (right, lower_right) = b.data[column * width..].split_at_mut(width);
        for (row, right_row) in lower.chunks_exact_mut(size).zip(lower_right.chunks_exact_mut(width.max(1))) {
            let factor = row[column] / pivot_row[column];
            axpy(&mut row[column + 1..], -factor, &pivot_row[column + 1..]);
            axpy(right_row, -factor, right);
        }
    }
    for row in (0..size).rev() {
        let (right, solved) = b.data[row * width..].split_at_mut(width);
        let (diagonal, coefficients) = (a.row(row)[row], &a.row(row)[row + 1..]);
        for (coefficient, x) in coefficients.iter().zip(solved.chunks_exact(width.max(1))) {
            axpy(right, -coefficient, x);
        }
        right.iter_mut().for_each(|x| *x /= diagonal);
    }
    b
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_permuted_where_a_pivot_is_zero() {
        let a = Matrix::of(&[0.0, 2.0, 0.0, 0.0, 0.0, 4.0, 0.5, 0.0, 0.0], 3);
        let b = Matrix::of(&[2.0, 6.0, 4.0, -8.0, 1.0, 2.0], 2);
        assert_eq!(solve(a, b), Matrix::of(&[2.0, 4.0, 1.0, 3.0, 1.0, -2.0], 2));
    }

    #[test]
    fn a_random_system_is_solved() {
        let mut state = 1u64;
        let mut random = |rows: usize, columns: usize| {
            let mut next = || {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                (state >> 40) as f64 / (1u64 << 24) as f64 - 0.5
            };
            Matrix { rows, columns, data: (0..rows * columns).map(|_| next()).collect() }
        };
        for (size, width) in [(1, 1), (2, 5), (17, 3), (64, 64)] {
            let (a, x) = (random(size, size), random(size, width));
            let solution = solve(a.clone(), a.times(&x));
            assert!(solution.data.iter().zip(&x.data).all(|(got, want)| (got - want).abs() < 1e-9), "{size}");
        }
    }

    #[test]
    fn a_singular_system_has_no_finite_solution() {
        let solution = solve(Matrix::of(&[1.0, 2.0, 2.0, 4.0], 2), Matrix::of(&[1.0, 1.0], 1));
        assert!(solution.data.iter().any(|x| !x.is_finite()));
        assert!(solve(Matrix::zeros(0, 0), Matrix::zeros(0, 3)).data.is_empty());
    }
}
