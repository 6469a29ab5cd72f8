//! Launch of leaky ReLU with a slope per channel.

use crate::gpu::kernel::{Launch, LaunchError, to_u32};
use crate::gpu::kernels::Kernel;
use crate::gpu::params::params;
use crate::num::numel;
use crate::ops::Prelu;

params! {
    /// Uniforms of prelu.wgsl.
    PreluParams { count: u32, channels: u32 }
}

/// Returns the launch of prelu.wgsl.
pub fn launch(_op: &Prelu, inputs: &[&[usize]], output: &[usize]) -> Result<Launch, LaunchError> {
    let count = numel(output);
    let channels = to_u32(Kernel::Prelu, numel(inputs[1]))?;
    Launch::elementwise(Kernel::Prelu, 2, count, PreluParams { count: to_u32(Kernel::Prelu, count)?, channels })
}
