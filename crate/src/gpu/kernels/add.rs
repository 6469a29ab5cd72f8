//! Launch of broadcast addition.

use crate::gpu::kernel::{Launch, LaunchError, to_u32};
use crate::gpu::kernels::Kernel;
use crate::gpu::params::params;
use crate::num::numel;
use crate::ops::Add;

params! {
    /// Uniforms of add.wgsl.
    AddParams { count: u32, period: u32, inner: u32 }
}

/// Returns the launch of add.wgsl.
pub fn launch(op: &Add, inputs: &[&[usize]], output: &[usize]) -> Result<Launch, LaunchError> {
    let (period, inner) = op.stride(inputs[0]);
    let count = numel(output);
    let params = AddParams {
        count: to_u32(Kernel::Add, count)?,
        period: to_u32(Kernel::Add, period)?,
        inner: to_u32(Kernel::Add, inner)?,
    };
    Launch::elementwise(Kernel::Add, 2, count, params)
}
