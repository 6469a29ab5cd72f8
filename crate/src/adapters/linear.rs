//! Turns factors of a product into the product's Frobenius norm without forming the product.

/// Σ over the columns: `matrix` (rows, columns) to its Gram matrix (rows, rows), M·Mᵀ.
fn gram_of_rows(matrix: &[f32], rows: usize) -> Vec<f64> {
    let columns = matrix.len() / rows.max(1);
    let mut gram = vec![0.0; rows * rows];
    for p in 0..rows {
        for q in 0..=p {
            let (a, b) = (&matrix[p * columns..][..columns], &matrix[q * columns..][..columns]);
            let sum: f64 = a.iter().zip(b).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum();
            (gram[p * rows + q], gram[q * rows + p]) = (sum, sum);
        }
    }
    gram
}

/// Σ over the rows: `matrix` (rows, columns) to its Gram matrix (columns, columns), Mᵀ·M.
fn gram_of_columns(matrix: &[f32], columns: usize) -> Vec<f64> {
    let mut gram = vec![0.0; columns * columns];
    for row in matrix.chunks_exact(columns.max(1)) {
        for (p, x) in row.iter().enumerate() {
            for (q, y) in row.iter().enumerate() {
                gram[p * columns + q] += f64::from(*x) * f64::from(*y);
            }
        }
    }
    gram
}

/// ‖left · right‖ for `left` (m, rank) and `right` (rank, n): the square is the trace of
/// (leftᵀ·left)·(right·rightᵀ).
pub(super) fn product_norm(left: &[f32], right: &[f32], rank: usize) -> f64 {
    let (left, right) = (gram_of_columns(left, rank), gram_of_rows(right, rank));
    left.iter().zip(&right).map(|(a, b)| a * b).sum::<f64>().max(0.0).sqrt()
}

/// ‖numbers‖.
pub(super) fn norm(numbers: &[f32]) -> f64 {
    numbers.iter().map(|x| f64::from(*x) * f64::from(*x)).sum::<f64>().sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_norm_of_a_product_is_that_of_the_formed_product() {
        let (m, rank, n) = (5, 3, 7);
        let left: Vec<f32> = (0..m * rank).map(|i| ((i * 37 % 11) as f32 - 5.0) / 3.0).collect();
        let right: Vec<f32> = (0..rank * n).map(|i| ((i * 29 % 13) as f32 - 6.0) / 4.0).collect();
        let product: Vec<f32> =
            (0..m * n).map(|at| (0..rank).map(|r| left[at / n * rank + r] * right[r * n + at % n]).sum()).collect();
        assert!((product_norm(&left, &right, rank) / norm(&product) - 1.0).abs() < 1e-6);
    }
}
