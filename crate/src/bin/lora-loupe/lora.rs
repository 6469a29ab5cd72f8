//! Turns an argument into an adapter's file and its strength.

use std::path::{Path, PathBuf};
use std::str::FromStr;

/// `FILE=STRENGTH`, or a file alone, which stands for strength 1.
#[derive(Debug, Clone)]
pub struct Lora {
    /// Its file or PEFT folder.
    pub path: PathBuf,
    /// How strongly it acts.
    pub strength: f32,
}

impl FromStr for Lora {
    type Err = String;

    fn from_str(text: &str) -> Result<Lora, String> {
        match text.rsplit_once('=') {
            Some((path, strength)) if !Path::new(text).exists() => match strength.parse::<f32>() {
                Ok(strength) if strength.is_finite() => Ok(Lora { path: path.into(), strength }),
                _ => Err(format!("`{strength}` is not a strength: give a number, as in {path}=0.6")),
            },
            _ => Ok(Lora { path: text.into(), strength: 1.0 }),
        }
    }
}
