//! Turns a diffusers folder into networks, tokenizer, noise schedule and the places of all weights.

use super::error::PipelineError;
use super::folder::Folder;
use crate::model::{Clip, ClipConfig, Component, Family, FamilyId, Module, Unet, UnetConfig, Vae, VaeConfig};
use crate::samplers::ScheduleConfig;
use crate::text::{Tokenizer, TokenizerConfig};
use crate::weights::Checkpoint;

/// A base model that is ready to be loaded.
pub struct Model {
    /// What people call it.
    pub name: String,
    /// The networks that adapters touch.
    pub networks: Family,
    /// The decoder.
    pub vae: Vae,
    /// Prompt to token ids.
    pub tokenizer: Tokenizer,
    /// Noise schedule.
    pub schedule: ScheduleConfig,
    /// Where the weights are.
    pub checkpoint: Checkpoint,
}

impl Model {
    /// Reads configs, tokenizer and headers; weights are read when they are needed.
    pub async fn open(name: &str, folder: &Folder) -> Result<Model, PipelineError> {
        if let Some(index) = folder.text("model_index.json").await? {
            let index: serde_json::Value = serde_json::from_str(&index).map_err(|error| PipelineError::BadFile {
                file: "model_index.json".into(),
                reason: error.to_string(),
            })?;
            match index["_class_name"].as_str() {
                None | Some("StableDiffusionPipeline") => {}
                Some(other) => return Err(PipelineError::Unsupported(other.into())),
            }
        }
        let unet = Unet::new(&UnetConfig::parse(&folder.required("unet/config.json").await?)?);
        let text = Clip::new(&ClipConfig::parse(&folder.required("text_encoder/config.json").await?)?);
        let vae = Vae::new(&VaeConfig::parse(&folder.required("vae/config.json").await?)?);
        let (states, wanted) = (text.config.hidden_size, unet.config.cross_attention_dim);
        if states != wanted {
            let reason = format!("the text encoder's states are {states} wide, the UNet wants {wanted}");
            return Err(PipelineError::BadFile { file: "unet/config.json".into(), reason });
        }
        let (latents, wanted) = (unet.config.in_channels, vae.config.latent_channels);
        if latents != wanted {
            return Err(PipelineError::Unsupported(format!(
                "UNet with {latents} input channels for a VAE of {wanted} (an inpainting or other special model)"
            )));
        }

        let mut checkpoint = Checkpoint::default();
        checkpoint.add(Component::TextEncoder, &text.modules(), &folder.weights("text_encoder").await?)?;
        checkpoint.add(Component::Unet, &unet.modules(), &folder.weights("unet").await?)?;
        checkpoint.add(Component::Vae, &vae.modules(), &folder.weights("vae").await?)?;

        let schedule = match folder.text("scheduler/scheduler_config.json").await? {
            Some(text) => ScheduleConfig::from_json(&text)?,
            None => ScheduleConfig::stable_diffusion(),
        };
        Ok(Model {
            name: name.into(),
            networks: Family { unet, text_encoder: text, text_encoder_2: None },
            vae,
            tokenizer: tokenizer(folder).await?,
            schedule,
            checkpoint,
        })
    }

    /// The family, by how the UNet is built.
    pub fn family(&self) -> FamilyId {
        let unet = &self.networks.unet;
        match (unet.add_embedding.is_some(), unet.config.use_linear_projection) {
            (true, _) => FamilyId::Sdxl,
            (false, true) => FamilyId::Sd21,
            (false, false) => FamilyId::Sd15,
        }
    }

    /// Pixels along one edge of a latent: sizes are multiples of it.
    pub fn multiple(&self) -> usize {
        self.vae.config.scale()
    }

    /// Height and width in pixels that the model was made for.
    pub fn native_size(&self) -> usize {
        self.networks.unet.config.sample_size * self.multiple()
    }

    /// Numbers in all networks.
    pub fn parameters(&self) -> usize {
        let adapted = self.networks.modules().into_iter().map(|(_, module)| module);
        adapted.chain(self.vae.modules()).map(Module::parameters).sum()
    }
}

async fn tokenizer(folder: &Folder) -> Result<Tokenizer, PipelineError> {
    let vocab = folder.text("tokenizer/vocab.json").await?;
    let merges = folder.text("tokenizer/merges.txt").await?;
    match (vocab, merges) {
        (Some(vocab), Some(merges)) => {
            let config = folder.text("tokenizer/tokenizer_config.json").await?;
            let special = folder.text("tokenizer/special_tokens_map.json").await?;
            let config = TokenizerConfig::from_json(config.as_deref().unwrap_or("{}"), special.as_deref())?;
            Ok(Tokenizer::from_files(&vocab, &merges, &config)?)
        }
        #[cfg(not(target_arch = "wasm32"))]
        _ => Ok(Tokenizer::clip()),
        #[cfg(target_arch = "wasm32")]
        _ => Err(PipelineError::NoFile("tokenizer/vocab.json and merges.txt".into())),
    }
}
