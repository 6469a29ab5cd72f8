//! Turns the whole cause of a picture into one value that travels: in links, files and tests.

use super::error::PipelineError;
use serde::{Deserialize, Serialize};
use ts_rs::TS;

/// The whole cause of a picture.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, TS)]
pub struct Recipe {
    /// 1.
    pub version: u32,
    /// Name of the base model.
    pub model: String,
    /// Adapters, in the order in which they were chosen; the sum does not depend on it.
    pub adapters: Vec<AdapterChoice>,
    /// What to draw.
    pub prompt: String,
    /// What to keep away from.
    pub negative: String,
    /// Seed of the first latent: its low 32 bits, as PyTorch's CPU generator takes it.
    #[ts(type = "number")]
    pub seed: u64,
    /// Sampling steps.
    pub steps: usize,
    /// Classifier-free guidance; 1 leaves out the negative prompt and its cost.
    pub guidance: f32,
    /// Name of the sampler: `ddim`, `euler`, …
    pub sampler: String,
    /// Pixels.
    pub width: usize,
    /// Pixels.
    pub height: usize,
}

/// An adapter and how strongly it acts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, TS)]
pub struct AdapterChoice {
    /// File name, for people.
    pub name: String,
    /// What identifies it.
    pub sha256: String,
    /// 0 changes nothing, 1 is what was trained.
    pub strength: f32,
}

impl Recipe {
    /// Checks what does not depend on the model; `multiple` is the model's pixels per step of size.
    pub fn check(&self, multiple: usize) -> Result<(), PipelineError> {
        let bad = |what, found: String, wanted: String| Err(PipelineError::Recipe { what, found, wanted });
        if self.version != 1 {
            return bad("the recipe's version", self.version.to_string(), "this program reads version 1".into());
        }
        for (what, pixels) in [("width", self.width), ("height", self.height)] {
            if pixels == 0 || pixels % multiple != 0 || pixels > 4096 {
                return bad(
                    what,
                    pixels.to_string(),
                    format!("it must be a multiple of {multiple} from {multiple} to 4096"),
                );
            }
        }
        if !self.guidance.is_finite() {
            return bad("guidance", self.guidance.to_string(), "it must be a number; 7 is usual".into());
        }
        for adapter in &self.adapters {
            if !adapter.strength.is_finite() {
                return bad(
                    "a LoRA's strength",
                    adapter.strength.to_string(),
                    "it must be a number; 1 is usual".into(),
                );
            }
        }
        Ok(())
    }
}
