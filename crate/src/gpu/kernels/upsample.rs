//! Launch of nearest-neighbor upsampling.

use crate::gpu::kernel::{Launch, LaunchError, to_u32};
use crate::gpu::kernels::Kernel;
use crate::gpu::params::params;
use crate::num::numel;
use crate::ops::Upsample;

params! {
    /// Uniforms of upsample.wgsl.
    UpsampleParams { count: u32, height: u32, width: u32, channels: u32, out_height: u32, out_width: u32 }
}

/// Returns the launch of upsample.wgsl.
pub fn launch(op: &Upsample, inputs: &[&[usize]], output: &[usize]) -> Result<Launch, LaunchError> {
    let size = |n: usize| to_u32(Kernel::Upsample, n);
    let count = numel(output);
    let params = UpsampleParams {
        count: to_u32(Kernel::Upsample, count)?,
        height: size(inputs[0][1])?,
        width: size(inputs[0][2])?,
        channels: size(inputs[0][3])?,
        out_height: size(op.height)?,
        out_width: size(op.width)?,
    };
    Launch::elementwise(Kernel::Upsample, 1, count, params)
}
