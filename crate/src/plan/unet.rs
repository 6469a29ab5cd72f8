//! Plan of a UNet: latents, timestep embedding and text states -> predicted noise (diffusers'
//! `UNet2DConditionModel.forward`).

use super::{Builder, Plan, PlanError, ValueId};
use crate::model::unet::{Attention as AttentionLayer, Resnet, Transformer, TransformerBlock, Unet};
use crate::ops::{Activation, Add, Attention, Broadcast, Concat, Geglu, Unary, Upsample};

const SUM: Add = Add { broadcast: Broadcast::None };
const SILU: Unary = Unary { function: Activation::Silu };

/// Inputs that change with each call; the others are constant for an image.
pub const UNET_VARYING: [&str; 3] = ["sample", "time", "guidance"];

/// Builds the plan for `batch` latents of `height` x `width` and `tokens` text states.
///
/// Inputs: `sample` (B, H, W, in_channels), `time` (B, channels of the first level), the sinusoidal timestep
/// embedding, `text` (B, T, cross_attention_dim); for SDXL `added` (B, projection input), pooled text
/// and the sinusoidal embeddings of the time ids; and for networks with guidance embedding `guidance`
/// (B, time_cond_proj_dim). Output: `noise` (B, H, W, out_channels).
pub fn unet(net: &Unet, batch: usize, height: usize, width: usize, tokens: usize) -> Result<Plan, PlanError> {
    let config = &net.config;
    let mut builder = Builder::for_component("unet", "unet");
    let b = &mut builder;
    let sample = b.input("sample", &[batch, height, width, config.in_channels]);
    let timestep = b.input("time", &[batch, config.block_out_channels[0]]);
    let text = b.input("text", &[batch, tokens, config.cross_attention_dim]);

    let mut timestep = timestep;
    if let (Some(project), Some(width)) = (&net.guidance, config.time_cond_proj_dim) {
        let guidance = b.input("guidance", &[batch, width]);
        let guidance = b.module(project, guidance)?;
        timestep = b.push(SUM, &[timestep, guidance], "time_embedding.add")?;
    }
    let mut time = embed(b, &net.time_embedding, timestep)?;
    if let (Some(layers), Some(inputs)) = (&net.add_embedding, config.projection_class_embeddings_input_dim) {
        let added = b.input("added", &[batch, inputs]);
        let added = embed(b, layers, added)?;
        time = b.push(SUM, &[time, added], "add_embedding")?;
    }
    let time = b.push(SILU, &[time], "time_embedding.act")?;

    let mut x = b.module(&net.conv_in, sample)?;
    let mut skips = vec![x];
    for block in &net.down {
        for (resnet, transformer) in &block.layers {
            x = layer(b, resnet, transformer.as_ref(), x, time, text)?;
            skips.push(x);
        }
        if let Some(conv) = &block.downsampler {
            x = b.module(conv, x)?;
            skips.push(x);
        }
    }

    x = residual(b, &net.mid.resnet_in, x, Some(time))?;
    x = spatial_transformer(b, &net.mid.transformer, x, text)?;
    x = residual(b, &net.mid.resnet_out, x, Some(time))?;

    for block in &net.up {
        for (resnet, transformer) in &block.layers {
            let skip = skips.pop().unwrap_or(x);
            let concatenated = b.push(Concat {}, &[x, skip], &format!("{}.concat", resnet.path))?;
            x = layer(b, resnet, transformer.as_ref(), concatenated, time, text)?;
        }
        if let Some(conv) = &block.upsampler {
            // Upsample to the next skip connection's size, which can be odd and is then not twice the current one.
            let next = skips.last().map(|&skip| b.shape(skip).to_vec()).unwrap_or_default();
            let up = Upsample { height: next[1], width: next[2] };
            x = b.push(up, &[x], &conv.path)?;
            x = b.module(conv, x)?;
        }
    }

    x = b.norm_silu(&net.norm_out, x)?;
    x = b.module(&net.conv_out, x)?;
    b.output("noise", x);
    Ok(Plan { allows_f16_math: true, ..builder.finish() })
}

/// Builds the plan of the first layer of a down block, resnet and transformer, for benchmarks.
///
/// Inputs: `x` (B, H, W, C), `time` (B, time width; after SiLU), `text` (B, T, cross_attention_dim).
/// Output: `y` (B, H, W, C).
pub fn unet_layer(
    net: &Unet,
    level: usize,
    batch: usize,
    height: usize,
    width: usize,
    tokens: usize,
) -> Result<Plan, PlanError> {
    let mut builder = Builder::for_component("unet layer", "unet");
    let b = &mut builder;
    let channels = net.config.block_out_channels[level];
    let x = b.input("x", &[batch, height, width, channels]);
    let time = b.input("time", &[batch, 4 * net.config.block_out_channels[0]]);
    let text = b.input("text", &[batch, tokens, net.config.cross_attention_dim]);
    let (resnet, transformer) = &net.down[level].layers[0];
    let y = layer(b, resnet, transformer.as_ref(), x, time, text)?;
    b.output("y", y);
    Ok(Plan { allows_f16_math: true, ..builder.finish() })
}

fn embed(b: &mut Builder, layers: &[crate::model::Module; 2], x: ValueId) -> Result<ValueId, PlanError> {
    let x = b.module(&layers[0], x)?;
    let x = b.push(SILU, &[x], &layers[0].path)?;
    b.module(&layers[1], x)
}

fn layer(
    b: &mut Builder,
    resnet: &Resnet,
    transformer: Option<&Transformer>,
    x: ValueId,
    time: ValueId,
    text: ValueId,
) -> Result<ValueId, PlanError> {
    let x = residual(b, resnet, x, Some(time))?;
    transformer.map_or(Ok(x), |transformer| spatial_transformer(b, transformer, x, text))
}

/// Appends a resnet; `time` is the time embedding after SiLU, (B, time width).
pub(super) fn residual(
    b: &mut Builder,
    resnet: &Resnet,
    x: ValueId,
    time: Option<ValueId>,
) -> Result<ValueId, PlanError> {
    let mut inner = b.norm_silu(&resnet.norm1, x)?;
    inner = b.module(&resnet.conv1, inner)?;
    if let (Some(project), Some(time)) = (&resnet.time_emb_proj, time) {
        let bias = b.module(project, time)?;
        inner = b.push(Add { broadcast: Broadcast::Pixels }, &[inner, bias], &format!("{}.add", project.path))?;
    }
    inner = b.norm_silu(&resnet.norm2, inner)?;
    inner = b.module(&resnet.conv2, inner)?;
    let shortcut = resnet.conv_shortcut.as_ref().map_or(Ok(x), |conv| b.module(conv, x))?;
    b.push(SUM, &[shortcut, inner], &resnet.path)
}

fn spatial_transformer(
    b: &mut Builder,
    transformer: &Transformer,
    x: ValueId,
    text: ValueId,
) -> Result<ValueId, PlanError> {
    let mut inner = b.module(&transformer.norm, x)?;
    inner = b.module(&transformer.proj_in, inner)?;
    for block in &transformer.blocks {
        inner = transformer_block(b, block, inner, text)?;
    }
    inner = b.module(&transformer.proj_out, inner)?;
    b.push(SUM, &[x, inner], &transformer.path)
}

fn transformer_block(
    b: &mut Builder,
    block: &TransformerBlock,
    x: ValueId,
    text: ValueId,
) -> Result<ValueId, PlanError> {
    let normed = b.module(&block.norm1, x)?;
    let attended = attend(b, &block.attn1, normed, normed)?;
    let x = b.push(SUM, &[x, attended], &format!("{}.add", block.attn1.path))?;
    let normed = b.module(&block.norm2, x)?;
    let attended = attend(b, &block.attn2, normed, text)?;
    let x = b.push(SUM, &[x, attended], &format!("{}.add", block.attn2.path))?;
    let normed = b.module(&block.norm3, x)?;
    let hidden = b.module(&block.ff_in, normed)?;
    let gated = b.push(Geglu {}, &[hidden], &block.ff_in.path)?;
    let projected = b.module(&block.ff_out, gated)?;
    b.push(SUM, &[x, projected], &block.path)
}

/// Appends multi-head attention with its four projections.
pub(super) fn attend(
    b: &mut Builder,
    layer: &AttentionLayer,
    x: ValueId,
    states: ValueId,
) -> Result<ValueId, PlanError> {
    let q = b.module(&layer.to_q, x)?;
    let k = b.module(&layer.to_k, states)?;
    let v = b.module(&layer.to_v, states)?;
    let attended = b.push(Attention { heads: layer.heads, causal: false }, &[q, k, v], &layer.path)?;
    b.module(&layer.to_out, attended)
}
