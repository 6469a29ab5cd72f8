//! Plan of a CLIP text encoder: token embeddings -> hidden states (transformers' `CLIPTextModel.forward`).

use super::{Builder, Plan, PlanError};
use crate::model::clip::Clip;
use crate::ops::{Activation, Add, Attention, Broadcast, Unary};

const SUM: Add = Add { broadcast: Broadcast::None };

/// Hidden state of the encoder that a pipeline uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TextOutput {
    /// Layers skipped at the end: 0 for SD 1.x and 2.x, 1 for SDXL.
    pub skipped: usize,
    /// Whether the final layer norm is applied: yes for SD 1.x and 2.x, no for SDXL.
    pub normed: bool,
}

impl TextOutput {
    /// The last hidden state after the final layer norm.
    pub const LAST: TextOutput = TextOutput { skipped: 0, normed: true };
}

/// Builds the plan for `batch` prompts of `tokens` tokens.
///
/// Input: `tokens` (B, T, width), token embeddings, looked up on the CPU, because a table of 150 MB
/// exceeds a GPU binding. Outputs, each (B, T, width): `states`, the hidden state selected by `which`;
/// with a `clip_skip`, also `early`, the state that many layers earlier; and `last`, the last state
/// after the final norm, for pooling.
pub fn text_encoder(
    net: &Clip,
    component: &str,
    batch: usize,
    tokens: usize,
    which: TextOutput,
    clip_skip: usize,
) -> Result<Plan, PlanError> {
    encoder(net, component, (batch, tokens), which, clip_skip, Positions::Table)
}

/// Builds the plan for `batch` texts of fewer tokens than the encoder has positions, like [`text_encoder`]; the embeddings of
/// these positions are another input, `positions` (T, width).
pub fn short_text_encoder(
    net: &Clip,
    component: &str,
    batch: usize,
    tokens: usize,
    which: TextOutput,
) -> Result<Plan, PlanError> {
    encoder(net, component, (batch, tokens), which, 0, Positions::Given)
}

/// Where the position embeddings come from.
#[derive(Clone, Copy)]
enum Positions {
    /// The whole table is a weight.
    Table,
    /// An input has those that are needed.
    Given,
}

fn encoder(
    net: &Clip,
    component: &str,
    (batch, tokens): (usize, usize),
    which: TextOutput,
    clip_skip: usize,
    positions: Positions,
) -> Result<Plan, PlanError> {
    let config = &net.config;
    if tokens > config.max_position_embeddings {
        return Err(PlanError::TooManyTokens { found: tokens, limit: config.max_position_embeddings });
    }
    let mut b = Builder::for_component(component, component);
    let activation = if config.hidden_act == "gelu" { Activation::Gelu } else { Activation::QuickGelu };
    let embedded = b.input("tokens", &[batch, tokens, config.hidden_size]);
    let positions = match positions {
        Positions::Table => b.table(&net.position_embedding),
        Positions::Given => b.input("positions", &[tokens, config.hidden_size]),
    };
    let mut x = b.push(Add { broadcast: Broadcast::Batch }, &[embedded, positions], &net.position_embedding.path)?;
    let mut states = vec![x];
    for layer in &net.layers {
        let normed = b.module(&layer.layer_norm1, x)?;
        let q = b.module(&layer.q_proj, normed)?;
        let k = b.module(&layer.k_proj, normed)?;
        let v = b.module(&layer.v_proj, normed)?;
        let attention = Attention { heads: config.num_attention_heads, causal: true };
        let attended = b.push(attention, &[q, k, v], &format!("{}.self_attn", layer.path))?;
        let attended = b.module(&layer.out_proj, attended)?;
        x = b.push(SUM, &[x, attended], &format!("{}.self_attn.add", layer.path))?;
        let normed = b.module(&layer.layer_norm2, x)?;
        let hidden = b.module(&layer.fc1, normed)?;
        let hidden = b.push(Unary { function: activation }, &[hidden], &layer.fc1.path)?;
        let projected = b.module(&layer.fc2, hidden)?;
        x = b.push(SUM, &[x, projected], &layer.path)?;
        states.push(x);
    }
    let last = b.module(&net.final_layer_norm, x)?;
    let mut state = |clip_skip: usize| {
        let index = states
            .len()
            .checked_sub(1 + which.skipped + clip_skip)
            .ok_or(PlanError::ClipSkip { found: clip_skip, limit: net.layers.len() - which.skipped })?;
        match which.normed {
            true if states[index] == x => Ok(last),
            true => b.module(&net.final_layer_norm, states[index]),
            false => Ok(states[index]),
        }
    };
    let (selected, early) = (state(0)?, state(clip_skip)?);
    b.output("states", selected);
    if clip_skip > 0 {
        b.output("early", early);
    }
    b.output("last", last);
    Ok(b.finish())
}
