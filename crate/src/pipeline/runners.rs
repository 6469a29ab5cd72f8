//! Turns the shape of a picture into plans with their buffers, and brings the weights that they read.

use super::conditioning;
use super::error::PipelineError;
use super::generate::{Report, Session, Stage};
use crate::gpu::Runner;
use crate::plan::{self, Plan};
use crate::text::CHUNK;
use std::collections::BTreeSet;

/// What the plans of a picture depend on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// Pictures drawn at once.
    pub pictures: usize,
    /// Whether each is predicted with the negative prompt too.
    pub guided: bool,
    /// Of the latents.
    pub height: usize,
    /// Of the latents.
    pub width: usize,
    /// Chunks of 77 tokens that a prompt takes.
    pub chunks: usize,
    /// Layers of the text encoders left out.
    pub clip_skip: usize,
    /// Whether the encoder is needed.
    pub starts_from_picture: bool,
}

/// Plans of one shape, with their buffers.
pub struct Runners {
    /// What they were made for.
    pub shape: Shape,
    /// The text encoders.
    pub text: Vec<Runner>,
    /// The UNet.
    pub unet: Runner,
    /// Latents to pixels, one picture at a time.
    pub decoder: Runner,
    /// Pixels to latents, where a picture is started from.
    pub encoder: Option<Runner>,
}

impl Session {
    /// Plans and weights for this shape; what is there is kept.
    pub(super) async fn prepare(&mut self, shape: Shape, report: Report<'_>) -> Result<(), PipelineError> {
        if self.runners.as_ref().is_some_and(|runners| runners.shape == shape) {
            return Ok(());
        }
        // Buffers of the old shape go before those of the new shape come.
        self.runners = None;
        let Shape { pictures, guided, height, width, chunks, clip_skip, starts_from_picture } = shape;
        let items = if guided { 2 * pictures } else { pictures };
        let model = &self.model;
        let encoders = model.encoders();
        let text = conditioning::plans(&encoders, items, clip_skip)?;
        let unet = plan::unet(&model.networks.unet, items, height, width, chunks * CHUNK)?;
        let strip = plan::vae_strip(&model.vae, height, width, self.gpu.info().max_binding);
        let decoder = plan::vae_decoder(&model.vae, 1, height, width)?.in_strips(strip)?;
        let encoder = match starts_from_picture {
            true => {
                let (height, width) = (height * model.multiple(), width * model.multiple());
                Some(plan::vae_encoder(&model.vae, 1, height, width)?.in_strips(strip)?)
            }
            false => None,
        };
        let plans: Vec<&Plan> = text.iter().chain([&unet, &decoder]).chain(&encoder).collect();
        let mut missing: Vec<_> = plans.iter().flat_map(|plan| self.weights.missing(plan)).collect();
        let mut seen = BTreeSet::new();
        missing.retain(|(name, _)| seen.insert(*name));
        for (index, (name, layout)) in missing.iter().enumerate() {
            report(Stage::Load, index, missing.len(), None)?;
            self.weights.load(&self.gpu, &self.model.checkpoint, name, *layout).await?;
        }
        let resident = |name: &str| self.weights.get(name);
        let mut runners = Vec::new();
        for plan in &text {
            runners.push(Runner::new(&self.gpu, plan, &resident).await?);
        }
        self.runners = Some(Runners {
            shape,
            text: runners,
            unet: Runner::new(&self.gpu, &unet, &resident).await?,
            decoder: Runner::new(&self.gpu, &decoder, &resident).await?,
            encoder: match &encoder {
                Some(plan) => Some(Runner::new(&self.gpu, plan, &resident).await?),
                None => None,
            },
        });
        Ok(())
    }
}
