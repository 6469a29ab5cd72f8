//! Launch of concatenation.

use crate::gpu::kernel::{Launch, LaunchError, to_u32};
use crate::num::numel;
use crate::ops::Concat;

/// Returns the launch of concat.wgsl.
pub fn launch(_op: &Concat, inputs: &[&[usize]], output: &[usize]) -> Result<Launch, LaunchError> {
    let width = |shape: &[usize]| to_u32("concat", shape.last().copied().unwrap_or(1));
    Launch::elementwise("concat", 2, numel(output), &[width(inputs[0])?, width(inputs[1])?])
}
