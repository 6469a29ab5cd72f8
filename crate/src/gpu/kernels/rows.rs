//! Turns rows of several maps into a launch.

use crate::gpu::kernel::{Binding, Launch, LaunchError, to_u32};
use crate::num::numel;
use crate::ops::{MAX_PARTS, Rows};

/// See rows.wgsl.
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
    // Places without a part get the first map, which they leave unread.
    launch.bindings =
        (0..MAX_PARTS).map(|part| Binding::Input(if part < op.parts.len() { part } else { 0 })).collect();
    launch.bindings.push(Binding::Output);
    Ok(launch)
}
