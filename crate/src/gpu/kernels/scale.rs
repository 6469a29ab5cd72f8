//! Launch of row or column scaling.

use crate::gpu::kernel::{Launch, LaunchError, to_u32};
use crate::num::numel;
use crate::ops::{Axis, Scale};

/// Returns the launch of scale.wgsl.
pub fn launch(op: &Scale, inputs: &[&[usize]], output: &[usize]) -> Result<Launch, LaunchError> {
    let columns = to_u32("scale", output.last().copied().unwrap_or(1))?;
    let factor_count = to_u32("scale", numel(inputs[1]))?;
    let rest = [columns, factor_count, u32::from(op.axis == Axis::Rows)];
    Launch::elementwise("scale", 2, numel(output), &rest)
}
