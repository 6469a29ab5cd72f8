//! Execution plans of an image and their memory requirements.

use super::denoiser::DenoiserRunner;
use super::error::PipelineError;
use super::model::Model;
use super::shape::Shape;
use crate::device;
use crate::gpu::{Arena, KernelConfig, Runner, Style};
use crate::plan::{Plan, shared_slots};
use crate::weights::{LoadedAdapter, fold_bytes};
use serde::Serialize;
use std::collections::BTreeMap;

/// Runners of one shape.
pub struct Runners {
    /// Shape that they are planned for.
    pub shape: Shape,
    /// Batch size of the denoiser here: all items, or half of them.
    pub items: usize,
    /// Their temporaries.
    pub arena: device::Arena,
    /// The denoiser's timestep-independent part, which runs once per prompt: keys and values of cross-attention.
    pub texts: DenoiserRunner,
    /// The rest of the denoiser, which runs at each call.
    pub denoiser: DenoiserRunner,
    /// The VAE's decoder, for a batch of one.
    pub decoder: device::Runner,
    /// The VAE's encoder, for a batch of one; only in image-to-image runs.
    pub encoder: Option<device::Runner>,
}

impl Runners {
    /// Returns whether another session computes half of the items.
    pub(super) fn is_half(&self) -> bool {
        self.items < self.shape.items()
    }

    /// Returns the values of the items that are computed here, the first ones.
    pub(super) fn own<'a>(&self, values: &'a [f32]) -> &'a [f32] {
        &values[..values.len() / self.shape.items() * self.items]
    }
}

/// Plans of everything after the text encoders.
pub struct ImagePlans {
    /// The denoiser's timestep-independent part.
    pub texts: Plan,
    /// The rest of the denoiser.
    pub denoiser: Plan,
    /// The VAE's decoder.
    pub decoder: Plan,
    /// The VAE's encoder, for image-to-image.
    pub encoder: Option<Plan>,
}

impl ImagePlans {
    /// Plans an image of this shape.
    pub fn new(model: &Model, shape: Shape, config: &KernelConfig) -> Result<ImagePlans, PipelineError> {
        ImagePlans::with_items(model, shape, shape.items(), config)
    }

    /// Plans an image of this shape, with the denoiser for this number of its items.
    pub(super) fn with_items(
        model: &Model,
        shape: Shape,
        items: usize,
        config: &KernelConfig,
    ) -> Result<ImagePlans, PipelineError> {
        let Shape { height, width, chunks, .. } = shape;
        let denoiser = model.spec.denoiser(items, height, width, chunks * model.spec.chunk_len())?;
        let (texts, denoiser) = calls(denoiser, model.spec.varying(), config.style);
        let decoder = decoder(model, 1, height, width, config)?.fuse_epilogues();
        let pixels = model.spec.latents().pixels;
        let encoder = match shape.encodes_image {
            true => Some(encoder(model, 1, height * pixels, width * pixels, config)?.fuse_epilogues()),
            false => None,
        };
        Ok(ImagePlans { texts, denoiser, decoder, encoder })
    }

    /// Returns the plans in the order in which they run, except the encoder, which is last.
    pub fn list(&self) -> Vec<&Plan> {
        [&self.texts, &self.denoiser, &self.decoder].into_iter().chain(&self.encoder).collect()
    }

    /// Returns the plans whose weights stay in memory.
    pub(super) fn resident(&self, config: &KernelConfig) -> Vec<&Plan> {
        let denoiser = [&self.texts, &self.denoiser].into_iter().filter(|_| !config.streams_denoiser());
        denoiser.chain([&self.decoder]).chain(&self.encoder).collect()
    }

    /// Returns the same plans by value.
    pub fn into_list(self) -> Vec<Plan> {
        [self.texts, self.denoiser, self.decoder].into_iter().chain(self.encoder).collect()
    }
}

/// Plans a model's text encoders for one chunk of tokens of every prompt.
pub fn text_plans(model: &Model, shape: Shape) -> Result<Vec<Plan>, PipelineError> {
    let spec = &model.spec;
    let plan = |index| Ok(spec.text_plan(index, shape.items(), spec.chunk_len(), shape.clip_skip)?.fuse_epilogues());
    (0..model.spec.text_encoders().len()).map(plan).collect()
}

/// Plans the VAE's decoder for latents of this size, strip-mined along the rows.
pub(super) fn decoder(
    model: &Model,
    batch: usize,
    height: usize,
    width: usize,
    config: &KernelConfig,
) -> Result<Plan, PipelineError> {
    strip_mined(model, model.spec.decoder(batch, height, width)?, (height, width), config)
}

/// Plans the VAE's encoder for images of this size in pixels, strip-mined along the rows.
pub(super) fn encoder(
    model: &Model,
    batch: usize,
    height: usize,
    width: usize,
    config: &KernelConfig,
) -> Result<Plan, PipelineError> {
    let pixels = model.spec.latents().pixels;
    strip_mined(model, model.spec.encoder(batch, height, width)?, (height / pixels, width / pixels), config)
}

/// Strip-mines the decoder's or encoder's plan for latents of this height and width.
fn strip_mined(
    model: &Model,
    plan: Plan,
    (height, width): (usize, usize),
    config: &KernelConfig,
) -> Result<Plan, PipelineError> {
    Ok(plan.strip_mined(model.spec.max_map(height, width, config.max_binding))?)
}

/// Fuses a denoiser's plan for kernels of this style and splits it into its timestep-independent part and the
/// rest. Layer norms are fused as prologues only for tiled kernels: software rasterizers slow down if each
/// of a product's many invocations normalizes.
pub fn calls(denoiser: Plan, varying: &[&str], style: Style) -> (Plan, Plan) {
    let fused = denoiser.fuse_epilogues();
    let fused = if style == Style::Tiled { fused.fuse_layer_norms() } else { fused };
    fused.hoist_invariant(varying)
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
    /// folding; for one weight at a time if memory is saved.
    pub adapters: u64,
}

impl MemoryRequirements {
    /// Returns the requirements of several plans together: shared weights count once, temporaries share an
    /// arena.
    pub(super) fn of(
        model: &Model,
        plans: &[&Plan],
        config: &KernelConfig,
    ) -> Result<MemoryRequirements, PipelineError> {
        let mut weights = BTreeMap::new();
        for plan in plans {
            weights.extend(model.checkpoint.resident_bytes(plan, config)?);
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

    /// Returns the requirements of everything after the text encoders with a denoiser that is streamed: of the part that
    /// needs most, and of what stays.
    fn of_streamed(
        model: &Model,
        plans: &ImagePlans,
        config: &KernelConfig,
        adapters: &[&LoadedAdapter],
    ) -> Result<MemoryRequirements, PipelineError> {
        let mut all = MemoryRequirements::of(model, &plans.list(), config)?;
        let mut weights = BTreeMap::new();
        for plan in plans.resident(config) {
            weights.extend(model.checkpoint.resident_bytes(plan, config)?);
        }
        all.weights = weights.values().sum();
        // Weights, parameters and folds of the part.
        let mut most = [0; 3];
        for plan in [&plans.texts, &plans.denoiser] {
            all.others -= Runner::params_bytes(plan, config);
            for part in model.checkpoint.parts(plan, config)? {
                let weights = model.checkpoint.resident_bytes(&part.plan, config)?.values().sum();
                let folds = fold_bytes(&model.checkpoint, adapters, &[&part.plan], &[], config)?;
                // Parameters are written after the folds.
                let params = Runner::params_bytes(&part.plan, config).saturating_sub(folds);
                most = [most, [weights, params, folds]]
                    .into_iter()
                    .max_by_key(|part| part.iter().sum::<u64>())
                    .unwrap_or(most);
            }
        }
        let [weights, params, folds] = most;
        Ok(MemoryRequirements { weights: all.weights + weights, others: all.others + params, adapters: folds, ..all })
    }

    /// Returns the sum of all parts.
    pub fn total(&self) -> u64 {
        self.weights + self.temporaries + self.others + self.adapters
    }
}

impl Model {
    /// Returns the shape of an image of the model's native size with guidance.
    pub fn native_shape(&self) -> Shape {
        let edge = self.native_size() / self.size_multiple();
        Shape {
            images: 1,
            guided: true,
            prompts: 1,
            height: edge,
            width: edge,
            chunks: 1,
            clip_skip: 0,
            encodes_image: false,
        }
    }

    /// Returns all plans of an image: the text encoders, the UNet's timestep-independent part, the rest of
    /// the UNet, the VAE's decoder and, if needed, its encoder.
    pub fn plans(&self, shape: Shape, config: &KernelConfig) -> Result<Vec<Plan>, PipelineError> {
        let text = text_plans(self, shape)?;
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
    /// that of the rest, for which the text encoders are released. If an adapter changes the text encoders and memory is
    /// not saved, they stay, and everything is resident at once.
    pub fn memory_need(
        &self,
        shape: Shape,
        config: &KernelConfig,
        adapters: &[&LoadedAdapter],
    ) -> Result<MemoryRequirements, PipelineError> {
        let text = text_plans(self, shape)?;
        let rest = ImagePlans::new(self, shape, config)?;
        if config.streams_denoiser() {
            let text: Vec<&Plan> = text.iter().collect();
            let mut text_need = MemoryRequirements::of(self, &text, config)?;
            text_need.adapters = fold_bytes(&self.checkpoint, adapters, &text, &[], config)?;
            let rest_need = MemoryRequirements::of_streamed(self, &rest, config, adapters)?;
            return Ok(if text_need.total() > rest_need.total() { text_need } else { rest_need });
        }
        let rest = rest.into_list();
        let need = |plans: &[Plan]| MemoryRequirements::of(self, &plans.iter().collect::<Vec<_>>(), config);
        let (mut text_need, mut rest_need) = (need(&text)?, need(&rest)?);
        let changes_text = adapters.iter().any(|adapter| adapter.changes_text_encoder());
        let is_kept = changes_text && !config.saves_memory();
        let kept: Vec<&Plan> = text.iter().filter(|_| is_kept).chain(&rest).collect();
        let arena = shared_slots(&rest.iter().collect::<Vec<_>>());
        rest_need.adapters = fold_bytes(&self.checkpoint, adapters, &kept, &arena, config)?;
        if config.saves_memory() {
            let text: Vec<&Plan> = text.iter().collect();
            text_need.adapters = fold_bytes(&self.checkpoint, adapters, &text, &[], config)?;
        }
        Ok(match is_kept {
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
