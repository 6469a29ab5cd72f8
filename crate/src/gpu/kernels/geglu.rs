//! Launch of GEGLU.

use crate::gpu::kernel::{Launch, LaunchError, to_u32};
use crate::num::numel;
use crate::ops::Geglu;

/// Returns the launch of geglu.wgsl.
pub fn launch(_op: &Geglu, _inputs: &[&[usize]], output: &[usize]) -> Result<Launch, LaunchError> {
    let half = to_u32("geglu", output.last().copied().unwrap_or(1))?;
    Launch::elementwise("geglu", 1, numel(output), &[half])
}
