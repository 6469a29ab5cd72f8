//! Files that are not adapters: their kind, and a problem that says what to do with them.

use super::family;
use super::problem_class::ProblemClass;
use super::report::{Container, FileKind, Problem};
use crate::formats::gguf::Gguf;
use crate::formats::{Content, Header};
use crate::model::{UpscalerError, UpscalerNet, toml_table};
use crate::sentence::sentence;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::sync::LazyLock;

/// Classifies a file by its first bytes; `None` if tensors can be read from it.
pub fn by_content(content: Content, size: u64) -> Option<(Container, FileKind, Problem)> {
    let (kind, message) = match content {
        Content::Safetensors | Content::Zip | Content::Pickle | Content::Gguf => return None,
        Content::Empty => (FileKind::Empty, sentence!("not_lora.empty")),
        Content::Html => (FileKind::Html, sentence!("not_lora.html")),
        Content::Json => (FileKind::Json, sentence!("not_lora.json")),
        Content::GitLfs => (FileKind::GitLfs, sentence!("not_lora.git_lfs", size = size)),
        Content::Image => (FileKind::Image, sentence!("not_lora.image")),
        Content::Unknown if size < 8 => (FileKind::Unknown, sentence!("not_lora.too_short", size = size)),
        Content::Unknown => (FileKind::Unknown, sentence!("not_lora.unknown_format")),
    };
    let is_short = content == Content::Unknown && size < 8;
    let class = if is_short { ProblemClass::Truncated } else { ProblemClass::NotAnAdapter };
    Some((Container::Unknown, kind, Problem::refuse(class, message)))
}

/// A row of kinds.toml.
#[derive(Deserialize)]
struct Row {
    kind: FileKind,
    #[serde(default)]
    starts: Vec<String>,
    #[serde(default)]
    holds: Vec<String>,
    /// Minimum fraction of the tensor names that must match.
    #[serde(default = "default_share")]
    share: f64,
    /// Id of the sentence that says so.
    says: String,
}

fn default_share() -> f64 {
    0.9
}

#[derive(Deserialize)]
struct Rows {
    kind: Vec<Row>,
}

static ROWS: LazyLock<Rows> =
    LazyLock::new(|| toml_table::parse(embedded!("analysis/kinds.toml")).expect("kinds.toml is checked by a test"));

/// Classifies an upscaler of a known architecture.
fn upscaler(header: &Header) -> Option<(FileKind, Problem)> {
    let tensors = header.tensors.iter().map(|tensor| (tensor.name.as_str(), tensor.shape.as_slice()));
    let message = match UpscalerNet::of(tensors) {
        Ok(net) => sentence!("not_lora.upscaler_drawn", architecture = net.architecture(), scale = net.scale),
        Err(UpscalerError::Other(architecture)) => sentence!("not_lora.upscaler_other", architecture = architecture),
        Err(UpscalerError::Unknown | UpscalerError::Tensor(_)) => return None,
    };
    Some((FileKind::Upscaler, Problem::refuse(ProblemClass::NotAnAdapter, message)))
}

/// Classifies a file by its tensor names, if they show something other than a LoRA.
pub fn by_names(header: &Header) -> Option<(FileKind, Problem)> {
    if let Some(upscaler) = upscaler(header) {
        return Some(upscaler);
    }
    let fits = |row: &Row, name: &str| {
        row.starts.iter().any(|start| name.starts_with(start.as_str()))
            || row.holds.iter().any(|part| name.contains(part.as_str()))
    };
    let total = header.tensors.len();
    let row = ROWS.kind.iter().find(|row| {
        let count = header.tensors.iter().filter(|tensor| fits(row, &tensor.name)).count();
        count > 0 && count as f64 >= row.share * total as f64
    })?;
    Some((row.kind, Problem::refuse(ProblemClass::NotAnAdapter, sentence!(&row.says))))
}

/// Returns the problem of a GGUF file that is not an adapter.
pub fn by_gguf(gguf: &Gguf) -> Problem {
    let value = |key: &str| gguf.metadata.get(key).map(String::as_str);
    let mut kinds: BTreeMap<String, usize> = BTreeMap::new();
    for tensor in &gguf.tensors {
        *kinds.entry(tensor.type_name()).or_default() += 1;
    }
    let kind = kinds.iter().max_by_key(|(_, count)| **count).map_or("?", |(kind, _)| kind);
    let architecture = value("general.architecture").unwrap_or("?");
    let tensors = gguf.tensors.len();
    let message = sentence!("not_lora.gguf", architecture = architecture, tensors = tensors, kind = kind);
    Problem::refuse(ProblemClass::NotAnAdapter, message)
}

/// Classifies a tensor file without adapter tensors.
pub fn by_tensors(header: &Header) -> (FileKind, Problem) {
    if is_embedding(header) {
        let message = sentence!("not_lora.embedding");
        return (FileKind::TextualInversion, Problem::refuse(ProblemClass::TextualInversion, message));
    }
    if is_model(header) {
        let message = sentence!("not_lora.checkpoint");
        return (FileKind::Checkpoint, Problem::refuse(ProblemClass::FullCheckpoint, message));
    }
    let message = match header.tensors.first() {
        None => sentence!("not_lora.no_tensors"),
        Some(first) => sentence!("not_lora.no_adapter_key", tensors = header.tensors.len(), key = &first.name),
    };
    (FileKind::Unknown, Problem::refuse(ProblemClass::NotAnAdapter, message))
}

/// Returns the problem of a file without known tensors whose adapter_config.json names an algorithm of PEFT.
pub fn by_peft_type(config: &str, header: &Header) -> Option<Problem> {
    let config: serde_json::Value = serde_json::from_str(config).ok()?;
    let (algorithm, first) = (config.get("peft_type")?.as_str()?, header.tensors.first()?);
    let message = sentence!("not_lora.peft_type", algorithm = algorithm, key = &first.name);
    Some(Problem::refuse(ProblemClass::UnsupportedAlgorithm, message))
}

/// Returns whether all tensors have the names of embeddings in diffusers, A1111 or SDXL.
fn is_embedding(header: &Header) -> bool {
    const NAMES: [&str; 6] =
        ["emb_params", "clip_l", "clip_g", "text_encoders_0", "text_encoders_1", "string_to_param.*"];
    let bracketed = |name: &str| name.starts_with('<') && name.ends_with('>');
    let few = (1..=8).contains(&header.tensors.len());
    few && header
        .tensors
        .iter()
        .all(|tensor| tensor.shape.len() <= 2 && (NAMES.contains(&&*tensor.name) || bracketed(&tensor.name)))
}

/// Returns whether most tensors are weights and biases of a known network, or there are many of any network.
fn is_model(header: &Header) -> bool {
    let plain = |name: &str| name.ends_with(".weight") || name.ends_with(".bias");
    let weights = header.tensors.iter().filter(|tensor| plain(&tensor.name)).count();
    if weights * 2 < header.tensors.len() {
        return false;
    }
    let stem = |name: &str| name.rsplit_once('.').map(|(stem, _)| stem.to_owned());
    let known = family::any_published(|spellings| {
        let found = header.tensors.iter().filter_map(|tensor| stem(&tensor.name));
        found.filter(|stem| spellings.find_weight(stem, None).is_some()).count() * 2 > header.tensors.len()
    });
    known || weights > 100
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::{Dtype, TensorInfo};

    #[test]
    fn other_files_are_classified_by_tensor_names() {
        let check = |names: &[&str], kind: Option<FileKind>| {
            let tensor = |name: &&str| TensorInfo::contiguous((*name).into(), Dtype::F16, vec![1, 1], 0..2);
            let header = Header::of(names.iter().map(tensor).collect(), BTreeMap::new());
            assert_eq!(by_names(&header).map(|(kind, _)| kind), kind, "{names:?}");
        };
        check(&["image_proj.proj.weight", "ip_adapter.1.to_k_ip.weight"], Some(FileKind::IpAdapter));
        check(&["ip_adapter.0.to_q_lora.down.weight", "ip_adapter.0.to_k_ip.weight"], Some(FileKind::IpAdapter));
        check(
            &["lllite_unet_input_blocks_4_1_transformer_blocks_0_attn1_to_q.down.0.weight"],
            Some(FileKind::ControlNet),
        );
        check(&["lora_controlnet", "input_blocks.1.0.emb_layers.1.down"], Some(FileKind::ControlNet));
        check(&["adapter.body.0.block1.weight", "adapter.conv_in.weight"], Some(FileKind::ControlNet));
        check(&["body.0.block1.weight", "body.0.in_conv.weight", "conv_in.weight"], Some(FileKind::ControlNet));
        check(&["768.0.linear.0.weight", "768.1.linear.0.bias", "320.0.linear.0.weight"], Some(FileKind::Hypernetwork));
        check(
            &["decoder.mid.block_1.conv1.weight", "encoder.conv_in.weight", "quant_conv.weight"],
            Some(FileKind::Vae),
        );
        check(&["decoder.up_blocks.0.resnets.0.conv1.weight", "post_quant_conv.bias"], Some(FileKind::Vae));
        check(&["encoder.block.0.layer.0.SelfAttention.q.weight", "shared.weight"], Some(FileKind::TextEncoder));
        check(&["down_blocks.0.motion_modules.0.norm.weight"], Some(FileKind::MotionModule));
        check(&["conv_first.weight", "body.0.rdb1.conv1.weight"], Some(FileKind::Upscaler));
        check(&["lora_unet_mid_block_attentions_0_proj_in.lora_up.weight"], None);
        check(&["text_encoder.text_model.encoder.layers.0.mlp.fc1.lora_A.weight"], None);
        check(&["encoder_hid_proj.0.weight", "conv_in.weight", "down_blocks.0.resnets.0.conv1.weight"], None);
        check(&[], None);
    }
}
