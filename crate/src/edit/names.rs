//! Turns a layer and a tensor's role into the key that a convention has for them.

use crate::model::spelling::Role;
use crate::model::{Component, FamilyId, Module};
use serde::Serialize;
use std::str::FromStr;
use ts_rs::TS;

/// A convention of keys that can be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, TS)]
#[serde(rename_all = "snake_case")]
#[ts(rename_all = "snake_case")]
pub enum Target {
    /// kohya-ss/sd-scripts: `lora_unet_…`, for SDXL with single-file names; read nearly everywhere.
    Kohya,
    /// diffusers since 0.22: `unet.….lora_A.weight`, alphas in the header's `lora_adapter_metadata`.
    Peft,
    /// diffusers before: `unet.….attn1.processor.to_q_lora.down.weight`; no alphas.
    Diffusers,
    /// ComfyUI: `diffusion_model.input_blocks.….lora_up.weight`.
    Comfy,
    /// OneTrainer: `lora_unet_…` with diffusers' names, for SDXL too.
    Onetrainer,
}

impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Target, String> {
        let all = [Target::Kohya, Target::Peft, Target::Diffusers, Target::Comfy, Target::Onetrainer];
        let found = all.into_iter().find(|target| target.name() == text);
        found.ok_or_else(|| format!("`{text}` is none of kohya, peft, diffusers, comfy and onetrainer"))
    }
}

impl Target {
    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Target::Kohya => "kohya",
            Target::Peft => "peft",
            Target::Diffusers => "diffusers",
            Target::Comfy => "comfy",
            Target::Onetrainer => "onetrainer",
        }
    }

    /// The target whose files look like those of a report's convention.
    pub fn like(convention: &str) -> Target {
        match convention {
            "comfy" | "kohya_ldm" => Target::Comfy,
            "diffusers" | "diffusers_attn_procs" | "diffusers_attn_procs_no_prefix" | "diffusers_no_prefix" => {
                Target::Diffusers
            }
            name if name.starts_with("peft") => Target::Peft,
            _ => Target::Kohya,
        }
    }

    /// Whether alphas are tensors of the file.
    pub fn has_alphas(self) -> bool {
        !matches!(self, Target::Peft | Target::Diffusers)
    }

    /// Whether the convention has a place for a tensor in this role.
    pub fn holds(self, role: Role) -> bool {
        match self {
            Target::Peft => matches!(role, Role::Up | Role::Down | Role::Magnitude),
            Target::Diffusers => matches!(role, Role::Up | Role::Down),
            Target::Kohya | Target::Comfy | Target::Onetrainer => role != Role::Magnitude,
        }
    }

    /// The whole key.
    pub fn key(self, family: FamilyId, component: Component, module: &Module, role: Role) -> String {
        let path = &module.path;
        let (prefix, names) = match self {
            Target::Kohya | Target::Onetrainer => (flat_prefix(family, component), path),
            Target::Peft | Target::Diffusers => (component.name(), path),
            Target::Comfy => (comfy_prefix(family, component), path),
        };
        match self {
            Target::Kohya if family == FamilyId::Sdxl && component == Component::Unet => {
                format!("{prefix}_{}{}", module.ldm.replace('.', "_"), suffix(role))
            }
            Target::Kohya | Target::Onetrainer => format!("{prefix}_{}{}", names.replace('.', "_"), suffix(role)),
            Target::Comfy if component == Component::Unet => format!("{prefix}.{}{}", module.ldm, suffix(role)),
            Target::Comfy => format!("{prefix}.{names}{}", suffix(role)),
            Target::Peft => format!("{prefix}.{names}{}", peft_suffix(role)),
            Target::Diffusers => format!("{prefix}.{}", old_diffusers(component, names, role)),
        }
    }
}

fn flat_prefix(family: FamilyId, component: Component) -> &'static str {
    match (component, family) {
        (Component::TextEncoder, FamilyId::Sdxl) => "lora_te1",
        (Component::TextEncoder, _) => "lora_te",
        (Component::TextEncoder2, _) => "lora_te2",
        _ => "lora_unet",
    }
}

fn comfy_prefix(family: FamilyId, component: Component) -> &'static str {
    match (component, family) {
        (Component::TextEncoder, FamilyId::Sd21) => "text_encoders.clip_h.transformer",
        (Component::TextEncoder, _) => "text_encoders.clip_l.transformer",
        (Component::TextEncoder2, _) => "text_encoders.clip_g.transformer",
        _ => "diffusion_model",
    }
}

/// sd-scripts' and LyCORIS's endings.
pub(super) fn suffix(role: Role) -> &'static str {
    match role {
        Role::Up => ".lora_up.weight",
        Role::Down => ".lora_down.weight",
        Role::Mid => ".lora_mid.weight",
        Role::Alpha => ".alpha",
        Role::Scale => ".scale",
        Role::LoraBias => ".lora_B.bias",
        Role::DoraScale => ".dora_scale",
        Role::Magnitude => ".magnitude",
        Role::HadaW1A => ".hada_w1_a",
        Role::HadaW1B => ".hada_w1_b",
        Role::HadaW2A => ".hada_w2_a",
        Role::HadaW2B => ".hada_w2_b",
        Role::HadaT1 => ".hada_t1",
        Role::HadaT2 => ".hada_t2",
        Role::LokrW1 => ".lokr_w1",
        Role::LokrW1A => ".lokr_w1_a",
        Role::LokrW1B => ".lokr_w1_b",
        Role::LokrW2 => ".lokr_w2",
        Role::LokrW2A => ".lokr_w2_a",
        Role::LokrW2B => ".lokr_w2_b",
        Role::LokrT2 => ".lokr_t2",
        Role::GloraA1 => ".a1.weight",
        Role::GloraA2 => ".a2.weight",
        Role::GloraB1 => ".b1.weight",
        Role::GloraB2 => ".b2.weight",
        Role::GloraBm => ".bm.weight",
        Role::OftBlocks => ".oft_blocks",
        Role::OftDiag => ".oft_diag",
        Role::Rescale => ".rescale",
        Role::Weight => ".weight",
        Role::OnInput => ".on_input",
        Role::Diff => ".diff",
        Role::DiffB => ".diff_b",
        Role::WNorm => ".w_norm",
        Role::BNorm => ".b_norm",
        Role::SetWeight => ".set_weight",
        Role::ReshapeWeight => ".reshape_weight",
    }
}

/// PEFT's endings; sd-scripts' where PEFT has none.
fn peft_suffix(role: Role) -> &'static str {
    match role {
        Role::Up => ".lora_B.weight",
        Role::Down => ".lora_A.weight",
        Role::Magnitude => ".lora_magnitude_vector",
        other => suffix(other),
    }
}

/// diffusers' old names: attention processors, other UNet layers and text encoders each have
/// their own.
fn old_diffusers(component: Component, path: &str, role: Role) -> String {
    let side = if role == Role::Up { "up" } else { "down" };
    let projection = path.rsplit_once(".to_").filter(|_| component == Component::Unet);
    match (component, projection) {
        (Component::Unet, Some((attention, name))) => {
            format!("{attention}.processor.to_{}_lora.{side}.weight", name.trim_end_matches(".0"))
        }
        (Component::Unet, None) => format!("{path}.lora.{side}.weight"),
        _ => format!("{path}.lora_linear_layer.{side}.weight"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Family;
    use crate::model::spelling::{Spellings, split};

    #[test]
    fn every_key_that_is_written_is_read_as_the_same_layer() {
        let targets = [Target::Kohya, Target::Peft, Target::Diffusers, Target::Comfy, Target::Onetrainer];
        for family_id in [FamilyId::Sd15, FamilyId::Sd21, FamilyId::Sdxl] {
            let family = Family::published(family_id).expect("a published config");
            let modules = family.modules();
            let spellings = Spellings::new(&modules);
            for target in targets {
                for &(component, module) in &modules {
                    for role in [Role::Up, Role::Down] {
                        let key = target.key(family_id, component, module, role);
                        let (stem, suffix) = split(&key).expect(&key);
                        let found = spellings.find(stem, suffix.peft).expect(&key);
                        assert_eq!((found.component, &found.module.path, suffix.role), (component, &module.path, role));
                    }
                }
            }
        }
    }

    #[test]
    fn keys_look_as_their_programs_write_them() {
        let check = |target: Target, id, path: &str, want: &str| {
            let family = Family::published(id).expect("a published config");
            let (component, module) =
                family.modules().into_iter().find(|(_, module)| module.path == path).expect("a layer");
            assert_eq!(target.key(id, component, module, Role::Up), want);
        };
        const OUT: &str = "down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_out.0";
        const FC1: &str = "text_model.encoder.layers.3.mlp.fc1";
        let (sd15, sdxl) = (FamilyId::Sd15, FamilyId::Sdxl);
        check(
            Target::Kohya,
            sd15,
            OUT,
            "lora_unet_down_blocks_1_attentions_0_transformer_blocks_0_attn1_to_out_0.lora_up.weight",
        );
        check(
            Target::Kohya,
            sdxl,
            OUT,
            "lora_unet_input_blocks_4_1_transformer_blocks_0_attn1_to_out_0.lora_up.weight",
        );
        check(
            Target::Onetrainer,
            sdxl,
            OUT,
            "lora_unet_down_blocks_1_attentions_0_transformer_blocks_0_attn1_to_out_0.lora_up.weight",
        );
        check(
            Target::Comfy,
            sd15,
            OUT,
            "diffusion_model.input_blocks.4.1.transformer_blocks.0.attn1.to_out.0.lora_up.weight",
        );
        check(
            Target::Diffusers,
            sd15,
            OUT,
            "unet.down_blocks.1.attentions.0.transformer_blocks.0.attn1.processor.to_out_lora.up.weight",
        );
        check(
            Target::Diffusers,
            sd15,
            FC1,
            "text_encoder.text_model.encoder.layers.3.mlp.fc1.lora_linear_layer.up.weight",
        );
        check(Target::Peft, sdxl, FC1, "text_encoder.text_model.encoder.layers.3.mlp.fc1.lora_B.weight");
        check(Target::Kohya, sdxl, FC1, "lora_te1_text_model_encoder_layers_3_mlp_fc1.lora_up.weight");
        check(Target::Kohya, sd15, FC1, "lora_te_text_model_encoder_layers_3_mlp_fc1.lora_up.weight");
    }
}
