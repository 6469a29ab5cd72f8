//! The VAE of a session: images -> latents, latents -> images, and a map for previews.

use super::error::PipelineError;
use super::plans::Runners;
use super::preview::Previewer;
use super::progress::{Report, Stage};
use super::session::Session;
use super::shape::Shape;
use super::spec::LatentSpace;
use crate::device::Runner;
use crate::gpu::GpuError;
use crate::num::host_len;
use crate::samplers::TorchNoise;
use crate::sentence::sentence;

/// Height and width of the latents that a map is fitted on.
const FIT_SIZE: usize = 8;
/// Number of images that a map is fitted on.
const FIT_IMAGES: usize = 4;

impl Session {
    /// Encodes images into latents: a sample of the encoder's distribution, or its mean if `posterior` is
    /// empty. A single image is repeated over the batch.
    pub(super) async fn encode(
        &self,
        runners: &Runners,
        images: &[f32],
        shape: Shape,
        posterior: &[f32],
        report: Report<'_>,
    ) -> Result<Vec<f32>, PipelineError> {
        let missing = || GpuError::Missing { plan: "this image".into(), name: "the VAE's encoder".into() };
        let encoder = runners.encoder.as_ref().ok_or_else(missing)?;
        let LatentSpace { channels, scaling_factor: scale, .. } = self.model.spec.latents();
        let latent_len = shape.height * shape.width * channels;
        let mut moments = Vec::new();
        for image in images.chunks_exact(encoder.len("image").map_or(images.len(), host_len)) {
            encoder.set("image", image)?;
            let on_progress = &mut || report(Stage::Denoise, 0, 1, None);
            moments.push(encoder.compute_cancellable("moments", on_progress).await?);
        }
        let sample = |index: usize| {
            let moments = &moments[index / latent_len % moments.len()];
            let at = index % latent_len / channels * 2 * channels + index % channels;
            let noise = posterior.get(index).copied().unwrap_or(0.0);
            let std = (0.5 * moments[at + channels].clamp(-30.0, 20.0)).exp();
            (moments[at] + std * noise) * scale
        };
        Ok((0..latent_len * shape.images).map(sample).collect())
    }

    /// Decodes latents into pixels (B, H, W, 3), one image at a time.
    pub(super) async fn decode(
        &self,
        decoder: &Runner,
        latents: &[f32],
        batch: usize,
        report: Report<'_>,
    ) -> Result<Vec<f32>, PipelineError> {
        let mut images = Vec::new();
        for (index, latent) in latents.chunks_exact(latents.len() / batch).enumerate() {
            let on_progress = &mut || report(Stage::Decode, index, batch, None);
            let pixels = self.decode_one(decoder, latent, on_progress).await?;
            if pixels.iter().any(|value| !value.is_finite()) {
                let layer = decoder.find_non_finite().await?;
                let (when, hint) = (sentence!("image.at_decoding"), sentence!("image.hint_vae"));
                return Err(PipelineError::not_finite(when, sentence!("image.decoder"), layer, hint));
            }
            images.extend(pixels);
            report(Stage::Decode, index + 1, batch, None)?;
        }
        Ok(images)
    }

    /// Decodes one image's latents; `decoder` must be planned for their size.
    async fn decode_one(
        &self,
        decoder: &Runner,
        latent: &[f32],
        on_progress: &mut dyn FnMut() -> Result<(), PipelineError>,
    ) -> Result<Vec<f32>, PipelineError> {
        let scale = self.model.spec.latents().scaling_factor;
        let scaled: Vec<f32> = latent.iter().map(|value| value / scale).collect();
        decoder.set("latents", &scaled)?;
        decoder.compute_cancellable("image", on_progress).await
    }

    /// Returns the map from latents to previews.
    pub(super) async fn make_previewer(&self) -> Result<Previewer, PipelineError> {
        match self.model.spec.previewer() {
            Some(previewer) => Ok(previewer),
            None => self.fitted_previewer().await,
        }
    }

    /// Fits a map for a VAE without published factors, by decoding noise.
    async fn fitted_previewer(&self) -> Result<Previewer, PipelineError> {
        let LatentSpace { channels, pixels: multiple, .. } = self.model.spec.latents();
        let plan = self.model.spec.decoder(1, FIT_SIZE, FIT_SIZE)?;
        let decoder = Runner::new(&self.device, &self.config, &plan, &|name| self.weights.get(name)).await?;
        let mut noise = TorchNoise::new(0);
        let mut pairs = Vec::new();
        for _ in 0..FIT_IMAGES {
            let latent = noise.randn(FIT_SIZE * FIT_SIZE * channels);
            let image = self.decode_one(&decoder, &latent, &mut || Ok(())).await?;
            for (at, values) in latent.chunks_exact(channels).enumerate() {
                let (row, column) = (at / FIT_SIZE * multiple, at % FIT_SIZE * multiple);
                let offset = |i: usize| ((row + i / multiple) * FIT_SIZE * multiple + column + i % multiple) * 3;
                let mut rgb = [0.0; 3];
                for i in 0..multiple * multiple {
                    rgb.iter_mut().zip(&image[offset(i)..]).for_each(|(sum, value)| *sum += value);
                }
                pairs.push((values.to_vec(), rgb.map(|sum| sum / (multiple * multiple) as f32)));
            }
        }
        Ok(Previewer::fitted(&pairs, channels))
    }
}
