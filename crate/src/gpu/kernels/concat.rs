//! Launch of concatenation.

use crate::gpu::kernel::{Launch, LaunchError, to_u32};
use crate::gpu::kernels::Kernel;
use crate::gpu::params::params;
use crate::num::numel;
use crate::ops::Concat;

params! {
    /// Uniforms of concat.wgsl.
    ConcatParams { count: u32, left: u32, right: u32 }
}

/// Returns the launch of concat.wgsl.
pub fn launch(_op: &Concat, inputs: &[&[usize]], output: &[usize]) -> Result<Launch, LaunchError> {
    let width = |shape: &[usize]| to_u32(Kernel::Concat, shape.last().copied().unwrap_or(1));
    let count = numel(output);
    let params =
        ConcatParams { count: to_u32(Kernel::Concat, count)?, left: width(inputs[0])?, right: width(inputs[1])? };
    Launch::elementwise(Kernel::Concat, 2, count, params)
}
