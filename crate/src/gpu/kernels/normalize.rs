//! Turns a strip's group norm into its launch.

use crate::gpu::kernel::{Launch, LaunchError, number};
use crate::num::numel;
use crate::ops::Normalize;

/// See normalize.wgsl.
pub fn launch(op: &Normalize, inputs: &[&[usize]], output: &[usize]) -> Result<Launch, LaunchError> {
    let item = number("normalize", numel(&output[1..]))?;
    let rest = [item, number("normalize", output[3])?, number("normalize", inputs[1][1])?, op.eps.to_bits()];
    Ok(Launch::elementwise("normalize", 4, numel(output), &rest)?.with("SILU", op.silu))
}
