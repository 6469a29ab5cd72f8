//! Launch of group moments over a strip.

use super::group_norm::threads;
use crate::gpu::kernel::{Binding, Launch, LaunchError, Style, to_u32};
use crate::gpu::kernels::Kernel;
use crate::gpu::params::params;
use crate::num::numel;
use crate::ops::Moments;

params! {
    /// Uniforms of moments.wgsl.
    MomentsParams { height: u32, width: u32, channels: u32, groups: u32, start: u32, count: u32 }
}

/// Returns the launch of moments.wgsl.
pub fn launch(op: &Moments, inputs: &[&[usize]], style: Style) -> Result<Launch, LaunchError> {
    let size = |n: usize| to_u32(Kernel::Moments, n);
    let params = MomentsParams {
        height: size(inputs[0][1])?,
        width: size(inputs[0][2])?,
        channels: size(inputs[0][3])?,
        groups: size(op.groups)?,
        start: size(op.start)?,
        count: size(op.count)?,
    };
    let groups = [to_u32(Kernel::Moments, op.groups)?, to_u32(Kernel::Moments, inputs[0][0])?, 1];
    let elements = numel(&[op.count, inputs[0][2], inputs[0][3]]) / op.groups as u64;
    let has_previous = inputs.len() == 2;
    let mut launch = Launch::new(Kernel::Moments, 1, params, groups);
    launch.bindings.insert(1, Binding::Input(usize::from(has_previous)));
    Ok(launch.with("GOES_ON", has_previous).with("THREADS", threads(style, elements)))
}
