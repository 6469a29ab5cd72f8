//! What sampling needs to know of a kind of model: its components, plans, and the inputs of its denoiser.

use super::error::PipelineError;
use super::preview::Previewer;
use super::progress::Report;
use super::prompt_schedule::PromptLine;
use super::recipe::Recipe;
use super::request::Request;
use super::shape::Shape;
use crate::device::Runner;
use crate::model::{Component, FamilyId, Module};
use crate::plan::{Plan, PlanError};
use crate::samplers::ScheduleConfig;
use crate::text::Tokenizer;
use crate::weights::Checkpoint;
use std::future::Future;
use std::pin::Pin;

/// A kind of model. A new one is an implementation of this trait; the rest of pipeline/ does not depend on the networks.
pub trait ModelSpec {
    /// Returns the family.
    fn family(&self) -> FamilyId;

    /// Returns the layers that adapters can change, in network order.
    fn modules(&self) -> Vec<(Component, &Module)>;

    /// Returns the number of parameters of all networks.
    fn parameters(&self) -> u64;

    /// Returns the latents that the denoiser predicts.
    fn latents(&self) -> LatentSpace;

    /// Returns the text encoders, in the order of their plans.
    fn text_encoders(&self) -> Vec<TextEncoder<'_>>;

    /// Returns the number of tokens of a chunk, the input of the text encoders.
    fn chunk_len(&self) -> usize;

    /// Returns the number of final layers of the text encoders that a recipe skips, beyond those that the model itself
    /// skips.
    fn clip_skip(&self, recipe: &Recipe) -> usize;

    /// Plans the text encoder with this index for `batch` prompts of `tokens` tokens.
    fn text_plan(&self, index: usize, batch: usize, tokens: usize, skip: usize) -> Result<Plan, PlanError>;

    /// Plans the text encoder with this index for `batch` short texts of `tokens` tokens, whose position embeddings are an
    /// input, `positions`.
    fn short_text_plan(&self, index: usize, batch: usize, tokens: usize) -> Result<Plan, PlanError>;

    /// Encodes all texts of prompts, in the order of [`EncodePrompts::lines`].
    fn encode<'a>(&'a self, prompts: EncodePrompts<'a>) -> LocalFuture<'a, Result<Vec<EncodedPrompt>, PipelineError>>;

    /// Returns the denoiser's inputs that depend on the prompts, from the texts of all batch items.
    fn conditioning(&self, shape: &Shape, items: &[EncodedText]) -> Conditioning;

    /// Plans the denoiser for `batch` latents of this size and `tokens` text states. Besides the inputs of
    /// [`ModelSpec::conditioning`] and [`ModelSpec::call_inputs`] it reads `sample` and writes `noise`, both (B, H, W, C).
    fn denoiser(&self, batch: usize, height: usize, width: usize, tokens: usize) -> Result<Plan, PlanError>;

    /// Returns the names of the denoiser's inputs that change with each call.
    fn varying(&self) -> &'static [&'static str];

    /// Returns the denoiser's inputs besides the sample that change with each call, for one batch item.
    fn call_inputs(&self, timestep: f32, guidance: f32) -> Vec<(&'static str, Vec<f32>)>;

    /// Returns whether the guidance scale is an input of the denoiser (latent consistency models) and is not applied to
    /// the difference of two predictions.
    fn embeds_guidance(&self) -> bool;

    /// Plans the decoder for latents of this size: `latents` (B, H, W, C) to `image` (B, H, W, 3).
    fn decoder(&self, batch: usize, height: usize, width: usize) -> Result<Plan, PlanError>;

    /// Plans the encoder for images of this size in pixels: `image` (B, H, W, 3) to `moments` (B, H, W, 2 C).
    fn encoder(&self, batch: usize, height: usize, width: usize) -> Result<Plan, PlanError>;

    /// Returns the maximum number of elements of a feature map of decoder and encoder for latents of this size.
    fn max_map(&self, height: usize, width: usize, max_binding: u64) -> u64;

    /// Returns the published map from latents to previews, if there is one.
    fn previewer(&self) -> Option<Previewer>;
}

/// A model of a kind, as found in a folder or file.
pub struct OpenedModel<S> {
    /// Components, plans and inputs.
    pub spec: S,
    /// Noise schedule.
    pub schedule: ScheduleConfig,
    /// Locations of the weights.
    pub checkpoint: Checkpoint,
}

/// A boxed future that stays on its thread.
pub type LocalFuture<'a, T> = Pin<Box<dyn Future<Output = T> + 'a>>;

/// The latents of a model.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LatentSpace {
    /// Number of channels.
    pub channels: usize,
    /// Factor between the encoder's output and the denoiser's input.
    pub scaling_factor: f32,
    /// Height and width in pixels that one latent position covers; image sizes are multiples of it.
    pub pixels: usize,
    /// Image height and width in pixels that the model was trained for.
    pub native_size: usize,
    /// Whether the denoiser reads a mask and the latents of the masked image besides (inpainting models).
    pub reads_masked_image: bool,
}

/// A text encoder of a model.
#[derive(Clone, Copy)]
pub struct TextEncoder<'a> {
    /// Component.
    pub component: Component,
    /// Tokenizer.
    pub tokenizer: &'a Tokenizer,
    /// Width of its token embeddings.
    pub width: usize,
}

/// Prompts to encode, and what that needs.
pub struct EncodePrompts<'a> {
    /// Weights of the model.
    pub checkpoint: &'a Checkpoint,
    /// Runners of the text encoders' plans.
    pub runners: &'a [Runner],
    /// The image that the prompts belong to.
    pub request: &'a Request<'a>,
    /// The prompts.
    pub lines: &'a [&'a PromptLine],
    /// Progress callback.
    pub report: Report<'a>,
}

/// The encoded texts of a prompt, in the order of [`PromptLine::texts`].
pub struct EncodedPrompt {
    /// Encoded texts, all of the same length.
    pub texts: Vec<EncodedText>,
}

/// An encoded text.
#[derive(Debug, Clone, PartialEq)]
pub struct EncodedText {
    /// Number of chunks.
    pub chunks: usize,
    /// Width D of a hidden state.
    pub width: usize,
    /// Hidden states, (chunks * chunk length, D).
    pub states: Vec<f32>,
    /// Pooled embedding; empty for models without one.
    pub pooled: Vec<f32>,
}

impl EncodedText {
    /// Repeats the last state up to a number of chunks, as the web UI does with the shorter parts of a composed prompt.
    pub fn with_last_state_repeated(mut self, chunks: usize) -> EncodedText {
        let last = self.states[self.states.len() - self.width..].to_vec();
        let chunk_len = self.states.len() / self.width / self.chunks;
        self.states.extend(last.repeat(chunks.saturating_sub(self.chunks) * chunk_len));
        self.chunks = self.chunks.max(chunks);
        self
    }

    /// Extends the text to a number of chunks: with those of `empty`, or by repeating its own.
    pub fn extended(mut self, chunks: usize, empty: Option<&EncodedText>) -> EncodedText {
        match empty {
            Some(empty) => self.states.extend(empty.states.repeat(chunks.saturating_sub(self.chunks))),
            None => self.states = self.states.repeat(chunks / self.chunks),
        }
        self.chunks = chunks;
        self
    }
}

/// The denoiser's inputs that depend on the prompts, with all batch items.
pub struct Conditioning {
    /// Name and values of each input.
    pub inputs: Vec<(&'static str, Vec<f32>)>,
}
