//! Turns an attention into its launch, with blocks that fit 16 KiB of workgroup memory.

use crate::gpu::kernel::{Binding, Launch, LaunchError, Style, to_u32};
use crate::num::{numel, to_f32};
use crate::ops::Attention;

/// Numbers of workgroup memory that a WebGPU device has at least (16 KiB), less some for the rest.
const ROOM: usize = 4096 - 64;
/// Outputs that one of 64 invocations may keep.
const MAX_HEAD_DIM: usize = 32;

/// Largest head of attention_untiled.wgsl, which takes multiples of 4.
const UNTILED_SIZE: usize = 512;

/// Queries and keys of a block for heads of `size` numbers, and outputs of an invocation: all that
/// fit, the largest first.
pub fn blocks(size: usize) -> impl Iterator<Item = (usize, usize, usize)> {
    let shapes = [(16, 32), (16, 16), (8, 32), (8, 16), (8, 8), (4, 4), (2, 2)].into_iter();
    let shapes = shapes.map(move |(queries, keys)| (queries, keys, (queries * size).div_ceil(64)));
    shapes.filter(move |&(queries, keys, own)| (queries + keys) * size + queries * (keys + 3) <= ROOM && own <= MAX_HEAD_DIM)
}

/// See attention.wgsl and attention_untiled.wgsl.
pub fn launch(op: &Attention, inputs: &[&[usize]], output: &[usize], style: Style) -> Result<Launch, LaunchError> {
    let count = |n: usize| to_u32("attention", n);
    let tokens = |shape: &[usize]| numel(&shape[1..shape.len() - 1]);
    let width = output[output.len() - 1];
    let size = width / op.heads;
    let parts = Attention::parts(inputs.len());
    let (asked, seen) = (tokens(output), tokens(inputs[parts[1].input]));
    let scale = to_f32(1.0 / (size as f64).sqrt());
    let mut params =
        vec![to_u32("attention", asked)?, to_u32("attention", seen)?, count(op.heads)?, scale.to_bits(), count(size)?];
    let [q, k, v] = parts;
    for offset in [q.of * width, k.of * width, k.place * width, v.place * width] {
        params.push(count(offset)?);
    }
    let bind = |mut launch: Launch| {
        launch.bindings.splice(..3, parts.map(|part| Binding::Input(part.input)));
        launch
    };
    let (heads, items) = (count(op.heads)?, count(output[0])?);
    if style == Style::Untiled && size <= UNTILED_SIZE && size.is_multiple_of(4) {
        let launch =
            Launch::new("attention_untiled", 3, params, [to_u32("attention", asked.div_ceil(16 * 4))?, heads, items]);
        return Ok(bind(launch).with("CAUSAL", op.causal));
    }
    let (queries, keys, own) = blocks(size).next().ok_or_else(|| LaunchError {
        kernel: "attention",
        reason: format!("takes heads of at most 1005 numbers, not {size}"),
    })?;
    let launch =
        Launch::new("attention", 3, params, [to_u32("attention", asked.div_ceil(queries as u64))?, heads, items]);
    Ok(bind(launch)
        .with("SIZE", count(size)?)
        .with("QUERIES", count(queries)?)
        .with("KEYS", count(keys)?)
        .with("CAUSAL", op.causal)
        .with("OWN", count(own)?))
}
