//! Turns a recipe's prompts into what each call of the UNet is told of: texts that may change on
//! the way, and the adapters that they mention.

use super::error::PipelineError;
use super::recipe::Recipe;
use crate::text::{Chunk, ExtraNetwork, NetworkKind, Syntax, Tokenizer, Word, extra_networks, schedule, text_at};

/// The texts of one prompt, each until a step.
type Lane = Vec<(usize, String)>;

/// What the calls of a picture are told of.
pub struct PromptSchedule {
    prompt: Lane,
    /// None where there is no negative prompt.
    negative: Option<Lane>,
    syntax: Syntax,
    /// Adapters that the prompt mentions.
    pub mentions: Vec<ExtraNetwork>,
    /// Words that stand for textual inversions.
    pub words: Vec<Word>,
}

impl PromptSchedule {
    /// Reads the prompts; changes are spread over `steps` steps.
    pub fn of(recipe: &Recipe, steps: usize) -> Result<PromptSchedule, PipelineError> {
        let lane = |text: &str| match recipe.syntax {
            Syntax::Plain => vec![(steps, text.to_owned())],
            Syntax::A1111 => schedule(text, steps),
        };
        let (prompt, mentions) = match recipe.syntax {
            Syntax::Plain => (recipe.prompt.clone(), Vec::new()),
            Syntax::A1111 => extra_networks(&recipe.prompt),
        };
        if let Some(ExtraNetwork { kind: NetworkKind::Unsupported(kind), name, .. }) =
            mentions.iter().find(|mention| mention.kind != NetworkKind::Lora)
        {
            return Err(PipelineError::Recipe {
                what: "the prompt",
                found: format!("asking for <{kind}:{name}>"),
                wanted: "it may name <lora:…> only: take that part out".into(),
            });
        }
        Ok(PromptSchedule {
            prompt: lane(&prompt),
            negative: recipe.negative.as_deref().map(lane),
            syntax: recipe.syntax,
            mentions,
            words: Vec::new(),
        })
    }

    /// Which texts a call is told of: calls with equal numbers are told the same.
    pub fn segment_at(&self, call: usize) -> (usize, usize) {
        let negative = self.negative.as_ref().map_or(0, |lane| text_at(lane, call));
        (negative, text_at(&self.prompt, call))
    }

    /// The negative text and the text of a scene.
    pub fn texts(&self, (negative, prompt): (usize, usize)) -> (Option<&str>, &str) {
        let negative = self.negative.as_ref().and_then(|lane| lane.get(negative)).map(|(_, text)| text.as_str());
        (negative, self.prompt.get(prompt).map_or("", |(_, text)| text))
    }

    /// A text as the chunks that a text encoder reads.
    pub fn chunks(&self, tokenizer: &Tokenizer, text: &str) -> Vec<Chunk> {
        match self.syntax {
            Syntax::Plain => vec![Chunk::plain(tokenizer, text, &self.words).0],
            Syntax::A1111 => Chunk::weighted(tokenizer, text, &self.words),
        }
    }

    /// Chunks of the longest text.
    pub fn longest(&self, tokenizer: &Tokenizer) -> usize {
        let lanes = self.negative.iter().chain([&self.prompt]);
        lanes.flatten().map(|(_, text)| self.chunks(tokenizer, text).len()).max().unwrap_or(1).max(1)
    }
}
