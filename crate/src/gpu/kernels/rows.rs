//! Launch of the vertical concatenation of feature map rows.

use crate::gpu::kernel::{Binding, Launch, LaunchError, to_u32};
use crate::gpu::kernels::Kernel;
use crate::gpu::params::params;
use crate::num::numel;
use crate::ops::{MAX_PARTS, Rows};

params! {
    /// Uniforms of rows.wgsl. Each part is its first row in the output and in its input, the input's height, and 0.
    RowsParams { count: u32, row: u32, height: u32, used: u32, parts: [[u32; 4]; MAX_PARTS] }
}

/// Returns the launch of rows.wgsl.
pub fn launch(op: &Rows, inputs: &[&[usize]], output: &[usize]) -> Result<Launch, LaunchError> {
    let count = |n: usize| to_u32(Kernel::Rows, n);
    let mut params = RowsParams {
        count: to_u32(Kernel::Rows, numel(output))?,
        row: to_u32(Kernel::Rows, numel(&output[2..]))?,
        height: count(output[1])?,
        used: count(op.parts.len())?,
        parts: Default::default(),
    };
    let mut first = 0;
    for (part, words) in params.parts.iter_mut().enumerate() {
        let (start, rows) = op.parts.get(part).copied().unwrap_or((0, 0));
        let height = inputs.get(part).map_or(0, |shape| shape[1]);
        *words = [count(first)?, count(start)?, count(height)?, 0];
        first += rows;
    }
    let mut launch = Launch::elementwise(Kernel::Rows, 0, numel(output), params)?;
    // Unused inputs are bound to the first map, which the shader does not read through them.
    launch.bindings = (0..MAX_PARTS).map(|part| Binding::Input(if part < op.parts.len() { part } else { 0 })).collect();
    launch.bindings.push(Binding::Output);
    Ok(launch)
}
