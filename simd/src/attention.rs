//! Multi-head attention over blocks of queries: the scores of a block are in memory, never the whole score matrix.

use crate::activation::exp;
use crate::elements::Elements;
use crate::isa::vectorized;
use crate::matrix::Matrix;
use crate::packed::{TILE_ROWS, multiply, pack_all};
use crate::parallel::map;
use crate::pool::threads;
use crate::scratch::Buffer;

/// Queries of a block.
const BLOCK_QUERIES: usize = 2 * TILE_ROWS;
/// Partial maxima and sums of a row of scores.
const LANES: usize = 16;

/// Queries, keys or values: element (token, channel) is at `start + token * stride + channel`.
#[derive(Debug, Clone, Copy)]
pub struct Heads<'a> {
    /// Elements of the whole tensor.
    pub data: &'a [f32],
    /// Index of the first token's first channel.
    pub start: usize,
    /// Distance in elements between tokens.
    pub stride: usize,
}

/// softmax(Q Kᵀ / sqrt(d)) V for each batch item and head.
#[derive(Debug, Clone, Copy)]
pub struct Attention<'a> {
    /// Queries.
    pub q: Heads<'a>,
    /// Keys.
    pub k: Heads<'a>,
    /// Values.
    pub v: Heads<'a>,
    /// Number of batch items.
    pub batch: usize,
    /// Number of heads, which are adjacent channels.
    pub heads: usize,
    /// Number of queries per batch item.
    pub queries: usize,
    /// Number of keys per batch item.
    pub keys: usize,
    /// Channels of a head.
    pub head_dim: usize,
    /// Whether each query attends only to keys up to its own position.
    pub causal: bool,
}

impl Attention<'_> {
    /// Computes the attention. `out` is (batch, queries, heads · head_dim).
    pub fn run(&self, out: &mut [f32]) {
        let all_heads = self.batch * self.heads;
        // As many parts of the queries as it takes to keep all threads busy.
        let ranges = threads().div_ceil(all_heads).min(self.queries.div_ceil(BLOCK_QUERIES)).max(1);
        let size = self.queries.div_ceil(ranges);
        let work = all_heads as u64 * self.head_dim as u64 * self.queries as u64 * self.keys as u64 / 8;
        let computed = map(all_heads * ranges, work, &|index| {
            let first = index % ranges * size;
            self.head(index / ranges, first..self.queries.min(first + size))
        });
        let width = self.heads * self.head_dim;
        for (index, computed) in computed.iter().enumerate() {
            let (item, head) = (index / ranges / self.heads, index / ranges % self.heads);
            let first = item * self.queries + index % ranges * size;
            for (row, values) in computed.chunks_exact(self.head_dim).enumerate() {
                out[(first + row) * width + head * self.head_dim..][..self.head_dim].copy_from_slice(values);
            }
        }
    }

    /// Computes some queries of a head: (queries, head_dim).
    fn head(&self, index: usize, queries: std::ops::Range<usize>) -> Vec<f32> {
        let (item, head) = (index / self.heads, index % self.heads);
        let start = |heads: &Heads, tokens: usize| heads.start + item * tokens * heads.stride + head * self.head_dim;
        let matrix = |heads: &Heads<'_>, transposed: bool| {
            let (depth, columns) = if transposed { (self.head_dim, self.keys) } else { (self.keys, self.head_dim) };
            let blocks = Matrix {
                elements: Elements::F32(heads.data),
                start: start(heads, self.keys),
                stride: heads.stride,
                depth,
                columns,
                transposed,
            };
            pack_all(&blocks)
        };
        let (keys, values) = (matrix(&self.k, true), matrix(&self.v, false));
        let scale = 1.0 / (self.head_dim as f32).sqrt();
        let mut out = vec![0.0; queries.len() * self.head_dim];
        let mut q = Buffer::new(BLOCK_QUERIES * self.head_dim);
        // Rows of whole chunks of exponentials, which are computed together.
        let stride = self.keys.next_multiple_of(LANES);
        let mut scores = Buffer::new(BLOCK_QUERIES * stride);
        for (first, out) in queries.clone().step_by(BLOCK_QUERIES).zip(out.chunks_mut(BLOCK_QUERIES * self.head_dim)) {
            let count = out.len() / self.head_dim;
            for (row, q) in q.chunks_exact_mut(self.head_dim).enumerate().take(count) {
                let from = start(&self.q, self.queries) + (first + row) * self.q.stride;
                q.iter_mut().zip(&self.q.data[from..]).for_each(|(out, value)| *out = value * scale);
            }
            for (depth, block) in &keys {
                multiply(&q[depth.start..], self.head_dim, count, block, &mut scores, stride, depth.start > 0);
            }
            let mut totals = [0.0; BLOCK_QUERIES];
            for (row, scores) in scores.chunks_exact_mut(stride).enumerate().take(count) {
                let end = if self.causal { self.keys.min(first + row + 1) } else { self.keys };
                scores[end..].fill(f32::NEG_INFINITY);
                totals[row] = exponentials(scores);
            }
            for (depth, block) in &values {
                multiply(&scores[depth.start..], stride, count, block, out, self.head_dim, depth.start > 0);
            }
            for (out, total) in out.chunks_exact_mut(self.head_dim).zip(totals) {
                out.iter_mut().for_each(|value| *value /= total);
            }
        }
        out
    }
}

vectorized! {
    /// Replaces whole chunks of scores by their exponentials relative to the maximum and returns the sum.
    fn exponentials(scores: &mut [f32]) -> f32 {
        let chunks = scores.as_chunks_mut::<LANES>().0;
        let mut max = [f32::NEG_INFINITY; LANES];
        for chunk in &*chunks {
            max.iter_mut().zip(chunk).for_each(|(max, &score)| *max = if score > *max { score } else { *max });
        }
        let max = max.into_iter().fold(f32::NEG_INFINITY, f32::max);
        let mut sums = [0.0; LANES];
        for chunk in chunks {
            for (score, sum) in chunk.iter_mut().zip(&mut sums) {
                *score = exp(*score - max);
                *sum += *score;
            }
        }
        sums.iter().sum()
    }
}
