//! Plan of an upscaling network.

use super::{Builder, Layout, Plan, PlanError, ValueId};
use crate::model::Module;
use crate::model::upscaler::{DenseBlock, RrdbNet, UpscalerLayers, UpscalerNet};
use crate::num::numel;
use crate::ops::{Activation, Add, Axpy, Broadcast, Concat, PixelShuffle, Prelu, Unary, Upsample};

/// First part of the names of its weights, before the file's keys.
pub const UPSCALER: &str = "upscaler";

/// Share of a dense block's result that is added to its input.
const RESIDUAL_SCALE: f32 = 0.2;

/// Builds the plan for an image of `height` x `width`.
///
/// Input: `image` (1, H, W, 3), 0 to 1; sizes are multiples of [`UpscalerNet::size_multiple`].
/// Output: `enlarged` (1, H * scale, W * scale, 3), about 0 to 1. The scalar `one` is 1.
pub fn upscaler(net: &UpscalerNet, height: usize, width: usize) -> Result<Plan, PlanError> {
    let mut builder = Builder::for_component("upscaler", UPSCALER);
    let b = &mut builder;
    let image = b.input("image", &[1, height, width, 3]);
    let enlarged = match &net.layers {
        UpscalerLayers::Rrdb(net) => rrdb(b, net, image)?,
        UpscalerLayers::Compact(layers) => compact(b, layers, net.scale, image)?,
    };
    b.output("enlarged", enlarged);
    Ok(Plan { allows_winograd: true, ..builder.finish() })
}

/// Returns the maximum elements of a feature map of this plan that is not split into strips: those of the input's size
/// stay whole if a binding of `max_binding` bytes holds them, and the enlarged ones need little memory.
pub fn upscaler_strip(plan: &Plan, max_binding: u64) -> u64 {
    let height = plan.values.first().map_or(0, |image| image.shape[1]);
    let maps = plan.values.iter().filter(|value| value.shape.len() == 4 && value.shape[1] <= height);
    let largest = 4 * maps.map(|value| numel(&value.shape)).max().unwrap_or(0);
    STRIP_BYTES.max(largest).min(max_binding) / 4
}

/// Lower bound of the limit that [`upscaler_strip`] returns, in bytes.
const STRIP_BYTES: u64 = 32 << 20;

fn rrdb(b: &mut Builder, net: &RrdbNet, image: ValueId) -> Result<ValueId, PlanError> {
    let x = match net.unshuffle {
        1 => image,
        factor => b.push(PixelShuffle { factor, inverse: true }, &[image], "pixel_unshuffle")?,
    };
    let first = b.module(&net.first, x)?;
    let mut x = first;
    for block in &net.blocks {
        let start = x;
        for block in block {
            x = dense(b, block, x)?;
        }
        x = scaled_residual(b, start, x, &block[2].convs[4])?;
    }
    x = b.module(&net.trunk, x)?;
    x = sum(b, first, x, &net.trunk)?;
    for conv in &net.up {
        let [height, width] = [b.shape(x)[1], b.shape(x)[2]].map(|length| 2 * length);
        x = b.push(Upsample { height, width }, &[x], &conv.path)?;
        x = activated(b, conv, x)?;
    }
    x = activated(b, &net.hr, x)?;
    b.module(&net.last, x)
}

fn dense(b: &mut Builder, block: &DenseBlock, x: ValueId) -> Result<ValueId, PlanError> {
    let [one, two, three, four, five] = &block.convs;
    let first = activated(b, one, x)?;
    let all = b.push(Concat {}, &[x, first], &format!("{}.concat", one.path))?;
    let mut second = activated(b, two, all)?;
    if let Some(skip) = &block.skip {
        let skipped = b.module(skip, x)?;
        second = sum(b, second, skipped, two)?;
    }
    let all = b.push(Concat {}, &[all, second], &format!("{}.concat", two.path))?;
    let third = activated(b, three, all)?;
    let all = b.push(Concat {}, &[all, third], &format!("{}.concat", three.path))?;
    let mut fourth = activated(b, four, all)?;
    if block.skip.is_some() {
        fourth = sum(b, fourth, second, four)?;
    }
    let all = b.push(Concat {}, &[all, fourth], &format!("{}.concat", four.path))?;
    let y = b.module(five, all)?;
    scaled_residual(b, x, y, five)
}

fn sum(b: &mut Builder, x: ValueId, y: ValueId, conv: &Module) -> Result<ValueId, PlanError> {
    b.push(Add { broadcast: Broadcast::None }, &[x, y], &format!("{}.add", conv.path))
}

fn scaled_residual(b: &mut Builder, x: ValueId, y: ValueId, conv: &Module) -> Result<ValueId, PlanError> {
    let scalar = b.scalar("one").0;
    b.push(Axpy { scalar, factor: RESIDUAL_SCALE, gate: false }, &[x, y], &format!("{}.residual", conv.path))
}

fn activated(b: &mut Builder, conv: &Module, x: ValueId) -> Result<ValueId, PlanError> {
    let y = b.module(conv, x)?;
    b.push(Unary { function: Activation::LeakyRelu }, &[y], &format!("{}.leaky_relu", conv.path))
}

fn compact(
    b: &mut Builder,
    layers: &[(Module, Option<String>)],
    scale: usize,
    image: ValueId,
) -> Result<ValueId, PlanError> {
    let mut x = image;
    for (conv, slopes) in layers {
        x = b.module(conv, x)?;
        if let Some(key) = slopes {
            let slopes = b.weight(&format!("{UPSCALER}.{key}"), &[conv.weight_shape()[0]], Layout::Plain);
            x = b.push(Prelu {}, &[x, slopes], key)?;
        }
    }
    x = b.push(PixelShuffle { factor: scale, inverse: false }, &[x], "pixel_shuffle")?;
    let [height, width] = [b.shape(x)[1], b.shape(x)[2]];
    let base = b.push(Upsample { height, width }, &[image], "upsample")?;
    b.push(Add { broadcast: Broadcast::None }, &[x, base], "add")
}
