//! Turns a single-file checkpoint (CompVis's LDM, Stability AI's sgm) into a model: which one it is
//! comes from the names and shapes of its tensors.

use super::error::PipelineError;
use super::model::{Model, REFINER, special};
use crate::model::config::PerLevel;
use crate::model::{Component, Family, FamilyId, Module, Unet, single_file};
use crate::samplers::{PredictionType, ScheduleConfig};
use crate::text::Tokenizer;
use crate::weights::{Checkpoint, Spelled, TensorFile};
use std::collections::HashMap;
use std::rc::Rc;

/// Where the parts of a file lie, and how their text encoders are spelled.
struct Places {
    text: &'static str,
    text_is_open_clip: bool,
    text_2: &'static str,
}

/// Width of SDXL's second text encoder, the only one of the refiner.
const OPEN_CLIP_G: usize = 1280;

fn places(family: FamilyId) -> Places {
    match family {
        FamilyId::Sd15 => Places { text: "cond_stage_model.transformer.", text_is_open_clip: false, text_2: "" },
        FamilyId::Sd21 => Places { text: "cond_stage_model.model.", text_is_open_clip: true, text_2: "" },
        FamilyId::Sdxl => Places {
            text: "conditioner.embedders.0.transformer.",
            text_is_open_clip: false,
            text_2: "conditioner.embedders.1.model.",
        },
    }
}

impl Model {
    /// Reads the header of a checkpoint; weights are read when they are needed. `vae` is a file
    /// that replaces the checkpoint's own autoencoder, or stands in for a missing one; `tokenizer`
    /// is CLIP's, which such files do not bring.
    pub async fn open_file(
        name: &str,
        file: TensorFile,
        vae: Option<TensorFile>,
        tokenizer: Tokenizer,
    ) -> Result<Model, PipelineError> {
        let bad = |reason: String| PipelineError::BadFile { file: name.into(), reason };
        let shapes: HashMap<&str, &[usize]> =
            file.header.tensors.iter().map(|tensor| (tensor.name.as_str(), tensor.shape.as_slice())).collect();
        let (family, mut config) = single_file::unet_config(&shapes).ok_or_else(|| {
            bad("it is no Stable Diffusion checkpoint: it has no UNet under model.diffusion_model".into())
        })?;
        if config.in_channels != 4 {
            return Err(special(config.in_channels));
        }
        if family == FamilyId::Sdxl && config.cross_attention_dim == OPEN_CLIP_G {
            return Err(PipelineError::Unsupported(REFINER.into()));
        }
        if shapes.keys().any(|key| key.ends_with(".scale_weight") || key.ends_with(".weight_scale")) {
            let kind = "a checkpoint whose weights are scaled, each tensor by a number of its own";
            return Err(PipelineError::Unsupported(kind.into()));
        }
        if config.block_out_channels.first() != Some(&320) {
            return Err(bad(format!(
                "its UNet has {:?} channels. Group and head counts are not in a checkpoint and are known for the published sizes (320, 640, 1280) only: give the model as a diffusers folder",
                config.block_out_channels
            )));
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
        let published = Family::published(family)?;
        let networks = Family { unet: Unet::new(&config), ..published };
        let decoder = Family::published_vae(family)?;
        let schedule = schedule(&file, family);

        let has_vae = shapes.keys().any(|name| name.starts_with("first_stage_model."));
        drop(shapes);

        let file = Rc::new(file);
        let files = std::slice::from_ref(&file);
        let mut checkpoint = Checkpoint::default();
        checkpoint.add_spelled(Component::Unet, &networks.unet.modules(), files, &|module, part| {
            vec![Spelled::whole(format!("model.diffusion_model.{}.{part}", module.ldm))]
        })?;
        let Places { text, text_is_open_clip, text_2 } = places(family);
        checkpoint.add_spelled(Component::TextEncoder, &networks.text_encoder.modules(), files, &|module, part| {
            match text_is_open_clip {
                true => open_clip(text, module, part),
                false => vec![Spelled::whole(format!("{text}{}.{part}", module.path))],
            }
        })?;
        if let Some(clip) = &networks.text_encoder_2 {
            checkpoint.add_spelled(Component::TextEncoder2, &clip.modules(), files, &|module, part| {
                open_clip(text_2, module, part)
            })?;
        }
        let vae_file = match vae {
            Some(vae) => Rc::new(vae),
            None if has_vae => file.clone(),
            None => return Err(PipelineError::NoFile("VAE in it, and such files need one beside them".into())),
        };
        let modules = [decoder.modules(), decoder.encoder.modules()].concat();
        checkpoint.add_spelled(Component::Vae, &modules, &[vae_file], &|module, part| {
            let paths = [format!("first_stage_model.{}", module.ldm), module.ldm.clone(), module.path.clone()];
            let paths = paths.into_iter().chain(module.alias.clone());
            paths.map(|path| Spelled::whole(format!("{path}.{part}"))).collect()
        })?;

        let tokenizers = match family {
            FamilyId::Sd15 => vec![tokenizer],
            FamilyId::Sd21 => vec![tokenizer.padded_with_zero()],
            FamilyId::Sdxl => vec![tokenizer.clone(), tokenizer.padded_with_zero()],
        };
        Ok(Model {
            name: name.into(),
            networks,
            vae: decoder,
            tokenizers,
            zeros_for_no_prompt: family == FamilyId::Sdxl,
            schedule,
            checkpoint,
        })
    }
}

/// The noise schedule, with what the file tells of its prediction: marker tensors that trainers
/// add, or modelspec. SD 2.x files that tell nothing are taken for the 768-pixel v-prediction model.
fn schedule(file: &TensorFile, family: FamilyId) -> ScheduleConfig {
    let marked = |name: &str| file.header.get(name).is_some();
    let said = |key: &str, text: &str| file.header.metadata.get(key).is_some_and(|value| value.contains(text));
    let is_epsilon = said("modelspec.prediction_type", "epsilon") || said("modelspec.architecture", "v2-512");
    let is_v = marked("v_pred")
        || said("modelspec.prediction_type", "v")
        || said("modelspec.architecture", "v2-768-v")
        || family == FamilyId::Sd21 && !is_epsilon;
    ScheduleConfig {
        prediction_type: Some(if is_v { PredictionType::VPrediction } else { PredictionType::Epsilon }),
        rescale_betas_zero_snr: Some(marked("ztsnr")),
        ..ScheduleConfig::stable_diffusion()
    }
}

/// OpenCLIP's names of a CLIP text encoder's tensors: queries, keys and values are one matrix, and
/// the last projection is stored the other way round.
fn open_clip(prefix: &str, module: &Module, part: &str) -> Vec<Spelled> {
    let whole = |name: String| Spelled::whole(format!("{prefix}{name}"));
    let path = module.path.strip_prefix("text_model.").unwrap_or(&module.path);
    let spelled = match path {
        "embeddings.token_embedding" => whole(format!("token_embedding.{part}")),
        "embeddings.position_embedding" => whole("positional_embedding".into()),
        "final_layer_norm" => whole(format!("ln_final.{part}")),
        "text_projection" => Spelled { transposed: true, ..whole("text_projection".into()) },
        _ => {
            let Some((layer, name)) = path.strip_prefix("encoder.layers.").and_then(|rest| rest.split_once('.')) else {
                return Vec::new();
            };
            let at = |name: &str| whole(format!("transformer.resblocks.{layer}.{name}"));
            let joined = |third| Spelled { third: Some(third), ..at(&format!("attn.in_proj_{part}")) };
            match name {
                "self_attn.q_proj" => joined(0),
                "self_attn.k_proj" => joined(1),
                "self_attn.v_proj" => joined(2),
                "self_attn.out_proj" => at(&format!("attn.out_proj.{part}")),
                "layer_norm1" => at(&format!("ln_1.{part}")),
                "layer_norm2" => at(&format!("ln_2.{part}")),
                "mlp.fc1" => at(&format!("mlp.c_fc.{part}")),
                "mlp.fc2" => at(&format!("mlp.c_proj.{part}")),
                _ => return Vec::new(),
            }
        }
    };
    vec![spelled]
}
