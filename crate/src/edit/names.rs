//! Key formats of adapter files: layer and tensor role -> key.

use crate::model::spelling::Role;
use crate::model::{Component, Module};
use serde::{Deserialize, Serialize};
use std::str::FromStr;
use ts_rs::TS;

/// A key format that can be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "snake_case")]
#[ts(rename_all = "snake_case")]
pub enum Target {
    /// kohya-ss/sd-scripts: `lora_unet_…`, with SGM block names for SDXL; supported nearly everywhere.
    Kohya,
    /// diffusers since 0.22: `unet.….lora_A.weight`, alphas in the header's `lora_adapter_metadata`.
    Peft,
    /// diffusers before 0.22: `unet.….attn1.processor.to_q_lora.down.weight`; no alphas.
    Diffusers,
    /// ComfyUI: `diffusion_model.input_blocks.….lora_up.weight`.
    Comfy,
    /// OneTrainer: `lora_unet_…` with diffusers' layer names, also for SDXL.
    Onetrainer,
    /// ai-toolkit: `diffusion_model.….lora_A.weight` for transformers; no alphas. Most programs read it.
    Aitoolkit,
}

impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Target, String> {
        let found = Target::ALL.into_iter().find(|target| target.name() == text);
        found.ok_or_else(|| format!("no key format `{text}`; known: {}", Target::ALL.map(Target::name).join(", ")))
    }
}

impl Target {
    /// Every key format.
    pub const ALL: [Target; 6] =
        [Target::Kohya, Target::Peft, Target::Diffusers, Target::Comfy, Target::Onetrainer, Target::Aitoolkit];

    /// Returns the name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Target::Kohya => "kohya",
            Target::Peft => "peft",
            Target::Diffusers => "diffusers",
            Target::Comfy => "comfy",
            Target::Onetrainer => "onetrainer",
            Target::Aitoolkit => "aitoolkit",
        }
    }

    /// Returns the target closest to a report's `convention`.
    pub fn for_convention(convention: &str) -> Target {
        match convention {
            "comfy" | "kohya_ldm" => Target::Comfy,
            "diffusers" | "diffusers_attn_procs" | "diffusers_attn_procs_no_prefix" | "diffusers_no_prefix" => {
                Target::Diffusers
            }
            name if name.starts_with("peft") => Target::Peft,
            _ => Target::Kohya,
        }
    }

    /// Returns whether alphas are stored as tensors.
    pub fn has_alphas(self) -> bool {
        !matches!(self, Target::Peft | Target::Diffusers | Target::Aitoolkit)
    }

    /// Returns whether the key format can store a tensor of this role.
    pub fn holds(self, role: Role) -> bool {
        match self {
            Target::Peft => matches!(role, Role::Up | Role::Down | Role::Magnitude),
            Target::Diffusers | Target::Aitoolkit => matches!(role, Role::Up | Role::Down),
            Target::Kohya | Target::Comfy | Target::Onetrainer => role != Role::Magnitude && !suffix(role).is_empty(),
        }
    }

    /// Returns whether newer models use their original layers (fused QKV) rather than diffusers' split ones. ai-toolkit
    /// uses the layers of the implementation that it trains.
    pub(super) fn is_native(self, model: &str) -> bool {
        match self {
            Target::Kohya | Target::Comfy => true,
            Target::Aitoolkit => !matches!(model, "z_image" | "hidream" | "ltxv" | "ernie_image"),
            Target::Peft | Target::Diffusers | Target::Onetrainer => false,
        }
    }

    /// Returns the full key in files for `model` (`sd15`, `flux1`, …), if the key format has one.
    /// `module` must be a layer as the key format fuses it.
    pub fn key(self, model: &str, component: Component, module: &Module, role: Role) -> Option<String> {
        let (path, native) = (&module.path, &module.ldm);
        let flat = |prefix: &str, name: &str| format!("{prefix}_{}{}", name.replace('.', "_"), suffix(role));
        let denoiser = component.is_denoiser();
        let newer = component == Component::Transformer;
        Some(match self {
            Target::Kohya if newer || component == Component::Unet && model.starts_with("sdxl") => {
                flat("lora_unet", native)
            }
            Target::Kohya if component == Component::Prior => flat("lora_prior_unet", native),
            Target::Onetrainer if newer => flat("lora_transformer", path),
            Target::Kohya | Target::Onetrainer if component == Component::Unet => flat("lora_unet", path),
            Target::Kohya | Target::Onetrainer if !denoiser => flat(self.flat_encoder(model, component)?, path),
            Target::Comfy if newer || component == Component::Unet => {
                format!("diffusion_model.{native}{}", suffix(role))
            }
            Target::Comfy if !denoiser => {
                format!("text_encoders.{}.transformer.{path}{}", comfy_encoder(model, component)?, suffix(role))
            }
            Target::Aitoolkit if newer => {
                let name = if self.is_native(model) { native } else { path };
                format!("diffusion_model.{name}{}", peft_suffix(role))
            }
            Target::Peft if component == Component::LanguageModel => {
                format!("base_model.model.{path}{}", peft_suffix(role))
            }
            Target::Peft if component != Component::Prior => format!("{component}.{path}{}", peft_suffix(role)),
            Target::Diffusers if model.starts_with("sd") && !newer && component != Component::TextEncoder3 => {
                format!("{component}.{}", legacy_diffusers(component, path, role))
            }
            _ => return None,
        })
    }

    /// Returns the prefix of a text encoder in sd-scripts and OneTrainer.
    fn flat_encoder(self, model: &str, component: Component) -> Option<&'static str> {
        Some(match (model, component) {
            ("sd15" | "sd21" | "anima" | "lumina2", Component::TextEncoder) => "lora_te",
            ("sdxl" | "sdxl_refiner" | "sd3" | "flux1", Component::TextEncoder) => "lora_te1",
            ("flux1", Component::TextEncoder2) if self == Target::Kohya => "lora_te3",
            ("sdxl" | "sdxl_refiner" | "sd3" | "flux1", Component::TextEncoder2) => "lora_te2",
            ("sd3", Component::TextEncoder3) => "lora_te3",
            _ => return None,
        })
    }
}

/// Returns the name of a text encoder in ComfyUI.
fn comfy_encoder(model: &str, component: Component) -> Option<&'static str> {
    Some(match (model, component) {
        ("sd15" | "sdxl" | "flux1" | "sd3", Component::TextEncoder) => "clip_l",
        ("sd21", Component::TextEncoder) => "clip_h",
        ("sdxl" | "sdxl_refiner" | "sd3", Component::TextEncoder2) => "clip_g",
        ("flux1", Component::TextEncoder2) | ("sd3", Component::TextEncoder3) => "t5xxl",
        _ => return None,
    })
}

/// Returns the key suffix of a role in sd-scripts and LyCORIS.
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
        Role::Bias => ".bias",
        Role::OnInput => ".on_input",
        Role::Diff => ".diff",
        Role::DiffB => ".diff_b",
        Role::WNorm => ".w_norm",
        Role::BNorm => ".b_norm",
        Role::SetWeight => ".set_weight",
        Role::ReshapeWeight => ".reshape_weight",
        // Roles of PEFT's and of unsupported algorithms; their keys are never renamed.
        Role::OftR
        | Role::OftScaled
        | Role::LoraE
        | Role::BoftR
        | Role::BoftS
        | Role::Ia3L
        | Role::HraU
        | Role::MissBlock
        | Role::BoneBlock
        | Role::VeraA
        | Role::VeraB
        | Role::VeraLambdaB
        | Role::VeraLambdaD
        | Role::ShiraWeight
        | Role::ShiraIndices
        | Role::DeloraA
        | Role::DeloraB
        | Role::DeloraLambda
        | Role::DeloraWNorm
        | Role::Part1
        | Role::Part2
        | Role::Part3
        | Role::Part4
        | Role::Part5
        | Role::Part6
        | Role::Part7
        | Role::Part8 => "",
    }
}

/// Returns the key suffix of a role in PEFT, or in sd-scripts if PEFT has none.
fn peft_suffix(role: Role) -> &'static str {
    match role {
        Role::Up => ".lora_B.weight",
        Role::Down => ".lora_A.weight",
        Role::Magnitude => ".lora_magnitude_vector",
        other => suffix(other),
    }
}

/// Returns the legacy diffusers key without its component; attention processors, other UNet layers and
/// text encoders use different formats.
fn legacy_diffusers(component: Component, path: &str, role: Role) -> String {
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
    use crate::model::spelling::{KeyTable, split};
    use crate::model::{Architecture, Family, FamilyId, ModuleSource};

    #[test]
    fn written_keys_are_read_as_the_same_layer() {
        for family_id in [FamilyId::Sd15, FamilyId::Sd21, FamilyId::Sdxl] {
            let family = Family::published(family_id).expect("a published config");
            let modules = family.modules();
            let spellings = KeyTable::new(&modules);
            for target in Target::ALL.into_iter().filter(|target| *target != Target::Aitoolkit) {
                for &(component, module) in &modules {
                    for role in [Role::Up, Role::Down] {
                        let key = target.key(family_id.name(), component, module, role).expect("a key");
                        let (stem, suffix) = split(&key).expect(&key);
                        let found = spellings.find(stem, suffix.peft).expect(&key);
                        assert_eq!((found.component, &found.module.path, suffix.role), (component, &module.path, role));
                    }
                }
            }
        }
    }

    #[test]
    fn written_keys_of_newer_models_are_read_as_the_same_layer() {
        let targets = [Target::Kohya, Target::Peft, Target::Comfy, Target::Onetrainer, Target::Aitoolkit];
        let mut written = 0;
        for model in Architecture::families() {
            for architecture in Architecture::of(model) {
                let modules = architecture.modules();
                let spellings = KeyTable::new(&modules);
                for target in targets {
                    for &(component, module) in &modules {
                        let source =
                            if target.is_native(model) { ModuleSource::Native } else { ModuleSource::Diffusers };
                        let naming = architecture.naming(&module.path);
                        if naming != Some(ModuleSource::Both) && naming != Some(source) {
                            continue;
                        }
                        let Some(key) = target.key(model, component, module, Role::Up) else { continue };
                        let (stem, suffix) = split(&key).expect(&key);
                        let found = spellings.find(stem, suffix.peft).unwrap_or_else(|| panic!("{model} {key}"));
                        assert_eq!((found.component, &found.module.path), (component, &module.path), "{model} {key}");
                        written += 1;
                    }
                }
            }
        }
        assert!(written > 10_000, "only {written} keys");
    }

    #[test]
    fn keys_match_those_that_other_programs_write() {
        let check = |target: Target, id, path: &str, expected: &str| {
            let family = Family::published(id).expect("a published config");
            let (component, module) =
                family.modules().into_iter().find(|(_, module)| module.path == path).expect("a layer");
            assert_eq!(target.key(id.name(), component, module, Role::Up).as_deref(), Some(expected));
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
