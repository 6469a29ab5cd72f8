//! 3x3 convolutions by Winograd's algorithm F(2x2, 3x3): 16 products of a tile of 2x2 pixels instead of 36.
//!
//! Source: Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", 2016. The transformed 4x4 patches of all
//! tiles are 16 matrices, and so are the transformed filters.

use crate::elements::Elements;
use crate::feature_map::Windows;
use crate::isa::{lanes, vectorized};
use crate::matrix::Matrix;
use crate::packed::{Packed, TILE_ROWS, depth_blocks, multiply};
use crate::parallel::map;
use crate::pool::threads;
use crate::product::Finish;
use crate::scratch::Buffer;
use std::ops::Range;

/// Tiles whose transformed patches are in memory at once, per thread.
const BLOCK_TILES: usize = 20 * TILE_ROWS;
/// Filters whose transforms are in memory at once, per thread.
const BLOCK_FILTERS: usize = 64;
/// Minimum number of channels and filters: with fewer, transforming costs as much as it saves.
const MIN_CHANNELS: usize = 32;
/// Minimum number of pixels per f32 of a vector: with fewer, transforming the filters costs more than it saves, the
/// sooner, the faster the products are.
const MIN_PIXELS: usize = 32;
/// Elements of a patch, and number of products per tile.
const PATCH: usize = 16;
/// Pixels of a tile.
const PIXELS: usize = 4;

/// A 3x3 convolution with stride 1.
pub struct Winograd<'a> {
    /// 4x4 windows with stride 2.
    pub patches: Windows<'a>,
    /// Number of feature maps.
    pub batch: usize,
    /// Height and width of the output.
    pub size: (usize, usize),
    /// Filters, (filters, 3, 3, C).
    pub filters: Elements<'a>,
    /// Number of filters.
    pub count: usize,
    /// Computation of the output from the sums.
    pub finish: &'a Finish<'a>,
}

impl Winograd<'_> {
    /// Returns whether the algorithm is faster than a product of windows and filters.
    pub fn pays(pixels: usize, channels: usize, filters: usize) -> bool {
        channels.min(filters) >= MIN_CHANNELS && pixels >= MIN_PIXELS * lanes()
    }

    /// Computes the convolution; `out` is (pixels, filters).
    pub fn run(&self, out: &mut [f32]) {
        let (rows, columns) = self.patches.windows;
        let tiles = self.batch * rows * columns;
        let blocks = tiles.div_ceil(BLOCK_TILES);
        // Few tiles: threads compute some of the filters each.
        let ranges = threads().div_ceil(blocks).min(self.count.div_ceil(BLOCK_FILTERS)).max(1);
        let width = self.count.div_ceil(ranges).next_multiple_of(16);
        let ranges = self.count.div_ceil(width);
        let work = tiles as u64 * self.patches.channels as u64 * self.count as u64;
        let part = |index: usize| {
            let (tile, filter) = (index / ranges * BLOCK_TILES, index % ranges * width);
            (tile..tiles.min(tile + BLOCK_TILES), filter..self.count.min(filter + width))
        };
        let computed = map(blocks * ranges, work, &|index| self.compute(part(index).0, part(index).1));
        for (index, computed) in computed.iter().enumerate() {
            let (tiles, filters) = part(index);
            for (tile, pixels) in tiles.zip(computed.chunks_exact(PIXELS * filters.len())) {
                for (at, values) in pixels.chunks_exact(filters.len()).enumerate() {
                    if let Some(pixel) = self.pixel(tile, at) {
                        out[pixel * self.count..][filters.clone()].copy_from_slice(values);
                    }
                }
            }
        }
    }

    /// Returns the index of a tile's pixel, or None if it is outside of the output.
    fn pixel(&self, tile: usize, at: usize) -> Option<usize> {
        let (rows, columns) = self.patches.windows;
        let (item, row, column) = (tile / (rows * columns), tile / columns % rows, tile % columns);
        let (y, x) = (2 * row + at / 2, 2 * column + at % 2);
        (y < self.size.0 && x < self.size.1).then(|| (item * self.size.0 + y) * self.size.1 + x)
    }

    /// Computes these tiles and filters: (tiles, 4 pixels, filters).
    fn compute(&self, tiles: Range<usize>, filters: Range<usize>) -> Vec<f32> {
        let channels = self.patches.channels;
        let matrix_len = tiles.len().next_multiple_of(TILE_ROWS) * channels;
        let mut patches = Buffer::new(PATCH * matrix_len);
        let mut patch = vec![0.0; PATCH * channels];
        for (row, tile) in tiles.clone().enumerate() {
            self.patches.copy(tile, 0, &mut patch);
            transform_patch(&mut patch, channels);
            for (position, values) in patch.chunks_exact(channels).enumerate() {
                patches[position * matrix_len + row * channels..][..channels].copy_from_slice(values);
            }
        }
        let mut out = vec![0.0; tiles.len() * PIXELS * filters.len()];
        let mut products = Buffer::new(PATCH * tiles.len() * BLOCK_FILTERS);
        let mut packed = Packed::new();
        for first in filters.clone().step_by(BLOCK_FILTERS) {
            let block = first..filters.end.min(first + BLOCK_FILTERS);
            let transformed = self.transformed_filters(block.clone());
            let product_len = tiles.len() * block.len();
            for (position, weights) in transformed.chunks_exact(block.len() * channels).enumerate() {
                let matrix = Matrix::new(Elements::F32(weights), channels, block.len(), true);
                for depth in depth_blocks(channels) {
                    packed.pack(&matrix, depth.clone(), 0..block.len());
                    let left = &patches[position * matrix_len + depth.start..(position + 1) * matrix_len];
                    let products = &mut products[position * product_len..];
                    multiply(left, channels, tiles.len(), &packed, products, block.len(), depth.start > 0);
                }
            }
            let (mut rows, mut sums) = (vec![0.0; 8 * block.len()], vec![0.0; PIXELS * block.len()]);
            for (row, tile) in tiles.clone().enumerate() {
                transform_products(&products[row * block.len()..], product_len, &mut rows, &mut sums);
                for (at, sums) in sums.chunks_exact_mut(block.len()).enumerate() {
                    if let Some(pixel) = self.pixel(tile, at) {
                        let from = (row * PIXELS + at) * filters.len() + first - filters.start;
                        (self.finish)(pixel, block.clone(), sums, &mut out[from..][..block.len()]);
                    }
                }
            }
        }
        out
    }

    /// Returns the transforms of these filters: (16, filters, C).
    fn transformed_filters(&self, filters: Range<usize>) -> Buffer {
        let channels = self.patches.channels;
        let (mut filter, mut rows, mut transform) =
            (vec![0.0; 9 * channels], vec![0.0; 12 * channels], vec![0.0; PATCH * channels]);
        let mut out = Buffer::new(PATCH * filters.len() * channels);
        for (row, index) in filters.clone().enumerate() {
            self.filters.widen(index * filter.len(), &mut filter);
            transform_filter(&filter, channels, &mut rows, &mut transform);
            for (position, values) in transform.chunks_exact(channels).enumerate() {
                out[(position * filters.len() + row) * channels..][..channels].copy_from_slice(values);
            }
        }
        out
    }
}

/// Replaces a patch d, (4, 4, C), by Bᵀ d B.
fn transform_patch(patch: &mut [f32], channels: usize) {
    let mut pixels: Vec<&mut [f32]> = patch.chunks_exact_mut(channels).collect();
    for (start, step) in (0..4).map(|row| (row * 4, 1)).chain((0..4).map(|column| (column, 4))) {
        if let Ok([a, b, c, d]) = pixels.get_disjoint_mut([0, 1, 2, 3].map(|index| start + index * step)) {
            transform_line(a, b, c, d);
        }
    }
}

vectorized! {
    /// Multiplies four pixels of a line by Bᵀ.
    fn transform_line(a: &mut [f32], b: &mut [f32], c: &mut [f32], d: &mut [f32]) {
        for (((a, b), c), d) in a.iter_mut().zip(b).zip(c).zip(d) {
            let (second, third, fourth) = (*b + *c, *c - *b, *b - *d);
            *a -= *c;
            (*b, *c, *d) = (second, third, fourth);
        }
    }
}

/// Computes G g Gᵀ, (4, 4, C), of a filter g, (3, 3, C).
fn transform_filter(filter: &[f32], channels: usize, rows: &mut [f32], out: &mut [f32]) {
    for (filter, out) in filter.chunks_exact(3 * channels).zip(rows.chunks_exact_mut(4 * channels)) {
        let [first, second, third] = [0, 1, 2].map(|x| &filter[x * channels..][..channels]);
        spread(first, second, third, out);
    }
    let mut column = vec![0.0; 4 * channels];
    for x in 0..4 {
        let [first, second, third] = [0, 1, 2].map(|y| &rows[(y * 4 + x) * channels..][..channels]);
        spread(first, second, third, &mut column);
        for (y, values) in column.chunks_exact(channels).enumerate() {
            out[(y * 4 + x) * channels..][..channels].copy_from_slice(values);
        }
    }
}

vectorized! {
    /// Multiplies three taps of a line by G; `out` is (4, C).
    fn spread(first: &[f32], second: &[f32], third: &[f32], out: &mut [f32]) {
        let (ends, middle) = out.split_at_mut(first.len());
        let (sum, rest) = middle.split_at_mut(first.len());
        let (difference, last) = rest.split_at_mut(first.len());
        ends.copy_from_slice(first);
        last.copy_from_slice(third);
        for ((((sum, difference), a), b), c) in sum.iter_mut().zip(difference).zip(first).zip(second).zip(third) {
            *sum = 0.5 * (a + b + c);
            *difference = 0.5 * (a - b + c);
        }
    }
}

/// Computes Aᵀ m A, (2, 2, filters), of a tile's products m, whose positions are `stride` elements apart.
fn transform_products(products: &[f32], stride: usize, rows: &mut [f32], out: &mut [f32]) {
    let filters = out.len() / PIXELS;
    for (y, out) in rows.chunks_exact_mut(2 * filters).enumerate() {
        let (first, second) = out.split_at_mut(filters);
        let [a, b, c, d] = [0, 1, 2, 3].map(|x| &products[(y * 4 + x) * stride..][..filters]);
        reduce([a, b, c, d], first, second);
    }
    let (first, second) = out.split_at_mut(2 * filters);
    let row = |y: usize| &rows[y * 2 * filters..][..2 * filters];
    reduce([row(0), row(1), row(2), row(3)], first, second);
}

vectorized! {
    /// Multiplies four products of a line by Aᵀ.
    fn reduce(products: [&[f32]; 4], first: &mut [f32], second: &mut [f32]) {
        let [a, b, c, d] = products;
        for (((((first, second), a), b), c), d) in first.iter_mut().zip(second).zip(a).zip(b).zip(c).zip(d) {
            *first = a + b + c;
            *second = b - c - d;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::product::Product;

    #[test]
    fn winograd_equals_the_product_of_windows_and_filters() {
        for (batch, height, width, channels, count, padding) in
            [(1, 1, 1, 3, 2, 1), (2, 7, 10, 16, 70, 1), (1, 40, 52, 8, 20, 1), (1, 6, 5, 400, 33, 0)]
        {
            let values = |len: usize, seed: usize| -> Vec<f32> {
                (0..len).map(|at| ((at * 37 + seed * 11) % 97) as f32 / 48.0 - 1.0).collect()
            };
            let (x, filters) = (values(batch * height * width * channels, 1), values(9 * channels * count, 2));
            let size = (height + 2 * padding - 2, width + 2 * padding - 2);
            let windows = Windows {
                data: &x,
                size: (height, width),
                channels,
                upsampled: (height, width),
                kernel: 3,
                stride: 1,
                padding,
                windows: size,
            };
            let finish = |pixel: usize, columns: Range<usize>, sums: &mut [f32], out: &mut [f32]| {
                let bias = (pixel + columns.start) as f32;
                out.iter_mut()
                    .zip(sums)
                    .enumerate()
                    .for_each(|(at, (out, sum))| *out = *sum + (bias + at as f32) * 0.01);
            };
            let mut wanted = vec![0.0; batch * size.0 * size.1 * count];
            let product = Product {
                rows: batch * size.0 * size.1,
                left: &|window, start, out| windows.copy(window, start, out),
                matrix: Matrix::new(Elements::F32(&filters), 9 * channels, count, true),
                paired: false,
                finish: &finish,
            };
            product.run(&mut wanted);
            let patches =
                Windows { kernel: 4, stride: 2, windows: (size.0.div_ceil(2), size.1.div_ceil(2)), ..windows };
            let filters = Elements::F32(&filters);
            let mut got = vec![f32::NAN; wanted.len()];
            Winograd { patches, batch, size, filters, count, finish: &finish }.run(&mut got);
            for (at, (got, wanted)) in got.iter().zip(&wanted).enumerate() {
                assert!((got - wanted).abs() < 1e-3, "{height}x{width}x{channels} at {at}: {got}, not {wanted}");
            }
        }
    }
}
