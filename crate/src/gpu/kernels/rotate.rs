//! Launch of block-diagonal rotations (OFT, BOFT).

use crate::gpu::kernel::{Launch, LaunchError, to_u32};
use crate::gpu::kernels::Kernel;
use crate::gpu::params::params;
use crate::num::numel;
use crate::ops::{Axis, Rotate};

params! {
    /// Uniforms of rotate.wgsl.
    RotateParams { count: u32, columns: u32, size: u32, stride: u32, lines: u32, area: u32, across: u32 }
}

/// Returns the launch of rotate.wgsl.
pub fn launch(op: &Rotate, inputs: &[&[usize]], output: &[usize]) -> Result<Launch, LaunchError> {
    let size = to_u32(Kernel::Rotate, inputs[0].last().copied().unwrap_or(1))?;
    let columns = to_u32(Kernel::Rotate, output.last().copied().unwrap_or(1))?;
    let count = numel(output);
    let (axis, across) = if op.axis == Axis::Rows { (0, 0) } else { (1, 1) };
    let params = RotateParams {
        count: to_u32(Kernel::Rotate, count)?,
        columns,
        size,
        stride: to_u32(Kernel::Rotate, op.stride)?,
        lines: to_u32(Kernel::Rotate, output.get(axis).copied().unwrap_or(1))?,
        area: to_u32(Kernel::Rotate, op.area)?,
        across,
    };
    Launch::elementwise(Kernel::Rotate, 2, count, params)
}
