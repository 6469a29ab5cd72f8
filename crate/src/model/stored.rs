//! Location of a layer's tensor in a checkpoint: key, row range and orientation.

use super::family::FamilyId;
use super::module::{Component, Module};

/// Location of a tensor in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorLocation {
    /// Key of the stored tensor.
    pub key: String,
    /// Index of the third of its rows to read, if queries, keys and values are stored as one tensor.
    pub qkv_index: Option<usize>,
    /// Whether the stored tensor is transposed.
    pub transposed: bool,
}

impl TensorLocation {
    /// Returns the location of a whole stored tensor.
    pub fn whole(key: String) -> TensorLocation {
        TensorLocation { key, qkv_index: None, transposed: false }
    }
}

/// Returns the text encoder that has OpenCLIP's keys in a family's single-file checkpoints, and its key prefix.
pub fn open_clip_encoder(family: FamilyId) -> Option<(Component, &'static str)> {
    match family {
        FamilyId::Sd15 => None,
        FamilyId::Sd21 => Some((Component::TextEncoder, "cond_stage_model.model.")),
        FamilyId::Sdxl => Some((Component::TextEncoder2, "conditioner.embedders.1.model.")),
    }
}

/// Returns the location of a CLIP text encoder's tensor under OpenCLIP's keys: queries, keys and values
/// are one matrix, and the text projection is transposed. None if OpenCLIP has no such tensor.
pub fn open_clip(prefix: &str, module: &Module, part: &str) -> Option<TensorLocation> {
    let whole = |name: String| TensorLocation::whole(format!("{prefix}{name}"));
    let path = module.path.strip_prefix("text_model.").unwrap_or(&module.path);
    Some(match path {
        "embeddings.token_embedding" => whole(format!("token_embedding.{part}")),
        "embeddings.position_embedding" => whole("positional_embedding".into()),
        "final_layer_norm" => whole(format!("ln_final.{part}")),
        "text_projection" => TensorLocation { transposed: true, ..whole("text_projection".into()) },
        _ => {
            let (layer, name) = path.strip_prefix("encoder.layers.")?.split_once('.')?;
            let at = |name: &str| whole(format!("transformer.resblocks.{layer}.{name}"));
            let qkv = |third| TensorLocation { qkv_index: Some(third), ..at(&format!("attn.in_proj_{part}")) };
            match name {
                "self_attn.q_proj" => qkv(0),
                "self_attn.k_proj" => qkv(1),
                "self_attn.v_proj" => qkv(2),
                "self_attn.out_proj" => at(&format!("attn.out_proj.{part}")),
                "layer_norm1" => at(&format!("ln_1.{part}")),
                "layer_norm2" => at(&format!("ln_2.{part}")),
                "mlp.fc1" => at(&format!("mlp.c_fc.{part}")),
                "mlp.fc2" => at(&format!("mlp.c_proj.{part}")),
                _ => return None,
            }
        }
    })
}

/// Key prefixes of the first text encoder, and of SDXL's second one, with transformers' names: of checkpoints, of
/// stable-diffusion.cpp, of ComfyUI, and of a file of its own.
const FIRST: [&str; 4] =
    ["cond_stage_model.transformer.", "conditioner.embedders.0.transformer.", "text_encoders.clip_l.transformer.", ""];
const SECOND: [&str; 4] = [
    "cond_stage_model.1.transformer.",
    "conditioner.embedders.1.transformer.",
    "text_encoders.clip_g.transformer.",
    "",
];

/// Returns the possible locations of a tensor of a text encoder in a checkpoint or in a file of its own.
pub fn clip_locations(family: FamilyId, component: Component, module: &Module, part: &str) -> Vec<TensorLocation> {
    let open = open_clip_encoder(family).filter(|(encoder, _)| *encoder == component);
    let prefixes = if component == Component::TextEncoder2 { SECOND } else { FIRST };
    // NovelAI's file and merges with it have the names of early transformers.
    let early = module.path.strip_prefix("text_model.");
    let paths = [Some(module.path.as_str()), early];
    let named =
        prefixes.iter().flat_map(|prefix| paths.iter().flatten().map(move |path| format!("{prefix}{path}.{part}")));
    let mut locations: Vec<TensorLocation> = named.map(TensorLocation::whole).collect();
    if let Some((_, prefix)) = open {
        locations.extend([prefix, ""].iter().filter_map(|prefix| open_clip(prefix, module, part)));
        locations.extend(prefixes.iter().filter_map(|prefix| split_open_clip(prefix, module, part)));
    }
    locations
}

/// Returns the location of a tensor of OpenCLIP's in files that stable-diffusion.cpp converted: transformers' names, but
/// the parts of OpenCLIP's fused matrix are numbered, and its text projection likely stays transposed (no such file was
/// drawn).
fn split_open_clip(prefix: &str, module: &Module, part: &str) -> Option<TensorLocation> {
    if module.path == "text_projection" {
        let key = format!("{prefix}text_model.text_projection");
        return Some(TensorLocation { transposed: true, ..TensorLocation::whole(key) });
    }
    let (layer, name) = module.path.rsplit_once('.')?;
    let number = match name {
        "q_proj" => "",
        "k_proj" => ".1",
        "v_proj" => ".2",
        _ => return None,
    };
    Some(TensorLocation::whole(format!("{prefix}{layer}.in_proj.{part}{number}")))
}

/// Returns the possible locations of a tensor of a UNet, in a checkpoint or in a file of its own.
pub fn unet_locations(module: &Module, part: &str) -> Vec<TensorLocation> {
    let ldm = UNET_PREFIXES.iter().map(|prefix| format!("{prefix}{}.{part}", module.ldm));
    let diffusers = ["unet.", ""].iter().map(|prefix| format!("{prefix}{}.{part}", module.path));
    ldm.chain(diffusers).map(TensorLocation::whole).collect()
}

/// Key prefixes of a UNet with LDM's names.
pub const UNET_PREFIXES: [&str; 3] = ["model.diffusion_model.", "diffusion_model.", ""];
