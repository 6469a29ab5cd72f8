//! Turns a prompt into the token ids that a CLIP text encoder reads, and a weighted prompt into pieces with weights.
//!
//! [`Tokenizer`] is the CLIP byte-pair encoder. A prompt in the web UI's syntax goes through
//! [`extra_networks`] (`<lora:name:0.8>`), [`schedule`] (`[a:b:0.5]`), and for each text of the
//! schedule [`Chunk::weighted`], which asks [`parse_attention`] for the `(word:1.2)`.

mod bpe;
mod chunks;
mod config;
mod extra;
mod prompt;
mod schedule;

pub use bpe::{Tokenizer, Word};
pub use chunks::{CHUNK, Chunk, Syntax, count, emphasis, level};
pub use config::TokenizerConfig;
pub use extra::{ExtraNetwork, NetworkKind, extra_networks};
pub use prompt::parse_attention;
pub use schedule::{schedule, text_at};

/// Why a tokenizer could not be made from its files, or a name of this module not be read.
#[derive(Debug, thiserror::Error)]
pub enum TextError {
    /// A tokenizer file is not the JSON that it should be.
    #[error("{file} is not valid: {source}; take the tokenizer folder of the model again")]
    Json {
        /// Name of the file, for example `vocab.json`.
        file: &'static str,
        /// What the JSON reader met.
        source: serde_json::Error,
    },
    /// A line of the merges list does not hold two known tokens.
    #[error("merges.txt line {line} ({text:?}) {reason}; merges.txt and vocab.json must come from the same model")]
    Merge {
        /// Line number, counted from 1.
        line: usize,
        /// The line itself.
        text: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The vocabulary lacks a token that every CLIP vocabulary has.
    #[error("the vocabulary has no token {token:?} ({role}); it is not a CLIP vocabulary")]
    MissingToken {
        /// The token's text.
        token: String,
        /// What the token is needed for.
        role: &'static str,
    },
    /// The compressed merges list cannot be unpacked.
    #[error("the compressed merges list cannot be unpacked: {0}; load it again")]
    Gzip(#[from] std::io::Error),
    /// No way to read prompts has that name.
    #[error(
        "there is no prompt syntax {0:?}; there are plain (as diffusers reads prompts) and a1111 (as the web UI does)"
    )]
    Syntax(String),
    /// There is no room for the start and end tokens.
    #[error("model_max_length is {0}, but the start and end tokens alone need 2; correct tokenizer_config.json")]
    TooShort(usize),
}
