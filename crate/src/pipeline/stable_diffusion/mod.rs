//! Stable Diffusion 1.x, 2.x and XL: CLIP text encoders, a UNet and a VAE.

mod conditioning;
mod diffusers;
mod preview;
mod single_file;

pub use conditioning::{position_table, token_table};

use super::error::PipelineError;
use super::preview::Previewer;
use super::recipe::Recipe;
use super::shape::Shape;
use super::sinusoidal::{guidance_embedding, timestep_embedding};
use super::spec::{
    Conditioning, EncodePrompts, EncodedPrompt, EncodedText, LatentSpace, LocalFuture, ModelSpec, TextEncoder,
};
use crate::model::{Clip, Component, Family, FamilyId, Module, Vae};
use crate::plan::{self, Plan, PlanError, TextOutput};
use crate::sentence::sentence;
use crate::text::{CHUNK_LEN, Tokenizer};

/// Returns the input channels of a UNet that also reads a mask and the latents of the masked image.
pub(super) fn inpainting_channels(latent_channels: usize) -> usize {
    2 * latent_channels + 1
}

/// Builds the error for a model whose UNet reads something else besides latents.
pub(super) fn special(channels: usize) -> PipelineError {
    PipelineError::unsupported(match channels {
        5 => sentence!("image.depth_model", channels = channels),
        7 => sentence!("image.upscaler_model", channels = channels),
        8 => sentence!("image.editing_model", channels = channels),
        _ => sentence!("image.unknown_model", channels = channels),
    })
}

/// A Stable Diffusion model.
pub struct StableDiffusion {
    /// UNet and text encoders, which adapters can change.
    networks: Family,
    /// VAE, decoder and encoder.
    vae: Vae,
    /// One tokenizer per text encoder.
    tokenizers: Vec<Tokenizer>,
    /// Whether an absent negative prompt is encoded as zeros (SDXL), not as an empty prompt.
    force_zeros_for_empty_prompt: bool,
}

impl StableDiffusion {
    /// Returns the text encoders with their tokenizers.
    fn clips(&self) -> Vec<(Component, &Clip, &Tokenizer)> {
        let first = (Component::TextEncoder, &self.networks.text_encoder);
        let second = self.networks.text_encoder_2.as_ref().map(|clip| (Component::TextEncoder2, clip));
        let clips = [Some(first), second].into_iter().flatten();
        clips.zip(&self.tokenizers).map(|((component, clip), tokenizer)| (component, clip, tokenizer)).collect()
    }

    /// Returns the text encoder with this index and its output that the UNet reads.
    fn clip(&self, index: usize) -> Result<(Component, &Clip, TextOutput), PlanError> {
        let clips = self.clips();
        let missing =
            || PlanError::Missing { plan: "text encoders".into(), name: format!("text encoder {}", index + 1) };
        let (component, clip, _) = clips.get(index).copied().ok_or_else(missing)?;
        Ok((component, clip, conditioning::output(clips.len() > 1)))
    }
}

impl ModelSpec for StableDiffusion {
    fn family(&self) -> FamilyId {
        let unet = &self.networks.unet;
        match (unet.add_embedding.is_some(), unet.config.use_linear_projection) {
            (true, _) => FamilyId::Sdxl,
            (false, true) => FamilyId::Sd21,
            (false, false) => FamilyId::Sd15,
        }
    }

    fn modules(&self) -> Vec<(Component, &Module)> {
        self.networks.modules()
    }

    fn parameters(&self) -> u64 {
        let adapted = self.networks.modules().into_iter().map(|(_, module)| module);
        adapted.chain(self.vae.modules()).map(Module::parameters).sum()
    }

    fn latents(&self) -> LatentSpace {
        let config = &self.vae.config;
        LatentSpace {
            channels: config.latent_channels,
            scaling_factor: config.scaling_factor,
            pixels: config.scale(),
            native_size: self.networks.unet.config.sample_size * config.scale(),
            reads_masked_image: self.networks.unet.config.in_channels == inpainting_channels(config.latent_channels),
        }
    }

    fn text_encoders(&self) -> Vec<TextEncoder<'_>> {
        let encoder = |(component, clip, tokenizer): (Component, &Clip, _)| TextEncoder {
            component,
            tokenizer,
            width: clip.config.hidden_size,
        };
        self.clips().into_iter().map(encoder).collect()
    }

    fn clip_skip(&self, recipe: &Recipe) -> usize {
        conditioning::clip_skip(recipe, self.family())
    }

    fn chunk_len(&self) -> usize {
        CHUNK_LEN
    }

    fn text_plan(&self, index: usize, batch: usize, tokens: usize, skip: usize) -> Result<Plan, PlanError> {
        let (component, clip, output) = self.clip(index)?;
        plan::text_encoder(clip, component.name(), batch, tokens, output, skip)
    }

    fn short_text_plan(&self, index: usize, batch: usize, tokens: usize) -> Result<Plan, PlanError> {
        let (component, clip, output) = self.clip(index)?;
        plan::short_text_encoder(clip, component.name(), batch, tokens, output)
    }

    fn encode<'a>(&'a self, prompts: EncodePrompts<'a>) -> LocalFuture<'a, Result<Vec<EncodedPrompt>, PipelineError>> {
        Box::pin(self.encode_lines(prompts))
    }

    fn conditioning(&self, shape: &Shape, items: &[EncodedText]) -> Conditioning {
        self.text_inputs(shape, items)
    }

    fn denoiser(&self, batch: usize, height: usize, width: usize, tokens: usize) -> Result<Plan, PlanError> {
        plan::unet(&self.networks.unet, batch, height, width, tokens)
    }

    fn varying(&self) -> &'static [&'static str] {
        &plan::UNET_VARYING
    }

    fn call_inputs(&self, timestep: f32, guidance: f32) -> Vec<(&'static str, Vec<f32>)> {
        let config = &self.networks.unet.config;
        let time = ("time", timestep_embedding(timestep, config.block_out_channels[0]));
        let guidance = config.time_cond_proj_dim.map(|width| ("guidance", guidance_embedding(guidance, width)));
        [time].into_iter().chain(guidance).collect()
    }

    fn embeds_guidance(&self) -> bool {
        self.networks.unet.guidance.is_some()
    }

    fn decoder(&self, batch: usize, height: usize, width: usize) -> Result<Plan, PlanError> {
        plan::vae_decoder(&self.vae, batch, height, width)
    }

    fn encoder(&self, batch: usize, height: usize, width: usize) -> Result<Plan, PlanError> {
        plan::vae_encoder(&self.vae, batch, height, width)
    }

    fn max_map(&self, height: usize, width: usize, max_binding: u64) -> u64 {
        plan::vae_strip(&self.vae, height, width, max_binding)
    }

    fn previewer(&self) -> Option<Previewer> {
        preview::published(&self.vae.config, self.family())
    }
}
