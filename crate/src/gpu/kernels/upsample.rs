//! Launch of nearest-neighbor upsampling.

use crate::gpu::kernel::{Launch, LaunchError, to_u32};
use crate::num::numel;
use crate::ops::Upsample;

/// Returns the launch of upsample.wgsl.
pub fn launch(op: &Upsample, inputs: &[&[usize]], output: &[usize]) -> Result<Launch, LaunchError> {
    let mut rest = Vec::new();
    for &size in inputs[0][1..].iter().chain([&op.height, &op.width]) {
        rest.push(to_u32("upsample", size)?);
    }
    Launch::elementwise("upsample", 1, numel(output), &rest)
}
