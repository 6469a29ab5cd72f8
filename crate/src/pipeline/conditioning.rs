//! Prompt conditioning of the UNet: text encoder states and, for SDXL, pooled embeddings and sizes.

use super::error::PipelineError;
use super::recipe::Recipe;
use crate::model::{Clip, Component};
use crate::plan::{self, Plan, TextOutput};
use crate::text::{CHUNK_LEN, Syntax, Tokenizer};

/// The UNet's conditioning, one entry per batch item.
pub struct Conditioning {
    /// Hidden states of the text encoders, concatenated along the width: (B, T, width).
    pub states: Vec<f32>,
    /// SDXL's added conditioning: (B, pooled width + six timestep embeddings of the sizes).
    pub added: Option<Vec<f32>>,
}

/// Returns the text encoder output that the model's UNet was trained on.
pub fn output(is_xl: bool) -> TextOutput {
    if is_xl { TextOutput { skipped: 1, normed: false } } else { TextOutput::LAST }
}

/// Returns the number of layers to skip beyond those that the model itself skips. The web UIs count
/// from the last layer, so their clip skip of 2 is SDXL's default; diffusers counts from the layer
/// that the model uses.
pub fn clip_skip(recipe: &Recipe, is_xl: bool) -> usize {
    match recipe.syntax {
        Syntax::A1111 if is_xl => recipe.clip_skip.saturating_sub(1),
        _ => recipe.clip_skip,
    }
}

/// Plans a model's text encoders for a batch of `batch` prompts.
pub fn plans(
    encoders: &[(Component, &Clip, &Tokenizer)],
    batch: usize,
    skip: usize,
) -> Result<Vec<Plan>, PipelineError> {
    let which = output(encoders.len() > 1);
    let plan = |(component, clip, _): &(Component, &Clip, &Tokenizer)| {
        Ok(plan::text_encoder(clip, component.name(), batch, CHUNK_LEN, which, skip)?.fuse_epilogues())
    };
    encoders.iter().map(plan).collect()
}

/// Returns the name of an encoder's token embedding table, which is read row by row and never uploaded
/// to the GPU.
pub fn token_table(component: Component) -> String {
    format!("{component}.text_model.embeddings.token_embedding.weight")
}

#[cfg(test)]
mod tests {
    use super::clip_skip;

    #[test]
    fn clip_skip_2_of_the_web_uis_is_the_default_of_sdxl() {
        let skipped = |syntax: &str, layers: usize, is_xl| {
            let recipe = serde_json::json!({
                "version": 1, "model": "", "adapters": [], "prompt": "", "seed": 0, "steps": 1, "guidance": 1.0,
                "sampler": "ddim", "width": 8, "height": 8, "syntax": syntax, "clip_skip": layers
            });
            clip_skip(&serde_json::from_value(recipe).expect("a recipe"), is_xl)
        };
        let all_skipped = |syntax, is_xl| [0, 1, 2].map(|layers| skipped(syntax, layers, is_xl));
        assert_eq!((all_skipped("plain", false), all_skipped("plain", true)), ([0, 1, 2], [0, 1, 2]));
        assert_eq!((all_skipped("a1111", false), all_skipped("a1111", true)), ([0, 1, 2], [0, 0, 1]));
    }
}
