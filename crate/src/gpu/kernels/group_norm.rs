//! Turns a group norm into its launch.

use crate::gpu::kernel::{Launch, LaunchError, Style, number};
use crate::ops::GroupNorm;

/// Invocations of a workgroup.
pub(super) fn threads(style: Style) -> u32 {
    match style {
        Style::Tiled => 256,
        Style::Direct => 32,
    }
}

/// See group_norm.wgsl.
pub fn launch(op: &GroupNorm, inputs: &[&[usize]], _output: &[usize], style: Style) -> Result<Launch, LaunchError> {
    let count = |n| number("group_norm", n);
    let (batch, channels) = (inputs[0][0], inputs[0][inputs[0].len() - 1]);
    let pixels: usize = inputs[0][1..inputs[0].len() - 1].iter().product();
    let params = vec![count(pixels)?, count(channels)?, count(op.groups)?, op.eps.to_bits()];
    let groups = [count(op.groups)?, count(batch)?, 1];
    Ok(Launch::new("group_norm", 3, params, groups).with("SILU", op.silu).with("THREADS", threads(style)))
}
