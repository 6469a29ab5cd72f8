//! Turns a strip's group norm into its launch.

use crate::gpu::kernel::{Launch, LaunchError, number};
use crate::ops::Normalize;

/// See normalize.wgsl.
pub fn launch(op: &Normalize, inputs: &[&[usize]], output: &[usize]) -> Result<Launch, LaunchError> {
    let item: usize = output[1..].iter().product();
    let mut rest = Vec::new();
    for size in [item, output[3], inputs[1][1]] {
        rest.push(number("normalize", size)?);
    }
    rest.push(op.eps.to_bits());
    Ok(Launch::elementwise("normalize", 4, output.iter().product(), &rest)?.with("SILU", op.silu))
}
