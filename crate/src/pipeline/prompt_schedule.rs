//! The prompts of each UNet call, with prompt editing, and the adapters that they mention.

use super::error::PipelineError;
use super::recipe::Recipe;
use crate::program::Program;
use crate::text::{Chunk, ExtraNetwork, NetworkKind, Tokenizer, Word, extra_networks, schedule, text_at};

/// The texts of one prompt, each with the last step that it holds for.
type PromptEdits = Vec<(usize, String)>;

/// The prompts of an image over its UNet calls.
pub struct PromptSchedule {
    prompt: PromptEdits,
    /// `None` without a negative prompt.
    negative: Option<PromptEdits>,
    program: Program,
    /// Adapters that the prompt mentions.
    pub mentions: Vec<ExtraNetwork>,
    /// Names of textual inversions, with their token ids.
    pub words: Vec<Word>,
}

impl PromptSchedule {
    /// Parses the recipe's prompts for a run of `steps` steps.
    pub fn of(recipe: &Recipe, steps: usize) -> Result<PromptSchedule, PipelineError> {
        let parse = |text: &str| match recipe.program {
            Program::Diffusers => vec![(steps, text.to_owned())],
            Program::A1111 | Program::Comfyui => schedule(text, steps),
        };
        let (prompt, mentions) = match recipe.program {
            Program::Diffusers => (recipe.prompt.clone(), Vec::new()),
            Program::A1111 | Program::Comfyui => extra_networks(&recipe.prompt),
        };
        if let Some(ExtraNetwork { kind: NetworkKind::Unsupported(kind), name, .. }) =
            mentions.iter().find(|mention| mention.kind != NetworkKind::Lora)
        {
            return Err(PipelineError::Recipe {
                what: "the prompt",
                found: format!("using <{kind}:{name}>"),
                wanted: "only <lora:…> is supported: remove that part".into(),
            });
        }
        Ok(PromptSchedule {
            prompt: parse(&prompt),
            negative: recipe.negative.as_deref().map(parse),
            program: recipe.program,
            mentions,
            words: Vec::new(),
        })
    }

    /// Returns the segment of a call, as indices of the negative text and the text; calls of one segment
    /// share their conditioning.
    pub fn segment_at(&self, call: usize) -> (usize, usize) {
        let negative = self.negative.as_ref().map_or(0, |edits| text_at(edits, call));
        (negative, text_at(&self.prompt, call))
    }

    /// Returns the negative text and the text of a segment.
    pub fn texts(&self, (negative, prompt): (usize, usize)) -> (Option<&str>, &str) {
        let negative = self.negative.as_ref().and_then(|edits| edits.get(negative)).map(|(_, text)| text.as_str());
        (negative, self.prompt.get(prompt).map_or("", |(_, text)| text))
    }

    /// Splits a text into the chunks that a text encoder reads.
    pub fn chunks(&self, tokenizer: &Tokenizer, text: &str) -> Vec<Chunk> {
        match self.program {
            Program::Diffusers => vec![Chunk::plain(tokenizer, text, &self.words).0],
            Program::A1111 | Program::Comfyui => Chunk::weighted(tokenizer, text, &self.words),
        }
    }

    /// Returns the number of chunks of the longest text.
    pub fn longest(&self, tokenizer: &Tokenizer) -> usize {
        let prompts = self.negative.iter().chain([&self.prompt]);
        prompts.flatten().map(|(_, text)| self.chunks(tokenizer, text).len()).max().unwrap_or(1).max(1)
    }
}
