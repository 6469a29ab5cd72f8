//! Rotations from skew-symmetric matrices.

use crate::linalg::{Matrix, solve};

/// Returns the Cayley transform (I + Q)(I − Q)⁻¹: the solution of (I − Q) R = I + Q.
/// I − Q is always invertible, since Q is skew-symmetric.
pub(super) fn cayley(q: &Matrix) -> Matrix {
    let (mut difference, mut sum) = (Matrix::identity(q.rows), Matrix::identity(q.rows));
    for (at, &x) in q.data.iter().enumerate() {
        difference.data[at] -= x;
        sum.data[at] += x;
    }
    solve(difference, sum)
}

/// Returns the approximation of [`cayley`] by the first `terms` terms of a Neumann series,
/// I + 2Q + 2Q² + … + 2Qⁿ⁻² + Qⁿ⁻¹. PEFT adds the cube from three terms on.
pub(super) fn cayley_neumann(q: &Matrix, terms: usize) -> Matrix {
    let mut sum = Matrix::identity(q.rows);
    let mut add = |power: &Matrix, factor: f64| {
        sum.data.iter_mut().zip(&power.data).for_each(|(sum, x)| *sum += factor * x);
    };
    if terms > 1 {
        add(q, 2.0);
    }
    if terms > 2 {
        let mut power = q.times(q);
        add(&power, 2.0);
        for _ in 3..terms.saturating_sub(1) {
            power = power.times(q);
            add(&power, 2.0);
        }
        add(&power.times(q), 1.0);
    }
    sum
}

/// Returns B − Bᵀ, times `scale`, for a square block.
pub(super) fn skew(block: &[f32], size: usize, scale: f64) -> Matrix {
    let mut q = Matrix::zeros(size, size);
    for at in 0..size * size {
        q.data[at] = scale * (f64::from(block[at]) - f64::from(block[at % size * size + at / size]));
    }
    q
}

/// Returns `scale` times the skew-symmetric matrix with these elements above its diagonal, row by row.
pub(super) fn skew_of_triangle(elements: &[f32], size: usize, scale: f64) -> Matrix {
    let mut q = Matrix::zeros(size, size);
    let places = (0..size).flat_map(|row| (row + 1..size).map(move |column| (row, column)));
    for ((row, column), &x) in places.zip(elements) {
        q.data[row * size + column] = scale * f64::from(x);
        q.data[column * size + row] = -scale * f64::from(x);
    }
    q
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cayley_transform_is_a_rotation() {
        let r = cayley(&skew(&[0.3, 0.9, -0.2, 0.1, 0.5, 0.7, -0.4, 0.2, 0.0], 3, 1.0));
        let identity = r.times(&r.transposed());
        let wanted = Matrix::identity(3);
        let off = identity.data.iter().zip(&wanted.data).map(|(a, b)| (a - b).abs());
        assert!(off.fold(0.0, f64::max) < 1e-12);
        let half = cayley(&skew(&[0.0, 0.5, 0.0, 0.0], 2, 1.0));
        assert!((half.data[1] - 0.8).abs() < 1e-12, "tan of the half angle is 0.5");
    }

    #[test]
    fn a_long_neumann_series_is_the_cayley_transform() {
        let q = skew_of_triangle(&[0.1, -0.2, 0.05], 3, 1.0);
        let off =
            cayley(&q).data.iter().zip(&cayley_neumann(&q, 40).data).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        assert!(off < 1e-12, "{off}");
        assert_eq!(cayley_neumann(&q, 3).data, cayley_neumann(&q, 4).data, "as PEFT computes it");
    }
}
