//! Linear algebra on factors: the norm of a product without the product, Tucker contractions and Kronecker products.

use crate::linalg::{Lines, gram_f32};

/// Maximum number of elements computed from factors whose sizes are not checked against a base model: many times
/// what any published layer needs.
pub(super) const MAX_DENSE_LEN: usize = 1 << 24;

/// Returns ‖left · right‖ for `left` (m, rank) and `right` (rank, n): its square is the trace of
/// (leftᵀ·left)·(right·rightᵀ). A product smaller than these two matrices is computed instead, which keeps memory
/// proportional to the factors.
pub(super) fn product_norm(left: &[f32], right: &[f32], rank: usize) -> f64 {
    let product_len = (left.len() / rank.max(1)).saturating_mul(right.len() / rank.max(1));
    if product_len < rank.saturating_mul(rank) {
        return norm(&product(left, right, rank));
    }
    let columns = right.len() / rank.max(1);
    let (left, right) = (gram_f32(left, rank, Lines::Columns), gram_f32(right, columns, Lines::Rows));
    left.iter().zip(&right).map(|(a, b)| a * b).sum::<f64>().max(0.0).sqrt()
}

/// Returns the Frobenius norm.
pub(super) fn norm(elements: &[f32]) -> f64 {
    elements.iter().map(|x| f64::from(*x) * f64::from(*x)).sum::<f64>().sqrt()
}

/// Returns `left` (m, rank) · `right` (rank, n).
pub(super) fn product(left: &[f32], right: &[f32], rank: usize) -> Vec<f32> {
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
pub(super) fn transposed(matrix: &[f32], columns: usize) -> Vec<f32> {
    (0..columns).flat_map(|column| matrix.iter().skip(column).step_by(columns).copied()).collect()
}

/// Contracts `core` (rank, inner, kernel) with `down` (inner, inputs) to (rank, inputs, kernel):
/// Σ over n of core[m, n, k] · down[n, i]. Returns `None` above [`MAX_DENSE_LEN`] elements.
pub(super) fn contracted(core: &[f32], down: &[f32], inner: usize, inputs: usize, kernel: usize) -> Option<Vec<f32>> {
    let rank = core.len() / (inner * kernel).max(1);
    let count = rank.checked_mul(inputs)?.checked_mul(kernel).filter(|&count| count <= MAX_DENSE_LEN)?;
    let mut out = vec![0.0; count];
    for (at, sum) in out.iter_mut().enumerate() {
        let (m, i, k) = (at / (inputs * kernel), at / kernel % inputs, at % kernel);
        *sum = (0..inner).map(|n| core[(m * inner + n) * kernel + k] * down[n * inputs + i]).sum();
    }
    Some(out)
}

/// Returns `first` (a, b) ⊗ `second` (c, d, area) as (a·c, b·d, area).
pub(super) fn kronecker(first: &[f32], b: usize, second: &[f32], c: usize, d: usize, area: usize) -> Vec<f32> {
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

/// Returns the identity matrix (size, size).
pub(super) fn identity(size: usize) -> Vec<f32> {
    (0..size * size).map(|at| f32::from(u8::from(at / size == at % size))).collect()
}

/// Returns whether (rows, rank) and (rank, columns) together have fewer elements than (rows, columns).
pub fn pair_is_smaller(rows: usize, columns: usize, rank: usize) -> bool {
    let [rows, columns, rank] = [rows, columns, rank].map(|count| count as u64);
    rank.saturating_mul(rows.saturating_add(columns)) < rows.saturating_mul(columns)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn elements(count: usize, seed: usize) -> Vec<f32> {
        (0..count).map(|i| ((i * seed % 13) as f32 - 6.0) / 4.0).collect()
    }

    #[test]
    fn product_norm_matches_the_norm_of_the_computed_product() {
        let (left, right) = (elements(5 * 3, 37), elements(3 * 7, 29));
        let computed = product(&left, &right, 3);
        assert_eq!(computed[8], (0..3).map(|r| left[3 + r] * right[r * 7 + 1]).sum::<f32>());
        assert!((product_norm(&left, &right, 3) / norm(&computed) - 1.0).abs() < 1e-6);
    }

    #[test]
    fn a_core_of_ones_sums_over_the_inner_axis() {
        let down = elements(2 * 3, 5);
        let out = contracted(&[1.0; 2 * 2 * 4], &down, 2, 3, 4).expect("a small product");
        assert_eq!(contracted(&[1.0; 8192], &[1.0; 8192], 1, 8192, 1), None);
        assert!(out.chunks_exact(4).enumerate().all(|(at, k)| k == [down[at % 3] + down[3 + at % 3]; 4]));
    }

    #[test]
    fn transposing_twice_changes_nothing() {
        let matrix = elements(6, 5);
        assert_eq!(transposed(&matrix, 3)[1], matrix[3]);
        assert_eq!(transposed(&transposed(&matrix, 3), 2), matrix);
    }
}
