//! Changed layers and their blocks, as rows of the report.

use super::spectrum::Spectrum;
use crate::sentence::Sentence;
use serde::{Deserialize, Serialize};
use ts_rs::TS;

/// A layer that the file changes.
#[derive(Debug, Clone, Serialize, Deserialize, TS)]
pub struct ModuleRow {
    /// diffusers' path after the network's name: `unet.down_blocks.0…`.
    pub path: String,
    /// Algorithm of the change.
    pub algorithm: String,
    /// Rank, if the algorithm has one.
    pub rank: Option<usize>,
    /// alpha, if the file or its config has one.
    pub alpha: Option<f32>,
    /// Factor of the change at strength 1.
    pub scale: f32,
    /// Dtype of the tensors.
    pub dtype: String,
    /// Frobenius norm of the change at strength 1; null if it depends on the base weights and no base
    /// model was given.
    pub norm: Option<f64>,
    /// Frobenius norm of the base model's weight; null if no base model was given.
    pub base_norm: Option<f64>,
    /// Statistics of the singular values; null if these depend on the base weights or take too long.
    pub strength: Option<Strength>,
    /// Shape of the change.
    pub shape: Vec<usize>,
    /// The layer's block, see [`Coverage`].
    pub block: String,
}

/// Statistics of the singular values of a layer's change at strength 1.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, TS)]
pub struct Strength {
    /// The spectral norm, i.e. the largest singular value.
    pub spectral: f64,
    /// Stable rank ‖·‖²_F / ‖·‖²₂.
    pub stable_rank: f64,
    /// Effective rank: exp of the entropy of the normalized singular values.
    pub effective_rank: f64,
    /// The smallest rank that keeps 90 % of the energy Σσ².
    pub rank_90: usize,
    /// The smallest rank that keeps 98 % of it.
    pub rank_98: usize,
}

impl Strength {
    /// Computes the statistics of a spectrum.
    pub fn of(spectrum: &Spectrum) -> Strength {
        Strength {
            spectral: spectrum.spectral(),
            stable_rank: spectrum.stable_rank(),
            effective_rank: spectrum.effective_rank(),
            rank_90: spectrum.rank_for_energy(0.9),
            rank_98: spectrum.rank_for_energy(0.98),
        }
    }
}

/// A file's changes to one block.
#[derive(Debug, Clone, Serialize, Deserialize, TS)]
pub struct Coverage {
    /// `text_encoder`, `text_encoder_2`, `text_encoder_3`, `unet`, `transformer`, `prior` or `language_model`.
    pub component: String,
    /// `TE00`…, `BASE`, `IN00`…, `MID`, `OUT00`…, `END`; of transformers `D00`…, `S00`…, …
    pub block: String,
    /// Display label of the block.
    pub label: Sentence,
    /// Number of changed linear and convolution layers.
    pub covered: usize,
    /// Total number of linear and convolution layers.
    pub total: usize,
    /// Frobenius norm of all known changes together at strength 1.
    pub norm: f64,
}
