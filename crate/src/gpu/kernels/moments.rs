//! Launch of group moments over a strip.

use super::group_norm::threads;
use crate::gpu::kernel::{Binding, Launch, LaunchError, Style, to_u32};
use crate::num::numel;
use crate::ops::Moments;

/// Returns the launch of moments.wgsl.
pub fn launch(op: &Moments, inputs: &[&[usize]], style: Style) -> Result<Launch, LaunchError> {
    let mut params = Vec::new();
    for size in inputs[0][1..].iter().chain([&op.groups, &op.start, &op.count]) {
        params.push(to_u32("moments", *size)?);
    }
    let groups = [to_u32("moments", op.groups)?, to_u32("moments", inputs[0][0])?, 1];
    let elements = numel(&[op.count, inputs[0][2], inputs[0][3]]) / op.groups as u64;
    let has_previous = inputs.len() == 2;
    let mut launch = Launch::new("moments", 1, params, groups);
    launch.bindings.insert(1, Binding::Input(usize::from(has_previous)));
    Ok(launch.with("GOES_ON", has_previous).with("THREADS", threads(style, elements)))
}
