//! The symmetric eigenvalue problem.
//!
//! Householder tridiagonalization, then implicit QL steps (Golub and Van Loan, Matrix Computations, 4th edition, 8.3).
//! Eigenvectors are stored in rows, which keeps inner loops contiguous.

use super::matrix::{Matrix, axpy, dot};

/// Eigendecomposition of a symmetric matrix: Vᵀ · diag(values) · V.
#[derive(Debug, Clone)]
pub struct Eigen {
    /// Eigenvalues, largest first.
    pub values: Vec<f64>,
    /// Unit eigenvectors, one per row, in the order of `values`; no rows if only values were computed.
    pub vectors: Matrix,
}

/// Computes the eigenvalues of a symmetric matrix, largest first. Reads its lower triangle.
pub fn eigenvalues(matrix: Matrix) -> Vec<f64> {
    decompose(matrix, false).values
}

/// Computes the eigenvalues and eigenvectors of a symmetric matrix. Reads its lower triangle.
pub fn eigen(matrix: Matrix) -> Eigen {
    decompose(matrix, true)
}

fn decompose(mut matrix: Matrix, with_vectors: bool) -> Eigen {
    let size = matrix.rows;
    if !matrix.data.iter().all(|x| x.is_finite()) {
        return Eigen {
            values: vec![f64::NAN; size],
            vectors: Matrix::zeros(if with_vectors { size } else { 0 }, size),
        };
    }
    let reflections = tridiagonalize(&mut matrix);
    let mut values: Vec<f64> = (0..size).map(|i| matrix.data[i * size + i]).collect();
    let mut off_diagonal: Vec<f64> = (1..size).map(|i| matrix.data[i * size + i - 1]).collect();
    let largest = values.iter().chain(&off_diagonal).fold(0.0, |largest: f64, x| largest.max(x.abs()));
    if largest > 0.0 {
        values.iter_mut().chain(&mut off_diagonal).for_each(|x| *x /= largest);
    }
    let mut vectors = if with_vectors { accumulated(&reflections, size) } else { Matrix::zeros(0, size) };
    ql(&mut values, &mut off_diagonal, &mut vectors);
    values.iter_mut().for_each(|x| *x *= largest);
    let mut order: Vec<usize> = (0..size).collect();
    order.sort_by(|&a, &b| values[b].total_cmp(&values[a]));
    let rows = order.iter().filter(|_| with_vectors).flat_map(|&i| vectors.row(i).iter().copied()).collect();
    Eigen { values: order.iter().map(|&i| values[i]).collect(), vectors: Matrix { data: rows, ..vectors } }
}

/// The Householder reflection I − β·v·vᵀ on the axes from `first` on.
struct Reflection {
    first: usize,
    v: Vec<f64>,
    beta: f64,
}

/// Reduces the lower triangle of a symmetric matrix to tridiagonal form.
fn tridiagonalize(matrix: &mut Matrix) -> Vec<Reflection> {
    let size = matrix.rows;
    let mut reflections = Vec::new();
    for k in 0..size.saturating_sub(2) {
        let first = k + 1;
        let mut v: Vec<f64> = (first..size).map(|i| matrix.data[i * size + k]).collect();
        let rest = dot(&v[1..], &v[1..]);
        if rest == 0.0 {
            continue;
        }
        let norm = v[0].hypot(rest.sqrt());
        let reflected = if v[0] > 0.0 { -norm } else { norm };
        v[0] -= reflected;
        let beta = 2.0 / (v[0] * v[0] + rest);
        matrix.data[first * size + k] = reflected;
        reflect(matrix, first, &v, beta);
        reflections.push(Reflection { first, v, beta });
    }
    reflections
}

/// Computes S − v·wᵀ − w·vᵀ with w = p − ½β(pᵀv)v and p = βSv, in the lower triangle from `first` on.
fn reflect(matrix: &mut Matrix, first: usize, v: &[f64], beta: f64) {
    let size = matrix.rows;
    let mut w = vec![0.0; v.len()];
    for i in 0..v.len() {
        let row = &matrix.data[(first + i) * size + first..][..=i];
        w[i] += dot(row, &v[..=i]);
        axpy(&mut w[..i], v[i], &row[..i]);
    }
    w.iter_mut().for_each(|x| *x *= beta);
    let half = 0.5 * beta * dot(&w, v);
    axpy(&mut w, -half, v);
    for i in 0..v.len() {
        let row = &mut matrix.data[(first + i) * size + first..][..=i];
        let (a, b) = (v[i], w[i]);
        row.iter_mut().zip(&w).zip(v).for_each(|((x, w), v)| *x -= a * w + b * v);
    }
}

/// Returns the transposed product of all reflections.
fn accumulated(reflections: &[Reflection], size: usize) -> Matrix {
    let mut out = Matrix::identity(size);
    for Reflection { first, v, beta } in reflections.iter().rev() {
        for row in *first..size {
            let row = &mut out.data[row * size + first..][..v.len()];
            let projection = beta * dot(row, v);
            axpy(row, -projection, v);
        }
    }
    out
}

/// Diagonalizes a tridiagonal matrix with `values` on the diagonal and `off_diagonal` next to it, all at
/// most 1, and rotates the rows of `vectors` with it.
fn ql(values: &mut [f64], off_diagonal: &mut Vec<f64>, vectors: &mut Matrix) {
    /// Far more iterations than any eigenvalue needs.
    const MAX_QL_ITERATIONS: usize = 100;
    let size = values.len();
    off_diagonal.push(0.0);
    for low in 0..size {
        for _ in 0..MAX_QL_ITERATIONS {
            let small = |m: &usize| off_diagonal[*m].abs() <= f64::EPSILON * (values[*m].abs() + values[*m + 1].abs());
            let high = (low..size - 1).find(small).unwrap_or(size - 1);
            if high == low {
                break;
            }
            let shift = (values[low + 1] - values[low]) / (2.0 * off_diagonal[low]);
            let root = shift.hypot(1.0).copysign(shift);
            let mut g = values[high] - values[low] + off_diagonal[low] / (shift + root);
            let (mut sine, mut cosine, mut p) = (1.0, 1.0, 0.0);
            let mut underflow = false;
            for i in (low..high).rev() {
                let (f, b) = (sine * off_diagonal[i], cosine * off_diagonal[i]);
                // The elements are at most about 1: squares that underflow are far below rounding.
                let norm = (f * f + g * g).sqrt();
                off_diagonal[i + 1] = norm;
                if norm == 0.0 {
                    values[i + 1] -= p;
                    off_diagonal[high] = 0.0;
                    underflow = true;
                    break;
                }
                (sine, cosine) = (f / norm, g / norm);
                let inner = values[i + 1] - p;
                let r = (values[i] - inner) * sine + 2.0 * cosine * b;
                p = sine * r;
                values[i + 1] = inner + p;
                g = cosine * r - b;
                if vectors.rows > 0 {
                    rotate(vectors, i, sine, cosine);
                }
            }
            if !underflow {
                values[low] -= p;
                off_diagonal[low] = g;
                off_diagonal[high] = 0.0;
            }
        }
    }
}

/// Applies a Givens rotation to rows i and i + 1.
fn rotate(vectors: &mut Matrix, i: usize, sine: f64, cosine: f64) {
    let columns = vectors.columns;
    let (low, high) = vectors.data[i * columns..][..2 * columns].split_at_mut(columns);
    for (low, high) in low.iter_mut().zip(high) {
        let kept = *high;
        *high = sine * *low + cosine * kept;
        *low = cosine * *low - sine * kept;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn symmetric(size: usize, seed: u64) -> Matrix {
        let mut out = Matrix::zeros(size, size);
        let mut state = seed;
        for i in 0..size {
            for j in 0..=i {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let x = (state >> 40) as f64 / (1u64 << 24) as f64 - 0.5;
                (out.data[i * size + j], out.data[j * size + i]) = (x, x);
            }
        }
        out
    }

    #[test]
    fn eigendecomposition_reconstructs_the_matrix() {
        for (size, seed) in [(1, 3), (2, 5), (3, 7), (17, 11), (64, 13)] {
            let matrix = symmetric(size, seed);
            let Eigen { values, vectors } = eigen(matrix.clone());
            assert!(values.windows(2).all(|pair| pair[0] >= pair[1]));
            let mut scaled = vectors.clone();
            scaled.scale_rows(values.iter().copied());
            let again = vectors.transposed_times(&scaled);
            let unit = vectors.times_transposed(&vectors);
            for i in 0..size * size {
                assert!((again.data[i] - matrix.data[i]).abs() < 1e-12 * size as f64, "{size}: {i}");
                assert!((unit.data[i] - f64::from(u8::from(i / size == i % size))).abs() < 1e-12);
            }
            let alone = eigenvalues(matrix);
            assert!(alone.iter().zip(&values).all(|(a, b)| (a - b).abs() < 1e-12 * size as f64));
        }
    }

    #[test]
    fn eigenvalues_of_special_matrices() {
        let check = |data: Vec<f64>, want: &[f64]| {
            let size = want.len();
            let values = eigenvalues(Matrix { rows: size, columns: size, data });
            assert!(values.iter().zip(want).all(|(got, want)| (got - want).abs() < 1e-14), "{values:?}");
        };
        check(vec![0.0; 9], &[0.0; 3]);
        check(vec![1.0; 9], &[3.0, 0.0, 0.0]);
        check(vec![2.0, 0.0, 0.0, 0.0, 5.0, 0.0, 0.0, 0.0, -1.0], &[5.0, 2.0, -1.0]);
        check(vec![2.0, 1.0, 1.0, 2.0], &[3.0, 1.0]);
        assert!(eigenvalues(Matrix { rows: 1, columns: 1, data: vec![f64::NAN] })[0].is_nan());
        assert!(eigenvalues(Matrix::zeros(0, 0)).is_empty());
    }
}
