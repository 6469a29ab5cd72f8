//! Turns the shape of a picture into plans with their buffers, and brings the weights that they read.

use super::conditioning;
use super::error::PipelineError;
use super::generate::{Report, Session, Stage};
use super::model::Model;
use crate::gpu::{Arena, DeviceCaps, Runner, Style};
use crate::plan::{self, Plan};
use crate::text::CHUNK;
use crate::weights::{LoadedAdapter, fold_bytes};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::ops::ControlFlow;

/// What the plans of a picture depend on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
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

impl Shape {
    /// Batch items of the UNet and of the text encoders.
    pub fn items(&self) -> usize {
        if self.guided { 2 * self.pictures } else { self.pictures }
    }
}

/// Plans of one shape, with their buffers.
pub struct Runners {
    /// What they were made for.
    pub shape: Shape,
    /// What the UNet makes of the texts alone: keys and values of cross-attention.
    pub texts: Runner,
    /// The rest of the UNet, at each call.
    pub unet: Runner,
    /// Latents to pixels, one picture at a time.
    pub decoder: Runner,
    /// Pixels to latents, where a picture is started from.
    pub encoder: Option<Runner>,
}

/// The plans of a picture behind its text encoders: what the UNet makes of the texts alone, the
/// rest of the UNet, decoder, and the encoder where it is needed.
pub fn plans(model: &Model, shape: Shape, means: DeviceCaps) -> Result<Vec<Plan>, PipelineError> {
    let Shape { height, width, chunks, .. } = shape;
    let unet = plan::unet(&model.networks.unet, shape.items(), height, width, chunks * CHUNK)?;
    let (texts, unet) = calls(unet, means.style);
    let mut plans = vec![texts, unet, decoder(model, 1, height, width, means)?.fuse_epilogues()];
    if shape.starts_from_picture {
        let pixels = model.size_multiple();
        plans.push(encoder(model, 1, height * pixels, width * pixels, means)?.fuse_epilogues());
    }
    Ok(plans)
}

/// The VAE's decoder for latents of this size, in strips of rows.
pub(super) fn decoder(
    model: &Model,
    batch: usize,
    height: usize,
    width: usize,
    means: DeviceCaps,
) -> Result<Plan, PipelineError> {
    let strip = plan::vae_strip(&model.vae, height, width, means.max_binding);
    Ok(plan::vae_decoder(&model.vae, batch, height, width)?.strip_mined(strip)?)
}

/// The VAE's encoder for pictures of this size, in strips of rows.
pub(super) fn encoder(
    model: &Model,
    batch: usize,
    height: usize,
    width: usize,
    means: DeviceCaps,
) -> Result<Plan, PipelineError> {
    let pixels = model.size_multiple();
    let strip = plan::vae_strip(&model.vae, height / pixels, width / pixels, means.max_binding);
    Ok(plan::vae_encoder(&model.vae, batch, height, width)?.strip_mined(strip)?)
}

/// A UNet's plan as kernels of this style run it: what it makes of the texts alone, and the rest.
/// Software devices lose with a layer norm in each of a product's many invocations.
pub fn calls(unet: Plan, style: Style) -> (Plan, Plan) {
    let fused = unet.fuse_epilogues();
    let fused = if style == Style::Tiled { fused.normed() } else { fused };
    fused.hoisted(&plan::UNET_VARYING)
}

/// What one plan asks of a device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PlanNeed {
    /// The plan's.
    pub name: String,
    /// Operations in its list.
    pub steps: usize,
    /// What they are on the device.
    pub dispatches: u64,
    /// Floating-point operations of one run, multiply and add counted as two.
    pub flops: u64,
    /// Bytes of its temporary tensors.
    pub temporaries: u64,
}

/// Bytes of graphics memory that drawing takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoryNeed {
    /// The networks' weights.
    pub weights: u64,
    /// Temporary tensors, which the plans share.
    pub temporaries: u64,
    /// Inputs, outputs and parameters.
    pub others: u64,
    /// What adapters take: untouched copies of the weights that they change, their factors, and what lies
    /// between the steps of their folds.
    pub adapters: u64,
}

impl MemoryNeed {
    /// What these plans need together: weights once, temporaries in one arena.
    fn of(model: &Model, plans: &[&Plan], means: DeviceCaps) -> Result<MemoryNeed, PipelineError> {
        let mut weights = BTreeMap::new();
        for plan in plans {
            weights.extend(model.checkpoint.resident_bytes(plan, means.f16_weights)?);
        }
        // The others read what the first made.
        let is_made = |name: &str| plans[0].outputs.iter().any(|(made, _)| made == name);
        Ok(MemoryNeed {
            weights: weights.values().sum(),
            temporaries: Arena::bytes(plans, means),
            others: plans.iter().map(|plan| Runner::own_bytes(plan, means, &is_made)).sum(),
            adapters: 0,
        })
    }

    /// All of it.
    pub fn total(&self) -> u64 {
        self.weights + self.temporaries + self.others + self.adapters
    }
}

impl Model {
    /// All plans of a picture in the order in which they run: text encoders, what the UNet makes of the
    /// texts alone, the rest of the UNet, decoder; and the encoder where it is needed.
    pub fn plans(&self, shape: Shape, means: DeviceCaps) -> Result<Vec<Plan>, PipelineError> {
        let text = conditioning::plans(&self.encoders(), shape.items(), shape.clip_skip)?;
        Ok([text, plans(self, shape, means)?].concat())
    }

    /// What each of these plans asks of a device.
    pub fn plan_needs(&self, shape: Shape, means: DeviceCaps) -> Result<Vec<PlanNeed>, PipelineError> {
        let need = |plan: Plan| PlanNeed {
            steps: plan.steps.len(),
            dispatches: Runner::dispatches(&plan, means),
            flops: plan.flops(),
            temporaries: Arena::bytes(&[&plan], means),
            name: plan.name,
        };
        Ok(self.plans(shape, means)?.into_iter().map(need).collect())
    }

    /// What drawing a first picture with these adapters needs at its worst: either while the texts are
    /// read, or afterwards, when the text encoders are gone. Where an adapter changes them they stay, and
    /// all is there while the texts are read.
    pub fn memory_need(
        &self,
        shape: Shape,
        means: DeviceCaps,
        adapters: &[&LoadedAdapter],
    ) -> Result<MemoryNeed, PipelineError> {
        let text = conditioning::plans(&self.encoders(), shape.items(), shape.clip_skip)?;
        let rest = plans(self, shape, means)?;
        let need = |plans: &[Plan]| MemoryNeed::of(self, &plans.iter().collect::<Vec<_>>(), means);
        let (text_need, mut rest_need) = (need(&text)?, need(&rest)?);
        let changes_text = adapters.iter().any(|adapter| adapter.changes_text());
        let kept: Vec<&Plan> = text.iter().filter(|_| changes_text).chain(&rest).collect();
        rest_need.adapters = fold_bytes(&self.checkpoint, adapters, &kept, means)?;
        Ok(match changes_text {
            true => MemoryNeed {
                weights: text_need.weights + rest_need.weights,
                temporaries: text_need.temporaries + rest_need.temporaries,
                others: text_need.others + rest_need.others,
                adapters: rest_need.adapters,
            },
            false if text_need.total() > rest_need.total() => text_need,
            false => rest_need,
        })
    }
}

impl Session {
    /// Brings weights that plans read and that are not there yet.
    pub(super) async fn load(&mut self, plans: &[Plan], report: Report<'_>) -> Result<(), PipelineError> {
        self.weights.allocate(&self.gpu, &self.model.checkpoint, plans).await?;
        let mut missing: Vec<_> = plans.iter().flat_map(|plan| self.weights.missing(plan)).collect();
        let mut seen = BTreeSet::new();
        missing.retain(|(name, _)| seen.insert(*name));
        for (index, (name, layout)) in missing.iter().enumerate() {
            report(Stage::Load, index, missing.len(), None)?;
            self.weights.load(&self.gpu, &self.model.checkpoint, name, *layout).await?;
        }
        Ok(())
    }

    /// Times kernels that this device has not been tuned for, where that is wanted, and begins to
    /// compile what these plans run.
    async fn tune(&mut self, plans: &[Plan], report: Report<'_>) -> Result<(), PipelineError> {
        let halves = self.gpu.f16_weights();
        let storages =
            plans.iter().map(|plan| self.model.checkpoint.storages(plan, halves)).collect::<Result<Vec<_>, _>>()?;
        let pairs: Vec<(&Plan, &[_])> = plans.iter().zip(storages.iter().map(Vec::as_slice)).collect();
        let mut stopped = Ok(());
        let mut hear = |done, all| {
            stopped = report(Stage::Tune, done, all, None);
            if stopped.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        };
        self.gpu.tune(&pairs, &mut hear).await?;
        stopped?;
        for (plan, storages) in pairs {
            self.gpu.warm(plan, storages).await?;
        }
        Ok(())
    }

    /// Compiles what a guided picture of the model's own size runs, while nobody waits for it yet.
    /// Does nothing where kernels are to be timed first, which also compiles them.
    pub fn warm_up(&self) -> impl Future<Output = ()> + use<> {
        let gpu = self.gpu.clone();
        let edge = self.model.native_size() / self.model.size_multiple();
        let shape = Shape {
            pictures: 1,
            guided: true,
            height: edge,
            width: edge,
            chunks: 1,
            clip_skip: 0,
            starts_from_picture: false,
        };
        let plans =
            if gpu.is_to_be_tuned() { Vec::new() } else { plans(&self.model, shape, gpu.caps()).unwrap_or_default() };
        let halves = gpu.f16_weights();
        let list: Vec<_> = plans
            .into_iter()
            .filter_map(|plan| Some((self.model.checkpoint.storages(&plan, halves).ok()?, plan)))
            .collect();
        async move {
            for (storages, plan) in list {
                // What is wrong with a kernel is told when it is used.
                if gpu.warm(&plan, &storages).await.is_err() {
                    return;
                }
            }
        }
    }

    /// Plans and weights for this shape, but for the text encoders; what is there is kept.
    pub(super) async fn prepare(&mut self, shape: Shape, report: Report<'_>) -> Result<(), PipelineError> {
        if self.runners.as_ref().is_some_and(|runners| runners.shape == shape) {
            return Ok(());
        }
        // Buffers of the old shape go before those of the new shape come.
        self.runners = None;
        let plans = plans(&self.model, shape, self.gpu.caps())?;
        self.tune(&plans, report).await?;
        self.load(&plans, report).await?;
        let arena = Arena::of(&self.gpu, &plans.iter().collect::<Vec<_>>()).await?;
        let mut runners: Vec<Runner> = Vec::new();
        for plan in &plans {
            // The rest of the UNet reads what the first plan made of the texts.
            let made = |name: &str| runners.first().and_then(|texts| texts.output(name).cloned());
            let known = |name: &str| self.weights.get(name).or_else(|| made(name));
            runners.push(Runner::within(&self.gpu, plan, &known, &arena).await?);
        }
        let mut runners = runners.into_iter();
        let (Some(texts), Some(unet), Some(decoder)) = (runners.next(), runners.next(), runners.next()) else {
            unreachable!("all three were planned")
        };
        self.runners = Some(Runners { shape, texts, unet, decoder, encoder: runners.next() });
        Ok(())
    }
}
