//! Launch of layer normalization.

use crate::gpu::kernel::{Launch, LaunchError, Style, to_u32, workgroup_grid};
use crate::gpu::params::params;
use crate::ops::{LayerNorm, leading};

params! {
    /// Uniforms of layer_norm.wgsl.
    LayerNormParams { rows: u32, width: u32, eps: f32 }
}

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
    let params =
        LayerNormParams { rows: to_u32("layer_norm", rows)?, width: to_u32("layer_norm", width)?, eps: op.eps };
    Ok(Launch::new("layer_norm", 3, params, workgroup_grid("layer_norm", rows)?).with("THREADS", threads(style)))
}
