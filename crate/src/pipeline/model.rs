//! A base model: what kind it is, its noise schedule and the location of its weights.

use super::error::PipelineError;
use super::folder::Folder;
use super::spec::{ModelSpec, OpenedModel};
use super::stable_diffusion::StableDiffusion;
use crate::model::{Component, FamilyId, Module};
use crate::samplers::ScheduleConfig;
use crate::text::Tokenizer;
use crate::weights::{Checkpoint, TensorFile};

/// A base model whose weights can be loaded.
pub struct Model {
    /// Display name.
    pub name: String,
    /// Components, plans and inputs.
    pub spec: Box<dyn ModelSpec>,
    /// Noise schedule.
    pub schedule: ScheduleConfig,
    /// Locations of the weights.
    pub checkpoint: Checkpoint,
}

impl Model {
    /// Opens a diffusers folder: reads configs, tokenizers and headers. Weights are read when needed.
    pub async fn open(name: &str, folder: &Folder) -> Result<Model, PipelineError> {
        Ok(Model::of(name, StableDiffusion::open(folder).await?))
    }

    /// Opens a single-file checkpoint, or a UNet, by its header; weights are read when needed. Other `files`, of text
    /// encoders or a VAE, replace those of the checkpoint or supply missing ones. `tokenizer` is CLIP's, which such files
    /// do not contain.
    pub fn open_files(name: &str, files: Vec<TensorFile>, tokenizer: Tokenizer) -> Result<Model, PipelineError> {
        Ok(Model::of(name, StableDiffusion::open_files(name, files, tokenizer)?))
    }

    fn of(name: &str, opened: OpenedModel<impl ModelSpec + 'static>) -> Model {
        let OpenedModel { spec, schedule, checkpoint } = opened;
        Model { name: name.into(), spec: Box::new(spec), schedule, checkpoint }
    }

    /// Returns the model family.
    pub fn family(&self) -> FamilyId {
        self.spec.family()
    }

    /// Returns the layers that adapters can change, in network order.
    pub fn modules(&self) -> Vec<(Component, &Module)> {
        self.spec.modules()
    }

    /// Returns the number of parameters of all networks.
    pub fn parameters(&self) -> u64 {
        self.spec.parameters()
    }

    /// Returns the number of pixels per latent position, of which image sizes are multiples.
    pub fn size_multiple(&self) -> usize {
        self.spec.latents().pixels
    }

    /// Returns the image height and width in pixels that the model was trained for.
    pub fn native_size(&self) -> usize {
        self.spec.latents().native_size
    }
}
