//! Launch of row or column scaling.

use crate::gpu::kernel::{Launch, LaunchError, to_u32};
use crate::gpu::kernels::Kernel;
use crate::gpu::params::params;
use crate::num::numel;
use crate::ops::{Axis, Scale};

params! {
    /// Uniforms of scale.wgsl.
    ScaleParams { count: u32, columns: u32, factor_count: u32, by_rows: u32 }
}

/// Returns the launch of scale.wgsl.
pub fn launch(op: &Scale, inputs: &[&[usize]], output: &[usize]) -> Result<Launch, LaunchError> {
    let columns = to_u32(Kernel::Scale, output.last().copied().unwrap_or(1))?;
    let factor_count = to_u32(Kernel::Scale, numel(inputs[1]))?;
    let count = numel(output);
    let by_rows = u32::from(op.axis == Axis::Rows);
    let params = ScaleParams { count: to_u32(Kernel::Scale, count)?, columns, factor_count, by_rows };
    Launch::elementwise(Kernel::Scale, 2, count, params)
}
