//! Prompt conditioning of the UNet: text encoder states and, for SDXL, pooled embeddings and sizes.

use super::StableDiffusion;
use crate::gpu::Runner;
use crate::model::{Clip, Component};
use crate::num::to_f32;
use crate::pipeline::error::PipelineError;
use crate::pipeline::progress::Stage;
use crate::pipeline::recipe::Recipe;
use crate::pipeline::request::Request;
use crate::pipeline::sinusoidal::timestep_embedding;
use crate::pipeline::spec::{Conditioning, EncodePrompts};
use crate::plan::{Layout, TextOutput};
use crate::program::Program;
use crate::text::{CHUNK_LEN, Chunk, Tokenizer, Word, emphasis};

/// Returns the text encoder output that the model's UNet was trained on.
pub fn output(is_xl: bool) -> TextOutput {
    if is_xl { TextOutput { skipped: 1, normed: false } } else { TextOutput::LAST }
}

/// Returns the number of layers to skip beyond those that the model itself skips. The web UIs count
/// from the last layer, so their clip skip of 2 is SDXL's default; diffusers counts from the layer
/// that the model uses.
pub fn clip_skip(recipe: &Recipe, is_xl: bool) -> usize {
    match recipe.program {
        Program::A1111 | Program::Comfyui if is_xl => recipe.clip_skip.saturating_sub(1),
        _ => recipe.clip_skip,
    }
}

/// Returns the name of an encoder's token embedding table, which is read row by row and never uploaded
/// to the GPU.
pub fn token_table(component: Component) -> String {
    format!("{component}.text_model.embeddings.token_embedding.weight")
}

/// A text encoder with its runner.
struct Encoder<'a> {
    component: Component,
    clip: &'a Clip,
    tokenizer: &'a Tokenizer,
    runner: &'a Runner,
}

impl StableDiffusion {
    /// Encodes `prompts`, one per batch item, into the UNet's conditioning; `None` is an absent prompt.
    /// All are padded to the chunk count of the longest.
    pub(super) async fn condition(&self, mut work: EncodePrompts<'_>) -> Result<Conditioning, PipelineError> {
        let EncodePrompts { request, prompts, runners, .. } = work;
        let encoders = self.clips();
        let mut parts: Vec<(Vec<f32>, usize)> = Vec::new();
        let mut pooled = Vec::new();
        for ((component, clip, tokenizer), runner) in encoders.iter().zip(runners) {
            let encoder = Encoder { component: *component, clip, tokenizer, runner };
            let (states, pool) = encoder.run(&mut work).await?;
            parts.push((states, clip.config.hidden_size));
            if !pool.is_empty() {
                pooled = pool;
            }
        }
        let mut states = concatenated_rows(&parts);
        if self.force_zeros_for_empty_prompt {
            let (states_len, pooled_len) = (states.len() / prompts.len(), pooled.len() / prompts.len());
            for (index, _) in prompts.iter().enumerate().filter(|(_, prompt)| prompt.is_none()) {
                states[index * states_len..(index + 1) * states_len].fill(0.0);
                pooled[index * pooled_len..(index + 1) * pooled_len].fill(0.0);
            }
        }
        let added = self.networks.unet.config.addition_time_embed_dim.filter(|_| encoders.len() > 1);
        let added = added.map(|dim| {
            let multiple = self.vae.config.scale();
            let (height, width) = (request.shape.height * multiple, request.shape.width * multiple);
            // Original height and width, crop from the top and the left, target height and width.
            let sizes = [height, width, 0, 0, height, width];
            let sizes: Vec<f32> = sizes.iter().flat_map(|&size| timestep_embedding(size as f32, dim)).collect();
            pooled.chunks(pooled.len() / prompts.len()).flat_map(|pool| [pool, &sizes].concat()).collect()
        });
        let states = ("text", states);
        Ok(Conditioning { inputs: [states].into_iter().chain(added.map(|added| ("added", added))).collect() })
    }
}

impl Encoder<'_> {
    /// Runs a text encoder on the prompts, one chunk of tokens after the other; returns the states (B, T, width) and,
    /// from encoders with a projection, the pooled embeddings of the first chunk.
    async fn run(&self, work: &mut EncodePrompts<'_>) -> Result<(Vec<f32>, Vec<f32>), PipelineError> {
        let EncodePrompts { gpu, request, prompts, .. } = *work;
        let Request { script, shape, .. } = request;
        let Encoder { clip, tokenizer, runner, .. } = self;
        let mut tokenized: Vec<Vec<Chunk>> =
            prompts.iter().map(|prompt| script.chunks(tokenizer, prompt.unwrap_or(""))).collect();
        tokenized.iter_mut().for_each(|item| item.resize(shape.chunks, Chunk::empty(tokenizer)));
        // diffusers applies clip skip to the prompt only, the web UIs also to the negative prompt.
        let unskipped = match request.recipe.program {
            Program::Diffusers => prompts.len() - shape.pictures,
            Program::A1111 | Program::Comfyui => 0,
        };
        let size = CHUNK_LEN * clip.config.hidden_size;
        let mut states = vec![0.0; prompts.len() * shape.chunks * size];
        let mut pooled = Vec::new();
        for chunk in 0..shape.chunks {
            let ids: Vec<Vec<u32>> = tokenized.iter().map(|item| item[chunk].ids.to_vec()).collect();
            let tokens = self.token_embeddings(work, &ids.concat()).await?;
            runner.set(gpu, "tokens", &tokens)?;
            let on_progress = &mut || (work.report)(Stage::Text, 0, 1, None);
            let mut hidden = runner.compute_cancellable(gpu, "states", on_progress).await?;
            if let Some(early) = runner.output("early") {
                hidden.splice(unskipped * size.., gpu.read(early).await?.drain(unskipped * size..));
            }
            for (item, (hidden, tokenized)) in hidden.chunks_exact(size).zip(&tokenized).enumerate() {
                let weights = &tokenized[chunk].weights;
                let is_weighted = weights.iter().any(|&weight| weight != 1.0);
                let target = &mut states[(item * shape.chunks + chunk) * size..][..size];
                match is_weighted {
                    true => target.copy_from_slice(&emphasis(hidden, weights)),
                    false => target.copy_from_slice(hidden),
                }
            }
            if chunk == 0 && clip.text_projection.is_some() {
                let last = match runner.output("last") {
                    Some(last) => gpu.read(last).await?,
                    None => Vec::new(),
                };
                pooled = self.pool(work, &ids, &last).await?;
            }
        }
        Ok((states, pooled))
    }

    /// Returns the embeddings of tokens: rows of the encoder's table, or vectors of textual inversions.
    async fn token_embeddings(&self, work: &EncodePrompts<'_>, ids: &[u32]) -> Result<Vec<f32>, PipelineError> {
        let Encoder { component, clip, tokenizer, .. } = self;
        // Vectors of textual inversions are not in the table: their rows are filled in below.
        let table_ids: Vec<u32> =
            ids.iter().map(|&id| if id >= Word::FIRST { tokenizer.eos_id() } else { id }).collect();
        let mut tokens = work.checkpoint.rows(&token_table(*component), &table_ids).await?;
        let width = clip.config.hidden_size;
        for (&id, row) in ids.iter().zip(tokens.chunks_exact_mut(width)) {
            if let Some(vector) = work.request.vocabulary.row(*component, id, width) {
                row.copy_from_slice(vector);
            }
        }
        Ok(tokens)
    }

    /// Returns the final hidden state at each prompt's first end token, projected (`text_embeds`).
    async fn pool(&self, work: &EncodePrompts<'_>, ids: &[Vec<u32>], last: &[f32]) -> Result<Vec<f32>, PipelineError> {
        let Encoder { component, clip, tokenizer, .. } = self;
        let width = clip.config.hidden_size;
        let matrix = work.checkpoint.read(&format!("{component}.text_projection.weight"), Layout::Plain).await?;
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

/// Concatenates tensors of equally many rows along their width.
fn concatenated_rows(parts: &[(Vec<f32>, usize)]) -> Vec<f32> {
    let rows = parts.first().map_or(0, |(part, width)| part.len() / width);
    let row = |row: usize| parts.iter().flat_map(move |(part, width)| &part[row * width..(row + 1) * width]);
    (0..rows).flat_map(row).copied().collect()
}

#[cfg(test)]
mod tests {
    use super::clip_skip;

    #[test]
    fn clip_skip_2_of_the_web_uis_is_the_default_of_sdxl() {
        let skipped = |program: &str, layers: usize, is_xl| {
            let recipe = serde_json::json!({
                "version": 1, "model": "", "adapters": [], "prompt": "", "seed": 0, "steps": 1, "guidance": 1.0,
                "sampler": "ddim", "width": 8, "height": 8, "program": program, "clip_skip": layers
            });
            clip_skip(&serde_json::from_value(recipe).expect("a recipe"), is_xl)
        };
        let all_skipped = |program, is_xl| [0, 1, 2].map(|layers| skipped(program, layers, is_xl));
        assert_eq!((all_skipped("diffusers", false), all_skipped("diffusers", true)), ([0, 1, 2], [0, 1, 2]));
        assert_eq!((all_skipped("a1111", false), all_skipped("a1111", true)), ([0, 1, 2], [0, 0, 1]));
    }
}
