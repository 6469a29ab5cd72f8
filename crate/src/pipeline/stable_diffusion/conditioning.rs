//! Prompt conditioning of the UNet: text encoder states and, for SDXL, pooled embeddings and sizes.

use super::StableDiffusion;
use crate::device::Runner;
use crate::model::{Clip, Component, FamilyId};
use crate::num::to_f32;
use crate::pipeline::error::PipelineError;
use crate::pipeline::progress::Stage;
use crate::pipeline::prompt_schedule::{PromptLine, Role};
use crate::pipeline::recipe::Recipe;
use crate::pipeline::request::Request;
use crate::pipeline::shape::Shape;
use crate::pipeline::sinusoidal::timestep_embedding;
use crate::pipeline::spec::{Conditioning, EncodePrompts, EncodedPrompt, EncodedText};
use crate::plan::{Layout, TextOutput};
use crate::program::Program;
use crate::text::{CHUNK_LEN, Chunk, Tokenizer, WeightedStates, Word, interpolate};
use std::collections::HashMap;

/// Returns the text encoder output that the model's UNet was trained on.
pub fn output(is_xl: bool) -> TextOutput {
    if is_xl { TextOutput { skipped: 1, normed: false } } else { TextOutput::LAST }
}

/// Returns the number of layers to skip beyond those that the model itself skips. diffusers counts from the layer that
/// the model uses, ComfyUI from the last one, of which SD 2.x and SDXL skip one themselves; AUTOMATIC1111's web UI has
/// the setting for SD 1.x only.
pub fn clip_skip(recipe: &Recipe, family: FamilyId) -> usize {
    match (recipe.program, family) {
        (Program::Diffusers, _) | (_, FamilyId::Sd15) => recipe.clip_skip,
        (Program::A1111, _) => 0,
        (Program::Comfyui, _) => recipe.clip_skip.saturating_sub(1),
    }
}

/// Returns the name of an encoder's token embedding table, which is read row by row and never uploaded
/// to the GPU.
pub fn token_table(component: Component) -> String {
    format!("{component}.text_model.embeddings.token_embedding.weight")
}

/// Returns the name of an encoder's position embedding table.
pub fn position_table(component: Component) -> String {
    format!("{component}.text_model.embeddings.position_embedding.weight")
}

impl StableDiffusion {
    /// Encodes all texts of prompts. Those of a prompt are padded to the number of chunks of its longest.
    pub(super) async fn encode_lines(&self, mut work: EncodePrompts<'_>) -> Result<Vec<EncodedPrompt>, PipelineError> {
        let encoders = self.clips();
        let tokenizers: Vec<&Tokenizer> = encoders.iter().map(|(.., tokenizer)| *tokenizer).collect();
        let script = &work.request.script;
        let lengths: Vec<usize> = work.lines.iter().map(|line| script.line_chunks(&tokenizers, line)).collect();
        let mut parts: Vec<Vec<Vec<(Vec<f32>, usize)>>> =
            work.lines.iter().map(|line| vec![Vec::new(); line.texts.len()]).collect();
        let mut pooled: Vec<Vec<Vec<f32>>> = work.lines.iter().map(|line| vec![Vec::new(); line.texts.len()]).collect();
        for ((component, clip, tokenizer), runner) in encoders.iter().zip(work.runners) {
            let encoder = Encoder { component: *component, clip, tokenizer, runner };
            for (line, texts) in encoder.encode(&mut work, &lengths).await?.into_iter().enumerate() {
                for (text, (states, pool)) in texts.into_iter().enumerate() {
                    parts[line][text].push((states, clip.config.hidden_size));
                    if !pool.is_empty() {
                        pooled[line][text] = pool;
                    }
                }
            }
        }
        let width = encoders.iter().map(|(_, clip, _)| clip.config.hidden_size).sum();
        let lines = work.lines.iter().zip(lengths).zip(parts.into_iter().zip(pooled));
        let encoded = lines.map(|((line, chunks), (parts, pooled))| {
            let texts = parts.iter().zip(pooled);
            let text = |parts: &[_], pooled| EncodedText { chunks, width, states: concatenated_rows(parts), pooled };
            let mut texts: Vec<EncodedText> = texts.map(|(parts, pooled)| text(parts, pooled)).collect();
            if self.is_zero(line, work.request.recipe.program) {
                for EncodedText { states, pooled, .. } in &mut texts {
                    states.fill(0.0);
                    pooled.fill(0.0);
                }
            }
            EncodedPrompt { texts }
        });
        Ok(encoded.collect())
    }

    /// Returns whether a prompt is encoded as zeros: an absent one in diffusers, if the model says so, and an empty
    /// negative prompt of SDXL in AUTOMATIC1111's web UI.
    fn is_zero(&self, line: &PromptLine, program: Program) -> bool {
        match program {
            Program::Diffusers => self.force_zeros_for_empty_prompt && line.role == Role::Absent,
            Program::A1111 => {
                self.networks.text_encoder_2.is_some()
                    && line.role != Role::Prompt
                    && line.texts.iter().all(String::is_empty)
            }
            Program::Comfyui => false,
        }
    }

    /// Returns the UNet's inputs from the texts of all batch items.
    pub(super) fn text_inputs(&self, shape: &Shape, items: &[EncodedText]) -> Conditioning {
        let states = ("text", items.iter().flat_map(|item| &item.states).copied().collect());
        let added =
            self.networks.unet.config.addition_time_embed_dim.filter(|_| self.networks.text_encoder_2.is_some());
        let added = added.map(|dim| {
            let multiple = self.vae.config.scale();
            let (height, width) = (shape.height * multiple, shape.width * multiple);
            // Original height and width, crop from the top and the left, target height and width.
            let sizes = [height, width, 0, 0, height, width];
            let sizes: Vec<f32> = sizes.iter().flat_map(|&size| timestep_embedding(size as f32, dim)).collect();
            ("added", items.iter().flat_map(|item| [item.pooled.as_slice(), &sizes].concat()).collect())
        });
        Conditioning { inputs: [states].into_iter().chain(added).collect() }
    }
}

/// A text encoder with its runner.
struct Encoder<'a> {
    component: Component,
    clip: &'a Clip,
    tokenizer: &'a Tokenizer,
    runner: &'a Runner,
}

/// States (T, D) of a chunk, and the final states from encoders with a projection.
#[derive(Clone, Default)]
struct ChunkStates {
    states: Vec<f32>,
    last: Vec<f32>,
}

/// Chunk and whether final layers are skipped.
type Input = (Chunk, bool);

impl Encoder<'_> {
    /// Returns the states of each line's texts (lengths[line] * T, D) with their weights applied and, from encoders with
    /// a projection, the pooled embedding of their first chunk.
    async fn encode(
        &self,
        work: &mut EncodePrompts<'_>,
        lengths: &[usize],
    ) -> Result<Vec<Vec<(Vec<f32>, Vec<f32>)>>, PipelineError> {
        let Request { recipe, script, .. } = work.request;
        let matrix = match &self.clip.text_projection {
            Some(_) => {
                let name = format!("{}.text_projection.weight", self.component);
                work.checkpoint.read(&name, Layout::Plain).await?
            }
            None => Vec::new(),
        };
        let empty = Chunk::empty(self.tokenizer);
        let mut lines = Vec::new();
        let mut inputs: Vec<Input> = Vec::new();
        for (line, &length) in work.lines.iter().zip(lengths) {
            // diffusers applies clip skip to the prompt only, the web UIs also to the negative prompt.
            let skips = recipe.program != Program::Diffusers || line.role == Role::Prompt;
            let chunks = |text: &String| {
                let mut chunks = script.chunks(self.tokenizer, text);
                chunks.resize(length, empty.clone());
                chunks
            };
            let texts: Vec<Vec<Chunk>> = line.texts.iter().map(chunks).collect();
            inputs.extend(texts.iter().flatten().map(|chunk| (chunk.clone(), skips)));
            inputs.extend((recipe.program == Program::Comfyui).then(|| (empty.clone(), skips)));
            lines.push((line.counts(), texts, skips));
        }
        let states = self.run_all(work, &inputs).await?;
        let of = |chunk: &Chunk, skips: bool| states.get(&(chunk.ids, skips)).cloned().unwrap_or_default();
        let encoded = lines.into_iter().zip(lengths).map(|((counts, texts, skips), &length)| {
            let mut encoded: Vec<(Vec<f32>, Vec<f32>)> = vec![Default::default(); texts.len()];
            for at in 0..length {
                let found: Vec<ChunkStates> = texts.iter().map(|chunks| of(&chunks[at], skips)).collect();
                if at == 0 {
                    for ((text, found), chunks) in encoded.iter_mut().zip(&found).zip(&texts) {
                        text.1 = self.pool(&matrix, &chunks[0].ids, &found.last);
                    }
                }
                let mut weighted: Vec<WeightedStates> = found
                    .into_iter()
                    .zip(&texts)
                    .zip(&counts)
                    .map(|((found, chunks), &count)| WeightedStates {
                        states: found.states,
                        weights: &chunks[at].weights,
                        count,
                    })
                    .collect();
                match recipe.program {
                    Program::Diffusers => {}
                    Program::A1111 => recipe.emphasis.apply(&mut weighted),
                    Program::Comfyui => {
                        let empty = of(&empty, skips).states;
                        weighted.iter_mut().for_each(|text| interpolate(&mut text.states, &empty, text.weights));
                    }
                }
                for (text, weighted) in encoded.iter_mut().zip(weighted) {
                    text.0.extend(weighted.states);
                }
            }
            encoded
        });
        Ok(encoded.collect())
    }

    /// Runs the text encoder on the different ones among these chunks, a batch at a time.
    async fn run_all(
        &self,
        work: &mut EncodePrompts<'_>,
        inputs: &[Input],
    ) -> Result<HashMap<([u32; CHUNK_LEN], bool), ChunkStates>, PipelineError> {
        let batch = work.request.shape.items();
        let mut states: HashMap<([u32; CHUNK_LEN], bool), ChunkStates> = HashMap::new();
        let mut different: Vec<([u32; CHUNK_LEN], bool)> = Vec::new();
        for (chunk, skips) in inputs {
            if states.insert((chunk.ids, *skips), ChunkStates::default()).is_none() {
                different.push((chunk.ids, *skips));
            }
        }
        let size = CHUNK_LEN * self.clip.config.hidden_size;
        for keys in different.chunks(batch) {
            // A shorter last batch is filled up with its first chunk.
            let ids = keys.iter().chain(std::iter::repeat(&keys[0])).take(batch).flat_map(|(ids, _)| *ids);
            let tokens = self.token_embeddings(work, &ids.collect::<Vec<u32>>()).await?;
            self.runner.set("tokens", &tokens)?;
            let on_progress = &mut || (work.report)(Stage::Text, 0, 1, None);
            let unskipped = self.runner.compute_cancellable("states", on_progress).await?;
            let skipped = match self.runner.output("early") {
                Some(early) => early.read().await?,
                None => unskipped.clone(),
            };
            let last = match self.runner.output("last").filter(|_| self.clip.text_projection.is_some()) {
                Some(last) => last.read().await?,
                None => Vec::new(),
            };
            for (at, key) in keys.iter().enumerate() {
                let part = |values: &[f32]| values.get(at * size..(at + 1) * size).unwrap_or_default().to_vec();
                let states_of_key = part(if key.1 { &skipped } else { &unskipped });
                states.insert(*key, ChunkStates { states: states_of_key, last: part(&last) });
            }
        }
        Ok(states)
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

    /// Returns the final state at a chunk's first end token, projected (`text_embeds`); empty without final states.
    fn pool(&self, matrix: &[f32], ids: &[u32], last: &[f32]) -> Vec<f32> {
        let width = self.clip.config.hidden_size;
        let end = ids.iter().position(|&id| id == self.tokenizer.eos_id()).unwrap_or(ids.len() - 1);
        let Some(state) = last.get(end * width..(end + 1) * width) else { return Vec::new() };
        let dot = |row: &[f32]| to_f32(row.iter().zip(state).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum());
        matrix.chunks_exact(width).map(dot).collect()
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
    use crate::model::FamilyId;

    #[test]
    fn clip_skip_depends_on_the_program() {
        let skipped = |program: &str, family| {
            [0, 1, 2].map(|layers| {
                let recipe = serde_json::json!({
                    "version": 1, "model": "", "adapters": [], "prompt": "", "seed": 0, "steps": 1, "guidance": 1.0,
                    "sampler": "ddim", "width": 8, "height": 8, "program": program, "clip_skip": layers
                });
                clip_skip(&serde_json::from_value(recipe).expect("a recipe"), family)
            })
        };
        for program in ["diffusers", "a1111", "comfyui"] {
            assert_eq!(skipped(program, FamilyId::Sd15), [0, 1, 2], "{program}");
        }
        for family in [FamilyId::Sd21, FamilyId::Sdxl] {
            assert_eq!(skipped("diffusers", family), [0, 1, 2]);
            assert_eq!(skipped("a1111", family), [0, 0, 0]);
            assert_eq!(skipped("comfyui", family), [0, 0, 1]);
        }
    }
}
