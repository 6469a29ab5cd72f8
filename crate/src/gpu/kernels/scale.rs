//! Turns a scaling of rows or columns into its launch.

use crate::gpu::kernel::{Launch, LaunchError, to_u32};
use crate::num::numel;
use crate::ops::{Axis, Scale};

/// See scale.wgsl.
pub fn launch(op: &Scale, inputs: &[&[usize]], output: &[usize]) -> Result<Launch, LaunchError> {
    let columns = to_u32("scale", output.last().copied().unwrap_or(1))?;
    let numbers = to_u32("scale", numel(inputs[1]))?;
    let rest = [columns, numbers, u32::from(op.axis == Axis::Rows)];
    Launch::elementwise("scale", 2, numel(output), &rest)
}
