//! Launch of 2D convolution.

use super::epilogue::{EpilogueParams, ProductParams};
use super::matmul::refuse_others;
use super::product::Product;
use crate::gpu::kernel::{Binding, Launch, LaunchError, Style, to_u32};
use crate::gpu::kernels::Kernel;
use crate::gpu::params::params;
use crate::num::numel;
use crate::ops::{Conv2d, ProductOperands, Storage, leading};

params! {
    /// Uniforms of conv2d_unaligned.wgsl.
    UnalignedConvParams {
        batch: u32, height: u32, width: u32, channels: u32, out_height: u32, out_width: u32, outputs: u32,
        kernel: u32, stride: u32, padding: u32,
    }
}

/// Returns the launch of conv2d.wgsl, conv2d_untiled.wgsl or, for channel counts that are not multiples of 4,
/// conv2d_unaligned.wgsl.
pub fn launch(
    op: &Conv2d,
    inputs: &[&[usize]],
    output: &[usize],
    stored: Storage,
    style: Style,
) -> Result<Launch, LaunchError> {
    let count = |n: usize| to_u32(Kernel::Conv2d, n);
    let operands = op.operand_indices();
    let (x, filters) = (inputs[operands.x], inputs[operands.weight]);
    let (channels, outputs) = (x[3], filters[0]);
    let epilogue = EpilogueParams {
        kernel: Kernel::Conv2d,
        inputs,
        operands,
        epilogue: op.epilogue,
        item_rows: numel(&output[1..3]),
    };
    let product = Product {
        untiled: Kernel::Conv2dUntiled,
        size: (leading(output), outputs, filters[1]),
        batched: false,
        prologue: None,
        epilogue,
        stored,
    };
    if channels % 4 != 0 || !product.is_aligned() || op.epilogue.geglu {
        return unaligned(op, inputs, output, stored);
    }
    let (height, width) = (x[1], x[2]);
    let (upsampled_height, upsampled_width) = op.upsampled_size(height, width);
    let params = ProductParams {
        height: count(height)?,
        width: count(width)?,
        upsampled_height: count(upsampled_height)?,
        upsampled_width: count(upsampled_width)?,
        out_height: count(output[1])?,
        out_width: count(output[2])?,
        channels: count(channels)?,
        kernel: count(op.kernel)?,
        stride: count(op.stride)?,
        padding: count(op.padding)?,
        ..Default::default()
    };
    product.launch(params, style)
}

fn unaligned(op: &Conv2d, inputs: &[&[usize]], output: &[usize], stored: Storage) -> Result<Launch, LaunchError> {
    let count = |n: usize| to_u32(Kernel::Conv2dUnaligned, n);
    refuse_others(Kernel::Conv2dUnaligned, &op.epilogue.details(), stored)?;
    if op.upsample_to.is_some() {
        return Err(LaunchError {
            kernel: Kernel::Conv2dUnaligned.name(),
            reason: "does not support upsampling".into(),
        });
    }
    let ProductOperands { x, weight, bias, .. } = op.operand_indices();
    let params = UnalignedConvParams {
        batch: count(inputs[x][0])?,
        height: count(inputs[x][1])?,
        width: count(inputs[x][2])?,
        channels: count(inputs[x][3])?,
        out_height: count(output[1])?,
        out_width: count(output[2])?,
        outputs: count(output[3])?,
        kernel: count(op.kernel)?,
        stride: count(op.stride)?,
        padding: count(op.padding)?,
    };
    let (pixels, outputs) = (to_u32(Kernel::Conv2dUnaligned, leading(output))?, count(output[3])?);
    let groups = [outputs.div_ceil(8 * 4), pixels.div_ceil(4 * 4), 1];
    let mut launch =
        Launch::new(Kernel::Conv2dUnaligned, 2, params, groups).with("BIAS", op.bias).with("STORAGE", stored.code());
    launch.bindings.insert(2, Binding::Input(bias.unwrap_or(weight)));
    Ok(launch)
}
