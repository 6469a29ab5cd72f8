//! Turns a function of each number into its launch.

use crate::gpu::kernel::{Launch, LaunchError};
use crate::num::numel;
use crate::ops::{Function, Unary};

/// See unary.wgsl.
pub fn launch(op: &Unary, _inputs: &[&[usize]], output: &[usize]) -> Result<Launch, LaunchError> {
    let function = match op.function {
        Function::Silu => 0.0,
        Function::Gelu => 1.0,
        Function::QuickGelu => 2.0,
    };
    Ok(Launch::elementwise("unary", 1, numel(output), &[])?.with("FUNCTION", function))
}
