//! Preview of a conversion.

use super::names::Target;
use super::pairs::KeptRow;
use crate::adapters::Algorithm;
use crate::sentence::Sentence;
use serde::Serialize;
use ts_rs::TS;

/// The changes that a conversion makes.
#[derive(Debug, Clone, Default, Serialize, TS)]
pub struct ConvertPreview {
    /// Key format of the file.
    pub from: String,
    /// Key format of the result, if the keys are renamed.
    pub to: Option<Target>,
    /// Renamed keys.
    pub renamed: Vec<Renamed>,
    /// Keys that are missing from the result.
    pub dropped: Vec<DroppedKey>,
    /// Layers whose scale is baked into their weights.
    pub baked: Vec<BakedScale>,
    /// Layers of other algorithms that become LoRA.
    pub rebuilt: Vec<Rebuilt>,
    /// Fused layers that are split into their parts.
    pub split: Vec<String>,
    /// Fused layers that are assembled from their parts.
    pub fused: Vec<String>,
    /// Number of layers whose dtype changes.
    pub retyped: usize,
    /// Number of tensors before.
    pub tensors_before: usize,
    /// Number of tensors after.
    pub tensors_after: usize,
    /// Size in bytes before.
    #[ts(type = "number")]
    pub size_before: u64,
    /// Size in bytes after.
    #[ts(type = "number")]
    pub size_after: u64,
}

/// A renamed key.
#[derive(Debug, Clone, Serialize, TS)]
pub struct Renamed {
    /// Key before.
    pub from: String,
    /// Key after.
    pub to: String,
}

/// A key that is missing from the result.
#[derive(Debug, Clone, Serialize, TS)]
pub struct DroppedKey {
    /// The key.
    pub key: String,
    /// Reason, as a phrase.
    pub reason: Sentence,
}

/// A scale that is baked into a layer's weights.
#[derive(Debug, Clone, Serialize, TS)]
pub struct BakedScale {
    /// Layer path.
    pub path: String,
    /// Multiplier of the first factor.
    pub scale: f32,
}

/// A layer of another algorithm that becomes LoRA.
#[derive(Debug, Clone, Serialize, TS)]
pub struct Rebuilt {
    /// Algorithm before.
    #[ts(type = "string")]
    pub algorithm: Algorithm,
    /// Whether the LoRA equals the change up to rounding.
    pub exact: bool,
    /// Ranks, and the error if it is not exact.
    #[serde(flatten)]
    pub kept: KeptRow,
}
