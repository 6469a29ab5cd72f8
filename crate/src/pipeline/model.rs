//! Turns a diffusers folder into networks, tokenizer, noise schedule and the places of all weights.

use super::error::PipelineError;
use super::folder::Folder;
use crate::model::{
    Clip, ClipConfig, Component, ConfigError, Family, FamilyId, Module, Unet, UnetConfig, Vae, VaeConfig,
};
use crate::samplers::ScheduleConfig;
use crate::text::{TextError, Tokenizer, TokenizerConfig};
use crate::weights::Checkpoint;

/// The refiner has one text encoder, the second, and was trained on nearly finished latents only.
pub(super) const REFINER: &str = "the SDXL refiner, which ends pictures that an SDXL base model began";

/// diffusers' pipelines whose networks are those of a model that turns text into pictures; what
/// their UNets read beyond latents is seen from the channels.
const PIPELINES: [&str; 7] = [
    "StableDiffusionPipeline",
    "StableDiffusionImg2ImgPipeline",
    "StableDiffusionInpaintPipeline",
    "StableDiffusionXLPipeline",
    "StableDiffusionXLImg2ImgPipeline",
    "StableDiffusionXLInpaintPipeline",
    "LatentConsistencyModelPipeline",
];

/// Names a model whose UNet reads more than latents.
pub(super) fn special(channels: usize) -> PipelineError {
    let kind = match channels {
        5 => "a model that is led by a depth map",
        7 => "a model that enlarges pictures",
        8 => "a model that is led by a picture, as InstructPix2Pix",
        9 => "an inpainting model",
        _ => "a special model",
    };
    PipelineError::Unsupported(format!("{kind}: its UNet has {channels} input channels in place of 4"))
}

/// A base model that is ready to be loaded.
pub struct Model {
    /// What people call it.
    pub name: String,
    /// The networks that adapters touch.
    pub networks: Family,
    /// The decoder.
    pub vae: Vae,
    /// Prompt to token ids, one for each text encoder.
    pub tokenizers: Vec<Tokenizer>,
    /// No negative prompt means states of zeros (SDXL), not those of an empty text.
    pub force_zeros_for_empty_prompt: bool,
    /// Noise schedule.
    pub schedule: ScheduleConfig,
    /// Where the weights are.
    pub checkpoint: Checkpoint,
}

impl Model {
    /// Reads configs, tokenizer and headers; weights are read when they are needed.
    pub async fn open(name: &str, folder: &Folder) -> Result<Model, PipelineError> {
        let index = match folder.text("model_index.json").await? {
            Some(text) => serde_json::from_str(&text).map_err(|error| PipelineError::BadFile {
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
        let wanted = unet.config.cross_attention_dim;
        if states != wanted {
            let reason = format!("the text encoders' states are {states} wide, the UNet wants {wanted}");
            return Err(PipelineError::BadFile { file: "unet/config.json".into(), reason });
        }
        let (latents, wanted) = (unet.config.in_channels, vae.config.latent_channels);
        if latents != wanted {
            return Err(special(latents));
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

    /// The family, by how the UNet is built.
    pub fn family(&self) -> FamilyId {
        let unet = &self.networks.unet;
        match (unet.add_embedding.is_some(), unet.config.use_linear_projection) {
            (true, _) => FamilyId::Sdxl,
            (false, true) => FamilyId::Sd21,
            (false, false) => FamilyId::Sd15,
        }
    }

    /// Whether the guidance is an input of the UNet (latent consistency models), and not the distance
    /// of two predictions.
    pub fn has_guidance_embedding(&self) -> bool {
        self.networks.unet.guidance.is_some()
    }

    /// The text encoders with their tokenizers.
    pub fn encoders(&self) -> Vec<(Component, &Clip, &Tokenizer)> {
        let first = (Component::TextEncoder, &self.networks.text_encoder);
        let second = self.networks.text_encoder_2.as_ref().map(|clip| (Component::TextEncoder2, clip));
        let clips = [Some(first), second].into_iter().flatten();
        clips.zip(&self.tokenizers).map(|((component, clip), tokenizer)| (component, clip, tokenizer)).collect()
    }

    /// Pixels along one edge of a latent: sizes are multiples of it.
    pub fn size_multiple(&self) -> usize {
        self.vae.config.scale()
    }

    /// Height and width in pixels that the model was made for.
    pub fn native_size(&self) -> usize {
        self.networks.unet.config.sample_size * self.size_multiple()
    }

    /// Numbers in all networks.
    pub fn parameters(&self) -> u64 {
        let adapted = self.networks.modules().into_iter().map(|(_, module)| module);
        adapted.chain(self.vae.modules()).map(Module::parameters).sum()
    }
}

/// A network's config. An error names the file, of which a model has several alike.
async fn config<T>(
    folder: &Folder,
    path: &str,
    parse: impl Fn(&str) -> Result<T, ConfigError>,
) -> Result<T, PipelineError> {
    let bad = |error: ConfigError| PipelineError::BadFile { file: path.into(), reason: error.to_string() };
    parse(&folder.required(path).await?).map_err(bad)
}

async fn tokenizer(folder: &Folder, directory: &str) -> Result<Tokenizer, PipelineError> {
    let text = async |file: &str| folder.text(&format!("{directory}/{file}")).await;
    let (vocab, merges) = (text("vocab.json").await?, text("merges.txt").await?);
    match (vocab, merges) {
        (Some(vocab), Some(merges)) => {
            let config = text("tokenizer_config.json").await?;
            let special = text("special_tokens_map.json").await?;
            let bad = |error: TextError| PipelineError::BadFile { file: directory.into(), reason: error.to_string() };
            let config = TokenizerConfig::from_json(config.as_deref().unwrap_or("{}"), special.as_deref());
            Tokenizer::from_files(&vocab, &merges, &config.map_err(bad)?).map_err(bad)
        }
        #[cfg(not(target_os = "unknown"))]
        _ => Ok(Tokenizer::clip()),
        #[cfg(target_os = "unknown")]
        _ => Err(PipelineError::NoFile(format!("{directory}/vocab.json and merges.txt"))),
    }
}
