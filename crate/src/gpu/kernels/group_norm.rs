//! Launch of group normalization.

use crate::gpu::kernel::{Binding, Launch, LaunchError, MAX_LOOP_ITERATIONS, Style, to_u32};
use crate::gpu::kernels::Kernel;
use crate::gpu::params::params;
use crate::num::numel;
use crate::ops::{GroupNorm, GroupNormOperands};

params! {
    /// Uniforms of group_norm.wgsl.
    GroupNormParams { pixels: u32, channels: u32, groups: u32, eps: f32, x_channels: u32 }
}

/// Returns the workgroup size of kernels that reduce over a group of `elements` in up to three loops.
pub(super) fn threads(style: Style, elements: u64) -> u32 {
    match style {
        Style::Untiled if 3 * (elements.div_ceil(32) + 1) <= MAX_LOOP_ITERATIONS => 32,
        _ => 256,
    }
}

/// Returns the launch of group_norm.wgsl.
pub fn launch(op: &GroupNorm, inputs: &[&[usize]], output: &[usize], style: Style) -> Result<Launch, LaunchError> {
    let count = |n: usize| to_u32(Kernel::GroupNorm, n);
    let indices: Vec<usize> = (0..inputs.len()).collect();
    let operands = op.operands(&indices).ok_or_else(|| LaunchError {
        kernel: Kernel::GroupNorm.name(),
        reason: format!("does not support {} inputs", inputs.len()),
    })?;
    let (batch, channels) = (output[0], output[output.len() - 1]);
    let elements = numel(&output[1..]) / op.groups as u64;
    let pixels = to_u32(Kernel::GroupNorm, numel(&output[1..output.len() - 1]))?;
    let x_channels = inputs[operands.x].last().copied().unwrap_or(1);
    let params = GroupNormParams {
        pixels,
        channels: count(channels)?,
        groups: count(op.groups)?,
        eps: op.eps,
        x_channels: count(x_channels)?,
    };
    let groups = [count(op.groups)?, count(batch)?, 1];
    let mut launch = Launch::new(Kernel::GroupNorm, 0, params, groups);
    // Without a second feature map x is bound instead, which the shader does not read through this binding.
    let GroupNormOperands { x, weight, bias, skip } = operands;
    launch.bindings.splice(0..0, [x, weight, bias, skip.unwrap_or(x)].map(Binding::Input));
    Ok(launch.with("SILU", op.silu).with("THREADS", threads(style, elements)))
}
