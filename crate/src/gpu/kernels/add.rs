//! Launch of broadcast addition.

use crate::gpu::kernel::{Launch, LaunchError, to_u32};
use crate::num::numel;
use crate::ops::Add;

/// Returns the launch of add.wgsl.
pub fn launch(op: &Add, inputs: &[&[usize]], output: &[usize]) -> Result<Launch, LaunchError> {
    let (period, inner) = op.stride(inputs[0]);
    let rest = [to_u32("add", period)?, to_u32("add", inner)?];
    Launch::elementwise("add", 2, numel(output), &rest)
}
