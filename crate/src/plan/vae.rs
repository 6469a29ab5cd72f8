//! Turns a VAE decoder into a plan: latents in, colours out (diffusers' `AutoencoderKL.decode`).

use super::unet::{attend, residual};
use super::{Builder, Plan, PlanError};
use crate::model::vae::Vae;
use crate::ops::{Add, Broadcast, Upsample};

/// The plan for `batch` latents of `height` x `width`.
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
    if let Some((norm, attention)) = &net.mid_attention {
        let normed = b.module(norm, x)?;
        let mixed = attend(b, attention, normed, normed)?;
        x = b.push(Add { broadcast: Broadcast::None }, &[x, mixed], &format!("{}.add", attention.path))?;
    }
    x = residual(b, &net.mid_out, x, None)?;
    for (resnets, upsampler) in &net.up {
        for resnet in resnets {
            x = residual(b, resnet, x, None)?;
        }
        if let Some(conv) = upsampler {
            let &[_, height, width, _] = b.shape(x) else { unreachable!("feature maps have four axes") };
            x = b.push(Upsample { height: height * 2, width: width * 2 }, &[x], &conv.path)?;
            x = b.module(conv, x)?;
        }
    }
    x = b.norm_silu(&net.norm_out, x)?;
    x = b.module(&net.conv_out, x)?;
    b.output("image", x);
    Ok(builder.finish())
}
