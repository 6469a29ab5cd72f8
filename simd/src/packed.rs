//! Blocks of a matrix in the order in which tiles of a product read them, and the tiles.
//!
//! Source: Goto and van de Geijn, "Anatomy of High-Performance Matrix Multiplication", 2008. A tile of sums stays in
//! registers while it reads a panel of the right operand, which is in the first cache, and rows of the left operand,
//! whose block is in the second.

use crate::isa::{lanes, mul_add, vectorized};
use crate::matrix::Matrix;
use std::ops::Range;

/// Maximum depth of a block: a panel of this depth fills most of a first cache of 32 KiB, or of 48 KiB with AVX-512.
const MAX_DEPTH: usize = 384;

/// Rows and columns of a tile with 512-bit vectors: 24 of 32 registers hold sums.
const TILE_512: (usize, usize) = (12, 32);
/// Rows and columns of a tile with 256-bit vectors: 12 of 16 registers hold sums.
const TILE_256: (usize, usize) = (6, 16);
/// Rows and columns of a tile with 128-bit vectors: 16 of the 32 registers of NEON, or 8 of the 16 of SSE2, onto which
/// WebAssembly is mapped (measured the fastest in V8 of 3x12, 4x8, 4x12, 5x8, 6x8 and 8x8).
const TILE_128: (usize, usize) = if cfg!(target_arch = "aarch64") { (8, 8) } else { (4, 8) };

/// Lines and columns that are transposed at once.
const SQUARE: usize = 4;

/// Number of rows that left operands and sums are a multiple of.
pub(crate) const TILE_ROWS: usize = 24;

/// Returns the first column and the width of each panel of a block: those of a tile, or half of it at the end.
fn panels(columns: usize, width: usize) -> impl Iterator<Item = (usize, usize)> {
    let panel = move |first| (first, if columns - first > width / 2 { width } else { width / 2 });
    (0..columns).step_by(width).map(panel)
}

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
        let tile = match lanes() {
            16 => TILE_512.1,
            8 => TILE_256.1,
            _ => TILE_128.1,
        };
        (self.depth, self.columns) = (rows.len(), columns.len());
        self.data.clear();
        let width: usize = panels(columns.len(), tile).map(|(_, width)| width).sum();
        self.data.resize(width * rows.len(), 0.0);
        let mut rest = self.data.as_mut_slice();
        let mut lines = Vec::new();
        for (first, width) in panels(columns.len(), tile) {
            let (panel, others) = rest.split_at_mut(width * rows.len());
            rest = others;
            let (count, first) = (width.min(columns.len() - first), columns.start + first);
            if matrix.transposed {
                let start = matrix.start + first * matrix.stride + rows.start;
                match matrix.elements.as_f32() {
                    Some(data) => transpose(&data[start..], matrix.stride, count, panel, width),
                    None => {
                        lines.resize(count * rows.len(), 0.0);
                        for (column, line) in lines.chunks_exact_mut(rows.len().max(1)).enumerate() {
                            matrix.elements.widen(start + column * matrix.stride, line);
                        }
                        transpose(&lines, rows.len(), count, panel, width);
                    }
                }
            } else {
                for (row, out) in rows.clone().zip(panel.chunks_exact_mut(width)) {
                    matrix.elements.widen(matrix.start + row * matrix.stride + first, &mut out[..count]);
                }
            }
        }
    }
}

/// Writes `count` lines, `stride` elements apart, as the first columns of `out`, whose rows have `width` elements.
fn transpose(lines: &[f32], stride: usize, count: usize, out: &mut [f32], width: usize) {
    let depth = out.len() / width;
    let whole = (depth / SQUARE * SQUARE, count / SQUARE * SQUARE);
    let line = |index: usize| &lines[index * stride..][..depth];
    for first in (0..whole.1).step_by(SQUARE) {
        let squares: [&[[f32; SQUARE]]; SQUARE] = std::array::from_fn(|index| line(first + index).as_chunks().0);
        for (k, rows) in out.chunks_exact_mut(SQUARE * width).enumerate() {
            let values = transposed(squares.map(|line| line[k]));
            for (row, values) in rows.chunks_exact_mut(width).zip(&values) {
                row[first..first + SQUARE].copy_from_slice(values);
            }
        }
    }
    for index in 0..count {
        let start = if index < whole.1 { whole.0 } else { 0 };
        let rest = out[start * width..].iter_mut().skip(index).step_by(width);
        rest.zip(&line(index)[start..]).for_each(|(out, value)| *out = *value);
    }
}

/// Returns the transposed square. The compiler does not find the shuffles by itself.
#[inline(always)]
fn transposed(square: [[f32; SQUARE]; SQUARE]) -> [[f32; SQUARE]; SQUARE] {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{__m128, _mm_movehl_ps, _mm_movelh_ps, _mm_unpackhi_ps, _mm_unpacklo_ps};
        // SAFETY: both types are four times four f32, and every x86-64 processor has SSE.
        unsafe {
            let [a, b, c, d] = std::mem::transmute::<[[f32; SQUARE]; SQUARE], [__m128; SQUARE]>(square);
            let (low, high) = (_mm_unpacklo_ps(a, b), _mm_unpackhi_ps(a, b));
            let (next_low, next_high) = (_mm_unpacklo_ps(c, d), _mm_unpackhi_ps(c, d));
            let (first, second) = (_mm_movelh_ps(low, next_low), _mm_movehl_ps(next_low, low));
            let (third, fourth) = (_mm_movelh_ps(high, next_high), _mm_movehl_ps(next_high, high));
            std::mem::transmute([first, second, third, fourth])
        }
    }
    #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
    {
        use std::arch::wasm32::{i32x4_shuffle, v128};
        // SAFETY: both types are four times four f32.
        let [a, b, c, d]: [v128; SQUARE] = unsafe { std::mem::transmute(square) };
        let (low, high) = (i32x4_shuffle::<0, 4, 1, 5>(a, b), i32x4_shuffle::<2, 6, 3, 7>(a, b));
        let (next_low, next_high) = (i32x4_shuffle::<0, 4, 1, 5>(c, d), i32x4_shuffle::<2, 6, 3, 7>(c, d));
        let (first, second) = (i32x4_shuffle::<0, 1, 4, 5>(low, next_low), i32x4_shuffle::<2, 3, 6, 7>(low, next_low));
        let (third, fourth) =
            (i32x4_shuffle::<0, 1, 4, 5>(high, next_high), i32x4_shuffle::<2, 3, 6, 7>(high, next_high));
        // SAFETY: as above.
        unsafe { std::mem::transmute([first, second, third, fourth]) }
    }
    #[cfg(not(any(target_arch = "x86_64", all(target_arch = "wasm32", target_feature = "simd128"))))]
    std::array::from_fn(|row| std::array::from_fn(|column| square[column][row]))
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
        match VECTOR {
            16 => tiles::<{ TILE_512.0 }, { TILE_512.1 }, { TILE_512.1 / 2 }, VECTOR>(
                left, left_stride, rows, block, out, out_stride, adds,
            ),
            8 => tiles::<{ TILE_256.0 }, { TILE_256.1 }, { TILE_256.1 / 2 }, VECTOR>(
                left, left_stride, rows, block, out, out_stride, adds,
            ),
            _ => tiles::<{ TILE_128.0 }, { TILE_128.1 }, { TILE_128.1 / 2 }, VECTOR>(
                left, left_stride, rows, block, out, out_stride, adds,
            ),
        }
    }
}

/// Multiplies with tiles of M rows and N columns; of HALF at the end.
#[inline(always)]
fn tiles<const M: usize, const N: usize, const HALF: usize, const VECTOR: usize>(
    left: &[f32],
    left_stride: usize,
    rows: usize,
    block: &Packed,
    out: &mut [f32],
    out_stride: usize,
    adds: bool,
) {
    let mut rest = block.data.as_slice();
    for (first, width) in panels(block.columns, N) {
        let (panel, others) = rest.split_at(width * block.depth);
        rest = others;
        let (columns, out) = (width.min(block.columns - first), &mut out[first..]);
        if width == N {
            column::<M, N, VECTOR>(left, left_stride, rows, panel, out, out_stride, columns, adds);
        } else {
            column::<M, HALF, VECTOR>(left, left_stride, rows, panel, out, out_stride, columns, adds);
        }
    }
}

/// Multiplies all rows by a panel, whose first `columns` columns are written.
#[inline(always)]
#[allow(clippy::too_many_arguments, reason = "those of a product")]
fn column<const M: usize, const N: usize, const VECTOR: usize>(
    left: &[f32],
    left_stride: usize,
    rows: usize,
    panel: &[f32],
    out: &mut [f32],
    out_stride: usize,
    columns: usize,
    adds: bool,
) {
    for row in (0..rows).step_by(M) {
        let sums = tile::<M, N, VECTOR>(&left[row * left_stride..], left_stride, panel);
        for (i, sums) in sums.iter().enumerate().take(rows - row) {
            let out = &mut out[(row + i) * out_stride..][..columns];
            match (adds, out.as_chunks_mut::<N>().0) {
                (true, [out]) => out.iter_mut().zip(sums).for_each(|(out, sum)| *out += sum),
                (false, [out]) => *out = *sums,
                (true, _) => out.iter_mut().zip(sums).for_each(|(out, sum)| *out += sum),
                (false, _) => out.copy_from_slice(&sums[..columns]),
            }
        }
    }
}

/// Repeats a block for each row of a tile, instead of a loop.
macro_rules! for_each_row {
    ($rows:expr, |$row:ident| $block:block) => {
        for_each_row!($rows, $row, $block, 0 1 2 3 4 5 6 7 8 9 10 11)
    };
    ($rows:expr, $row:ident, $block:block, $($index:literal)*) => {
        $(if $index < $rows {
            let $row = $index;
            $block
        })*
    };
}

/// Returns the product of M rows and a panel of N columns.
#[inline(always)]
fn tile<const M: usize, const N: usize, const VECTOR: usize>(left: &[f32], stride: usize, panel: &[f32]) -> [[f32; N]; M] {
    let panel = panel.as_chunks::<N>().0;
    let rows: [&[f32]; M] = std::array::from_fn(|row| &left[row * stride..][..panel.len()]);
    let mut sums = [[0.0; N]; M];
    // The sums stay in registers only if the compiler sees which are meant: with iterators it does not, and it does not
    // unroll loops over more than about 100 sums.
    for (k, weights) in panel.iter().enumerate() {
        for_each_row!(M, |i| {
            // SAFETY: each row is as long as the panel.
            let value = unsafe { *rows[i].get_unchecked(k) };
            for j in 0..N {
                sums[i][j] = mul_add::<VECTOR>(value, weights[j], sums[i][j]);
            }
        });
    }
    sums
}
