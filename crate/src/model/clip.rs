//! Layers of a CLIP text encoder in execution order (transformers' `CLIPTextModel`, Radford et al. 2021).

use super::config::ClipConfig;
use super::module::{Kind, Module};

/// CLIP text encoder.
#[derive(Debug, Clone)]
pub struct Clip {
    /// Config.
    pub config: ClipConfig,
    /// Token embedding table, (vocabulary, width).
    pub token_embedding: Module,
    /// Position embedding table, (77, width).
    pub position_embedding: Module,
    /// Transformer layers.
    pub layers: Vec<ClipLayer>,
    /// Layer norm after the last layer.
    pub final_layer_norm: Module,
    /// Projection of the pooled state to text_embeds, without bias (SDXL's second encoder).
    pub text_projection: Option<Module>,
}

/// Transformer layer: pre-norm attention and MLP.
#[derive(Debug, Clone)]
pub struct ClipLayer {
    /// transformers' path of the layer.
    pub path: String,
    /// Layer norm before attention.
    pub layer_norm1: Module,
    /// Query projection.
    pub q_proj: Module,
    /// Key projection.
    pub k_proj: Module,
    /// Value projection.
    pub v_proj: Module,
    /// Output projection of attention.
    pub out_proj: Module,
    /// Layer norm before the MLP.
    pub layer_norm2: Module,
    /// MLP, to the intermediate width.
    pub fc1: Module,
    /// MLP, back to the hidden width.
    pub fc2: Module,
}

/// Creates a module whose key may lack `text_model.`, which transformers 5 and later omit.
fn module(path: String, kind: Kind) -> Module {
    let alias = path.strip_prefix("text_model.").map(str::to_owned);
    let module = Module::new(path.clone(), path, kind);
    match alias {
        Some(alias) => module.or_spelled(alias),
        None => module,
    }
}

impl Clip {
    /// Creates the layers of a validated config.
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

    /// Returns all layers in execution order.
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
