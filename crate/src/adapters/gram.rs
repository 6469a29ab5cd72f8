//! Turns a matrix into its Gram matrix, the products of all pairs of its rows or columns: what
//! norms and singular values of a product need of each factor.
//!
//! Numbers go through in chunks of depth, packed into panels of eight lines, so that a tile of
//! products stays in registers; only tiles below the diagonal are computed. In f32 the sums of a
//! chunk are rounded to about 1e-7 of the largest, which norms can bear; squares of small singular
//! values cannot, and take f64.

/// Numbers of a chunk's depth.
const DEPTH: usize = 128;
/// Lines of a panel.
const LANES: usize = 8;

/// A type that products are summed in within a chunk.
trait Element: Copy + Default {
    fn of(number: f32) -> Self;
    fn to_f64(self) -> f64;
    /// self + a · b; as one instruction where `FUSED`.
    fn plus<const FUSED: bool>(self, a: Self, b: Self) -> Self;
}

macro_rules! number {
    ($type:ty) => {
        impl Element for $type {
            #[inline(always)]
            fn of(number: f32) -> $type {
                number as $type
            }

            #[inline(always)]
            fn to_f64(self) -> f64 {
                self as f64
            }

            #[inline(always)]
            fn plus<const FUSED: bool>(self, a: $type, b: $type) -> $type {
                if FUSED { a.mul_add(b, self) } else { self + a * b }
            }
        }
    };
}

number!(f32);
number!(f64);

/// Which lines of a matrix are multiplied with each other.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Lines {
    /// M·Mᵀ
    Rows,
    /// Mᵀ·M
    Columns,
}

/// The Gram matrix (lines, lines) of `matrix`, which has `columns` columns, with the sums of short
/// runs in f32: good to about 1e-7 of its largest number.
pub fn quick_gram(matrix: &[f32], columns: usize, lines: Lines) -> Vec<f64> {
    gram_in::<f32>(matrix, columns, lines)
}

/// The Gram matrix (lines, lines) of `matrix`, which has `columns` columns, in f64.
pub fn gram(matrix: &[f32], columns: usize, lines: Lines) -> Vec<f64> {
    gram_in::<f64>(matrix, columns, lines)
}

fn gram_in<T: Element>(matrix: &[f32], columns: usize, lines: Lines) -> Vec<f64> {
    let rows = matrix.len() / columns.max(1);
    let (count, depth) = match lines {
        Lines::Rows => (rows, columns),
        Lines::Columns => (columns, rows),
    };
    let panels = count.div_ceil(LANES);
    let mut packed = vec![[T::default(); LANES]; panels * DEPTH];
    let mut sums = vec![0.0; count * count];
    for start in (0..depth).step_by(DEPTH) {
        let run = DEPTH.min(depth - start);
        match lines {
            Lines::Columns => pack_columns(matrix, columns, start, run, &mut packed),
            Lines::Rows => pack_rows(matrix, columns, start, run, &mut packed),
        }
        add_chunk(&packed, run, count, &mut sums);
    }
    for row in 0..count {
        for column in row + 1..count {
            sums[row * count + column] = sums[column * count + row];
        }
    }
    sums
}

/// Packs the rows `start..start + run`: each holds one number of every line.
fn pack_columns<T: Element>(matrix: &[f32], columns: usize, start: usize, run: usize, packed: &mut [[T; LANES]]) {
    for (k, row) in matrix[start * columns..(start + run) * columns].chunks_exact(columns).enumerate() {
        for (panel, numbers) in row.chunks(LANES).enumerate() {
            for (to, from) in packed[panel * DEPTH + k].iter_mut().zip(numbers) {
                *to = T::of(*from);
            }
        }
    }
}

/// Packs the columns `start..start + run` of every row, which is a line.
fn pack_rows<T: Element>(matrix: &[f32], columns: usize, start: usize, run: usize, packed: &mut [[T; LANES]]) {
    for (line, row) in matrix.chunks_exact(columns).enumerate() {
        let (panel, lane) = (line / LANES, line % LANES);
        for (to, from) in packed[panel * DEPTH..].iter_mut().zip(&row[start..start + run]) {
            to[lane] = T::of(*from);
        }
    }
}

/// Adds a chunk's products to the lower half of the sums.
fn add_chunk<T: Element>(packed: &[[T; LANES]], run: usize, count: usize, sums: &mut [f64]) {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
        // SAFETY: the processor has what the function was compiled for.
        return unsafe { add_chunk_fused(packed, run, count, sums) };
    }
    // More lines do not fit into WebAssembly's registers, which costs six times the time.
    tiles::<T, 2, false>(packed, run, count, sums);
}

/// The same with the processor's wide registers.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn add_chunk_fused<T: Element>(packed: &[[T; LANES]], run: usize, count: usize, sums: &mut [f64]) {
    match size_of::<T>() {
        4 => tiles::<T, 8, true>(packed, run, count, sums),
        _ => tiles::<T, 4, true>(packed, run, count, sums),
    }
}

/// All tiles of `HEIGHT` lines by a panel's that touch the lower half: as many as fit in the registers.
#[inline(always)]
fn tiles<T: Element, const HEIGHT: usize, const FUSED: bool>(
    packed: &[[T; LANES]],
    run: usize,
    count: usize,
    sums: &mut [f64],
) {
    for (upper, left) in packed.chunks_exact(DEPTH).enumerate() {
        for (lower, right) in packed.chunks_exact(DEPTH).enumerate().take(upper + 1) {
            for first in (0..LANES).step_by(HEIGHT) {
                let mut tile = [[T::default(); LANES]; HEIGHT];
                for (a, b) in left[..run].iter().zip(&right[..run]) {
                    for (i, line) in tile.iter_mut().enumerate() {
                        for (sum, b) in line.iter_mut().zip(b) {
                            *sum = sum.plus::<FUSED>(a[first + i], *b);
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
    fn every_pair_of_lines_is_multiplied() {
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
                let (exact, quick) = (gram(&matrix, columns, lines), quick_gram(&matrix, columns, lines));
                for i in 0..count {
                    for j in 0..count {
                        let want: f64 = (0..depth).map(|k| at(i, k) * at(j, k)).sum();
                        assert!((exact[i * count + j] - want).abs() < 1e-9, "{rows} {columns} {lines:?} {i} {j}");
                        assert!((quick[i * count + j] - want).abs() < 1e-2, "{rows} {columns} {lines:?} {i} {j}");
                    }
                }
            }
        }
    }
}
