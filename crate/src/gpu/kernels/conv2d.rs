//! Turns a convolution into its launch.

use super::matmul::TILE;
use crate::gpu::kernel::{Binding, Launch, LaunchError, Style, number};
use crate::ops::{Conv2d, Storage, leading};

/// See conv2d.wgsl and conv2d_direct.wgsl.
pub fn launch(
    op: &Conv2d,
    inputs: &[&[usize]],
    output: &[usize],
    stored: Storage,
    style: Style,
) -> Result<Launch, LaunchError> {
    let count = |n| number("conv2d", n);
    let mut params = Vec::new();
    for &size in inputs[0].iter().chain(&output[1..]).chain([&op.kernel, &op.stride, &op.padding]) {
        params.push(count(size)?);
    }
    let (pixels, outputs) = (count(leading(output))?, count(output[3])?);
    let (kernel, groups) = match style {
        Style::Tiled => ("conv2d", [pixels.div_ceil(TILE), outputs.div_ceil(TILE), 1]),
        Style::Direct => ("conv2d_direct", [outputs.div_ceil(8 * 4), pixels.div_ceil(4 * 4), 1]),
    };
    let mut launch = Launch::new(kernel, 2, params, groups).with("BIAS", op.bias).with("STORAGE", stored.code());
    launch.bindings.insert(2, Binding::Input(if op.bias { 2 } else { 1 }));
    Ok(launch)
}
