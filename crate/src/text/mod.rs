//! Turns a prompt into the token ids that a CLIP text encoder reads, and a weighted prompt into pieces with weights.
//!
//! [`Tokenizer`] is the CLIP byte-pair encoder; [`parse_attention`] reads the `(word:1.2)` syntax.

mod bpe;
mod config;
mod prompt;

pub use bpe::Tokenizer;
pub use config::TokenizerConfig;
pub use prompt::parse_attention;

/// Why a tokenizer could not be made from its files.
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
    /// There is no room for the start and end tokens.
    #[error("model_max_length is {0}, but the start and end tokens alone need 2; correct tokenizer_config.json")]
    TooShort(usize),
}
