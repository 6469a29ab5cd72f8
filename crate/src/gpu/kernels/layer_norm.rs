//! Launch of layer normalization.

use crate::gpu::kernel::{Launch, LaunchError, Style, to_u32, workgroup_grid};
use crate::gpu::kernels::Kernel;
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
    let params = LayerNormParams {
        rows: to_u32(Kernel::LayerNorm, rows)?,
        width: to_u32(Kernel::LayerNorm, width)?,
        eps: op.eps,
    };
    Ok(Launch::new(Kernel::LayerNorm, 3, params, workgroup_grid(Kernel::LayerNorm, rows)?)
        .with("THREADS", threads(style)))
}
