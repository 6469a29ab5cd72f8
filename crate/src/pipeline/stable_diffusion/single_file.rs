//! Base models in single-file checkpoints (CompVis's LDM, Stability AI's sgm), identified by the keys and
//! shapes of their tensors.

use super::{REFINER, StableDiffusion, special};
use crate::model::config::PerLevel;
use crate::model::stored::{open_clip, open_clip_encoder};
use crate::model::{Component, Family, FamilyId, TensorLocation, Unet, UnetConfig, Vae, single_file};
use crate::pipeline::error::PipelineError;
use crate::pipeline::spec::OpenedModel;
use crate::samplers::{PredictionType, ScheduleConfig};
use crate::text::Tokenizer;
use crate::weights::{Checkpoint, TensorFile, WeightsError};
use std::collections::HashMap;
use std::rc::Rc;

/// Width of SDXL's second text encoder (OpenCLIP bigG), the only one of the refiner.
const OPEN_CLIP_G: usize = 1280;

/// Returns the key prefix of the family's text encoder with transformers' key names.
fn clip_prefix(family: FamilyId) -> &'static str {
    match family {
        FamilyId::Sd15 | FamilyId::Sd21 => "cond_stage_model.transformer.",
        FamilyId::Sdxl => "conditioner.embedders.0.transformer.",
    }
}

impl StableDiffusion {
    /// Opens a checkpoint by its header. `vae` replaces the checkpoint's VAE, or supplies a missing one;
    /// `tokenizer` is CLIP's, which these files do not contain.
    pub fn open_file(
        name: &str,
        file: TensorFile,
        vae: Option<TensorFile>,
        tokenizer: Tokenizer,
    ) -> Result<OpenedModel<StableDiffusion>, PipelineError> {
        let (family, config) = unet_config(name, &file)?;
        let networks = Family { unet: Unet::new(&config), ..Family::published(family)? };
        let decoder = Family::published_vae(family)?;
        let schedule = schedule(&file, family);
        let file = Rc::new(file);
        let mut checkpoint = Checkpoint::default();
        add_networks(&mut checkpoint, family, &networks, &file)?;
        let vae_file = match vae {
            Some(vae) => Rc::new(vae),
            None if file.header.tensors.iter().any(|tensor| tensor.name.starts_with("first_stage_model.")) => file,
            None => return Err(invalid(name, "it contains no VAE: open a VAE file with it".into())),
        };
        add_vae(&mut checkpoint, &decoder, vae_file)?;
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

/// Builds the error for a file that is not a complete checkpoint of a known size.
fn invalid(name: &str, reason: String) -> PipelineError {
    PipelineError::InvalidFile { file: name.into(), reason }
}

/// Infers the UNet's family and config from the shapes of the tensors and completes the config with the published
/// group and head counts and sizes, which checkpoints do not store. Fails for a model that cannot be run.
fn unet_config(name: &str, file: &TensorFile) -> Result<(FamilyId, UnetConfig), PipelineError> {
    let shapes: HashMap<&str, &[usize]> =
        file.header.tensors.iter().map(|tensor| (tensor.name.as_str(), tensor.shape.as_slice())).collect();
    let (family, mut config) = single_file::unet_config(&shapes).ok_or_else(|| {
        invalid(name, "it is not a Stable Diffusion checkpoint: it has no UNet under model.diffusion_model".into())
    })?;
    if config.in_channels != 4 {
        return Err(special(config.in_channels));
    }
    if family == FamilyId::Sdxl && config.cross_attention_dim == OPEN_CLIP_G {
        return Err(PipelineError::Unsupported(REFINER.into()));
    }
    if shapes.keys().any(|key| key.ends_with(".scale_weight") || key.ends_with(".weight_scale")) {
        let kind = "a checkpoint with scaled weights, one scale per tensor (scaled fp8)";
        return Err(PipelineError::Unsupported(kind.into()));
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
    Ok((family, config))
}

/// Locates the weights of UNet and text encoders.
fn add_networks(
    checkpoint: &mut Checkpoint,
    family: FamilyId,
    networks: &Family,
    file: &Rc<TensorFile>,
) -> Result<(), WeightsError> {
    let files = std::slice::from_ref(file);
    checkpoint.add_spelled(Component::Unet, &networks.unet.modules(), files, &|module, part| {
        vec![TensorLocation::whole(format!("model.diffusion_model.{}.{part}", module.ldm))]
    })?;
    let second = networks.text_encoder_2.as_ref().map(|clip| (Component::TextEncoder2, clip));
    for (component, clip) in [(Component::TextEncoder, &networks.text_encoder)].into_iter().chain(second) {
        let open = open_clip_encoder(family).filter(|(encoder, _)| *encoder == component);
        checkpoint.add_spelled(component, &clip.modules(), files, &|module, part| match open {
            Some((_, prefix)) => open_clip(prefix, module, part).into_iter().collect(),
            None => {
                // NovelAI's file and merges with it have the names of early transformers.
                let early = module.path.strip_prefix("text_model.");
                let paths = [Some(module.path.as_str()), early].into_iter().flatten();
                paths.map(|path| TensorLocation::whole(format!("{}{path}.{part}", clip_prefix(family)))).collect()
            }
        })?;
    }
    Ok(())
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
