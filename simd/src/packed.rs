//! Blocks of a matrix in the order in which tiles of a product read them, and the tiles.
//!
//! Source: Goto and van de Geijn, "Anatomy of High-Performance Matrix Multiplication", 2008. A tile of sums stays in
//! registers while it reads a panel of the right operand, which is in the first cache, and rows of the left operand,
//! whose block is in the second.

use crate::isa::{lanes, mul_add, vectorized};
use crate::matrix::Matrix;
use crate::scratch::Buffer;
use std::ops::Range;

/// Maximum depth of a block: a panel of this depth fills most of a first cache of 32 KiB, or with AVX-512, whose tiles are
/// wider, streams from the second.
const MAX_DEPTH: usize = 384;

/// Rows and vectors of a tile with AVX-512: 24 of 32 registers hold sums, and the rows' addresses fit the others.
const TILE_512: (usize, usize) = (8, 3);
/// Rows and vectors of a tile with AVX2: 12 of 16 registers hold sums.
const TILE_256: (usize, usize) = (6, 2);
/// Rows and vectors of a tile with 128-bit vectors: 16 of the 32 registers of NEON, or 8 of the 16 of SSE2, onto which
/// WebAssembly is mapped (measured the fastest in V8 of 3x12, 4x8, 4x12, 5x8, 6x8 and 8x8).
const TILE_128: (usize, usize) = if cfg!(target_arch = "aarch64") { (8, 2) } else { (4, 2) };

/// Number of rows that left operands and sums are a multiple of.
pub(crate) const TILE_ROWS: usize = 24;

/// Returns the first column and the width of each panel of a block: as wide as a tile, and narrower, but whole vectors,
/// at the end.
fn panels(columns: usize, vector: usize, vectors: usize) -> impl Iterator<Item = (usize, usize)> {
    let width = vector * vectors;
    (0..columns).step_by(width).map(move |first| (first, width.min((columns - first).next_multiple_of(vector))))
}

/// Rows of a panel that are written together.
const TRANSPOSED_ROWS: usize = 64;

/// Splits a depth into blocks of about equal size.
pub(crate) fn depth_blocks(depth: usize) -> impl Iterator<Item = Range<usize>> {
    let size = depth.div_ceil(depth.div_ceil(MAX_DEPTH).max(1)).max(1);
    (0..depth).step_by(size).map(move |start| start..depth.min(start + size))
}

/// A block of a matrix: panels of adjacent columns, each with all rows of the block. The columns after the last one are arbitrary.
pub(crate) struct Packed {
    data: Buffer,
    depth: usize,
    columns: usize,
}

impl Packed {
    /// Returns an empty block.
    pub fn new() -> Packed {
        Packed { data: Buffer::new(0), depth: 0, columns: 0 }
    }

    /// Replaces the block by these rows and columns of a matrix.
    pub fn pack(&mut self, matrix: &Matrix, rows: Range<usize>, columns: Range<usize>) {
        self.pack_for(lanes(), matrix, rows, columns);
    }

    /// Packs for tiles with vectors of this many f32.
    fn pack_for(&mut self, vector: usize, matrix: &Matrix, rows: Range<usize>, columns: Range<usize>) {
        let vectors = match vector {
            16 => TILE_512.1,
            8 => TILE_256.1,
            _ => TILE_128.1,
        };
        (self.depth, self.columns) = (rows.len(), columns.len());
        let width: usize = panels(columns.len(), vector, vectors).map(|(_, width)| width).sum();
        self.data.resize(width * rows.len());
        let mut rest = &mut *self.data;
        let mut lines = Vec::new();
        for (first, width) in panels(columns.len(), vector, vectors) {
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

vectorized! {
    /// Writes `count` lines, `stride` elements apart, as the first columns of `out`, whose rows have `width` elements.
    fn transpose(lines: &[f32], stride: usize, count: usize, out: &mut [f32], width: usize) {
        #[cfg(target_arch = "x86_64")]
        if VECTOR >= 8 {
            // SAFETY: processors with vectors of this length have AVX.
            return transpose_by(lines, stride, count, out, width, |square| unsafe { transposed_8(square) });
        }
        transpose_by(lines, stride, count, out, width, transposed_4);
    }
}

/// Transposes by squares of S lines and columns.
#[inline(always)]
fn transpose_by<const S: usize>(
    lines: &[f32],
    stride: usize,
    count: usize,
    out: &mut [f32],
    width: usize,
    transposed: impl Fn([[f32; S]; S]) -> [[f32; S]; S],
) {
    // Some rows at a time: they stay in the first cache while their columns are written.
    for (part, out) in out.chunks_mut(TRANSPOSED_ROWS * width).enumerate() {
        let rows = out.len() / width;
        let line = |index: usize| &lines[index * stride + part * TRANSPOSED_ROWS..][..rows];
        let whole = if rows.is_multiple_of(S) { count / S * S } else { 0 };
        for first in (0..whole).step_by(S) {
            let squares: [&[[f32; S]]; S] = std::array::from_fn(|index| line(first + index).as_chunks::<S>().0);
            for (at, rows) in out.chunks_exact_mut(S * width).enumerate() {
                let square = transposed(std::array::from_fn(|index| squares[index][at]));
                for (row, values) in rows.chunks_exact_mut(width).zip(square) {
                    row[first..first + S].copy_from_slice(&values);
                }
            }
        }
        for index in whole..count {
            let column = out[index..].iter_mut().step_by(width);
            column.zip(line(index)).for_each(|(out, value)| *out = *value);
        }
    }
}

/// Returns the transposed square.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx")]
#[inline]
fn transposed_8(square: [[f32; 8]; 8]) -> [[f32; 8]; 8] {
    use std::arch::x86_64::{
        __m256, _mm256_permute2f128_ps, _mm256_shuffle_ps, _mm256_unpackhi_ps, _mm256_unpacklo_ps,
    };
    // SAFETY: both types are eight times eight f32.
    let rows = unsafe { std::mem::transmute::<[[f32; 8]; 8], [__m256; 8]>(square) };
    // Four rows: columns 0 to 3 of them, each beside the one that is four further.
    let four = |rows: &[__m256]| {
        let (low, high) = (_mm256_unpacklo_ps(rows[0], rows[1]), _mm256_unpackhi_ps(rows[0], rows[1]));
        let (next_low, next_high) = (_mm256_unpacklo_ps(rows[2], rows[3]), _mm256_unpackhi_ps(rows[2], rows[3]));
        [
            _mm256_shuffle_ps::<0x44>(low, next_low),
            _mm256_shuffle_ps::<0xee>(low, next_low),
            _mm256_shuffle_ps::<0x44>(high, next_high),
            _mm256_shuffle_ps::<0xee>(high, next_high),
        ]
    };
    let ([a, b, c, d], [e, f, g, h]) = (four(&rows[..4]), four(&rows[4..]));
    let first = |upper, lower| _mm256_permute2f128_ps::<0x20>(upper, lower);
    let second = |upper, lower| _mm256_permute2f128_ps::<0x31>(upper, lower);
    let columns =
        [first(a, e), first(b, f), first(c, g), first(d, h), second(a, e), second(b, f), second(c, g), second(d, h)];
    // SAFETY: as above.
    unsafe { std::mem::transmute(columns) }
}

/// Returns the transposed square. The compiler does not find the shuffles by itself.
#[inline(always)]
fn transposed_4(square: [[f32; 4]; 4]) -> [[f32; 4]; 4] {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{__m128, _mm_movehl_ps, _mm_movelh_ps, _mm_unpackhi_ps, _mm_unpacklo_ps};
        // SAFETY: both types are four times four f32, and every x86-64 processor has SSE.
        unsafe {
            let [a, b, c, d] = std::mem::transmute::<[[f32; 4]; 4], [__m128; 4]>(square);
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
        let [a, b, c, d]: [v128; 4] = unsafe { std::mem::transmute(square) };
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
        let mut packed = Packed::new();
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
        multiply_with::<VECTOR>(left, left_stride, rows, block, out, out_stride, adds);
    }
}

/// Multiplies with vectors of this many f32.
#[inline(always)]
fn multiply_with<const VECTOR: usize>(
    left: &[f32],
    left_stride: usize,
    rows: usize,
    block: &Packed,
    out: &mut [f32],
    out_stride: usize,
    adds: bool,
) {
    match VECTOR {
        16 => tiles::<{ TILE_512.0 }, 3, 16, 32, 48, VECTOR>(left, left_stride, rows, block, out, out_stride, adds),
        8 => tiles::<{ TILE_256.0 }, 2, 8, 16, 16, VECTOR>(left, left_stride, rows, block, out, out_stride, adds),
        _ => tiles::<{ TILE_128.0 }, 2, 4, 8, 8, VECTOR>(left, left_stride, rows, block, out, out_stride, adds),
    }
}

/// Multiplies with tiles of M rows and up to VECTORS vectors, which have ONE, TWO or THREE columns.
#[inline(always)]
#[allow(clippy::too_many_arguments, reason = "those of a product")]
fn tiles<
    const M: usize,
    const VECTORS: usize,
    const ONE: usize,
    const TWO: usize,
    const THREE: usize,
    const VECTOR: usize,
>(
    left: &[f32],
    left_stride: usize,
    rows: usize,
    block: &Packed,
    out: &mut [f32],
    out_stride: usize,
    adds: bool,
) {
    let mut rest = &*block.data;
    for (first, width) in panels(block.columns, VECTOR, VECTORS) {
        let (panel, others) = rest.split_at(width * block.depth);
        rest = others;
        let (columns, out) = (width.min(block.columns - first), &mut out[first..]);
        match width / VECTOR {
            1 => column::<M, ONE, VECTOR>(left, left_stride, rows, panel, out, out_stride, columns, adds),
            2 => column::<M, TWO, VECTOR>(left, left_stride, rows, panel, out, out_stride, columns, adds),
            _ => column::<M, THREE, VECTOR>(left, left_stride, rows, panel, out, out_stride, columns, adds),
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
        for_each_row!($rows, $row, $block, 0 1 2 3 4 5 6 7)
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
fn tile<const M: usize, const N: usize, const VECTOR: usize>(
    left: &[f32],
    stride: usize,
    panel: &[f32],
) -> [[f32; N]; M] {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::elements::Elements;

    /// Checks products with vectors of a length that this processor need not have.
    fn check<const VECTOR: usize>() {
        for (rows, depth, columns) in [(1usize, 1, 1), (9, 5, 17), (7, 70, 49), (24, 64, 48), (13, 131, 97), (6, 4, 30)]
        {
            let values = |count: usize| (0..count).map(|at| (at * 31 % 17) as f32 - 8.0).collect::<Vec<_>>();
            let left = values(rows.next_multiple_of(TILE_ROWS) * depth);
            for transposed in [false, true] {
                let right = values(depth * columns);
                let matrix = Matrix::new(Elements::F32(&right), depth, columns, transposed);
                let mut block = Packed::new();
                block.pack_for(VECTOR, &matrix, 0..depth, 0..columns);
                let mut out = vec![1.0; rows * columns];
                multiply_with::<VECTOR>(&left, depth, rows, &block, &mut out, columns, true);
                for (at, out) in out.iter().enumerate() {
                    let (row, column) = (at / columns, at % columns);
                    let weight = |k: usize| right[if transposed { column * depth + k } else { k * columns + column }];
                    let sum: f32 = (0..depth).map(|k| left[row * depth + k] * weight(k)).sum();
                    assert_eq!(*out, 1.0 + sum, "{VECTOR}: {rows}x{depth}x{columns} at {row}, {column}");
                }
            }
        }
    }

    #[test]
    fn tiles_of_every_vector_length_multiply() {
        check::<4>();
        check::<8>();
        check::<16>();
    }
}
