//! Dense row-major f32 matrices, as files store factors.

use std::ops::Range;

/// A dense row-major matrix.
#[derive(Debug, Clone, PartialEq)]
pub struct Dense {
    /// Number of rows.
    pub rows: usize,
    /// Number of columns.
    pub columns: usize,
    /// rows · columns elements.
    pub data: Vec<f32>,
}

impl Dense {
    /// Creates a matrix with `columns` columns from row-major `data`.
    pub fn new(data: Vec<f32>, columns: usize) -> Dense {
        Dense { rows: data.len() / columns.max(1), columns, data }
    }

    /// Returns the identity matrix.
    pub fn identity(size: usize) -> Dense {
        Dense::new((0..size * size).map(|at| f32::from(u8::from(at / size == at % size))).collect(), size)
    }

    /// Returns self · other, summed in f32.
    pub fn times(&self, other: &Dense) -> Dense {
        Dense { rows: self.rows, columns: other.columns, data: product(&self.data, &other.data, self.columns) }
    }

    /// Returns these rows.
    pub fn row_range(&self, rows: &Range<usize>) -> Dense {
        let data = self.data[rows.start * self.columns..rows.end * self.columns].to_vec();
        Dense { rows: rows.len(), columns: self.columns, data }
    }

    /// Returns self ⊗ other.
    pub fn kronecker(&self, other: &Dense) -> Dense {
        let data = kronecker(&self.data, self.columns, &other.data, other.rows, other.columns, 1);
        Dense { rows: self.rows * other.rows, columns: self.columns * other.columns, data }
    }
}

/// Returns the Frobenius norm.
pub fn norm(elements: &[f32]) -> f64 {
    elements.iter().map(|x| f64::from(*x) * f64::from(*x)).sum::<f64>().sqrt()
}

/// Returns `left` (m, rank) · `right` (rank, n), summed in f32.
pub fn product(left: &[f32], right: &[f32], rank: usize) -> Vec<f32> {
    let columns = right.len() / rank.max(1);
    let mut out = vec![0.0; left.len() / rank.max(1) * columns];
    for (row, out) in left.chunks_exact(rank.max(1)).zip(out.chunks_exact_mut(columns.max(1))) {
        for (x, row) in row.iter().zip(right.chunks_exact(columns.max(1))) {
            out.iter_mut().zip(row).for_each(|(out, y)| *out += x * y);
        }
    }
    out
}

/// Transposes a matrix (rows, columns) to (columns, rows).
pub fn transposed(matrix: &[f32], columns: usize) -> Vec<f32> {
    (0..columns).flat_map(|column| matrix.iter().skip(column).step_by(columns).copied()).collect()
}

/// Returns `first` (a, b) ⊗ `second` (c, d, area) as (a·c, b·d, area).
pub fn kronecker(first: &[f32], b: usize, second: &[f32], c: usize, d: usize, area: usize) -> Vec<f32> {
    let mut out = Vec::with_capacity(first.len() * second.len());
    for row in first.chunks_exact(b) {
        for second in second.chunks_exact(d * area).take(c) {
            for x in row {
                out.extend(second.iter().map(|y| x * y));
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn elements(count: usize, seed: usize) -> Vec<f32> {
        (0..count).map(|i| ((i * seed % 13) as f32 - 6.0) / 4.0).collect()
    }

    #[test]
    fn a_product_has_the_dot_products_of_rows_and_columns() {
        let (left, right) = (Dense::new(elements(5 * 3, 37), 3), Dense::new(elements(3 * 7, 29), 7));
        let product = left.times(&right);
        assert_eq!((product.rows, product.columns), (5, 7));
        assert_eq!(product.data[8], (0..3).map(|r| left.data[3 + r] * right.data[r * 7 + 1]).sum::<f32>());
        assert_eq!(left.times(&Dense::identity(3)), left);
    }

    #[test]
    fn transposing_twice_changes_nothing() {
        let matrix = elements(6, 5);
        assert_eq!(transposed(&matrix, 3)[1], matrix[3]);
        assert_eq!(transposed(&transposed(&matrix, 3), 2), matrix);
        assert!(transposed(&[], 0).is_empty());
    }
}
