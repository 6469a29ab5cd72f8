//! Launch of 2D convolution.

use super::epilogue::EpilogueParams;
use super::matmul::refuse_others;
use super::product::Product;
use crate::gpu::kernel::{Binding, Launch, LaunchError, Style, to_u32};
use crate::num::numel;
use crate::ops::{Conv2d, Storage, leading};

/// Returns the launch of conv2d.wgsl, conv2d_untiled.wgsl or, for channel counts that are not multiples of 4,
/// conv2d_unaligned.wgsl.
pub fn launch(
    op: &Conv2d,
    inputs: &[&[usize]],
    output: &[usize],
    stored: Storage,
    style: Style,
) -> Result<Launch, LaunchError> {
    let count = |n: usize| to_u32("conv2d", n);
    let (channels, outputs) = (inputs[0][3], inputs[1][0]);
    let epilogue = EpilogueParams {
        kernel: "conv2d",
        inputs,
        bias: op.bias.then_some(2),
        epilogue: op.epilogue,
        epilogue_start: op.epilogue_start(),
        item_rows: numel(&output[1..3]),
    };
    let product = Product {
        untiled: "conv2d_untiled",
        size: (leading(output), outputs, inputs[1][1]),
        batched: false,
        prologue: None,
        epilogue,
        stored,
    };
    if channels % 4 != 0 || !product.is_aligned() || op.epilogue.geglu {
        return unaligned(op, inputs, output, stored);
    }
    let (height, width) = (inputs[0][1], inputs[0][2]);
    let (upsampled_height, upsampled_width) = op.upsampled_size(height, width);
    let map_sizes = [height, width, upsampled_height, upsampled_width, output[1], output[2]];
    let sizes = map_sizes.into_iter().chain([channels, op.kernel, op.stride, op.padding]);
    let conv_params = sizes.map(count).collect::<Result<Vec<_>, _>>()?;
    product.launch(&conv_params, style)
}

fn unaligned(op: &Conv2d, inputs: &[&[usize]], output: &[usize], stored: Storage) -> Result<Launch, LaunchError> {
    let count = |n: usize| to_u32("conv2d_unaligned", n);
    refuse_others("conv2d_unaligned", &op.epilogue.details())?;
    if op.upsample_to.is_some() {
        return Err(LaunchError { kernel: "conv2d_unaligned", reason: "does not support upsampling".into() });
    }
    let mut params = Vec::new();
    for &size in inputs[0].iter().chain(&output[1..]).chain([&op.kernel, &op.stride, &op.padding]) {
        params.push(count(size)?);
    }
    let (pixels, outputs) = (to_u32("conv2d_unaligned", leading(output))?, count(output[3])?);
    let groups = [outputs.div_ceil(8 * 4), pixels.div_ceil(4 * 4), 1];
    let mut launch =
        Launch::new("conv2d_unaligned", 2, params, groups).with("BIAS", op.bias).with("STORAGE", stored.code());
    launch.bindings.insert(2, Binding::Input(if op.bias { 2 } else { 1 }));
    Ok(launch)
}
