//! Turns a narrowing into its launch.

use crate::gpu::kernel::{Launch, LaunchError, to_u32};
use crate::num::numel;
use crate::ops::Narrow;

/// See narrow.wgsl.
pub fn launch(op: &Narrow, output: &[usize]) -> Result<Launch, LaunchError> {
    let count = numel(output);
    let rest = [to_u32("narrow", count)?];
    Ok(Launch::elementwise("narrow", 1, count.div_ceil(2), &rest)?.with("STORAGE", op.storage.code()))
}
