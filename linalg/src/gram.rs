//! Gram matrices: the dot products of all pairs of rows or columns (lines) of a matrix, from which the norm and the
//! singular values of a product of factors are computed.
//!
//! The depth is processed in chunks, packed into panels of eight lines, so that a tile of accumulators stays in
//! registers; only tiles of the lower triangle are computed. With f32 accumulators, the sums of a chunk have an
//! error of about 1e-7 of the largest. That is enough for norms; squares of small singular values need f64.

use super::dense::Dense;
use super::matrix::Matrix;
use std::ops::Range;

/// Elements per line in a chunk.
const DEPTH: usize = 128;
/// Lines per panel.
const LANES: usize = 8;

/// Accumulator type within a chunk.
trait Element: Copy + Default {
    fn from_f32(x: f32) -> Self;
    fn to_f64(self) -> f64;
    /// Returns self + a · b, as a fused multiply-add if `FUSED`.
    fn multiply_add<const FUSED: bool>(self, a: Self, b: Self) -> Self;
}

macro_rules! impl_element {
    ($type:ty) => {
        impl Element for $type {
            #[inline(always)]
            fn from_f32(x: f32) -> $type {
                x as $type
            }

            #[inline(always)]
            fn to_f64(self) -> f64 {
                self as f64
            }

            #[inline(always)]
            fn multiply_add<const FUSED: bool>(self, a: $type, b: $type) -> $type {
                if FUSED { a.mul_add(b, self) } else { self + a * b }
            }
        }
    };
}

impl_element!(f32);
impl_element!(f64);

/// The lines of a matrix M whose dot products form the Gram matrix.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Lines {
    /// M·Mᵀ
    Rows,
    /// Mᵀ·M
    Columns,
}

/// Adjacent lines whose dot products with each other are known.
#[derive(Debug, Clone)]
pub struct Known {
    /// Index of the first line.
    pub first: usize,
    /// Their Gram matrix.
    pub gram: Matrix,
}

impl Known {
    /// No line.
    pub fn nothing() -> Known {
        Known { first: 0, gram: Matrix::zeros(0, 0) }
    }
}

/// Returns the Gram matrix (lines, lines) of `matrix`, which has `columns` columns, with f32 accumulators within
/// chunks: the error is about 1e-7 of the largest element. What is known is not computed again.
pub fn gram_f32(matrix: &[f32], columns: usize, lines: Lines, known: &Known) -> Vec<f64> {
    gram_in::<f32>(matrix, columns, lines, known)
}

/// Returns the Gram matrix (lines, lines) of `matrix`, which has `columns` columns, computed in f64.
pub fn gram(matrix: &[f32], columns: usize, lines: Lines) -> Vec<f64> {
    gram_in::<f64>(matrix, columns, lines, &Known::nothing())
}

impl Dense {
    /// Returns selfᵀ · self, computed in f64.
    pub fn gram_of_columns(&self) -> Matrix {
        Matrix { rows: self.columns, columns: self.columns, data: gram(&self.data, self.columns, Lines::Columns) }
    }

    /// Returns self · selfᵀ, computed in f64.
    pub fn gram_of_rows(&self) -> Matrix {
        Matrix { rows: self.rows, columns: self.rows, data: gram(&self.data, self.columns, Lines::Rows) }
    }

    /// Returns the smaller of self · selfᵀ and selfᵀ · self, computed in f64.
    pub fn small_gram(&self) -> Matrix {
        if self.columns < self.rows { self.gram_of_columns() } else { self.gram_of_rows() }
    }
}

fn gram_in<T: Element>(matrix: &[f32], columns: usize, lines: Lines, known: &Known) -> Vec<f64> {
    let rows = matrix.len() / columns.max(1);
    let (count, depth) = match lines {
        Lines::Rows => (rows, columns),
        Lines::Columns => (columns, rows),
    };
    let panels = count.div_ceil(LANES);
    let known_panels = known.first.div_ceil(LANES)..(known.first + known.gram.rows) / LANES;
    let mut packed = vec![[T::default(); LANES]; panels * DEPTH];
    let mut sums = vec![0.0; count * count];
    for start in (0..depth).step_by(DEPTH) {
        let run = DEPTH.min(depth - start);
        match lines {
            Lines::Columns => pack_columns(matrix, columns, start, run, &mut packed),
            Lines::Rows => pack_rows(matrix, columns, start, run, &mut packed),
        }
        add_chunk(&packed, run, count, &known_panels, &mut sums);
    }
    for (row, values) in known.gram.data.chunks_exact(known.gram.columns.max(1)).enumerate() {
        sums[(known.first + row) * count + known.first..][..values.len()].copy_from_slice(values);
    }
    for row in 0..count {
        for column in row + 1..count {
            sums[row * count + column] = sums[column * count + row];
        }
    }
    sums
}

/// Packs the rows `start..start + run`; each holds one element of every line.
fn pack_columns<T: Element>(matrix: &[f32], columns: usize, start: usize, run: usize, packed: &mut [[T; LANES]]) {
    for (k, row) in matrix[start * columns..(start + run) * columns].chunks_exact(columns).enumerate() {
        for (panel, elements) in row.chunks(LANES).enumerate() {
            for (to, from) in packed[panel * DEPTH + k].iter_mut().zip(elements) {
                *to = T::from_f32(*from);
            }
        }
    }
}

/// Packs the columns `start..start + run`; each row is a line.
fn pack_rows<T: Element>(matrix: &[f32], columns: usize, start: usize, run: usize, packed: &mut [[T; LANES]]) {
    for (line, row) in matrix.chunks_exact(columns).enumerate() {
        let (panel, lane) = (line / LANES, line % LANES);
        for (to, from) in packed[panel * DEPTH..].iter_mut().zip(&row[start..start + run]) {
            to[lane] = T::from_f32(*from);
        }
    }
}

/// Adds a chunk's products to the lower triangle of the sums, except for those of two known panels.
fn add_chunk<T: Element>(packed: &[[T; LANES]], run: usize, count: usize, known: &Range<usize>, sums: &mut [f64]) {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
        // SAFETY: the CPU supports AVX2 and FMA, as detected above.
        return unsafe { add_chunk_fused(packed, run, count, known, sums) };
    }
    // Taller tiles spill registers in WebAssembly, which is six times slower.
    add_tiles::<T, 2, false>(packed, run, count, known, sums);
}

/// [`add_chunk`], compiled for AVX2 and FMA.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn add_chunk_fused<T: Element>(
    packed: &[[T; LANES]],
    run: usize,
    count: usize,
    known: &Range<usize>,
    sums: &mut [f64],
) {
    match size_of::<T>() {
        4 => add_tiles::<T, 8, true>(packed, run, count, known, sums),
        _ => add_tiles::<T, 4, true>(packed, run, count, known, sums),
    }
}

/// Adds all tiles of `HEIGHT` by [`LANES`] lines that touch the lower triangle. `HEIGHT` is the most that fits in
/// registers.
#[inline(always)]
fn add_tiles<T: Element, const HEIGHT: usize, const FUSED: bool>(
    packed: &[[T; LANES]],
    run: usize,
    count: usize,
    known: &Range<usize>,
    sums: &mut [f64],
) {
    for (upper, left) in packed.chunks_exact(DEPTH).enumerate() {
        for (lower, right) in packed.chunks_exact(DEPTH).enumerate().take(upper + 1) {
            if known.contains(&lower) && known.contains(&upper) {
                continue;
            }
            for first in (0..LANES).step_by(HEIGHT) {
                let mut tile = [[T::default(); LANES]; HEIGHT];
                for (a, b) in left[..run].iter().zip(&right[..run]) {
                    for (i, line) in tile.iter_mut().enumerate() {
                        for (sum, b) in line.iter_mut().zip(b) {
                            *sum = sum.multiply_add::<FUSED>(a[first + i], *b);
                        }
                    }
                }
                let (row, column) = (upper * LANES + first, lower * LANES);
                for (row, line) in (row..count).zip(&tile) {
                    let width = LANES.min(count - column);
                    for (to, sum) in sums[row * count + column..][..width].iter_mut().zip(line) {
                        *to += sum.to_f64();
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gram_matrices_hold_the_dot_products_of_all_lines() {
        for (rows, columns) in [(1, 1), (3, 300), (9, 5), (16, 129), (130, 7)] {
            let matrix: Vec<f32> = (0..rows * columns).map(|i| ((i * 37 % 101) as f32 - 50.0) / 16.0).collect();
            for lines in [Lines::Rows, Lines::Columns] {
                let (count, depth) = if lines == Lines::Rows { (rows, columns) } else { (columns, rows) };
                let at = |line: usize, k: usize| {
                    f64::from(if lines == Lines::Rows {
                        matrix[line * columns + k]
                    } else {
                        matrix[k * columns + line]
                    })
                };
                let exact = gram(&matrix, columns, lines);
                let known = |lines: Range<usize>| {
                    let data = lines.clone().flat_map(|row| &exact[row * count..][lines.clone()]).copied().collect();
                    Known { first: lines.start, gram: Matrix { rows: lines.len(), columns: lines.len(), data } }
                };
                let parts = [0..0, 0..count, 0..count / 2, count / 2..count, count / 3..count - count / 4];
                let quick = parts.map(|lines_known| gram_f32(&matrix, columns, lines, &known(lines_known)));
                for i in 0..count {
                    for j in 0..count {
                        let want: f64 = (0..depth).map(|k| at(i, k) * at(j, k)).sum();
                        assert!((exact[i * count + j] - want).abs() < 1e-9, "{rows} {columns} {lines:?} {i} {j}");
                        for quick in &quick {
                            assert!((quick[i * count + j] - want).abs() < 1e-2, "{rows} {columns} {lines:?} {i} {j}");
                        }
                    }
                }
            }
        }
    }
}
