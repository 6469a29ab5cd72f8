//! Turns a mixing of rows in blocks into its launch.

use crate::gpu::kernel::{Launch, LaunchError, number};
use crate::num::numel;
use crate::ops::Rotate;

/// See rotate.wgsl.
pub fn launch(op: &Rotate, inputs: &[&[usize]], output: &[usize]) -> Result<Launch, LaunchError> {
    let size = number("rotate", inputs[0].last().copied().unwrap_or(1))?;
    let columns = number("rotate", output.last().copied().unwrap_or(1))?;
    let rest = [columns, size, number("rotate", op.stride)?];
    Launch::elementwise("rotate", 2, numel(output), &rest)
}
