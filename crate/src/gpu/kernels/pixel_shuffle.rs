//! Launch of pixel shuffling.

use crate::gpu::kernel::{Launch, LaunchError, to_u32};
use crate::gpu::kernels::Kernel;
use crate::gpu::params::params;
use crate::num::numel;
use crate::ops::PixelShuffle;

params! {
    /// Uniforms of pixel_shuffle.wgsl: width and channels of the larger map.
    PixelShuffleParams { count: u32, width: u32, channels: u32, factor: u32, inverse: u32 }
}

/// Returns the launch of pixel_shuffle.wgsl.
pub fn launch(op: &PixelShuffle, inputs: &[&[usize]], output: &[usize]) -> Result<Launch, LaunchError> {
    let size = |n: usize| to_u32(Kernel::PixelShuffle, n);
    let large = if op.inverse { inputs[0] } else { output };
    let count = numel(output);
    let params = PixelShuffleParams {
        count: to_u32(Kernel::PixelShuffle, count)?,
        width: size(large[2])?,
        channels: size(large[3])?,
        factor: size(op.factor)?,
        inverse: u32::from(op.inverse),
    };
    Launch::elementwise(Kernel::PixelShuffle, 1, count, params)
}
