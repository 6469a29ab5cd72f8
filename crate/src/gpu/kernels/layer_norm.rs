//! Turns a layer norm into its launch.

use crate::gpu::kernel::{Launch, LaunchError, Style, number, spread};
use crate::ops::{LayerNorm, leading};

/// Invocations of a workgroup.
fn threads(style: Style) -> u32 {
    match style {
        Style::Tiled => 64,
        Style::Direct => 8,
    }
}

/// See layer_norm.wgsl.
pub fn launch(op: &LayerNorm, inputs: &[&[usize]], output: &[usize], style: Style) -> Result<Launch, LaunchError> {
    let rows = leading(inputs[0]);
    let width = output.last().copied().unwrap_or(1);
    let params = vec![number("layer_norm", rows)?, number("layer_norm", width)?, op.eps.to_bits()];
    Ok(Launch::new("layer_norm", 3, params, spread("layer_norm", rows)?).with("THREADS", threads(style)))
}
