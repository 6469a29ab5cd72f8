//! Turns a mixing of rows in blocks into its launch.

use crate::gpu::kernel::{Launch, LaunchError, to_u32};
use crate::num::numel;
use crate::ops::Rotate;

/// See rotate.wgsl.
pub fn launch(op: &Rotate, inputs: &[&[usize]], output: &[usize]) -> Result<Launch, LaunchError> {
    let size = to_u32("rotate", inputs[0].last().copied().unwrap_or(1))?;
    let columns = to_u32("rotate", output.last().copied().unwrap_or(1))?;
    let rest = [columns, size, to_u32("rotate", op.stride)?];
    Launch::elementwise("rotate", 2, numel(output), &rest)
}
