//! Dense f64 matrices and their products.

use super::dense::Dense;

/// A row-major matrix.
#[derive(Debug, Clone, PartialEq)]
pub struct Matrix {
    /// Number of rows.
    pub rows: usize,
    /// Number of columns.
    pub columns: usize,
    /// rows · columns elements.
    pub data: Vec<f64>,
}

impl Matrix {
    /// Returns a matrix of zeros.
    pub fn zeros(rows: usize, columns: usize) -> Matrix {
        Matrix { rows, columns, data: vec![0.0; rows * columns] }
    }

    /// Returns the identity matrix.
    pub fn identity(size: usize) -> Matrix {
        let mut out = Matrix::zeros(size, size);
        (0..size).for_each(|i| out.data[i * size + i] = 1.0);
        out
    }

    /// Converts f32 elements to a matrix with this many columns.
    pub fn of(elements: &[f32], columns: usize) -> Matrix {
        let data = elements.iter().map(|&x| f64::from(x)).collect();
        Matrix { rows: elements.len() / columns.max(1), columns, data }
    }

    /// Returns the elements, rounded to f32.
    #[expect(clippy::cast_possible_truncation, reason = "rounding is intended")]
    pub fn to_f32(&self) -> Vec<f32> {
        self.data.iter().map(|&x| x as f32).collect()
    }

    /// Returns one row.
    pub fn row(&self, row: usize) -> &[f64] {
        &self.data[row * self.columns..][..self.columns]
    }

    /// Drops all but the first rows.
    pub fn first_rows(mut self, rows: usize) -> Matrix {
        self.rows = rows.min(self.rows);
        self.data.truncate(self.rows * self.columns);
        self
    }

    /// Returns the transpose.
    pub fn transposed(&self) -> Matrix {
        let mut out = Matrix::zeros(self.columns, self.rows);
        for (row, elements) in self.data.chunks_exact(self.columns.max(1)).enumerate() {
            for (column, &x) in elements.iter().enumerate() {
                out.data[column * self.rows + row] = x;
            }
        }
        out
    }

    /// Swaps two rows.
    pub fn swap_rows(&mut self, row: usize, other: usize) {
        (0..self.columns).for_each(|at| self.data.swap(row * self.columns + at, other * self.columns + at));
    }

    /// Multiplies row `i` by `factors[i]`.
    pub fn scale_rows(&mut self, factors: impl IntoIterator<Item = f64>) {
        for (row, factor) in self.data.chunks_exact_mut(self.columns.max(1)).zip(factors) {
            row.iter_mut().for_each(|x| *x *= factor);
        }
    }

    /// Returns self · other.
    pub fn times(&self, other: &Matrix) -> Matrix {
        product(View::of(self), View::of(other))
    }

    /// Returns selfᵀ · other.
    pub fn transposed_times(&self, other: &Matrix) -> Matrix {
        product(View::of(self).transposed(), View::of(other))
    }

    /// Returns self · otherᵀ.
    pub fn times_transposed(&self, other: &Matrix) -> Matrix {
        product(View::of(self), View::of(other).transposed())
    }

    /// Returns the sum of the element-wise product with a matrix of the same size.
    pub fn dot(&self, other: &Matrix) -> f64 {
        dot(&self.data, &other.data)
    }
}

impl From<&Dense> for Matrix {
    fn from(dense: &Dense) -> Matrix {
        Matrix::of(&dense.data, dense.columns)
    }
}

/// A strided view of a matrix.
#[derive(Clone, Copy)]
struct View<'a> {
    data: &'a [f64],
    size: (usize, usize),
    /// Row stride and column stride, in elements.
    strides: (isize, isize),
}

impl View<'_> {
    fn of(matrix: &Matrix) -> View<'_> {
        View { data: &matrix.data, size: (matrix.rows, matrix.columns), strides: (matrix.columns as isize, 1) }
    }

    fn transposed(self) -> Self {
        View { size: (self.size.1, self.size.0), strides: (self.strides.1, self.strides.0), ..self }
    }
}

fn product(left: View, right: View) -> Matrix {
    let ((rows, inner), (depth, columns)) = (left.size, right.size);
    assert_eq!(inner, depth, "({rows}, {inner}) · ({depth}, {columns})");
    assert!(left.data.len() >= rows * inner && right.data.len() >= inner * columns);
    let mut out = Matrix::zeros(rows, columns);
    // SAFETY: each view's strides reach exactly its rows · columns elements, which its data holds, and
    // `out` holds rows · columns.
    unsafe {
        matrixmultiply::dgemm(
            rows,
            inner,
            columns,
            1.0,
            left.data.as_ptr(),
            left.strides.0,
            left.strides.1,
            right.data.as_ptr(),
            right.strides.0,
            right.strides.1,
            0.0,
            out.data.as_mut_ptr(),
            columns as isize,
            1,
        );
    }
    out
}

/// Returns Σ a·b, summed in lanes that compilers vectorize.
pub fn dot(a: &[f64], b: &[f64]) -> f64 {
    let mut lanes = [0f64; 8];
    let ((a, rest_a), (b, rest_b)) = (a.as_chunks::<8>(), b.as_chunks::<8>());
    for (a, b) in a.iter().zip(b) {
        for lane in 0..8 {
            lanes[lane] += a[lane] * b[lane];
        }
    }
    let rest: f64 = rest_a.iter().zip(rest_b).map(|(x, y)| x * y).sum();
    lanes.iter().sum::<f64>() + rest
}

/// Computes to += factor · from.
pub(super) fn axpy(to: &mut [f64], factor: f64, from: &[f64]) {
    to.iter_mut().zip(from).for_each(|(to, from)| *to += factor * from);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_match_the_definition() {
        let (a, b) = (Matrix::of(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], 3), Matrix::of(&[1.0, 0.0, 2.0, 1.0, 0.0, 3.0], 2));
        assert_eq!(a.times(&b).data, [5.0, 11.0, 14.0, 23.0]);
        assert_eq!(a.transposed().transposed_times(&b), a.times(&b));
        assert_eq!(a.times_transposed(&b.transposed()), a.times(&b));
    }
}
