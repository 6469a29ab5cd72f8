//! Command line argument for an adapter with its strength.

use lora_loupe::adapters::Strengths;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// `FILE=STRENGTH`, optionally with block weights after a colon, as in `ink.safetensors=0.6:IN04=0.2,MID=0`;
/// the strength of a file alone is 1.
#[derive(Debug, Clone)]
pub struct Lora {
    /// Adapter file or PEFT folder.
    pub path: PathBuf,
    /// Strength.
    pub strength: f32,
    /// Block weights, multiplied with the strength, in the syntax of [`Strengths`].
    pub blocks: Option<String>,
}

impl Lora {
    /// Returns the block weights, if any.
    pub fn strengths(&self) -> Option<Strengths> {
        self.blocks.as_ref().and_then(|blocks| blocks.parse().ok())
    }
}

impl FromStr for Lora {
    type Err = String;

    fn from_str(text: &str) -> Result<Lora, String> {
        if Path::new(text).exists() || !text.contains('=') {
            return Ok(Lora { path: text.into(), strength: 1.0, blocks: None });
        }
        // The path itself may contain `=`.
        let splits = text.match_indices('=').map(|(at, _)| (&text[..at], &text[at + 1..]));
        for (path, value) in splits {
            let (strength, blocks) =
                value.split_once(':').map_or((value, None), |(strength, blocks)| (strength, Some(blocks)));
            let Some(strength) = strength.parse::<f32>().ok().filter(|strength| strength.is_finite()) else { continue };
            if let Some(blocks) = blocks {
                blocks.parse::<Strengths>().map_err(|error| error.to_string())?;
            }
            return Ok(Lora { path: path.into(), strength, blocks: blocks.map(str::to_owned) });
        }
        Err(format!("`{text}` has no valid strength: give a number, e.g. FILE=0.6 or FILE=0.6:IN04=0.2,MID=0"))
    }
}
