//! Launch of attention, with block sizes that fit 16 KiB of workgroup memory.

use crate::gpu::kernel::{
    Binding, BufferRef, Dispatch, KernelSequence, Launch, LaunchError, MAX_LOOP_ITERATIONS, Style, to_u32,
};
use crate::gpu::kernels::Kernel;
use crate::gpu::params::{Uniforms, params};
use crate::num::{host_len, numel, to_f32};
use crate::ops::{Attention, Operation};
use std::ops::Range;

params! {
    /// Uniforms of attention.wgsl.
    AttentionParams {
        queries: u32, keys: u32, heads: u32, scale: f32, head_dim: u32, q_stride: u32, kv_stride: u32, k_offset: u32,
        v_offset: u32,
    }
}

params! {
    /// Uniforms of attention_untiled.wgsl.
    UntiledAttentionParams {
        queries: u32, keys: u32, heads: u32, scale: f32, head_dim: u32, q_stride: u32, kv_stride: u32, k_offset: u32,
        v_offset: u32, first_key: u32, end_key: u32,
    }
}

/// f32 elements of workgroup memory that every WebGPU device has (16 KiB), minus a reserve.
const WORKGROUP_ELEMENTS: usize = 4096 - 64;
/// Maximum outputs of one of the 64 invocations.
const MAX_OUTPUTS: usize = 32;

/// Largest head dimension of attention_untiled.wgsl, which requires multiples of 4.
const MAX_UNTILED_HEAD_DIM: usize = 512;

/// Returns all block sizes that fit for a head dimension, largest first: queries and keys per block, and outputs per
/// invocation.
pub fn blocks(head_dim: usize) -> impl Iterator<Item = (usize, usize, usize)> {
    let shapes = [(16, 32), (16, 16), (8, 32), (8, 16), (8, 8), (4, 4), (2, 2)].into_iter();
    let shapes = shapes.map(move |(queries, keys)| (queries, keys, (queries * head_dim).div_ceil(64)));
    shapes.filter(move |&(queries, keys, outputs)| {
        (queries + keys) * head_dim + queries * (keys + 3) <= WORKGROUP_ELEMENTS && outputs <= MAX_OUTPUTS
    })
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

    /// Keys that one launch of attention_untiled.wgsl can cover.
    fn max_keys(&self) -> u64 {
        // A loop of n iterations counts as n + 1. Two inner loops per block of keys compute its scores and add its
        // values; two more loops begin and end the launch.
        let inner_loops = 2 * (self.head_dim as u64 / 4 + 1);
        (MAX_LOOP_ITERATIONS - inner_loops - 1) / (inner_loops + 1) * KEY_BLOCK
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
    let max_keys = sizes.max_keys();
    if !sizes.is_untiled(style) || sizes.keys <= max_keys {
        return Ok(None);
    }
    let flops = op.flops(inputs, output);
    let mut dispatches = Vec::new();
    for first_key in (0..sizes.keys).step_by(host_len(max_keys)) {
        let end_key = (first_key + max_keys).min(sizes.keys);
        let mut launch = untiled_launch(Kernel::AttentionUntiledChunk, op, inputs, output, first_key..end_key)?;
        launch.bindings.push(Binding::Input(inputs.len()));
        let operands = (0..inputs.len()).map(BufferRef::Input).chain([BufferRef::Scratch(0)]).collect();
        let flops = flops / sizes.keys * (end_key - first_key);
        dispatches.push(Dispatch { launch, inputs: operands, output: BufferRef::Output, flops });
    }
    let states = numel(&[sizes.items, op.heads]) * sizes.queries.div_ceil(4);
    Ok(Some(KernelSequence { dispatches, scratch: [8 * states, 0, 0] }))
}

/// Returns the launch of attention.wgsl, or of attention_untiled.wgsl over all keys.
pub fn launch(op: &Attention, inputs: &[&[usize]], output: &[usize], style: Style) -> Result<Launch, LaunchError> {
    let sizes = Sizes::of(op, inputs, output);
    if sizes.is_untiled(style) {
        return untiled_launch(Kernel::AttentionUntiled, op, inputs, output, 0..sizes.keys);
    }
    let count = |n: usize| to_u32(Kernel::Attention, n);
    let (block_queries, block_keys, outputs) = blocks(sizes.head_dim).next().ok_or_else(|| LaunchError {
        kernel: Kernel::Attention.name(),
        reason: format!("supports head dimensions up to 1005, not {}", sizes.head_dim),
    })?;
    let groups = [
        to_u32(Kernel::Attention, sizes.queries.div_ceil(block_queries as u64))?,
        count(op.heads)?,
        count(sizes.items)?,
    ];
    let params = params(Kernel::Attention, op, inputs, output)?;
    Ok(bound(Kernel::Attention, inputs, params, groups)
        .with("SIZE", count(sizes.head_dim)?)
        .with("QUERIES", count(block_queries)?)
        .with("KEYS", count(block_keys)?)
        .with("CAUSAL", op.causal)
        .with("OUTPUTS", count(outputs)?))
}

/// Returns the launch of attention_untiled.wgsl for a range of keys.
fn untiled_launch(
    kernel: Kernel,
    op: &Attention,
    inputs: &[&[usize]],
    output: &[usize],
    range: Range<u64>,
) -> Result<Launch, LaunchError> {
    let sizes = Sizes::of(op, inputs, output);
    let groups =
        [to_u32(kernel, sizes.queries.div_ceil(16 * 4))?, to_u32(kernel, op.heads)?, to_u32(kernel, sizes.items)?];
    let AttentionParams { queries, keys, heads, scale, head_dim, q_stride, kv_stride, k_offset, v_offset } =
        params(kernel, op, inputs, output)?;
    let (first_key, end_key) = (to_u32(kernel, range.start)?, to_u32(kernel, range.end)?);
    let params = UntiledAttentionParams {
        queries,
        keys,
        heads,
        scale,
        head_dim,
        q_stride,
        kv_stride,
        k_offset,
        v_offset,
        first_key,
        end_key,
    };
    Ok(bound(kernel, inputs, params, groups).with("CAUSAL", op.causal))
}

/// Returns the uniforms that all attention kernels have.
fn params(
    kernel: Kernel,
    op: &Attention,
    inputs: &[&[usize]],
    output: &[usize],
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
    })
}

/// Returns a launch with q, k, v and the output bound.
fn bound(kernel: Kernel, inputs: &[&[usize]], params: impl Into<Uniforms>, groups: [u32; 3]) -> Launch {
    let slices = Attention::qkv_slices(inputs.len());
    let mut launch = Launch::new(kernel, 3, params, groups);
    launch.bindings.splice(..3, slices.map(|slice| Binding::Input(slice.input)));
    launch
}
