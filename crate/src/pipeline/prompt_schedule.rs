//! The prompts of each UNet call, with prompt editing and composition, and the adapters that they mention.

use super::error::PipelineError;
use super::recipe::Recipe;
use crate::num::lcm;
use crate::program::Program;
use crate::sentence::sentence;
use crate::text::{
    Chunk, Emphasis, ExtraNetwork, NetworkKind, Pass, Tokenizer, Word, comfyui_chunks, compose, extra_networks,
    missing_embeddings, schedule_of_pass, strip_comments, text_at,
};

/// A prompt over the calls of a pass: the prompt, a part of it, or the negative prompt.
#[derive(Debug, Clone, PartialEq)]
pub struct PromptLine {
    /// The different texts.
    pub texts: Vec<String>,
    /// Last step and text of each of its stretches, as an index of `texts`.
    stretches: Vec<(usize, usize)>,
    /// Kind of the prompt.
    pub role: Role,
}

/// Kind of a prompt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The prompt or a part of it.
    Prompt,
    /// The negative prompt.
    Negative,
    /// An absent negative prompt, which diffusers distinguishes from an empty one.
    Absent,
}

impl PromptLine {
    /// Creates a prompt from its texts, each with the last step that it holds for.
    pub fn new(schedule: Vec<(usize, String)>, role: Role) -> PromptLine {
        let (mut texts, mut stretches) = (Vec::new(), Vec::new());
        for (until, text) in schedule {
            let known = texts.iter().position(|known| *known == text);
            stretches.push((until, known.unwrap_or(texts.len())));
            if known.is_none() {
                texts.push(text);
            }
        }
        PromptLine { texts, stretches, role }
    }

    /// Returns the index of the text at a call, counted from 0.
    fn at(&self, call: usize) -> usize {
        self.stretches.get(text_at(&self.stretches, call)).map_or(0, |stretch| stretch.1)
    }

    /// Returns how often each text occurs in the schedule.
    pub fn counts(&self) -> Vec<usize> {
        (0..self.texts.len()).map(|text| self.stretches.iter().filter(|stretch| stretch.1 == text).count()).collect()
    }
}

/// The prompts of an image over its UNet calls.
pub struct PromptSchedule {
    /// The negative prompt, then the parts of the prompt.
    pub lines: Vec<PromptLine>,
    /// Weight of each part.
    pub weights: Vec<f32>,
    program: Program,
    emphasis: Emphasis,
    /// Adapters that the prompt mentions.
    pub mentions: Vec<ExtraNetwork>,
    /// Names of textual inversions, with their token ids.
    pub words: Vec<Word>,
}

impl PromptSchedule {
    /// Parses the recipe's prompts for a pass, whose steps are counted in model calls.
    pub fn of(recipe: &Recipe, pass: Pass) -> Result<PromptSchedule, PipelineError> {
        let is_web_ui = recipe.program == Program::A1111;
        let clean = |text: &str| if is_web_ui { strip_comments(text) } else { text.to_owned() };
        let (prompt, mentions) = match is_web_ui {
            true => extra_networks(&clean(&recipe.prompt)),
            false => (recipe.prompt.clone(), Vec::new()),
        };
        mentions.iter().try_for_each(check)?;
        let parts = if is_web_ui { compose(&prompt) } else { vec![(prompt, 1.0)] };
        let edits = |text: &str| match is_web_ui {
            true => schedule_of_pass(text, pass),
            false => vec![(pass.steps, text.to_owned())],
        };
        let negative = recipe.negative.as_deref().map(|text| (clean(text), Role::Negative));
        let (negative, role) = negative.unwrap_or((String::new(), Role::Absent));
        let prompts = parts.iter().map(|(text, _)| PromptLine::new(edits(text), Role::Prompt));
        Ok(PromptSchedule {
            lines: [PromptLine::new(edits(&negative), role)].into_iter().chain(prompts).collect(),
            weights: parts.iter().map(|(_, weight)| *weight).collect(),
            program: recipe.program,
            emphasis: recipe.emphasis,
            mentions,
            words: Vec::new(),
        })
    }

    /// Adds the names of textual inversions.
    pub fn with_words(mut self, words: &[Word]) -> Result<PromptSchedule, PipelineError> {
        self.words = words.to_vec();
        if self.program == Program::Comfyui {
            let texts = self.lines.iter().flat_map(|line| &line.texts);
            if let Some(name) = texts.flat_map(|text| missing_embeddings(text, words)).next() {
                return Err(PipelineError::recipe(sentence!("recipe.no_embedding", name = name)));
            }
        }
        Ok(self)
    }

    /// Returns the index of each line's text at a call of the pass, counted from 0.
    pub fn segment_at(&self, call: usize) -> Vec<usize> {
        self.lines.iter().map(|line| line.at(call)).collect()
    }

    /// Splits a text into the chunks that a text encoder reads.
    pub fn chunks(&self, tokenizer: &Tokenizer, text: &str) -> Vec<Chunk> {
        match self.program {
            Program::Diffusers => vec![Chunk::plain(tokenizer, text, &self.words).0],
            Program::A1111 => Chunk::weighted(tokenizer, text, self.emphasis, &self.words),
            Program::Comfyui => comfyui_chunks(tokenizer, text, &self.words),
        }
    }

    /// Returns the number of chunks of a line: those of its longest text.
    pub fn line_chunks(&self, tokenizers: &[&Tokenizer], line: &PromptLine) -> usize {
        let count = |text: &String| tokenizers.iter().map(|tokenizer| self.chunks(tokenizer, text).len()).max();
        line.texts.iter().filter_map(count).max().unwrap_or(1).max(1)
    }

    /// Returns the lengths of the prompts in chunks.
    pub fn lengths(&self, tokenizers: &[&Tokenizer], pads: bool) -> Lengths {
        let (negative, parts) = self.lines.split_at(1);
        let longest =
            |lines: &[PromptLine]| lines.iter().map(|line| self.line_chunks(tokenizers, line)).max().unwrap_or(1);
        Lengths { negative: longest(negative), prompt: longest(parts), pads }
    }
}

/// Lengths of the prompts in chunks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lengths {
    /// Chunks of the negative prompt.
    pub negative: usize,
    /// Chunks of the longest part of the prompt.
    pub prompt: usize,
    /// Whether the shorter side is filled up with empty chunks. Otherwise both are repeated up to a common length, which
    /// changes nothing: attention over a chunk that stands twice equals attention over it once.
    pub pads: bool,
}

impl Lengths {
    /// Returns the number of chunks that the denoiser reads.
    pub fn common(self, guided: bool) -> usize {
        match (guided, self.pads) {
            (false, _) => self.prompt,
            (true, true) => self.prompt.max(self.negative),
            (true, false) => lcm(self.prompt, self.negative),
        }
    }
}

/// Checks that a tag of the prompt is understood.
fn check(tag: &ExtraNetwork) -> Result<(), PipelineError> {
    if let NetworkKind::Unsupported(kind) = &tag.kind {
        return Err(PipelineError::recipe(sentence!("recipe.tag", kind = kind, name = &tag.name)));
    }
    let Some(argument) = tag.unread.first() else { return Ok(()) };
    let hint = match argument.split_once('=') {
        Some(("dyn", _)) => sentence!("recipe.hint_dyn"),
        Some((name, _)) if ["te", "unet", "hr", "hrte", "hrunet"].contains(&name) => {
            sentence!("recipe.hint_number", name = name)
        }
        Some((name, _)) if ["start", "stop", "step"].contains(&name) => sentence!("recipe.hint_steps"),
        Some((name, _)) => sentence!("recipe.hint_unknown", name = name),
        None => sentence!("recipe.hint_strength"),
    };
    Err(PipelineError::recipe(sentence!("recipe.argument", argument = argument, tag = &tag.tag, hint = hint)))
}
