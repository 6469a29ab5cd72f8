//! Base models in single files: complete checkpoints (CompVis's LDM, Stability AI's sgm, stable-diffusion.cpp's GGUF), or
//! a UNet, text encoders and a VAE from files of their own, identified by the keys and shapes of their tensors.

use super::{StableDiffusion, inpainting_channels, special};
use crate::model::config::PerLevel;
use crate::model::stored::{clip_locations, unet_locations};
use crate::model::{Clip, Component, Family, FamilyId, TensorLocation, Unet, UnetConfig, Vae, single_file};
use crate::pipeline::error::PipelineError;
use crate::pipeline::spec::OpenedModel;
use crate::samplers::{PredictionType, ScheduleConfig};
use crate::sentence::sentence;
use crate::text::Tokenizer;
use crate::weights::{Checkpoint, TensorFile, WeightsError};
use std::collections::HashMap;
use std::rc::Rc;

/// Width of SDXL's second text encoder (OpenCLIP bigG), the only one of the refiner.
const OPEN_CLIP_G: usize = 1280;

impl StableDiffusion {
    /// Opens a checkpoint, or a UNet, by its header. Other `files`, of text encoders or a VAE, replace those of the
    /// checkpoint or supply missing ones; `tokenizer` is CLIP's, which these files do not contain.
    pub fn open_files(
        name: &str,
        files: Vec<TensorFile>,
        tokenizer: Tokenizer,
    ) -> Result<OpenedModel<StableDiffusion>, PipelineError> {
        let mut files: Vec<Rc<TensorFile>> = files.into_iter().map(Rc::new).collect();
        // Parts are looked for in the other files first.
        let found = files.iter().enumerate().find_map(|(index, file)| Some((index, inferred_unet(file)?)));
        let (index, (family, config)) =
            found.ok_or_else(|| invalid(name, "it is not a Stable Diffusion checkpoint: it has no UNet".into()))?;
        let file = files.remove(index);
        files.push(file.clone());
        let config = completed(name, family, config)?;
        let networks = Family { unet: Unet::new(&config), ..Family::published(family)? };
        let decoder = Family::published_vae(family)?;
        let schedule = schedule(&file, family);
        let sources = Sources::find(family, &networks, &files);
        sources.check(name, family, &files)?;
        let mut checkpoint = Checkpoint::default();
        checkpoint.add_spelled(Component::Unet, &networks.unet.modules(), &[file], &|module, part| {
            unet_locations(module, part)
        })?;
        for ((component, clip), file) in encoders(&networks).into_iter().zip(&sources.encoders) {
            let file: Vec<_> = file.iter().map(|&index| files[index].clone()).collect();
            checkpoint.add_spelled(component, &clip.modules(), &file, &|module, part| {
                clip_locations(family, component, module, part)
            })?;
        }
        if let Some(index) = sources.vae {
            add_vae(&mut checkpoint, &decoder, files[index].clone())?;
        }
        let tokenizers = match family {
            FamilyId::Sd15 => vec![tokenizer],
            FamilyId::Sd21 => vec![tokenizer.padded_with_zero()],
            FamilyId::Sdxl => vec![tokenizer.clone(), tokenizer.padded_with_zero()],
        };
        let force_zeros_for_empty_prompt = family == FamilyId::Sdxl;
        let spec = StableDiffusion { networks, vae: decoder, tokenizers, force_zeros_for_empty_prompt };
        Ok(OpenedModel { spec, schedule, checkpoint })
    }
}

/// Returns the text encoders of a family.
fn encoders(networks: &Family) -> Vec<(Component, &Clip)> {
    let second = networks.text_encoder_2.as_ref().map(|clip| (Component::TextEncoder2, clip));
    [(Component::TextEncoder, &networks.text_encoder)].into_iter().chain(second).collect()
}

/// Indices of the files with a model's text encoders and VAE.
struct Sources {
    encoders: Vec<Option<usize>>,
    vae: Option<usize>,
}

impl Sources {
    /// Finds the first file with each network. Text encoders are told apart by their width.
    fn find(family: FamilyId, networks: &Family, files: &[Rc<TensorFile>]) -> Sources {
        let encoder = |(component, clip): (Component, &Clip)| {
            let modules = clip.modules();
            let norm = modules.iter().find(|module| module.path.ends_with("final_layer_norm"))?;
            let locations = clip_locations(family, component, norm, "weight");
            let has = |file: &Rc<TensorFile>| {
                let found = locations.iter().find_map(|location| file.header.get(&location.key));
                found.is_some_and(|tensor| tensor.shape == [clip.config.hidden_size])
            };
            files.iter().position(has)
        };
        let has_vae = |file: &Rc<TensorFile>| {
            let keys = ["first_stage_model.decoder.conv_in.weight", "decoder.conv_in.weight"];
            keys.iter().any(|key| file.header.get(key).is_some())
        };
        Sources { encoders: encoders(networks).into_iter().map(encoder).collect(), vae: files.iter().position(has_vae) }
    }

    /// Returns an error that lists all missing networks and files without any network of the model.
    fn check(&self, name: &str, family: FamilyId, files: &[Rc<TensorFile>]) -> Result<(), PipelineError> {
        let encoders = match family {
            FamilyId::Sd15 => &["CLIP-L"][..],
            FamilyId::Sd21 => &["OpenCLIP-H"],
            FamilyId::Sdxl => &["CLIP-L", "OpenCLIP-bigG"],
        };
        let missing = encoders.iter().zip(&self.encoders).filter(|(_, file)| file.is_none());
        let missing = missing.map(|(name, _)| sentence!("image.part_encoder", name = *name));
        let missing: Vec<_> = missing.chain(self.vae.is_none().then(|| sentence!("image.part_vae"))).collect();
        if !missing.is_empty() {
            return Err(PipelineError::MissingParts { file: name.into(), family: family.label(), missing });
        }
        let is_used = |index| self.vae == Some(index) || self.encoders.contains(&Some(index));
        match (0..files.len().saturating_sub(1)).find(|&index| !is_used(index)) {
            Some(index) => {
                let family = family.label();
                let reason = format!(
                    "it contains neither a VAE nor a text encoder of {family}, or another file of the model contains the same"
                );
                Err(invalid(&files[index].name, reason))
            }
            None => Ok(()),
        }
    }
}

/// Builds the error for a file that is not a complete checkpoint of a known size.
fn invalid(name: &str, reason: String) -> PipelineError {
    PipelineError::InvalidFile { file: name.into(), reason: reason.into() }
}

/// Infers the family and config of the UNet in a file from the shapes of its tensors, if it has one.
fn inferred_unet(file: &TensorFile) -> Option<(FamilyId, UnetConfig)> {
    let tensors = file.header.tensors.iter();
    let shapes: HashMap<&str, &[usize]> =
        tensors.map(|tensor| (tensor.name.as_str(), tensor.shape.as_slice())).collect();
    single_file::unet_config(&shapes)
}

/// Completes the config of a UNet with the published group and head counts and sizes, which such files do not store.
/// Fails for a model that cannot be run.
fn completed(name: &str, family: FamilyId, mut config: UnetConfig) -> Result<UnetConfig, PipelineError> {
    if config.in_channels != 4 && config.in_channels != inpainting_channels(4) {
        return Err(special(config.in_channels));
    }
    if family == FamilyId::Sdxl && config.cross_attention_dim == OPEN_CLIP_G {
        return Err(PipelineError::unsupported(sentence!("image.refiner")));
    }
    if config.block_out_channels.first() != Some(&320) {
        let reason = format!(
            "its UNet has {:?} channels. Checkpoints do not store group and head counts, which are known only for the published sizes (320, 640, 1280): open the model as a diffusers folder",
            config.block_out_channels
        );
        return Err(invalid(name, reason));
    }
    config.norm_num_groups = 32;
    config.attention_head_dim = match family {
        FamilyId::Sd15 => PerLevel::One(8),
        _ => PerLevel::Each(config.block_out_channels.iter().map(|channels| channels / 64).collect()),
    };
    config.sample_size = match family {
        FamilyId::Sd15 => 64,
        FamilyId::Sd21 => 96,
        FamilyId::Sdxl => 128,
    };
    config.addition_time_embed_dim = config.addition_time_embed_dim.map(|_| 256);
    Ok(config)
}

/// Locates the weights of the VAE, in a checkpoint or in a file of its own with LDM's or diffusers' keys.
fn add_vae(checkpoint: &mut Checkpoint, vae: &Vae, file: Rc<TensorFile>) -> Result<(), WeightsError> {
    let modules = [vae.modules(), vae.encoder.modules()].concat();
    checkpoint.add_spelled(Component::Vae, &modules, &[file], &|module, part| {
        let paths = [format!("first_stage_model.{}", module.ldm), module.ldm.clone(), module.path.clone()];
        let paths = paths.into_iter().chain(module.alias.clone());
        paths.map(|path| TensorLocation::whole(format!("{path}.{part}"))).collect()
    })
}

/// Returns the noise schedule, with the prediction type from the file's marker tensors, which trainers add,
/// or modelspec. SD 2.x files without either are taken for the 768-pixel v-prediction model.
fn schedule(file: &TensorFile, family: FamilyId) -> ScheduleConfig {
    let has_marker = |name: &str| file.header.get(name).is_some();
    let has_metadata = |key: &str, text: &str| file.header.metadata.get(key).is_some_and(|value| value.contains(text));
    let is_epsilon =
        has_metadata("modelspec.prediction_type", "epsilon") || has_metadata("modelspec.architecture", "v2-512");
    let is_v = has_marker("v_pred")
        || has_metadata("modelspec.prediction_type", "v")
        || has_metadata("modelspec.architecture", "v2-768-v")
        || family == FamilyId::Sd21 && !is_epsilon;
    ScheduleConfig {
        prediction_type: Some(if is_v { PredictionType::VPrediction } else { PredictionType::Epsilon }),
        rescale_betas_zero_snr: Some(has_marker("ztsnr")),
        ..ScheduleConfig::stable_diffusion()
    }
}
