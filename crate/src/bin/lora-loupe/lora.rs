//! Turns an argument into an adapter's file and its strength.

use lora_loupe::adapters::Strengths;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// `FILE=STRENGTH`, perhaps with strengths of blocks behind a colon, as in `ink.safetensors=0.6:IN04=0.2,MID=0`;
/// a file alone stands for strength 1.
#[derive(Debug, Clone)]
pub struct Lora {
    /// Its file or PEFT folder.
    pub path: PathBuf,
    /// How strongly it acts.
    pub strength: f32,
    /// What that is multiplied by in some blocks, as [`Strengths`] reads it.
    pub blocks: Option<String>,
}

impl Lora {
    /// Strengths of blocks, where they were given.
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
        // A path may hold the sign itself.
        let splits = text.match_indices('=').map(|(at, _)| (&text[..at], &text[at + 1..]));
        for (path, said) in splits {
            let (strength, blocks) =
                said.split_once(':').map_or((said, None), |(strength, blocks)| (strength, Some(blocks)));
            let Some(strength) = strength.parse::<f32>().ok().filter(|strength| strength.is_finite()) else { continue };
            if let Some(blocks) = blocks {
                blocks.parse::<Strengths>().map_err(|error| error.to_string())?;
            }
            return Ok(Lora { path: path.into(), strength, blocks: blocks.map(str::to_owned) });
        }
        Err(format!("`{text}` gives no strength: give a number, as in FILE=0.6 or FILE=0.6:IN04=0.2,MID=0"))
    }
}
