//! Base models in diffusers layout: networks, tokenizers, noise schedule and the location of all weights.

use super::error::PipelineError;
use super::folder::Folder;
use crate::model::{
    Clip, ClipConfig, Component, ConfigError, Family, FamilyId, Module, Unet, UnetConfig, Vae, VaeConfig,
};
use crate::samplers::ScheduleConfig;
use crate::text::{TextError, Tokenizer, TokenizerConfig};
use crate::weights::Checkpoint;

/// Description of SDXL's refiner, which has only the second text encoder and was trained on nearly denoised
/// latents.
pub(super) const REFINER: &str = "the SDXL refiner, which finishes images that an SDXL base model started";

/// diffusers pipelines with the networks of a text-to-image model; UNets that read more than latents are
/// detected by their input channels.
const PIPELINES: [&str; 7] = [
    "StableDiffusionPipeline",
    "StableDiffusionImg2ImgPipeline",
    "StableDiffusionInpaintPipeline",
    "StableDiffusionXLPipeline",
    "StableDiffusionXLImg2ImgPipeline",
    "StableDiffusionXLInpaintPipeline",
    "LatentConsistencyModelPipeline",
];

/// Builds the error for a model whose UNet reads more than latents.
pub(super) fn special(channels: usize) -> PipelineError {
    let kind = match channels {
        5 => "a depth-to-image model",
        7 => "an upscaler",
        8 => "an image-editing model such as InstructPix2Pix",
        9 => "an inpainting model",
        _ => "an unknown kind of model",
    };
    PipelineError::Unsupported(format!("{kind}: its UNet has {channels} input channels instead of 4"))
}

/// A base model whose weights can be loaded.
pub struct Model {
    /// Display name.
    pub name: String,
    /// UNet and text encoders, which adapters can change.
    pub networks: Family,
    /// VAE, decoder and encoder.
    pub vae: Vae,
    /// One tokenizer per text encoder.
    pub tokenizers: Vec<Tokenizer>,
    /// Whether an absent negative prompt is encoded as zeros (SDXL), not as an empty prompt.
    pub force_zeros_for_empty_prompt: bool,
    /// Noise schedule.
    pub schedule: ScheduleConfig,
    /// Locations of the weights.
    pub checkpoint: Checkpoint,
}

impl Model {
    /// Opens a diffusers folder: reads configs, tokenizers and headers. Weights are read when needed.
    pub async fn open(name: &str, folder: &Folder) -> Result<Model, PipelineError> {
        let index = match folder.text("model_index.json").await? {
            Some(text) => serde_json::from_str(&text).map_err(|error| PipelineError::InvalidFile {
                file: "model_index.json".into(),
                reason: error.to_string(),
            })?,
            None => serde_json::Value::Null,
        };
        match index["_class_name"].as_str() {
            Some(other) if !PIPELINES.contains(&other) => return Err(PipelineError::Unsupported(format!("a {other}"))),
            _ => {}
        }
        if !folder.has("text_encoder/config.json") && folder.has("text_encoder_2/config.json") {
            return Err(PipelineError::Unsupported(REFINER.into()));
        }
        let unet = Unet::new(&config(folder, "unet/config.json", UnetConfig::parse).await?);
        let vae = Vae::new(&config(folder, "vae/config.json", VaeConfig::parse).await?);
        let text = Clip::new(&config(folder, "text_encoder/config.json", ClipConfig::parse).await?);
        let second = match folder.has("text_encoder_2/config.json") {
            true => Some(Clip::new(&config(folder, "text_encoder_2/config.json", ClipConfig::parse).await?)),
            false => None,
        };
        let states = text.config.hidden_size + second.as_ref().map_or(0, |clip| clip.config.hidden_size);
        let expected = unet.config.cross_attention_dim;
        if states != expected {
            let reason = format!("cross_attention_dim is {expected}, but the text encoders' width is {states}");
            return Err(PipelineError::InvalidFile { file: "unet/config.json".into(), reason });
        }
        let (channels, expected) = (unet.config.in_channels, vae.config.latent_channels);
        if channels != expected {
            return Err(special(channels));
        }

        let mut checkpoint = Checkpoint::default();
        checkpoint.add(Component::TextEncoder, &text.modules(), &folder.weights("text_encoder").await?)?;
        let mut tokenizers = vec![tokenizer(folder, "tokenizer").await?];
        if let Some(clip) = &second {
            checkpoint.add(Component::TextEncoder2, &clip.modules(), &folder.weights("text_encoder_2").await?)?;
            tokenizers.push(tokenizer(folder, "tokenizer_2").await?);
        }
        checkpoint.add(Component::Unet, &unet.modules(), &folder.weights("unet").await?)?;
        let decoder_and_encoder = [vae.modules(), vae.encoder.modules()].concat();
        checkpoint.add(Component::Vae, &decoder_and_encoder, &folder.weights("vae").await?)?;

        let schedule = match folder.text("scheduler/scheduler_config.json").await? {
            Some(text) if second.is_none() => ScheduleConfig::from_json(&text)?.with_pipeline_defaults(),
            Some(text) => ScheduleConfig::from_json(&text)?,
            None => ScheduleConfig::stable_diffusion(),
        };
        Ok(Model {
            name: name.into(),
            networks: Family { unet, text_encoder: text, text_encoder_2: second },
            vae,
            tokenizers,
            force_zeros_for_empty_prompt: index["force_zeros_for_empty_prompt"].as_bool().unwrap_or(false),
            schedule,
            checkpoint,
        })
    }

    /// Returns the model family, derived from the UNet's architecture.
    pub fn family(&self) -> FamilyId {
        let unet = &self.networks.unet;
        match (unet.add_embedding.is_some(), unet.config.use_linear_projection) {
            (true, _) => FamilyId::Sdxl,
            (false, true) => FamilyId::Sd21,
            (false, false) => FamilyId::Sd15,
        }
    }

    /// Returns whether the guidance scale is an input of the UNet (latent consistency models) and is not
    /// applied to the difference of two predictions.
    pub fn has_guidance_embedding(&self) -> bool {
        self.networks.unet.guidance.is_some()
    }

    /// Returns the text encoders with their tokenizers.
    pub fn encoders(&self) -> Vec<(Component, &Clip, &Tokenizer)> {
        let first = (Component::TextEncoder, &self.networks.text_encoder);
        let second = self.networks.text_encoder_2.as_ref().map(|clip| (Component::TextEncoder2, clip));
        let clips = [Some(first), second].into_iter().flatten();
        clips.zip(&self.tokenizers).map(|((component, clip), tokenizer)| (component, clip, tokenizer)).collect()
    }

    /// Returns the VAE's scale factor in pixels, of which image sizes are multiples.
    pub fn size_multiple(&self) -> usize {
        self.vae.config.scale()
    }

    /// Returns the image height and width in pixels that the model was trained for.
    pub fn native_size(&self) -> usize {
        self.networks.unet.config.sample_size * self.size_multiple()
    }

    /// Returns the number of parameters of all networks.
    pub fn parameters(&self) -> u64 {
        let adapted = self.networks.modules().into_iter().map(|(_, module)| module);
        adapted.chain(self.vae.modules()).map(Module::parameters).sum()
    }
}

/// Reads a network's config. The error names the file, since a model has several `config.json`.
async fn config<T>(
    folder: &Folder,
    path: &str,
    parse: impl Fn(&str) -> Result<T, ConfigError>,
) -> Result<T, PipelineError> {
    let bad = |error: ConfigError| PipelineError::InvalidFile { file: path.into(), reason: error.to_string() };
    parse(&folder.required(path).await?).map_err(bad)
}

async fn tokenizer(folder: &Folder, directory: &str) -> Result<Tokenizer, PipelineError> {
    let text = async |file: &str| folder.text(&format!("{directory}/{file}")).await;
    let (vocab, merges) = (text("vocab.json").await?, text("merges.txt").await?);
    match (vocab, merges) {
        (Some(vocab), Some(merges)) => {
            let config = text("tokenizer_config.json").await?;
            let special = text("special_tokens_map.json").await?;
            let bad =
                |error: TextError| PipelineError::InvalidFile { file: directory.into(), reason: error.to_string() };
            let config = TokenizerConfig::from_json(config.as_deref().unwrap_or("{}"), special.as_deref());
            Tokenizer::from_files(&vocab, &merges, &config.map_err(bad)?).map_err(bad)
        }
        #[cfg(not(target_os = "unknown"))]
        _ => Ok(Tokenizer::clip()),
        #[cfg(target_os = "unknown")]
        _ => Err(PipelineError::MissingFile(format!("{directory}/vocab.json or merges.txt"))),
    }
}
