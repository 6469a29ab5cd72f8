//! Launch of the conversion from f32 to f16 or bf16.

use crate::gpu::kernel::{Launch, LaunchError, to_u32};
use crate::num::numel;
use crate::ops::Narrow;

/// Returns the launch of narrow.wgsl.
pub fn launch(op: &Narrow, output: &[usize]) -> Result<Launch, LaunchError> {
    let count = numel(output);
    let rest = [to_u32("narrow", count)?];
    Ok(Launch::elementwise("narrow", 1, count.div_ceil(2), &rest)?.with("STORAGE", op.storage.code()))
}
