//! Launch of layer normalization.

use crate::gpu::kernel::{Launch, LaunchError, Style, to_u32, workgroup_grid};
use crate::ops::{LayerNorm, leading};

/// Returns the workgroup size.
fn threads(style: Style) -> u32 {
    match style {
        Style::Tiled => 64,
        Style::Untiled => 8,
    }
}

/// Returns the launch of layer_norm.wgsl.
pub fn launch(op: &LayerNorm, inputs: &[&[usize]], output: &[usize], style: Style) -> Result<Launch, LaunchError> {
    let rows = leading(inputs[0]);
    let width = output.last().copied().unwrap_or(1);
    let params = vec![to_u32("layer_norm", rows)?, to_u32("layer_norm", width)?, op.eps.to_bits()];
    Ok(Launch::new("layer_norm", 3, params, workgroup_grid("layer_norm", rows)?).with("THREADS", threads(style)))
}
