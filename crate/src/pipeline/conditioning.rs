//! Prompt conditioning of the UNet: text encoder states and, for SDXL, pooled embeddings and sizes.

use super::error::PipelineError;
use super::generate::{Report, Request, Session, Stage, timestep_embedding};
use super::recipe::Recipe;
use crate::gpu::Runner;
use crate::model::{Clip, Component};
use crate::num::to_f32;
use crate::plan::{self, Layout, Plan, TextOutput};
use crate::text::{CHUNK_LEN, Chunk, Syntax, Tokenizer, Word, emphasis};

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

impl Session {
    /// Encodes `prompts`, one per batch item, into the UNet's conditioning; `None` is an absent prompt.
    /// All are padded to the chunk count of the longest.
    pub(super) async fn condition(
        &self,
        runners: &[Runner],
        request: &Request<'_>,
        prompts: &[Option<&str>],
        report: Report<'_>,
    ) -> Result<Conditioning, PipelineError> {
        let Request { script, vocabulary, shape, .. } = request;
        let (chunks, multiple) = (shape.chunks, self.model.size_multiple());
        let (height, width) = (shape.height * multiple, shape.width * multiple);
        let encoders = self.model.encoders();
        // diffusers applies clip skip to the prompt only, the web UIs also to the negative prompt.
        let unskipped = match request.recipe.syntax {
            Syntax::Plain => prompts.len() - shape.pictures,
            Syntax::A1111 => 0,
        };
        let mut parts: Vec<(Vec<f32>, usize)> = Vec::new();
        let mut pooled = Vec::new();
        for ((component, clip, tokenizer), runner) in encoders.iter().zip(runners) {
            let mut tokenized: Vec<Vec<Chunk>> =
                prompts.iter().map(|prompt| script.chunks(tokenizer, prompt.unwrap_or(""))).collect();
            tokenized.iter_mut().for_each(|item| item.resize(chunks, Chunk::empty(tokenizer)));
            let size = CHUNK_LEN * clip.config.hidden_size;
            let mut states = vec![0.0; prompts.len() * chunks * size];
            for chunk in 0..chunks {
                let ids: Vec<Vec<u32>> = tokenized.iter().map(|item| item[chunk].ids.to_vec()).collect();
                // Vectors of textual inversions are not in the table: their rows are filled in below.
                let batch_ids = ids.concat();
                let table_ids: Vec<u32> =
                    batch_ids.iter().map(|&id| if id >= Word::FIRST { tokenizer.eos_id() } else { id }).collect();
                let mut tokens = self.model.checkpoint.rows(&token_table(*component), &table_ids).await?;
                let width = clip.config.hidden_size;
                for (&id, row) in batch_ids.iter().zip(tokens.chunks_exact_mut(width)) {
                    if let Some(vector) = vocabulary.row(*component, id, width) {
                        row.copy_from_slice(vector);
                    }
                }
                runner.set(&self.gpu, "tokens", &tokens)?;
                let mut hidden =
                    runner.compute_cancellable(&self.gpu, "states", &mut || report(Stage::Text, 0, 1, None)).await?;
                if let Some(early) = runner.output("early") {
                    hidden.splice(unskipped * size.., self.gpu.read(early).await?.drain(unskipped * size..));
                }
                for (item, (hidden, tokenized)) in hidden.chunks_exact(size).zip(&tokenized).enumerate() {
                    let weights = &tokenized[chunk].weights;
                    let is_weighted = weights.iter().any(|&weight| weight != 1.0);
                    let target = &mut states[(item * chunks + chunk) * size..][..size];
                    match is_weighted {
                        true => target.copy_from_slice(&emphasis(hidden, weights)),
                        false => target.copy_from_slice(hidden),
                    }
                }
                if chunk == 0 && clip.text_projection.is_some() {
                    let last = match runner.output("last") {
                        Some(last) => self.gpu.read(last).await?,
                        None => Vec::new(),
                    };
                    pooled = self.pool(*component, clip, tokenizer, &ids, &last).await?;
                }
            }
            parts.push((states, clip.config.hidden_size));
        }
        let rows = parts[0].0.len() / parts[0].1;
        let mut states = Vec::with_capacity(parts.iter().map(|(part, _)| part.len()).sum());
        for row in 0..rows {
            for (part, width) in &parts {
                states.extend_from_slice(&part[row * width..(row + 1) * width]);
            }
        }
        if self.model.force_zeros_for_empty_prompt {
            let (states_len, pooled_len) = (states.len() / prompts.len(), pooled.len() / prompts.len());
            for (index, _) in prompts.iter().enumerate().filter(|(_, prompt)| prompt.is_none()) {
                states[index * states_len..(index + 1) * states_len].fill(0.0);
                pooled[index * pooled_len..(index + 1) * pooled_len].fill(0.0);
            }
        }
        let added = self.model.networks.unet.config.addition_time_embed_dim.filter(|_| encoders.len() > 1);
        let added = added.map(|dim| {
            // Original height and width, crop from the top and the left, target height and width.
            let sizes = [height, width, 0, 0, height, width];
            let sizes: Vec<f32> = sizes.iter().flat_map(|&size| timestep_embedding(size as f32, dim)).collect();
            pooled.chunks(pooled.len() / prompts.len()).flat_map(|pool| [pool, &sizes].concat()).collect()
        });
        Ok(Conditioning { states, added })
    }

    /// Returns the final hidden state at each prompt's first end token, projected (`text_embeds`).
    async fn pool(
        &self,
        component: Component,
        clip: &Clip,
        tokenizer: &Tokenizer,
        ids: &[Vec<u32>],
        last: &[f32],
    ) -> Result<Vec<f32>, PipelineError> {
        let width = clip.config.hidden_size;
        let matrix = self.model.checkpoint.read(&format!("{component}.text_projection.weight"), Layout::Plain).await?;
        let mut pooled = Vec::new();
        for (prompt, ids) in ids.iter().enumerate() {
            let end = ids.iter().position(|&id| id == tokenizer.eos_id()).unwrap_or(ids.len() - 1);
            let state = &last[(prompt * ids.len() + end) * width..][..width];
            let dot = |row: &[f32]| to_f32(row.iter().zip(state).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum());
            pooled.extend(matrix.chunks_exact(width).map(dot));
        }
        Ok(pooled)
    }
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
