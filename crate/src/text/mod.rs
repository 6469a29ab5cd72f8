//! Prompts: text -> chunks of CLIP token ids with weights.
//!
//! A template is made a prompt by [`Style::apply`] and [`fill`] (`{a|b}`, `__name__`), before a recipe is made of it.
//! [`Tokenizer`] is the CLIP byte-pair encoder. A prompt of AUTOMATIC1111's web UI is processed by [`strip_comments`]
//! (`# …`), [`extra_networks`] (`<lora:name:0.8>`), [`compose`] (`AND`), [`schedule`] (`[a:b:0.5]`), and for each text of
//! the schedule [`Chunk::weighted`], which uses [`parse_attention`] for `(word:1.2)`. A prompt of ComfyUI is processed by
//! [`comfyui_chunks`].

mod bpe;
mod chunks;
mod comfyui;
mod comments;
mod composition;
mod config;
mod count;
mod emphasis;
mod extra;
mod prompt;
mod python_random;
mod schedule;
mod strength_curve;
mod styles;
mod template;

pub use bpe::{Tokenizer, Word};
pub use chunks::{CHUNK_LEN, Chunk};
pub use comfyui::{comfyui_chunks, comfyui_pieces, missing_embeddings};
pub use comments::strip_comments;
pub use composition::compose;
pub use config::TokenizerConfig;
pub use count::count;
pub use emphasis::{Emphasis, WeightedStates, interpolate};
pub use extra::{ExtraNetwork, NetworkKind, extra_networks};
pub use prompt::parse_attention;
pub use schedule::{Pass, schedule, schedule_of_pass, text_at};
pub use strength_curve::{ActiveSteps, StrengthCurve};
pub use styles::{Style, read_styles};
pub use template::{TemplateError, Wildcards, fill};

/// An error from loading a tokenizer.
#[derive(Debug, thiserror::Error)]
pub enum TextError {
    /// A tokenizer file with invalid JSON.
    #[error("{file} is not valid: {source}; download the model's tokenizer folder again")]
    Json {
        /// File name, for example `vocab.json`.
        file: &'static str,
        /// Error of the JSON parser.
        source: serde_json::Error,
    },
    /// A line of the merges list that is not a pair of known tokens.
    #[error("merges.txt line {line} ({text:?}) {reason}; merges.txt and vocab.json must come from the same model")]
    Merge {
        /// Line number, counted from 1.
        line: usize,
        /// Contents of the line.
        text: String,
        /// Reason, as the predicate of the message.
        reason: &'static str,
    },
    /// A vocabulary without a token that every CLIP vocabulary has.
    #[error("the vocabulary has no token {token:?} ({role}); it is not a CLIP vocabulary")]
    MissingToken {
        /// Text of the token.
        token: String,
        /// Role of the token.
        role: &'static str,
    },
    /// A damaged compressed merges list.
    #[error("cannot decompress the merges list: {0}; load it again")]
    Gzip(#[from] std::io::Error),
    /// A maximum length that does not fit the start and end tokens.
    #[error("model_max_length is {0}, but the start and end tokens alone need 2; fix tokenizer_config.json")]
    TooShort(usize),
}
