//! Base models in diffusers layout: networks, tokenizers, noise schedule and the location of all weights.

use super::{StableDiffusion, inpainting_channels, special};
use crate::model::{Clip, ClipConfig, Component, ConfigError, Family, Unet, UnetConfig, Vae, VaeConfig};
use crate::pipeline::error::PipelineError;
use crate::pipeline::folder::Folder;
use crate::pipeline::said;
use crate::pipeline::spec::OpenedModel;
use crate::samplers::ScheduleConfig;
use crate::sentence::sentence;
use crate::text::{TextError, Tokenizer, TokenizerConfig};
use crate::weights::Checkpoint;

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

impl StableDiffusion {
    /// Opens a diffusers folder: reads configs, tokenizers and headers.
    pub async fn open(folder: &Folder) -> Result<OpenedModel<StableDiffusion>, PipelineError> {
        let index = match folder.text("model_index.json").await? {
            Some(text) => serde_json::from_str(&text).map_err(|error| PipelineError::InvalidFile {
                file: "model_index.json".into(),
                reason: error.to_string().into(),
            })?,
            None => serde_json::Value::Null,
        };
        match index["_class_name"].as_str() {
            Some(other) if !PIPELINES.contains(&other) => {
                return Err(PipelineError::unsupported(sentence!("image.a_pipeline", name = other)));
            }
            _ => {}
        }
        if !folder.has("text_encoder/config.json") && folder.has("text_encoder_2/config.json") {
            return Err(PipelineError::unsupported(sentence!("image.refiner")));
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
            return Err(PipelineError::InvalidFile { file: "unet/config.json".into(), reason: reason.into() });
        }
        let (channels, expected) = (unet.config.in_channels, vae.config.latent_channels);
        if channels != expected && channels != inpainting_channels(expected) {
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
        let spec = StableDiffusion {
            networks: Family { unet, text_encoder: text, text_encoder_2: second },
            vae,
            tokenizers,
            force_zeros_for_empty_prompt: index["force_zeros_for_empty_prompt"].as_bool().unwrap_or(false),
        };
        Ok(OpenedModel { spec, schedule, checkpoint })
    }
}

/// Reads a network's config. The error names the file, since a model has several `config.json`.
async fn config<T>(
    folder: &Folder,
    path: &str,
    parse: impl Fn(&str) -> Result<T, ConfigError>,
) -> Result<T, PipelineError> {
    let bad =
        |error: ConfigError| PipelineError::InvalidFile { file: path.into(), reason: said::config(&error).into() };
    parse(&folder.required(path).await?).map_err(bad)
}

async fn tokenizer(folder: &Folder, directory: &str) -> Result<Tokenizer, PipelineError> {
    let text = async |file: &str| folder.text(&format!("{directory}/{file}")).await;
    let (vocab, merges) = (text("vocab.json").await?, text("merges.txt").await?);
    match (vocab, merges) {
        (Some(vocab), Some(merges)) => {
            let config = text("tokenizer_config.json").await?;
            let special = text("special_tokens_map.json").await?;
            let bad = |error: TextError| PipelineError::InvalidFile {
                file: directory.into(),
                reason: said::text(&error).into(),
            };
            let config = TokenizerConfig::from_json(config.as_deref().unwrap_or("{}"), special.as_deref());
            Tokenizer::from_files(&vocab, &merges, &config.map_err(bad)?).map_err(bad)
        }
        #[cfg(not(target_os = "unknown"))]
        _ => Ok(Tokenizer::clip()),
        #[cfg(target_os = "unknown")]
        _ => Err(PipelineError::MissingFile(format!("{directory}/vocab.json or merges.txt"))),
    }
}
