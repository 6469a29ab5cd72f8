//! Blocks of a matrix in the order in which tiles of a product read them, and the tiles.
//!
//! Source: Goto and van de Geijn, "Anatomy of High-Performance Matrix Multiplication", 2008. A tile of sums stays in
//! registers while it reads a panel of the right operand, which is in the first cache, and rows of the left operand,
//! whose block is in the second.

use crate::isa::{has_wide_vectors, mul_add, vectorized};
use crate::matrix::Matrix;
use std::ops::Range;

/// Maximum depth of a block: a panel of this depth fills most of a first cache of 32 KiB.
const MAX_DEPTH: usize = 384;

/// Rows and columns of a tile with 256-bit vectors: 12 of 16 registers hold sums.
const WIDE: (usize, usize) = (6, 16);
/// Rows and columns of a tile with 128-bit vectors: 16 of the 32 registers of NEON, or 8 of the 16 of SSE2, onto which
/// WebAssembly is mapped (measured the fastest in V8 of 3x12, 4x8, 4x12, 5x8, 6x8 and 8x8).
const NARROW: (usize, usize) = if cfg!(target_arch = "aarch64") { (8, 8) } else { (4, 8) };

/// Number of rows that left operands and sums are a multiple of.
pub(crate) const TILE_ROWS: usize = 24;

/// Splits a depth into blocks of about equal size.
pub(crate) fn depth_blocks(depth: usize) -> impl Iterator<Item = Range<usize>> {
    let size = depth.div_ceil(depth.div_ceil(MAX_DEPTH).max(1)).max(1);
    (0..depth).step_by(size).map(move |start| start..depth.min(start + size))
}

/// A block of a matrix: panels of adjacent columns, each with all rows of the block. The last one is filled with zeros.
#[derive(Default)]
pub(crate) struct Packed {
    data: Vec<f32>,
    depth: usize,
    columns: usize,
}

impl Packed {
    /// Replaces the block by these rows and columns of a matrix.
    pub fn pack(&mut self, matrix: &Matrix, rows: Range<usize>, columns: Range<usize>) {
        let (depth, width) = (rows.len(), if has_wide_vectors() { WIDE.1 } else { NARROW.1 });
        (self.depth, self.columns) = (depth, columns.len());
        self.data.clear();
        self.data.resize(columns.len().div_ceil(width) * width * depth, 0.0);
        let mut line = [0.0; MAX_DEPTH];
        for (panel, first) in self.data.chunks_exact_mut(width * depth).zip(columns.clone().step_by(width)) {
            let count = width.min(columns.end - first);
            if matrix.transposed {
                for column in 0..count {
                    let line = &mut line[..depth];
                    matrix.elements.widen(matrix.start + (first + column) * matrix.stride + rows.start, line);
                    panel[column..].iter_mut().step_by(width).zip(&*line).for_each(|(out, value)| *out = *value);
                }
            } else {
                for (row, out) in rows.clone().zip(panel.chunks_exact_mut(width)) {
                    matrix.elements.widen(matrix.start + row * matrix.stride + first, &mut out[..count]);
                }
            }
        }
    }
}

/// Returns `matrix` as blocks of all its columns.
pub(crate) fn pack_all(matrix: &Matrix) -> Vec<(Range<usize>, Packed)> {
    let block = |rows: Range<usize>| {
        let mut packed = Packed::default();
        packed.pack(matrix, rows.clone(), 0..matrix.columns);
        (rows, packed)
    };
    depth_blocks(matrix.depth).map(block).collect()
}

vectorized! {
    /// Multiplies `rows` rows of `left`, `left_stride` elements apart, by a block, and writes the products to `out`, or
    /// adds them. `left` is read up to the next multiple of [`TILE_ROWS`].
    pub(crate) fn multiply(
        left: &[f32],
        left_stride: usize,
        rows: usize,
        block: &Packed,
        out: &mut [f32],
        out_stride: usize,
        adds: bool,
    ) {
        if FMA && cfg!(target_arch = "x86_64") {
            tiles::<{ WIDE.0 }, { WIDE.1 }, FMA>(left, left_stride, rows, block, out, out_stride, adds);
        } else {
            tiles::<{ NARROW.0 }, { NARROW.1 }, FMA>(left, left_stride, rows, block, out, out_stride, adds);
        }
    }
}

#[inline(always)]
fn tiles<const M: usize, const N: usize, const FMA: bool>(
    left: &[f32],
    left_stride: usize,
    rows: usize,
    block: &Packed,
    out: &mut [f32],
    out_stride: usize,
    adds: bool,
) {
    for (panel, first) in block.data.chunks_exact(N * block.depth).zip((0..block.columns).step_by(N)) {
        let columns = N.min(block.columns - first);
        for row in (0..rows).step_by(M) {
            let sums = tile::<M, N, FMA>(&left[row * left_stride..], left_stride, panel);
            for (i, sums) in sums.iter().enumerate().take(rows - row) {
                let out = &mut out[(row + i) * out_stride + first..][..columns];
                match (adds, out.as_chunks_mut::<N>().0) {
                    (true, [out]) => out.iter_mut().zip(sums).for_each(|(out, sum)| *out += sum),
                    (false, [out]) => *out = *sums,
                    (true, _) => out.iter_mut().zip(sums).for_each(|(out, sum)| *out += sum),
                    (false, _) => out.copy_from_slice(&sums[..columns]),
                }
            }
        }
    }
}

/// Returns the product of M rows and a panel of N columns.
#[inline(always)]
fn tile<const M: usize, const N: usize, const FMA: bool>(left: &[f32], stride: usize, panel: &[f32]) -> [[f32; N]; M] {
    let panel = panel.as_chunks::<N>().0;
    let rows: [&[f32]; M] = std::array::from_fn(|row| &left[row * stride..][..panel.len()]);
    let mut sums = [[0.0; N]; M];
    // With indices the sums stay in registers, with iterators not.
    for (k, weights) in panel.iter().enumerate() {
        for i in 0..M {
            // SAFETY: each row is as long as the panel.
            let value = unsafe { *rows[i].get_unchecked(k) };
            for j in 0..N {
                sums[i][j] = mul_add::<FMA>(value, weights[j], sums[i][j]);
            }
        }
    }
    sums
}
