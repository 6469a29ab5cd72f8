//! CLIP tokenizer settings from `tokenizer_config.json` and `special_tokens_map.json`.

use serde::Deserialize;

use super::TextError;
use crate::num::to_index;

/// Context length of the CLIP text encoders, including start and end token.
const CLIP_CONTEXT: usize = 77;

/// Special tokens and sequence length of a CLIP tokenizer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenizerConfig {
    /// Token before every prompt: `<|startoftext|>`.
    pub bos_token: String,
    /// Token after every prompt: `<|endoftext|>`.
    pub eos_token: String,
    /// Padding token: `<|endoftext|>` for SD 1.x and SDXL's first tokenizer,
    /// `!` for SD 2.x and SDXL's second.
    pub pad_token: String,
    /// Number of ids that [`encode_padded`](super::Tokenizer::encode_padded) returns.
    pub model_max_length: usize,
}

impl Default for TokenizerConfig {
    /// Returns the settings of OpenAI's CLIP ViT-L/14, which SD 1.x uses.
    fn default() -> Self {
        Self {
            bos_token: "<|startoftext|>".into(),
            eos_token: "<|endoftext|>".into(),
            pad_token: "<|endoftext|>".into(),
            model_max_length: CLIP_CONTEXT,
        }
    }
}

/// A special token as stored in the files: a string, or an object with matching options.
#[derive(Deserialize)]
#[serde(untagged)]
enum Token {
    Bare(String),
    Added { content: String },
}

impl Token {
    fn text(self) -> String {
        match self {
            Token::Bare(text) | Token::Added { content: text } => text,
        }
    }
}

#[derive(Deserialize, Default)]
struct Fields {
    bos_token: Option<Token>,
    eos_token: Option<Token>,
    pad_token: Option<Token>,
    model_max_length: Option<f64>,
    added_tokens_decoder: Option<serde_json::Value>,
}

impl TokenizerConfig {
    /// Parses the text of a tokenizer folder's files.
    ///
    /// As in transformers, `special_tokens_map.json` overrides `tokenizer_config.json` (SD 2.1 specifies its
    /// padding token only there), unless the latter has an `added_tokens_decoder`. Missing fields, and the huge
    /// placeholder length of some files, are replaced by CLIP's defaults.
    ///
    /// # Errors
    /// [`TextError::Json`] for text that is not such a file, [`TextError::TooShort`] for a length below 2.
    pub fn from_json(tokenizer_config: &str, special_tokens_map: Option<&str>) -> Result<Self, TextError> {
        let parse =
            |file, text| serde_json::from_str::<Fields>(text).map_err(|source| TextError::Json { file, source });
        let config = parse("tokenizer_config.json", tokenizer_config)?;
        let map = match special_tokens_map {
            Some(text) if config.added_tokens_decoder.is_none() => parse("special_tokens_map.json", text)?,
            _ => Fields::default(),
        };
        let default = Self::default();
        let pick = |first: Option<Token>, second: Option<Token>, default| first.or(second).map_or(default, Token::text);
        let model_max_length = match config.model_max_length {
            Some(length) if length < 1e6 => to_index(length),
            _ => default.model_max_length,
        };
        if model_max_length < 2 {
            return Err(TextError::TooShort(model_max_length));
        }
        Ok(Self {
            bos_token: pick(map.bos_token, config.bos_token, default.bos_token),
            eos_token: pick(map.eos_token, config.eos_token, default.eos_token),
            pad_token: pick(map.pad_token, config.pad_token, default.pad_token),
            model_max_length,
        })
    }
}
