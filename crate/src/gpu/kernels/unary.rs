//! Launch of an elementwise activation function.

use crate::gpu::kernel::{Launch, LaunchError, to_u32};
use crate::gpu::kernels::Kernel;
use crate::gpu::params::params;
use crate::num::numel;
use crate::ops::{Activation, Unary};

params! {
    /// Uniforms of unary.wgsl.
    UnaryParams { count: u32 }
}

/// Returns the launch of unary.wgsl.
pub fn launch(op: &Unary, _inputs: &[&[usize]], output: &[usize]) -> Result<Launch, LaunchError> {
    let function = match op.function {
        Activation::Silu => 0.0,
        Activation::Gelu => 1.0,
        Activation::QuickGelu => 2.0,
        Activation::LeakyRelu => 3.0,
    };
    let count = numel(output);
    let params = UnaryParams { count: to_u32(Kernel::Unary, count)? };
    Ok(Launch::elementwise(Kernel::Unary, 1, count, params)?.with("FUNCTION", function))
}
