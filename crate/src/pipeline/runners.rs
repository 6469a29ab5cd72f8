//! Execution plans of an image, their memory requirements, and the loading of their weights.

use super::conditioning;
use super::error::PipelineError;
use super::generate::{Report, Session, Stage};
use super::model::Model;
use crate::gpu::{Arena, KernelConfig, Runner, Style};
use crate::plan::{self, Plan};
use crate::text::CHUNK_LEN;
use crate::weights::{LoadedAdapter, fold_bytes};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::ops::ControlFlow;
use std::rc::Rc;

/// Everything that the plans of an image depend on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shape {
    /// Batch size.
    pub pictures: usize,
    /// Whether classifier-free guidance doubles the batch.
    pub guided: bool,
    /// Height of the latents.
    pub height: usize,
    /// Width of the latents.
    pub width: usize,
    /// Chunks of 77 tokens per prompt.
    pub chunks: usize,
    /// Final layers of the text encoders to skip.
    pub clip_skip: usize,
    /// Whether the VAE's encoder is needed (image-to-image).
    pub starts_from_picture: bool,
}

impl Shape {
    /// Returns the batch size of the UNet and the text encoders.
    pub fn items(&self) -> usize {
        if self.guided { 2 * self.pictures } else { self.pictures }
    }
}

/// Runners of one shape.
pub struct Runners {
    /// Shape that they are planned for.
    pub shape: Shape,
    /// The UNet's timestep-independent part, which runs once per prompt: keys and values of cross-attention.
    pub texts: Runner,
    /// The rest of the UNet, which runs at each call.
    pub unet: Runner,
    /// The VAE's decoder, for a batch of one.
    pub decoder: Runner,
    /// The VAE's encoder, for a batch of one; only in image-to-image runs.
    pub encoder: Option<Runner>,
}

/// Plans of everything after the text encoders.
pub struct ImagePlans {
    /// The UNet's timestep-independent part.
    pub texts: Plan,
    /// The rest of the UNet.
    pub unet: Plan,
    /// The VAE's decoder.
    pub decoder: Plan,
    /// The VAE's encoder, for image-to-image.
    pub encoder: Option<Plan>,
}

impl ImagePlans {
    /// Plans an image of this shape.
    pub fn new(model: &Model, shape: Shape, config: &KernelConfig) -> Result<ImagePlans, PipelineError> {
        let Shape { height, width, chunks, .. } = shape;
        let unet = plan::unet(&model.networks.unet, shape.items(), height, width, chunks * CHUNK_LEN)?;
        let (texts, unet) = calls(unet, config.style);
        let decoder = decoder(model, 1, height, width, config)?.fuse_epilogues();
        let pixels = model.size_multiple();
        let encoder = match shape.starts_from_picture {
            true => Some(encoder(model, 1, height * pixels, width * pixels, config)?.fuse_epilogues()),
            false => None,
        };
        Ok(ImagePlans { texts, unet, decoder, encoder })
    }

    /// Returns the plans in the order in which they run, except the encoder, which is last.
    pub fn list(&self) -> Vec<&Plan> {
        [&self.texts, &self.unet, &self.decoder].into_iter().chain(&self.encoder).collect()
    }

    fn into_list(self) -> Vec<Plan> {
        [self.texts, self.unet, self.decoder].into_iter().chain(self.encoder).collect()
    }
}

/// Plans the VAE's decoder for latents of this size, strip-mined along the rows.
pub(super) fn decoder(
    model: &Model,
    batch: usize,
    height: usize,
    width: usize,
    config: &KernelConfig,
) -> Result<Plan, PipelineError> {
    let strip = plan::vae_strip(&model.vae, height, width, config.max_binding);
    Ok(plan::vae_decoder(&model.vae, batch, height, width)?.strip_mined(strip)?)
}

/// Plans the VAE's encoder for images of this size in pixels, strip-mined along the rows.
pub(super) fn encoder(
    model: &Model,
    batch: usize,
    height: usize,
    width: usize,
    config: &KernelConfig,
) -> Result<Plan, PipelineError> {
    let pixels = model.size_multiple();
    let strip = plan::vae_strip(&model.vae, height / pixels, width / pixels, config.max_binding);
    Ok(plan::vae_encoder(&model.vae, batch, height, width)?.strip_mined(strip)?)
}

/// Fuses a UNet's plan for kernels of this style and splits it into its timestep-independent part and the
/// rest. Layer norms are fused as prologues only for tiled kernels: software rasterizers slow down if each
/// of a product's many invocations normalizes.
pub fn calls(unet: Plan, style: Style) -> (Plan, Plan) {
    let fused = unet.fuse_epilogues();
    let fused = if style == Style::Tiled { fused.fuse_layer_norms() } else { fused };
    fused.hoist_invariant(&plan::UNET_VARYING)
}

/// Resource requirements of one plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PlanRequirements {
    /// Name of the plan.
    pub name: String,
    /// Number of operations.
    pub steps: usize,
    /// Number of compute dispatches.
    pub dispatches: u64,
    /// Floating-point operations per run; a multiply-add counts as two.
    pub flops: u64,
    /// Size of its temporary tensors, in bytes.
    pub temporaries: u64,
}

/// GPU memory required to generate an image, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoryRequirements {
    /// Weights of the networks.
    pub weights: u64,
    /// Temporary tensors, in an arena that the plans share.
    pub temporaries: u64,
    /// Inputs, outputs and kernel parameters.
    pub others: u64,
    /// Adapters: original copies of the weights that they change, their factors, and the temporaries of
    /// folding.
    pub adapters: u64,
}

impl MemoryRequirements {
    /// Returns the requirements of several plans together: shared weights count once, temporaries share an
    /// arena.
    fn of(model: &Model, plans: &[&Plan], config: &KernelConfig) -> Result<MemoryRequirements, PipelineError> {
        let mut weights = BTreeMap::new();
        for plan in plans {
            weights.extend(model.checkpoint.resident_bytes(plan, config.f16_weights)?);
        }
        // Outputs of the first plan are inputs of the others.
        let is_output = |name: &str| plans[0].outputs.iter().any(|(output, _)| output == name);
        Ok(MemoryRequirements {
            weights: weights.values().sum(),
            temporaries: Arena::bytes(plans, config),
            others: plans.iter().map(|plan| Runner::own_bytes(plan, config, &is_output)).sum(),
            adapters: 0,
        })
    }

    /// Returns the sum of all parts.
    pub fn total(&self) -> u64 {
        self.weights + self.temporaries + self.others + self.adapters
    }
}

impl Model {
    /// Returns all plans of an image: the text encoders, the UNet's timestep-independent part, the rest of
    /// the UNet, the VAE's decoder and, if needed, its encoder.
    pub fn plans(&self, shape: Shape, config: &KernelConfig) -> Result<Vec<Plan>, PipelineError> {
        let text = conditioning::plans(&self.encoders(), shape.items(), shape.clip_skip)?;
        Ok([text, ImagePlans::new(self, shape, config)?.into_list()].concat())
    }

    /// Returns the resource requirements of each plan.
    pub fn plan_needs(&self, shape: Shape, config: &KernelConfig) -> Result<Vec<PlanRequirements>, PipelineError> {
        let need = |plan: Plan| PlanRequirements {
            steps: plan.steps.len(),
            dispatches: Runner::dispatches(&plan, config),
            flops: plan.flops(),
            temporaries: Arena::bytes(&[&plan], config),
            name: plan.name,
        };
        Ok(self.plans(shape, config)?.into_iter().map(need).collect())
    }

    /// Returns the peak memory for generating a first image with these adapters: that of prompt encoding or
    /// that of the rest, for which the text encoders are released. If an adapter changes the text encoders
    /// they stay, and everything is resident at once.
    pub fn memory_need(
        &self,
        shape: Shape,
        config: &KernelConfig,
        adapters: &[&LoadedAdapter],
    ) -> Result<MemoryRequirements, PipelineError> {
        let text = conditioning::plans(&self.encoders(), shape.items(), shape.clip_skip)?;
        let rest = ImagePlans::new(self, shape, config)?.into_list();
        let need = |plans: &[Plan]| MemoryRequirements::of(self, &plans.iter().collect::<Vec<_>>(), config);
        let (text_need, mut rest_need) = (need(&text)?, need(&rest)?);
        let changes_text = adapters.iter().any(|adapter| adapter.changes_text_encoder());
        let kept: Vec<&Plan> = text.iter().filter(|_| changes_text).chain(&rest).collect();
        rest_need.adapters = fold_bytes(&self.checkpoint, adapters, &kept, config)?;
        Ok(match changes_text {
            true => MemoryRequirements {
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
    /// Loads the weights of these plans that are not on the GPU yet.
    pub(super) async fn load(&mut self, plans: &[&Plan], report: Report<'_>) -> Result<(), PipelineError> {
        self.weights.allocate(&self.gpu, &self.config, &self.model.checkpoint, plans).await?;
        let mut missing: Vec<_> = plans.iter().flat_map(|plan| self.weights.missing(plan)).collect();
        let mut names = BTreeSet::new();
        missing.retain(|(name, _)| names.insert(*name));
        for (index, (name, layout)) in missing.iter().enumerate() {
            report(Stage::Load, index, missing.len(), None)?;
            self.weights.load(&self.gpu, &self.config, &self.model.checkpoint, name, *layout).await?;
        }
        Ok(())
    }

    /// Tunes kernels that this device has not been tuned for, if tuning is enabled, and starts compiling the
    /// pipelines of these plans.
    async fn tune(&mut self, plans: &[&Plan], report: Report<'_>) -> Result<(), PipelineError> {
        let storages = plans
            .iter()
            .map(|plan| self.model.checkpoint.storages(plan, self.config.f16_weights))
            .collect::<Result<Vec<_>, _>>()?;
        let pairs: Vec<(&Plan, &[_])> = plans.iter().copied().zip(storages.iter().map(Vec::as_slice)).collect();
        let mut stopped = Ok(());
        let mut on_progress = |done, all| {
            stopped = report(Stage::Tune, done, all, None);
            let goes_on = stopped.is_ok() && self.tuning_enabled.get();
            if goes_on { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        };
        if self.tuning_enabled.get() {
            self.config = self.gpu.tune(&self.config, &pairs, &mut on_progress).await?;
        }
        stopped?;
        for (plan, storages) in pairs {
            self.gpu.warm(&self.config, plan, storages).await?;
        }
        Ok(())
    }

    /// Compiles the pipelines for an image of the model's native size with guidance ahead of time. Does
    /// nothing if the kernels are to be tuned first, since tuning also compiles them.
    pub fn warm_up(&self) -> impl Future<Output = ()> + use<> {
        let (gpu, config) = (self.gpu.clone(), self.config.clone());
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
        let plans = match self.tuning_enabled.get() && gpu.needs_tuning(&config) {
            true => Vec::new(),
            false => ImagePlans::new(&self.model, shape, &config).map(ImagePlans::into_list).unwrap_or_default(),
        };
        let list: Vec<_> = plans
            .into_iter()
            .filter_map(|plan| Some((self.model.checkpoint.storages(&plan, config.f16_weights).ok()?, plan)))
            .collect();
        async move {
            for (storages, plan) in list {
                // Compilation errors surface on first use.
                if gpu.warm(&config, &plan, &storages).await.is_err() {
                    return;
                }
            }
        }
    }

    /// Returns the runners for this shape, except those of the text encoders, with their weights loaded. Reuses
    /// existing ones.
    pub(super) async fn prepare(&mut self, shape: Shape, report: Report<'_>) -> Result<Rc<Runners>, PipelineError> {
        if let Some(runners) = self.runners.as_ref().filter(|runners| runners.shape == shape) {
            return Ok(runners.clone());
        }
        // Free the old shape's buffers before allocating new ones.
        self.runners = None;
        let plans = ImagePlans::new(&self.model, shape, &self.config)?;
        let list = plans.list();
        self.tune(&list, report).await?;
        self.load(&list, report).await?;
        let arena = Arena::new(&self.gpu, &self.config, &list).await?;
        let compile = async |plan: &Plan, texts: Option<&Runner>| {
            let output = |name: &str| texts.and_then(|texts| texts.output(name).cloned());
            let tensor = |name: &str| self.weights.get(name).or_else(|| output(name));
            Runner::with_arena(&self.gpu, plan, &tensor, &arena).await
        };
        let texts = compile(&plans.texts, None).await?;
        let runners = Rc::new(Runners {
            shape,
            // The rest of the UNet reads the outputs of the first plan.
            unet: compile(&plans.unet, Some(&texts)).await?,
            decoder: compile(&plans.decoder, None).await?,
            encoder: match &plans.encoder {
                Some(plan) => Some(compile(plan, None).await?),
                None => None,
            },
            texts,
        });
        self.runners = Some(runners.clone());
        Ok(runners)
    }
}
