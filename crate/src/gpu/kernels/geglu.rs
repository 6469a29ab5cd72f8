//! Launch of GEGLU.

use crate::gpu::kernel::{Launch, LaunchError, to_u32};
use crate::gpu::kernels::Kernel;
use crate::gpu::params::params;
use crate::num::numel;
use crate::ops::Geglu;

params! {
    /// Uniforms of geglu.wgsl.
    GegluParams { count: u32, half: u32 }
}

/// Returns the launch of geglu.wgsl.
pub fn launch(_op: &Geglu, _inputs: &[&[usize]], output: &[usize]) -> Result<Launch, LaunchError> {
    let half = to_u32(Kernel::Geglu, output.last().copied().unwrap_or(1))?;
    let count = numel(output);
    Launch::elementwise(Kernel::Geglu, 1, count, GegluParams { count: to_u32(Kernel::Geglu, count)?, half })
}
