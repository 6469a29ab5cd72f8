//! Plans of a VAE's decoder and encoder (diffusers' `AutoencoderKL.decode` and `encode`).

use super::unet::{attend, residual};
use super::{Builder, Plan, PlanError, ValueId};
use crate::model::Module;
use crate::model::unet::Attention;
use crate::model::vae::Vae;
use crate::num::numel;
use crate::ops::{Add, Broadcast, Upsample};

/// Builds the decoder's plan for `batch` latents of `height` x `width`.
///
/// Input: `latents` (B, H, W, latent channels), already divided by the scaling factor.
/// Output: `image` (B, H * scale, W * scale, 3), about -1 to 1.
pub fn vae_decoder(net: &Vae, batch: usize, height: usize, width: usize) -> Result<Plan, PlanError> {
    let mut builder = Builder::for_component("vae_decoder", "vae");
    let b = &mut builder;
    let mut x = b.input("latents", &[batch, height, width, net.config.latent_channels]);
    if let Some(conv) = &net.post_quant_conv {
        x = b.module(conv, x)?;
    }
    x = b.module(&net.conv_in, x)?;
    x = residual(b, &net.mid_in, x, None)?;
    x = self_attention(b, net.mid_attention.as_ref(), x)?;
    x = residual(b, &net.mid_out, x, None)?;
    let (mut height, mut width) = (height, width);
    for (resnets, upsampler) in &net.up {
        for resnet in resnets {
            x = residual(b, resnet, x, None)?;
        }
        if let Some(conv) = upsampler {
            (height, width) = (2 * height, 2 * width);
            x = b.push(Upsample { height, width }, &[x], &conv.path)?;
            x = b.module(conv, x)?;
        }
    }
    x = b.norm_silu(&net.norm_out, x)?;
    x = b.module(&net.conv_out, x)?;
    b.output("image", x);
    Ok(Plan { allows_winograd: true, ..builder.finish() })
}

/// Builds the encoder's plan for `batch` images of `height` x `width` pixels.
///
/// Input: `image` (B, H, W, 3), -1 to 1. Output: `moments` (B, H / scale, W / scale, 2 * latent
/// channels): means, then log-variances, not yet multiplied by the scaling factor.
pub fn vae_encoder(net: &Vae, batch: usize, height: usize, width: usize) -> Result<Plan, PlanError> {
    let encoder = &net.encoder;
    let mut builder = Builder::for_component("vae_encoder", "vae");
    let b = &mut builder;
    let image = b.input("image", &[batch, height, width, net.config.in_channels]);
    let mut x = b.module(&encoder.conv_in, image)?;
    for (resnets, downsampler) in &encoder.down {
        for resnet in resnets {
            x = residual(b, resnet, x, None)?;
        }
        if let Some(conv) = downsampler {
            x = b.conv_pad_end(conv, x, 1)?;
        }
    }
    x = residual(b, &encoder.mid_in, x, None)?;
    x = self_attention(b, encoder.mid_attention.as_ref(), x)?;
    x = residual(b, &encoder.mid_out, x, None)?;
    x = b.norm_silu(&encoder.norm_out, x)?;
    x = b.module(&encoder.conv_out, x)?;
    if let Some(conv) = &encoder.quant_conv {
        x = b.module(conv, x)?;
    }
    b.output("moments", x);
    Ok(Plan { allows_winograd: true, ..builder.finish() })
}

/// Returns the maximum elements of a VAE feature map that is not split into strips: little memory
/// compared to the rest, and at most a binding of `max_binding` bytes. The mid block, which has
/// attention, stays whole.
pub fn vae_strip(net: &Vae, height: usize, width: usize, max_binding: u64) -> u64 {
    let channels = net.config.block_out_channels.iter().copied().max().unwrap_or(1);
    let mid_block_bytes = 4 * numel(&[height, width, channels]);
    STRIP_BYTES.max(2 * mid_block_bytes).min(max_binding) / 4
}

/// Lower bound of the limit that [`vae_strip`] returns, in bytes.
const STRIP_BYTES: u64 = 32 << 20;

fn self_attention(b: &mut Builder, layers: Option<&(Module, Attention)>, x: ValueId) -> Result<ValueId, PlanError> {
    let Some((norm, attention)) = layers else { return Ok(x) };
    let normed = b.module(norm, x)?;
    let attended = attend(b, attention, normed, normed)?;
    b.push(Add { broadcast: Broadcast::None }, &[x, attended], &format!("{}.add", attention.path))
}
