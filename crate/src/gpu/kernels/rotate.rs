//! Launch of block-diagonal row mixing (OFT, BOFT).

use crate::gpu::kernel::{Launch, LaunchError, to_u32};
use crate::num::numel;
use crate::ops::Rotate;

/// Returns the launch of rotate.wgsl.
pub fn launch(op: &Rotate, inputs: &[&[usize]], output: &[usize]) -> Result<Launch, LaunchError> {
    let size = to_u32("rotate", inputs[0].last().copied().unwrap_or(1))?;
    let columns = to_u32("rotate", output.last().copied().unwrap_or(1))?;
    let rest = [columns, size, to_u32("rotate", op.stride)?];
    Launch::elementwise("rotate", 2, numel(output), &rest)
}
