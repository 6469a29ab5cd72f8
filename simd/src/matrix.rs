//! Matrices that products read: strided, in any storage type, and transposed.

use crate::elements::Elements;

/// Right operand of a product, K x N.
#[derive(Debug, Clone, Copy)]
pub struct Matrix<'a> {
    /// Elements of the whole tensor.
    pub elements: Elements<'a>,
    /// Index of the first element.
    pub start: usize,
    /// Distance in elements between stored rows.
    pub stride: usize,
    /// K.
    pub depth: usize,
    /// N.
    pub columns: usize,
    /// Whether the stored rows are the N columns, as in the weight of a PyTorch linear layer, and not the K rows.
    pub transposed: bool,
}

impl<'a> Matrix<'a> {
    /// Returns the matrix of contiguous elements: (N, K) if `transposed`, else (K, N).
    pub fn new(elements: Elements<'a>, depth: usize, columns: usize, transposed: bool) -> Matrix<'a> {
        let stride = if transposed { depth } else { columns };
        Matrix { elements, start: 0, stride, depth, columns, transposed }
    }
}
