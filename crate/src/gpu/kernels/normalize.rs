//! Launch of group normalization of a strip, from given moments.

use crate::gpu::kernel::{Launch, LaunchError, to_u32};
use crate::num::numel;
use crate::ops::Normalize;

/// Returns the launch of normalize.wgsl.
pub fn launch(op: &Normalize, inputs: &[&[usize]], output: &[usize]) -> Result<Launch, LaunchError> {
    let item = to_u32("normalize", numel(&output[1..]))?;
    let rest = [item, to_u32("normalize", output[3])?, to_u32("normalize", inputs[1][1])?, op.eps.to_bits()];
    Ok(Launch::elementwise("normalize", 4, numel(output), &rest)?.with("SILU", op.silu))
}
