//! Launch of scaled addition.

use crate::gpu::kernel::{Binding, Launch, LaunchError, to_u32};
use crate::num::numel;
use crate::ops::Axpy;

/// Returns the launch of axpy.wgsl.
pub fn launch(op: &Axpy, _inputs: &[&[usize]], output: &[usize]) -> Result<Launch, LaunchError> {
    let rest = [to_u32("axpy", op.scalar)?, op.factor.to_bits()];
    let mut launch = Launch::elementwise("axpy", 2, numel(output), &rest)?;
    launch.bindings.insert(2, Binding::Scalars);
    Ok(launch)
}
