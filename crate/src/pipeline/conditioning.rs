//! Turns prompts into what the UNet is told: text states, and for SDXL pooled text and sizes.

use super::error::PipelineError;
use super::generate::{Request, Report, Session, Stage, timestep_embedding};
use super::recipe::Recipe;
use crate::gpu::Runner;
use crate::model::{Clip, Component};
use crate::num::to_f32;
use crate::plan::{self, Layout, Plan, TextOutput};
use crate::text::{CHUNK, Chunk, Syntax, Tokenizer, Word, emphasis};

/// What the UNet is told, batch item by batch item.
pub struct Conditioning {
    /// (B, T, width): the encoders' states, side by side.
    pub states: Vec<f32>,
    /// SDXL: (B, pooled width + six sinusoids).
    pub added: Option<Vec<f32>>,
}

/// The output that a model's UNet was trained on.
pub fn output(is_xl: bool) -> TextOutput {
    if is_xl { TextOutput { skipped: 1, normed: false } } else { TextOutput::LAST }
}

/// Layers left out beyond those that the model itself leaves out. The web UIs count from the last
/// layer, so that their 2 is what SDXL does anyway; diffusers counts from the model's own.
pub fn clip_skip(recipe: &Recipe, is_xl: bool) -> usize {
    match recipe.syntax {
        Syntax::A1111 if is_xl => recipe.clip_skip.saturating_sub(1),
        _ => recipe.clip_skip,
    }
}

/// The plans of a model's text encoders for `batch` prompts.
pub fn plans(
    encoders: &[(Component, &Clip, &Tokenizer)],
    batch: usize,
    skip: usize,
) -> Result<Vec<Plan>, PipelineError> {
    let which = output(encoders.len() > 1);
    let plan = |(component, clip, _): &(Component, &Clip, &Tokenizer)| {
        Ok(plan::text_encoder(clip, component.name(), batch, CHUNK, which, skip)?.fuse_epilogues())
    };
    encoders.iter().map(plan).collect()
}

/// Name of an encoder's token table, which is read row by row and never goes to graphics memory.
pub fn token_table(component: Component) -> String {
    format!("{component}.text_model.embeddings.token_embedding.weight")
}

impl Session {
    /// What the UNet is told of `prompts`, one a batch item; None stands for no prompt at all. Each is
    /// read in as many chunks as the longest takes.
    pub(super) async fn condition(
        &self,
        runners: &[Runner],
        job: &Request<'_>,
        prompts: &[Option<&str>],
        report: Report<'_>,
    ) -> Result<Conditioning, PipelineError> {
        let Request { script, vocabulary, shape, .. } = job;
        let (chunks, multiple) = (shape.chunks, self.model.size_multiple());
        let (height, width) = (shape.height * multiple, shape.width * multiple);
        let encoders = self.model.encoders();
        // Clip skip is for the prompts alone in diffusers, for negative prompts too in the web UIs.
        let usual = match job.recipe.syntax {
            Syntax::Plain => prompts.len() - shape.pictures,
            Syntax::A1111 => 0,
        };
        let mut parts: Vec<(Vec<f32>, usize)> = Vec::new();
        let mut pooled = Vec::new();
        for ((component, clip, tokenizer), runner) in encoders.iter().zip(runners) {
            let mut read: Vec<Vec<Chunk>> =
                prompts.iter().map(|prompt| script.chunks(tokenizer, prompt.unwrap_or(""))).collect();
            read.iter_mut().for_each(|item| item.resize(chunks, Chunk::empty(tokenizer)));
            let size = CHUNK * clip.config.hidden_size;
            let mut states = vec![0.0; prompts.len() * chunks * size];
            for chunk in 0..chunks {
                let ids: Vec<Vec<u32>> = read.iter().map(|item| item[chunk].ids.to_vec()).collect();
                // A textual inversion's vectors are not in the table.
                let listed = ids.concat();
                let in_table: Vec<u32> =
                    listed.iter().map(|&id| if id >= Word::FIRST { tokenizer.eos_id() } else { id }).collect();
                let mut tokens = self.model.checkpoint.rows(&token_table(*component), &in_table).await?;
                let width = clip.config.hidden_size;
                for (&id, row) in listed.iter().zip(tokens.chunks_exact_mut(width)) {
                    if let Some(vector) = vocabulary.row(*component, id, width) {
                        row.copy_from_slice(vector);
                    }
                }
                runner.set(&self.gpu, "tokens", &tokens)?;
                let mut got =
                    runner.compute_while(&self.gpu, "states", &mut || report(Stage::Text, 0, 1, None)).await?;
                if let Some(early) = runner.output("early") {
                    got.splice(usual * size.., self.gpu.read(early).await?.drain(usual * size..));
                }
                for (item, (got, read)) in got.chunks_exact(size).zip(&read).enumerate() {
                    let weights = &read[chunk].weights;
                    let is_weighted = weights.iter().any(|&weight| weight != 1.0);
                    let place = &mut states[(item * chunks + chunk) * size..][..size];
                    match is_weighted {
                        true => place.copy_from_slice(&emphasis(got, weights)),
                        false => place.copy_from_slice(got),
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
            let (item, pool) = (states.len() / prompts.len(), pooled.len() / prompts.len());
            for (index, _) in prompts.iter().enumerate().filter(|(_, prompt)| prompt.is_none()) {
                states[index * item..(index + 1) * item].fill(0.0);
                pooled[index * pool..(index + 1) * pool].fill(0.0);
            }
        }
        let added = self.model.networks.unet.config.addition_time_embed_dim.filter(|_| encoders.len() > 1);
        let added = added.map(|each| {
            // Original height and width, crop from the top and the left, target height and width.
            let sizes = [height, width, 0, 0, height, width];
            let sizes: Vec<f32> = sizes.iter().flat_map(|&size| timestep_embedding(size as f32, each)).collect();
            pooled.chunks(pooled.len() / prompts.len()).flat_map(|pool| [pool, &sizes].concat()).collect()
        });
        Ok(Conditioning { states, added })
    }

    /// The last state at each prompt's first end token, projected (`text_embeds`).
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
    fn the_web_uis_second_layer_from_the_end_is_sdxls_own() {
        let skipped = |syntax: &str, number: usize, is_xl| {
            let recipe = serde_json::json!({
                "version": 1, "model": "", "adapters": [], "prompt": "", "seed": 0, "steps": 1, "guidance": 1.0,
                "sampler": "ddim", "width": 8, "height": 8, "syntax": syntax, "clip_skip": number
            });
            clip_skip(&serde_json::from_value(recipe).expect("a recipe"), is_xl)
        };
        let of = |syntax, is_xl| [0, 1, 2].map(|number| skipped(syntax, number, is_xl));
        assert_eq!((of("plain", false), of("plain", true)), ([0, 1, 2], [0, 1, 2]));
        assert_eq!((of("a1111", false), of("a1111", true)), ([0, 1, 2], [0, 0, 1]));
    }
}
