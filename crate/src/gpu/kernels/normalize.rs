//! Launch of group normalization of a strip, from given moments.

use crate::gpu::kernel::{Launch, LaunchError, to_u32};
use crate::gpu::kernels::Kernel;
use crate::gpu::params::params;
use crate::num::numel;
use crate::ops::Normalize;

params! {
    /// Uniforms of normalize.wgsl.
    NormalizeParams { count: u32, item: u32, channels: u32, groups: u32, eps: f32 }
}

/// Returns the launch of normalize.wgsl.
pub fn launch(op: &Normalize, inputs: &[&[usize]], output: &[usize]) -> Result<Launch, LaunchError> {
    let count = numel(output);
    let params = NormalizeParams {
        count: to_u32(Kernel::Normalize, count)?,
        item: to_u32(Kernel::Normalize, numel(&output[1..]))?,
        channels: to_u32(Kernel::Normalize, output[3])?,
        groups: to_u32(Kernel::Normalize, inputs[1][1])?,
        eps: op.eps,
    };
    Ok(Launch::elementwise(Kernel::Normalize, 4, count, params)?.with("SILU", op.silu))
}
