//! Turns a CLIP text config into its layers in the order in which data flows
//! (transformers' `CLIPTextModel`, Radford et al. 2021).

use super::config::ClipConfig;
use super::module::{Kind, Module};

/// A whole text encoder.
#[derive(Debug, Clone)]
pub struct Clip {
    /// Its sizes.
    pub config: ClipConfig,
    /// (vocabulary, width).
    pub token_embedding: Module,
    /// (77, width).
    pub position_embedding: Module,
    /// The transformer layers.
    pub layers: Vec<ClipLayer>,
    /// After the last layer.
    pub final_layer_norm: Module,
    /// SDXL's second encoder: pooled state to text_embeds, without bias.
    pub text_projection: Option<Module>,
}

/// Pre-norm attention and MLP.
#[derive(Debug, Clone)]
pub struct ClipLayer {
    /// transformers' path of the layer.
    pub path: String,
    /// Before attention.
    pub layer_norm1: Module,
    /// Queries.
    pub q_proj: Module,
    /// Keys.
    pub k_proj: Module,
    /// Values.
    pub v_proj: Module,
    /// After attention.
    pub out_proj: Module,
    /// Before the MLP.
    pub layer_norm2: Module,
    /// To the intermediate width.
    pub fc1: Module,
    /// Back.
    pub fc2: Module,
}

/// A module whose file name may lack `text_model.` (transformers 5 and later write it without).
fn module(path: String, kind: Kind) -> Module {
    let alias = path.strip_prefix("text_model.").map(str::to_owned);
    let module = Module::new(path.clone(), path, kind);
    match alias {
        Some(alias) => module.or_spelled(alias),
        None => module,
    }
}

impl Clip {
    /// Lists the layers of a checked config.
    pub fn new(config: &ClipConfig) -> Clip {
        let width = config.hidden_size;
        let table = |name: &str, rows| module(format!("text_model.embeddings.{name}"), Kind::Embedding { rows, width });
        Clip {
            token_embedding: table("token_embedding", config.vocab_size).without_bias(),
            position_embedding: table("position_embedding", config.max_position_embeddings).without_bias(),
            layers: (0..config.num_hidden_layers)
                .map(|i| ClipLayer::new(config, format!("text_model.encoder.layers.{i}")))
                .collect(),
            final_layer_norm: module(
                "text_model.final_layer_norm".into(),
                Kind::LayerNorm { width, eps: config.layer_norm_eps },
            ),
            text_projection: config.projects().then(|| {
                module("text_projection".into(), Kind::Linear { inputs: width, outputs: config.projection_dim })
                    .without_bias()
            }),
            config: config.clone(),
        }
    }

    /// Every layer, in the order in which data flows.
    pub fn modules(&self) -> Vec<&Module> {
        let mut list = vec![&self.token_embedding, &self.position_embedding];
        for layer in &self.layers {
            list.extend([&layer.layer_norm1, &layer.q_proj, &layer.k_proj, &layer.v_proj, &layer.out_proj]);
            list.extend([&layer.layer_norm2, &layer.fc1, &layer.fc2]);
        }
        list.push(&self.final_layer_norm);
        list.extend(&self.text_projection);
        list
    }
}

impl ClipLayer {
    fn new(config: &ClipConfig, path: String) -> ClipLayer {
        let (width, inner) = (config.hidden_size, config.intermediate_size);
        let norm = |name: &str| module(format!("{path}.{name}"), Kind::LayerNorm { width, eps: config.layer_norm_eps });
        let linear = |name: &str, inputs, outputs| module(format!("{path}.{name}"), Kind::Linear { inputs, outputs });
        ClipLayer {
            layer_norm1: norm("layer_norm1"),
            q_proj: linear("self_attn.q_proj", width, width),
            k_proj: linear("self_attn.k_proj", width, width),
            v_proj: linear("self_attn.v_proj", width, width),
            out_proj: linear("self_attn.out_proj", width, width),
            layer_norm2: norm("layer_norm2"),
            fc1: linear("mlp.fc1", width, inner),
            fc2: linear("mlp.fc2", inner, width),
            path,
        }
    }
}
