//! Launch of attention, with block sizes that fit 16 KiB of workgroup memory.

use crate::gpu::kernel::{Binding, Launch, LaunchError, Style, to_u32};
use crate::num::{numel, to_f32};
use crate::ops::Attention;

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

/// Returns the launch of attention.wgsl or attention_untiled.wgsl.
pub fn launch(op: &Attention, inputs: &[&[usize]], output: &[usize], style: Style) -> Result<Launch, LaunchError> {
    let count = |n: usize| to_u32("attention", n);
    let tokens = |shape: &[usize]| numel(&shape[1..shape.len() - 1]);
    let width = output[output.len() - 1];
    let head_dim = width / op.heads;
    let parts = Attention::parts(inputs.len());
    let (queries, keys) = (tokens(output), tokens(inputs[parts[1].input]));
    let scale = to_f32(1.0 / (head_dim as f64).sqrt());
    let mut params = vec![
        to_u32("attention", queries)?,
        to_u32("attention", keys)?,
        count(op.heads)?,
        scale.to_bits(),
        count(head_dim)?,
    ];
    let [q, k, v] = parts;
    for offset in [q.of * width, k.of * width, k.place * width, v.place * width] {
        params.push(count(offset)?);
    }
    let bind = |mut launch: Launch| {
        launch.bindings.splice(..3, parts.map(|part| Binding::Input(part.input)));
        launch
    };
    let (heads, items) = (count(op.heads)?, count(output[0])?);
    if style == Style::Untiled && head_dim <= MAX_UNTILED_HEAD_DIM && head_dim.is_multiple_of(4) {
        let groups = [to_u32("attention", queries.div_ceil(16 * 4))?, heads, items];
        let launch = Launch::new("attention_untiled", 3, params, groups);
        return Ok(bind(launch).with("CAUSAL", op.causal));
    }
    let (block_queries, block_keys, outputs) = blocks(head_dim).next().ok_or_else(|| LaunchError {
        kernel: "attention",
        reason: format!("supports head dimensions up to 1005, not {head_dim}"),
    })?;
    let groups = [to_u32("attention", queries.div_ceil(block_queries as u64))?, heads, items];
    let launch = Launch::new("attention", 3, params, groups);
    Ok(bind(launch)
        .with("SIZE", count(head_dim)?)
        .with("QUERIES", count(block_queries)?)
        .with("KEYS", count(block_keys)?)
        .with("CAUSAL", op.causal)
        .with("OWN", count(outputs)?))
}
