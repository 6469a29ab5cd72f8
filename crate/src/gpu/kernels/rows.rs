//! Launch of the vertical concatenation of feature map rows.

use crate::gpu::kernel::{Binding, Launch, LaunchError, to_u32};
use crate::num::numel;
use crate::ops::{MAX_PARTS, Rows};

/// Returns the launch of rows.wgsl.
pub fn launch(op: &Rows, inputs: &[&[usize]], output: &[usize]) -> Result<Launch, LaunchError> {
    let count = |n: usize| to_u32("rows", n);
    let mut rest = vec![to_u32("rows", numel(&output[2..]))?, count(output[1])?, count(op.parts.len())?];
    let mut first = 0;
    for part in 0..MAX_PARTS {
        let (start, rows) = op.parts.get(part).copied().unwrap_or((0, 0));
        let height = inputs.get(part).map_or(0, |shape| shape[1]);
        rest.extend([count(first)?, count(start)?, count(height)?, 0]);
        first += rows;
    }
    let mut launch = Launch::elementwise("rows", 0, numel(output), &rest)?;
    // Unused inputs are bound to the first map, which the shader does not read through them.
    launch.bindings = (0..MAX_PARTS).map(|part| Binding::Input(if part < op.parts.len() { part } else { 0 })).collect();
    launch.bindings.push(Binding::Output);
    Ok(launch)
}
