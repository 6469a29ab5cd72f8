//! Launch of scaled addition.

use crate::gpu::kernel::{Binding, Launch, LaunchError, to_u32};
use crate::gpu::kernels::Kernel;
use crate::gpu::params::params;
use crate::num::numel;
use crate::ops::Axpy;

params! {
    /// Uniforms of axpy.wgsl.
    AxpyParams { count: u32, scalar: u32, factor: f32, gate: u32 }
}

/// Returns the launch of axpy.wgsl.
pub fn launch(op: &Axpy, _inputs: &[&[usize]], output: &[usize]) -> Result<Launch, LaunchError> {
    let count = numel(output);
    let params = AxpyParams {
        count: to_u32(Kernel::Axpy, count)?,
        scalar: to_u32(Kernel::Axpy, op.scalar)?,
        factor: op.factor,
        gate: u32::from(op.gate),
    };
    let mut launch = Launch::elementwise(Kernel::Axpy, 2, count, params)?;
    launch.bindings.insert(2, Binding::Scalars);
    Ok(launch)
}
