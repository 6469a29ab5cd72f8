//! Turns a layer's tensor into where checkpoints keep it: under which name, which part of it, which way round.

use super::family::FamilyId;
use super::module::{Component, Module};

/// Where a file keeps a tensor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// The name of what is stored.
    pub key: String,
    /// The third of its rows that is meant, where queries, keys and values are stored as one.
    pub third: Option<usize>,
    /// Rows and columns are exchanged.
    pub transposed: bool,
}

impl Stored {
    /// All that is stored under a name.
    pub fn whole(key: String) -> Stored {
        Stored { key, third: None, transposed: false }
    }
}

/// A matrix of this many rows, row by row, with rows and columns exchanged.
pub fn transposed(data: &[f32], rows: usize) -> Vec<f32> {
    let columns = data.len() / rows.max(1);
    (0..data.len()).map(|i| data[i % rows * columns + i / rows]).collect()
}

/// The text encoder that a family's single-file checkpoints spell as OpenCLIP does, and where it lies.
pub fn open_clip_encoder(family: FamilyId) -> Option<(Component, &'static str)> {
    match family {
        FamilyId::Sd15 => None,
        FamilyId::Sd21 => Some((Component::TextEncoder, "cond_stage_model.model.")),
        FamilyId::Sdxl => Some((Component::TextEncoder2, "conditioner.embedders.1.model.")),
    }
}

/// OpenCLIP's names of a CLIP text encoder's tensors: queries, keys and values are one matrix, and
/// the last projection is stored the other way round. None where it has no such tensor.
pub fn open_clip(prefix: &str, module: &Module, part: &str) -> Option<Stored> {
    let whole = |name: String| Stored::whole(format!("{prefix}{name}"));
    let path = module.path.strip_prefix("text_model.").unwrap_or(&module.path);
    Some(match path {
        "embeddings.token_embedding" => whole(format!("token_embedding.{part}")),
        "embeddings.position_embedding" => whole("positional_embedding".into()),
        "final_layer_norm" => whole(format!("ln_final.{part}")),
        "text_projection" => Stored { transposed: true, ..whole("text_projection".into()) },
        _ => {
            let (layer, name) = path.strip_prefix("encoder.layers.")?.split_once('.')?;
            let at = |name: &str| whole(format!("transformer.resblocks.{layer}.{name}"));
            let joined = |third| Stored { third: Some(third), ..at(&format!("attn.in_proj_{part}")) };
            match name {
                "self_attn.q_proj" => joined(0),
                "self_attn.k_proj" => joined(1),
                "self_attn.v_proj" => joined(2),
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
