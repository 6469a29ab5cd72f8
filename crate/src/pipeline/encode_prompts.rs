//! Encoding of prompts by a session's text encoders.

use super::conditioning::{self, Conditioning};
use super::error::PipelineError;
use super::latents::Latents;
use super::progress::{Report, Stage};
use super::request::Request;
use super::session::Session;
use super::sinusoidal::timestep_embedding;
use crate::gpu::{Arena, Runner};
use crate::model::{Clip, Component};
use crate::num::to_f32;
use crate::plan::{Layout, Plan};
use crate::text::{CHUNK_LEN, Chunk, Syntax, Tokenizer, Word, emphasis};
use std::collections::BTreeMap;
use std::rc::Rc;

/// Conditioning of each prompt segment.
pub(super) type SegmentConditioning = BTreeMap<(usize, usize), Rc<Conditioning>>;

/// Maximum number of prompt segments whose conditioning is kept for the next image.
const MAX_CACHED_PROMPTS: usize = 8;

/// One of the model's text encoders with its runner.
struct TextEncoder<'a> {
    component: Component,
    clip: &'a Clip,
    tokenizer: &'a Tokenizer,
    runner: &'a Runner,
}

impl Session {
    /// Encodes the prompts of all remaining calls. The text encoders' weights are in GPU memory only while
    /// they are needed, or while an adapter changes them.
    pub(super) async fn encode_all_prompts(
        &mut self,
        request: &Request<'_>,
        latents: &Latents,
        report: Report<'_>,
    ) -> Result<SegmentConditioning, PipelineError> {
        let plans = conditioning::plans(&self.model.encoders(), request.shape.items(), request.shape.clip_skip)?;
        let plans: Vec<&Plan> = plans.iter().collect();
        let is_changed = request.chosen.iter().any(|(loaded, _)| loaded.changes_text_encoder());
        let calls = latents.next_call..latents.sampler.timesteps().len();
        let is_cached =
            |segment| self.conditioning_cache.iter().any(|(cached, _)| *cached == self.cache_key(request, segment));
        let all_cached = calls.clone().all(|call| is_cached(request.script.segment_at(call)));
        if is_changed {
            // An adapter is folded into all of its layers at once, so the UNet's weights must be loaded too.
            self.load(&plans, report).await?;
            self.prepare(request.shape, report).await?;
            self.apply_adapters(request, report).await?;
        }
        let mut runners = Vec::new();
        if !all_cached {
            if !is_changed {
                self.weights.restore_any(&self.gpu, &plans)?;
                self.load(&plans, report).await?;
            }
            report(Stage::Text, 0, 1, None)?;
            // The encoders run one after the other and share their temporaries.
            let arena = Arena::new(&self.gpu, &self.config, &plans).await?;
            for plan in &plans {
                runners.push(Runner::with_arena(&self.gpu, plan, &|name| self.weights.get(name), &arena).await?);
            }
        }
        let mut segments = SegmentConditioning::new();
        for call in calls {
            let segment = request.script.segment_at(call);
            if segments.contains_key(&segment) {
                continue;
            }
            let key = self.cache_key(request, segment);
            let cached = self.conditioning_cache.iter().find(|(cached, _)| *cached == key);
            let conditioning = match cached.map(|(_, conditioning)| conditioning.clone()) {
                Some(conditioning) => conditioning,
                None => Rc::new(self.encode_prompts(&runners, request, segment, report).await?),
            };
            self.conditioning_cache.retain(|(cached, _)| *cached != key);
            self.conditioning_cache.push((key, conditioning.clone()));
            self.conditioning_cache.drain(..self.conditioning_cache.len().saturating_sub(MAX_CACHED_PROMPTS));
            segments.insert(segment, conditioning);
        }
        if !is_changed {
            self.weights.release(&self.gpu, &plans)?;
        }
        Ok(segments)
    }

    /// Returns the cache key of a segment's conditioning: everything that it depends on.
    fn cache_key(&self, request: &Request<'_>, segment: (usize, usize)) -> String {
        let Request { recipe, shape, script, .. } = request;
        let adapters = request.chosen.iter().filter(|(loaded, _)| loaded.changes_text_encoder());
        let adapters: Vec<_> = adapters.map(|(loaded, strength)| (&loaded.id, strength)).collect();
        let embeddings: Vec<_> = recipe.embeddings.iter().map(|choice| &choice.sha256).collect();
        format!(
            "{:?} {:?} {shape:?} {adapters:?} {embeddings:?} {:?}",
            script.texts(segment),
            recipe.syntax,
            script.words
        )
    }

    /// Encodes a segment's prompts into the UNet's conditioning.
    async fn encode_prompts(
        &self,
        runners: &[Runner],
        request: &Request<'_>,
        segment: (usize, usize),
        report: Report<'_>,
    ) -> Result<Conditioning, PipelineError> {
        let Request { shape, script, .. } = request;
        let (negative, prompt) = script.texts(segment);
        let mut prompts = vec![Some(prompt); shape.pictures];
        if shape.guided {
            prompts.splice(0..0, vec![negative; shape.pictures]);
        }
        let conditioning = self.condition(runners, request, &prompts, report).await?;
        if conditioning.states.iter().any(|value| !value.is_finite())
            && let Some(last) = runners.last()
        {
            return Err(self.not_finite(&[last], "text encoder", None, request).await?);
        }
        Ok(conditioning)
    }

    /// Encodes `prompts`, one per batch item, into the UNet's conditioning; `None` is an absent prompt.
    /// All are padded to the chunk count of the longest.
    async fn condition(
        &self,
        runners: &[Runner],
        request: &Request<'_>,
        prompts: &[Option<&str>],
        report: Report<'_>,
    ) -> Result<Conditioning, PipelineError> {
        let encoders = self.model.encoders();
        let mut parts: Vec<(Vec<f32>, usize)> = Vec::new();
        let mut pooled = Vec::new();
        for ((component, clip, tokenizer), runner) in encoders.iter().zip(runners) {
            let encoder = TextEncoder { component: *component, clip, tokenizer, runner };
            let (states, pool) = self.run_text_encoder(&encoder, request, prompts, report).await?;
            parts.push((states, clip.config.hidden_size));
            if !pool.is_empty() {
                pooled = pool;
            }
        }
        let mut states = concatenated_rows(&parts);
        if self.model.force_zeros_for_empty_prompt {
            let (states_len, pooled_len) = (states.len() / prompts.len(), pooled.len() / prompts.len());
            for (index, _) in prompts.iter().enumerate().filter(|(_, prompt)| prompt.is_none()) {
                states[index * states_len..(index + 1) * states_len].fill(0.0);
                pooled[index * pooled_len..(index + 1) * pooled_len].fill(0.0);
            }
        }
        let added = self.model.networks.unet.config.addition_time_embed_dim.filter(|_| encoders.len() > 1);
        let added = added.map(|dim| {
            let multiple = self.model.size_multiple();
            let (height, width) = (request.shape.height * multiple, request.shape.width * multiple);
            // Original height and width, crop from the top and the left, target height and width.
            let sizes = [height, width, 0, 0, height, width];
            let sizes: Vec<f32> = sizes.iter().flat_map(|&size| timestep_embedding(size as f32, dim)).collect();
            pooled.chunks(pooled.len() / prompts.len()).flat_map(|pool| [pool, &sizes].concat()).collect()
        });
        Ok(Conditioning { states, added })
    }

    /// Runs a text encoder on the prompts, one chunk of tokens after the other; returns the states (B, T, width) and,
    /// from encoders with a projection, the pooled embeddings of the first chunk.
    async fn run_text_encoder(
        &self,
        encoder: &TextEncoder<'_>,
        request: &Request<'_>,
        prompts: &[Option<&str>],
        report: Report<'_>,
    ) -> Result<(Vec<f32>, Vec<f32>), PipelineError> {
        let Request { script, shape, .. } = request;
        let TextEncoder { clip, tokenizer, runner, .. } = encoder;
        let mut tokenized: Vec<Vec<Chunk>> =
            prompts.iter().map(|prompt| script.chunks(tokenizer, prompt.unwrap_or(""))).collect();
        tokenized.iter_mut().for_each(|item| item.resize(shape.chunks, Chunk::empty(tokenizer)));
        // diffusers applies clip skip to the prompt only, the web UIs also to the negative prompt.
        let unskipped = match request.recipe.syntax {
            Syntax::Plain => prompts.len() - shape.pictures,
            Syntax::A1111 => 0,
        };
        let size = CHUNK_LEN * clip.config.hidden_size;
        let mut states = vec![0.0; prompts.len() * shape.chunks * size];
        let mut pooled = Vec::new();
        for chunk in 0..shape.chunks {
            let ids: Vec<Vec<u32>> = tokenized.iter().map(|item| item[chunk].ids.to_vec()).collect();
            let tokens = self.token_embeddings(encoder, request, &ids.concat()).await?;
            runner.set(&self.gpu, "tokens", &tokens)?;
            let mut hidden =
                runner.compute_cancellable(&self.gpu, "states", &mut || report(Stage::Text, 0, 1, None)).await?;
            if let Some(early) = runner.output("early") {
                hidden.splice(unskipped * size.., self.gpu.read(early).await?.drain(unskipped * size..));
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
                    Some(last) => self.gpu.read(last).await?,
                    None => Vec::new(),
                };
                pooled = self.pool(encoder, &ids, &last).await?;
            }
        }
        Ok((states, pooled))
    }

    /// Returns the embeddings of tokens: rows of the encoder's table, or vectors of textual inversions.
    async fn token_embeddings(
        &self,
        encoder: &TextEncoder<'_>,
        request: &Request<'_>,
        ids: &[u32],
    ) -> Result<Vec<f32>, PipelineError> {
        let TextEncoder { component, clip, tokenizer, .. } = encoder;
        // Vectors of textual inversions are not in the table: their rows are filled in below.
        let table_ids: Vec<u32> =
            ids.iter().map(|&id| if id >= Word::FIRST { tokenizer.eos_id() } else { id }).collect();
        let mut tokens = self.model.checkpoint.rows(&conditioning::token_table(*component), &table_ids).await?;
        let width = clip.config.hidden_size;
        for (&id, row) in ids.iter().zip(tokens.chunks_exact_mut(width)) {
            if let Some(vector) = request.vocabulary.row(*component, id, width) {
                row.copy_from_slice(vector);
            }
        }
        Ok(tokens)
    }

    /// Returns the final hidden state at each prompt's first end token, projected (`text_embeds`).
    async fn pool(&self, encoder: &TextEncoder<'_>, ids: &[Vec<u32>], last: &[f32]) -> Result<Vec<f32>, PipelineError> {
        let TextEncoder { component, clip, tokenizer, .. } = encoder;
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

/// Concatenates tensors of equally many rows along their width.
fn concatenated_rows(parts: &[(Vec<f32>, usize)]) -> Vec<f32> {
    let rows = parts.first().map_or(0, |(part, width)| part.len() / width);
    let row = |row: usize| parts.iter().flat_map(move |(part, width)| &part[row * width..(row + 1) * width]);
    (0..rows).flat_map(row).copied().collect()
}
