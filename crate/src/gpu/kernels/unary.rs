//! Launch of an elementwise activation function.

use crate::gpu::kernel::{Launch, LaunchError};
use crate::num::numel;
use crate::ops::{Activation, Unary};

/// Returns the launch of unary.wgsl.
pub fn launch(op: &Unary, _inputs: &[&[usize]], output: &[usize]) -> Result<Launch, LaunchError> {
    let function = match op.function {
        Activation::Silu => 0.0,
        Activation::Gelu => 1.0,
        Activation::QuickGelu => 2.0,
    };
    Ok(Launch::elementwise("unary", 1, numel(output), &[])?.with("FUNCTION", function))
}
