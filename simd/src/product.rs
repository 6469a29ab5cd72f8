//! Matrix products whose left operand is computed block by block, and whose sums are processed before they are stored.

use crate::matrix::Matrix;
use crate::packed::{Packed, TILE_ROWS, depth_blocks, multiply};
use crate::parallel::{for_each, for_each_chunk, parts};
use crate::scratch::Buffer;
use std::ops::Range;

/// Writes elements of the left operand: those of the row with the given index, from the given column on, as many as the
/// slice has.
pub type Left<'a> = dyn Fn(usize, usize, &mut [f32]) + Sync + 'a;

/// Computes output columns of a row: from the row's index, the range of columns, and the sums of these columns, followed
/// by those of the second half's if the product is paired.
pub type Finish<'a> = dyn Fn(usize, Range<usize>, &mut [f32], &mut [f32]) + Sync + 'a;

/// Rows of a block of the left operand, which fits the second cache.
const BLOCK_ROWS: usize = 4 * TILE_ROWS;
/// Maximum number of rows whose sums are in memory at once, per thread.
const MAX_ROWS: usize = 1024;
/// Maximum number of columns of a block of the right operand, which fits the second cache too, and of the sums.
const MAX_COLUMNS: usize = 384;
/// Multiply-adds that take as long as one elementary operation.
const MULTIPLY_ADDS: u64 = 16;

/// A product of a left operand and a matrix.
pub struct Product<'a> {
    /// Rows of the left operand.
    pub rows: usize,
    /// Left operand, as wide as the matrix is deep.
    pub left: &'a Left<'a>,
    /// Right operand.
    pub matrix: Matrix<'a>,
    /// Whether each output column is computed from two of the matrix: the output has half as many.
    pub paired: bool,
    /// Computation of the output from the sums.
    pub finish: &'a Finish<'a>,
}

impl Product<'_> {
    /// Computes the product. `out` has a row per row of the left operand.
    pub fn run(&self, out: &mut [f32]) {
        let columns = self.matrix.columns / self.halves();
        let multiply_adds = self.rows as u64 * self.matrix.depth as u64 * self.matrix.columns as u64;
        let work = multiply_adds / MULTIPLY_ADDS;
        if parts(work) == 1 {
            return self.compute(0..self.rows, 0..columns, &mut out.chunks_exact_mut(columns).collect::<Vec<_>>());
        }
        if self.rows >= columns {
            let compute = |first: usize, out: &mut [f32]| {
                let rows = &mut out.chunks_exact_mut(columns).collect::<Vec<_>>();
                self.compute(first..first + rows.len(), 0..columns, rows);
            };
            return for_each_chunk(out, columns, work, &compute);
        }
        // Few rows: each thread computes some of the columns.
        let width = columns.div_ceil(parts(work)).next_multiple_of(16);
        let mut columns_of_parts: Vec<Vec<&mut [f32]>> = (0..columns.div_ceil(width)).map(|_| Vec::new()).collect();
        for row in out.chunks_exact_mut(columns) {
            row.chunks_mut(width).zip(&mut columns_of_parts).for_each(|(columns, part)| part.push(columns));
        }
        for_each(columns_of_parts.into_iter().enumerate(), &|(part, mut out)| {
            self.compute(0..self.rows, part * width..columns.min((part + 1) * width), &mut out);
        });
    }

    fn halves(&self) -> usize {
        if self.paired { 2 } else { 1 }
    }

    /// Computes these rows and columns of the output, which `out` consists of.
    fn compute(&self, rows: Range<usize>, columns: Range<usize>, out: &mut [&mut [f32]]) {
        let mut memory = Memory { packed: [Packed::new(), Packed::new()], left: Buffer::new(0), sums: Buffer::new(0) };
        for first in rows.clone().step_by(MAX_ROWS) {
            let block = first..rows.end.min(first + MAX_ROWS);
            let out = &mut out[first - rows.start..][..block.len()];
            for start in columns.clone().step_by(MAX_COLUMNS / self.halves()) {
                let part = start..columns.end.min(start + MAX_COLUMNS / self.halves());
                let at = part.start - columns.start;
                self.compute_block(block.clone(), part, &mut memory, out, at);
            }
        }
    }

    /// Computes these rows and columns of the output. `out` has these rows; the first of the columns is its column `at`.
    fn compute_block(
        &self,
        rows: Range<usize>,
        columns: Range<usize>,
        memory: &mut Memory,
        out: &mut [&mut [f32]],
        at: usize,
    ) {
        let Memory { packed, left, sums } = memory;
        let width = columns.len() * self.halves();
        // Without sums of further depths to add, the memory of one block's serves for all.
        let is_flat = depth_blocks(self.matrix.depth).nth(1).is_none();
        let kept = if is_flat { rows.len().min(BLOCK_ROWS) } else { rows.len() };
        sums.resize(kept * width);
        for depth in depth_blocks(self.matrix.depth) {
            left.resize(BLOCK_ROWS.min(rows.len().next_multiple_of(TILE_ROWS)) * depth.len());
            for (half, packed) in packed.iter_mut().enumerate().take(self.halves()) {
                let first = half * self.matrix.columns / self.halves();
                packed.pack(&self.matrix, depth.clone(), first + columns.start..first + columns.end);
            }
            for first in rows.clone().step_by(BLOCK_ROWS) {
                let count = BLOCK_ROWS.min(rows.end - first);
                for (row, out) in left.chunks_exact_mut(depth.len()).enumerate().take(count) {
                    (self.left)(first + row, depth.start, out);
                }
                let sums = &mut sums[if is_flat { 0 } else { (first - rows.start) * width }..];
                for (half, packed) in packed.iter().enumerate().take(self.halves()) {
                    let sums = &mut sums[half * columns.len()..];
                    multiply(left, depth.len(), count, packed, sums, width, depth.start > 0);
                }
                if depth.end < self.matrix.depth {
                    continue;
                }
                // The sums are still in the second cache.
                let out = &mut out[first - rows.start..];
                for ((row, sums), out) in (first..first + count).zip(sums.chunks_exact_mut(width)).zip(out) {
                    (self.finish)(row, columns.clone(), sums, &mut out[at..][..columns.len()]);
                }
            }
        }
    }
}

/// Memory of a thread that computes a product.
struct Memory {
    /// Blocks of the right operand: of a paired product, one of each half.
    packed: [Packed; 2],
    /// A block of the left operand.
    left: Buffer,
    /// The sums of the block of the output.
    sums: Buffer,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::elements::Elements;

    fn values(count: usize, seed: usize) -> Vec<f32> {
        (0..count).map(|at| ((at * 31 + seed * 17) % 101) as f32 / 50.0 - 1.0).collect()
    }

    #[test]
    fn products_of_every_shape_are_the_sums_of_products() {
        for (rows, depth, columns) in
            [(1, 1, 1), (5, 7, 3), (13, 400, 37), (130, 33, 70), (2, 770, 600), (1100, 40, 24)]
        {
            for (transposed, paired) in [(true, false), (false, false), (true, true)] {
                if paired && columns % 2 > 0 {
                    continue;
                }
                let (a, b) = (values(rows * depth, 1), values(depth * columns, 2));
                let width = if paired { columns / 2 } else { columns };
                let sum = |row: usize, column: usize| {
                    let weight = |k: usize| b[if transposed { column * depth + k } else { k * columns + column }];
                    (0..depth).map(|k| f64::from(a[row * depth + k]) * f64::from(weight(k))).sum::<f64>()
                };
                let product = Product {
                    rows,
                    left: &|row, start, out| out.copy_from_slice(&a[row * depth + start..][..out.len()]),
                    matrix: Matrix::new(Elements::F32(&b), depth, columns, transposed),
                    paired,
                    finish: &|row, columns, sums, out| {
                        for (at, out) in out.iter_mut().enumerate() {
                            let second = if paired { sums[columns.len() + at] } else { 0.0 };
                            *out = sums[at] + 2.0 * second + row as f32 * 1e-3 + columns.start as f32 * 0.0;
                        }
                    },
                };
                let mut out = vec![f32::NAN; rows * width];
                product.run(&mut out);
                for (at, out) in out.iter().enumerate() {
                    let (row, column) = (at / width, at % width);
                    let second = if paired { 2.0 * sum(row, width + column) } else { 0.0 };
                    let expected = sum(row, column) + second + row as f64 * 1e-3;
                    assert!((f64::from(*out) - expected).abs() < 1e-3, "{rows}x{depth}x{columns} at {row}, {column}");
                }
            }
        }
    }
}
