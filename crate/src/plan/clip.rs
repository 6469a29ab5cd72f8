//! Turns a CLIP text encoder into a plan: token embeddings in, text states out
//! (transformers' `CLIPTextModel.forward`).

use super::{Builder, Plan, PlanError};
use crate::model::clip::Clip;
use crate::ops::{Add, Attention, Broadcast, Activation, Unary};

const SUM: Add = Add { broadcast: Broadcast::None };

/// Which state of the encoder a pipeline uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TextOutput {
    /// Layers left out at the end: 0 for SD 1.x and 2.x, 1 for SDXL.
    pub skipped: usize,
    /// Whether the final layer norm follows (SD 1.x and 2.x), or not (SDXL).
    pub normed: bool,
}

impl TextOutput {
    /// After the last layer and the final norm.
    pub const LAST: TextOutput = TextOutput { skipped: 0, normed: true };
}

/// The plan for `batch` prompts of `tokens` tokens.
///
/// Input: `tokens` (B, T, width), rows of the token table: they are looked up where the table is,
/// so that a table of 150 MB never has to be one GPU binding. Outputs, each (B, T, width): `states` as
/// `which` says; with a `clip_skip`, also `early`, as many layers before it; and `last`, the last state
/// after the final norm, for pooling.
pub fn text_encoder(
    net: &Clip,
    component: &str,
    batch: usize,
    tokens: usize,
    which: TextOutput,
    clip_skip: usize,
) -> Result<Plan, PlanError> {
    let config = &net.config;
    if tokens > config.max_position_embeddings {
        return Err(PlanError::Size {
            what: "the prompt's tokens".into(),
            wanted: format!("at most {}", config.max_position_embeddings),
            found: tokens.to_string(),
        });
    }
    let mut b = Builder::for_component(component, component);
    let function = if config.hidden_act == "gelu" { Activation::Gelu } else { Activation::QuickGelu };
    let embedded = b.input("tokens", &[batch, tokens, config.hidden_size]);
    let table = b.table(&net.position_embedding);
    let mut x = b.push(Add { broadcast: Broadcast::Batch }, &[embedded, table], &net.position_embedding.path)?;
    let mut states = vec![x];
    for layer in &net.layers {
        let normed = b.module(&layer.layer_norm1, x)?;
        let q = b.module(&layer.q_proj, normed)?;
        let k = b.module(&layer.k_proj, normed)?;
        let v = b.module(&layer.v_proj, normed)?;
        let attention = Attention { heads: config.num_attention_heads, causal: true };
        let mixed = b.push(attention, &[q, k, v], &format!("{}.self_attn", layer.path))?;
        let mixed = b.module(&layer.out_proj, mixed)?;
        x = b.push(SUM, &[x, mixed], &format!("{}.self_attn.add", layer.path))?;
        let normed = b.module(&layer.layer_norm2, x)?;
        let wide = b.module(&layer.fc1, normed)?;
        let wide = b.push(Unary { function }, &[wide], &layer.fc1.path)?;
        let narrow = b.module(&layer.fc2, wide)?;
        x = b.push(SUM, &[x, narrow], &layer.path)?;
        states.push(x);
    }
    let last = b.module(&net.final_layer_norm, x)?;
    let mut state = |clip_skip: usize| {
        let chosen = states.len().checked_sub(1 + which.skipped + clip_skip).ok_or_else(|| PlanError::Size {
            what: "clip skip".into(),
            wanted: format!("at most {}", net.layers.len() - which.skipped),
            found: clip_skip.to_string(),
        })?;
        match which.normed {
            true if states[chosen] == x => Ok(last),
            true => b.module(&net.final_layer_norm, states[chosen]),
            false => Ok(states[chosen]),
        }
    };
    let (usual, early) = (state(0)?, state(clip_skip)?);
    b.output("states", usual);
    if clip_skip > 0 {
        b.output("early", early);
    }
    b.output("last", last);
    Ok(b.finish())
}
