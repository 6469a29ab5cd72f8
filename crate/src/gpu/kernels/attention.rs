//! Turns an attention into its launch, with blocks that fit 16 KiB of workgroup memory.

use crate::gpu::kernel::{Launch, LaunchError, Style, number};
use crate::ops::Attention;

/// Numbers of workgroup memory that a WebGPU device has at least (16 KiB), less some for the rest.
const ROOM: usize = 4096 - 64;
/// Outputs that one of 64 invocations may keep.
const MAX_OWN: usize = 32;

/// Largest head of attention_direct.wgsl, which takes multiples of 4.
const DIRECT_SIZE: usize = 512;

/// Queries and keys of a block for heads of `size` numbers.
fn blocks(size: usize) -> Option<(usize, usize)> {
    [(16, 32), (16, 16), (8, 16), (8, 8), (4, 4), (2, 2), (1, 1)].into_iter().find(|&(queries, keys)| {
        (queries + keys) * size + queries * (keys + 3) <= ROOM && (queries * size).div_ceil(64) <= MAX_OWN
    })
}

/// See attention.wgsl and attention_direct.wgsl.
pub fn launch(op: &Attention, inputs: &[&[usize]], output: &[usize], style: Style) -> Result<Launch, LaunchError> {
    let count = |n| number("attention", n);
    let tokens = |shape: &[usize]| shape[1..shape.len() - 1].iter().product::<usize>();
    let size = output[output.len() - 1] / op.heads;
    let (asked, seen) = (tokens(output), tokens(inputs[1]));
    let scale = (1.0 / (size as f64).sqrt()) as f32;
    let params = vec![count(asked)?, count(seen)?, count(op.heads)?, scale.to_bits()];
    let (heads, items) = (count(op.heads)?, count(output[0])?);
    if style == Style::Direct && size <= DIRECT_SIZE && size % 4 == 0 {
        let params = [params, vec![count(size)?]].concat();
        let launch = Launch::new("attention_direct", 3, params, [count(asked.div_ceil(16 * 4))?, heads, items]);
        return Ok(launch.with("CAUSAL", op.causal));
    }
    let (queries, keys) = blocks(size).ok_or_else(|| LaunchError {
        kernel: "attention",
        reason: format!("takes heads of at most 1024 numbers, not {size}"),
    })?;
    Ok(Launch::new("attention", 3, params, [count(asked.div_ceil(queries))?, heads, items])
        .with("SIZE", count(size)?)
        .with("QUERIES", queries as u32)
        .with("KEYS", keys as u32)
        .with("CAUSAL", op.causal)
        .with("OWN", (queries * size).div_ceil(64) as u32))
}
