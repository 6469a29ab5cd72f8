//! Turns a GEGLU into its launch.

use crate::gpu::kernel::{Launch, LaunchError, number};
use crate::num::numel;
use crate::ops::Geglu;

/// See geglu.wgsl.
pub fn launch(_op: &Geglu, _inputs: &[&[usize]], output: &[usize]) -> Result<Launch, LaunchError> {
    let half = number("geglu", output.last().copied().unwrap_or(1))?;
    Launch::elementwise("geglu", 1, numel(output), &[half])
}
