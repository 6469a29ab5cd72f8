//! Launches of attention, and the blocks of its tiled kernel.

use crate::gpu::kernel::{
    Binding, BufferRef, Dispatch, KernelSequence, Launch, LaunchError, MAX_LOOP_ITERATIONS, Style, to_u32,
};
use crate::gpu::kernels::Kernel;
use crate::gpu::params::params;
use crate::num::{host_len, numel, to_f32};
use crate::ops::{Attention, Operation};
use std::ops::Range;

params! {
    /// Uniforms of attention.wgsl and attention_untiled.wgsl.
    AttentionParams {
        queries: u32, keys: u32, heads: u32, scale: f32, head_dim: u32, q_stride: u32, kv_stride: u32, k_offset: u32,
        v_offset: u32, first_key: u32, end_key: u32,
    }
}

/// Largest head dimension of attention_untiled.wgsl, which requires multiples of 4.
const MAX_UNTILED_HEAD_DIM: usize = 512;

/// Bytes of workgroup memory that every WebGPU device has.
pub const MIN_WORKGROUP_MEMORY: u32 = 16 << 10;
/// Bytes of workgroup memory that almost every GPU has.
const LARGE_WORKGROUP_MEMORY: u32 = 32 << 10;
/// Depth of the tiles of attention.wgsl that fit [`MIN_WORKGROUP_MEMORY`]: a half, a quarter and an eighth of heads of
/// 40, 80 and 160 channels.
const DEPTH: usize = 20;
/// Invocations of a workgroup of attention.wgsl, and the maximum depth of its tiles; the default first. Tiles deeper than
/// [`DEPTH`] need [`LARGE_WORKGROUP_MEMORY`].
const WORKGROUPS: [(usize, usize); 4] = [(128, DEPTH), (64, DEPTH), (256, DEPTH), (256, 2 * DEPTH)];

/// The constants of attention.wgsl.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Block {
    /// Groups of four queries.
    pub rows: u32,
    /// Groups of eight keys, and of eight channels.
    pub columns: u32,
    /// Channels, then keys, of the tiles.
    pub depth: u32,
}

impl Block {
    /// Returns the block of a workgroup with at most this many invocations, with tiles of at most this depth within
    /// `memory` bytes of workgroup memory; None if not even the smallest one fits.
    fn new(head_dim: usize, threads: usize, max_depth: usize, memory: u32) -> Option<Block> {
        let columns = head_dim.div_ceil(8);
        // vec4s of the tiles per depth: rows, columns and padding; a tile's depth is a multiple of 4.
        let max_vectors = memory as usize / 16 / 4;
        let rows = (threads / columns).min(max_vectors.saturating_sub(2 * columns + 2));
        let max_depth = max_depth.min(max_vectors / (rows + 2 * columns + 2) * 4);
        // Equal parts of the head dimension, so that the last tile is full.
        let parts = head_dim.div_ceil(max_depth.max(1));
        let depth = head_dim.div_ceil(parts).next_multiple_of(4).min(max_depth);
        // The invocations also exchange a vec4 each through one of the tiles.
        let has_room = columns <= depth || rows <= 2 * depth;
        let [rows, columns, depth] = [rows, columns, depth].map(|n| u32::try_from(n).ok());
        let block = Block { rows: rows?, columns: columns?, depth: depth? };
        (block.rows > 0 && block.depth > 0 && has_room).then_some(block)
    }

    /// Queries of a workgroup.
    pub fn queries(&self) -> u32 {
        4 * self.rows
    }

    /// Keys of a block.
    fn keys(&self) -> u32 {
        8 * self.columns
    }

    /// The constants that depend on the block.
    pub fn constants(&self) -> [(&'static str, u32); 4] {
        let Block { rows, columns, depth } = *self;
        [("ROWS", rows), ("COLUMNS", columns), ("DEPTH", depth), ("THREADS", rows * columns)]
    }

    /// Maximum loop iterations of an invocation for one block of keys. A loop of n iterations counts as n + 2: compilers
    /// change loops, and llvmpipe counts 32 in heads of 8 channels, where the source has 29 with n + 1.
    fn iterations(&self, head_dim: usize) -> u64 {
        let threads = self.rows * self.columns;
        let blocks = self.depth / 4;
        let load = |blocks: u32| u64::from(blocks.div_ceil(threads)) + 2;
        let multiply = u64::from(blocks) + 2;
        let channels = load(self.rows * blocks) + load(2 * self.columns * blocks) + multiply + 1;
        let keys = load(2 * self.columns * self.depth) + multiply + 1;
        let tiles = |size: u64| size.div_ceil(u64::from(self.depth));
        // The loops over channels, columns and keys end once a block, and the loop over blocks has one iteration.
        tiles(head_dim as u64) * channels + tiles(self.keys().into()) * keys + u64::from(self.columns) + 7
    }
}

/// Returns the blocks for a head dimension on a device with this much workgroup memory, the default first.
pub fn blocks(head_dim: usize, memory: u32) -> Vec<Block> {
    let block = |(threads, depth): (usize, usize)| {
        let limit = if depth > DEPTH { LARGE_WORKGROUP_MEMORY } else { MIN_WORKGROUP_MEMORY };
        // At least 16 queries share their keys, if the largest workgroup allows it.
        let threads = if threads < 4 * head_dim.div_ceil(8) { 256 } else { threads };
        Block::new(head_dim, threads, depth, limit).filter(|_| limit <= memory)
    };
    WORKGROUPS.into_iter().filter_map(block).collect()
}

/// Keys of one iteration of attention_untiled.wgsl's loop over keys.
const KEY_BLOCK: u64 = 16;

/// The shapes of one attention.
struct Sizes {
    queries: u64,
    keys: u64,
    head_dim: usize,
    items: usize,
}

impl Sizes {
    fn of(op: &Attention, inputs: &[&[usize]], output: &[usize]) -> Sizes {
        let tokens = |shape: &[usize]| numel(&shape[1..shape.len() - 1]);
        let head_dim = output[output.len() - 1] / op.heads;
        let keys = tokens(inputs[Attention::qkv_slices(inputs.len())[1].input]);
        Sizes { queries: tokens(output), keys, head_dim, items: output[0] }
    }

    /// Whether attention_untiled.wgsl supports them.
    fn is_untiled(&self, style: Style) -> bool {
        style == Style::Untiled && self.head_dim <= MAX_UNTILED_HEAD_DIM && self.head_dim.is_multiple_of(4)
    }

    /// The default block of attention.wgsl.
    fn block(&self) -> Result<Block, LaunchError> {
        blocks(self.head_dim, MIN_WORKGROUP_MEMORY).first().copied().ok_or_else(|| LaunchError {
            kernel: Kernel::Attention.name(),
            reason: format!("supports head dimensions up to 1008, not {}", self.head_dim),
        })
    }

    /// The kernel of one launch over all keys, and that of several launches if there is one.
    fn kernels(&self, style: Style) -> (Kernel, Option<Kernel>) {
        match (self.is_untiled(style), self.head_dim.is_multiple_of(4)) {
            (true, _) => (Kernel::AttentionUntiled, Some(Kernel::AttentionUntiledChunk)),
            (_, true) => (Kernel::Attention, Some(Kernel::AttentionChunk)),
            (_, false) => (Kernel::AttentionUnaligned, None),
        }
    }

    /// Keys that one launch can cover: a multiple of those of a block.
    fn max_keys(&self, style: Style) -> Result<u64, LaunchError> {
        if !self.is_untiled(style) {
            let block = self.block()?;
            return Ok(MAX_LOOP_ITERATIONS / block.iterations(self.head_dim) * u64::from(block.keys()));
        }
        // A loop of n iterations counts as n + 1. Two inner loops per block of keys compute its scores and add its
        // values; two more loops begin and end the launch.
        let inner_loops = 2 * (self.head_dim as u64 / 4 + 1);
        Ok((MAX_LOOP_ITERATIONS - inner_loops - 1) / (inner_loops + 1) * KEY_BLOCK)
    }
}

/// Lowers an attention over more keys than one launch can cover to several launches; None if one covers all.
pub fn lower(
    op: &Attention,
    inputs: &[&[usize]],
    output: &[usize],
    style: Style,
) -> Result<Option<KernelSequence>, LaunchError> {
    let sizes = Sizes::of(op, inputs, output);
    let max_keys = sizes.max_keys(style)?;
    let Some(kernel) = sizes.kernels(style).1.filter(|_| sizes.keys > max_keys) else { return Ok(None) };
    let flops = op.flops(inputs, output);
    let mut dispatches = Vec::new();
    for first_key in (0..sizes.keys).step_by(host_len(max_keys)) {
        let end_key = (first_key + max_keys).min(sizes.keys);
        let mut launch = launch_keys(kernel, op, inputs, output, first_key..end_key)?;
        launch.bindings.push(Binding::Input(inputs.len()));
        let operands = (0..inputs.len()).map(BufferRef::Input).chain([BufferRef::Scratch(0)]).collect();
        let flops = flops / sizes.keys * (end_key - first_key);
        dispatches.push(Dispatch { launch, inputs: operands, output: BufferRef::Output, flops });
    }
    let states = numel(&[sizes.items, op.heads]) * sizes.queries.div_ceil(4);
    Ok(Some(KernelSequence { dispatches, scratch: [8 * states, 0, 0] }))
}

/// Returns the launch of attention.wgsl or attention_untiled.wgsl over all keys.
pub fn launch(op: &Attention, inputs: &[&[usize]], output: &[usize], style: Style) -> Result<Launch, LaunchError> {
    let sizes = Sizes::of(op, inputs, output);
    launch_keys(sizes.kernels(style).0, op, inputs, output, 0..sizes.keys)
}

/// Returns the launch of a kernel for a range of keys.
fn launch_keys(
    kernel: Kernel,
    op: &Attention,
    inputs: &[&[usize]],
    output: &[usize],
    range: Range<u64>,
) -> Result<Launch, LaunchError> {
    let sizes = Sizes::of(op, inputs, output);
    let is_untiled = [Kernel::AttentionUntiled, Kernel::AttentionUntiledChunk].contains(&kernel);
    let block = if is_untiled { None } else { Some(sizes.block()?) };
    let block_queries = block.map_or(16 * 4, |block| u64::from(block.queries()));
    let groups = [
        to_u32(kernel, sizes.queries.div_ceil(block_queries))?,
        to_u32(kernel, op.heads)?,
        to_u32(kernel, sizes.items)?,
    ];
    let params = params(kernel, op, inputs, output, range)?;
    let mut launch = Launch::new(kernel, 3, params, groups).with("CAUSAL", op.causal);
    let slices = Attention::qkv_slices(inputs.len());
    launch.bindings.splice(..3, slices.map(|slice| Binding::Input(slice.input)));
    if let Some(block) = block {
        launch = launch.with("SIZE", params.head_dim);
        launch = block.constants().into_iter().fold(launch, |launch, (name, value)| launch.with(name, value));
    }
    Ok(launch)
}

/// Returns the uniforms for a range of keys.
fn params(
    kernel: Kernel,
    op: &Attention,
    inputs: &[&[usize]],
    output: &[usize],
    range: Range<u64>,
) -> Result<AttentionParams, LaunchError> {
    let Sizes { queries, keys, head_dim, .. } = Sizes::of(op, inputs, output);
    let count = |n: usize| to_u32(kernel, n);
    let [q, k, v] = Attention::qkv_slices(inputs.len());
    let width = head_dim * op.heads;
    Ok(AttentionParams {
        queries: to_u32(kernel, queries)?,
        keys: to_u32(kernel, keys)?,
        heads: count(op.heads)?,
        scale: to_f32(1.0 / (head_dim as f64).sqrt()),
        head_dim: count(head_dim)?,
        q_stride: count(q.of * width)?,
        kv_stride: count(k.of * width)?,
        k_offset: count(k.index * width)?,
        v_offset: count(v.index * width)?,
        first_key: to_u32(kernel, range.start)?,
        end_key: to_u32(kernel, range.end)?,
    })
}

#[cfg(test)]
mod tests {
    use super::{LARGE_WORKGROUP_MEMORY, MIN_WORKGROUP_MEMORY, blocks};

    /// A browser refuses a pipeline that needs more workgroup memory or invocations than the device has.
    #[test]
    fn every_block_is_within_the_limits_of_its_device() {
        for head_dim in 1..=1008 {
            for memory in [MIN_WORKGROUP_MEMORY, LARGE_WORKGROUP_MEMORY] {
                let blocks = blocks(head_dim, memory);
                assert_eq!(blocks.len(), if memory == MIN_WORKGROUP_MEMORY { 3 } else { 4 }, "{head_dim}");
                for block in blocks {
                    let vectors = block.depth * (block.rows + 1 + 2 * block.columns + 1);
                    assert!(16 * vectors <= memory && block.rows * block.columns <= 256, "{head_dim}: {block:?}");
                    assert!(block.depth.is_multiple_of(4) && 8 * block.columns as usize >= head_dim, "{block:?}");
                    // The tile through which the invocations exchange a vec4 each.
                    let shared = if block.columns <= block.depth { block.rows + 1 } else { 2 * block.columns + 1 };
                    assert!(block.rows * block.columns <= block.depth * shared, "{head_dim}: {block:?}");
                }
            }
        }
    }
}
