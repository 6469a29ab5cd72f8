//! Turns a planned conversion into a list of what it changes.

use super::names::Target;
use super::pairs::KeptRow;
use serde::Serialize;
use ts_rs::TS;

/// What a conversion changes.
#[derive(Debug, Clone, Default, Serialize, TS)]
pub struct ConvertPreview {
    /// The file's convention.
    pub from: String,
    /// The result's, where it is another.
    pub to: Option<Target>,
    /// Keys with another name.
    pub renamed: Vec<Renamed>,
    /// Keys that the result lacks.
    pub dropped: Vec<DroppedKey>,
    /// Layers whose scale goes into their numbers.
    pub baked: Vec<BakedScale>,
    /// Layers whose algorithm becomes LoRA.
    pub rebuilt: Vec<Rebuilt>,
    /// Fused layers whose change is shared out to their parts.
    pub split: Vec<String>,
    /// Layers that get the changes of their parts.
    pub fused: Vec<String>,
    /// Layers with another number type.
    pub retyped: usize,
    /// Tensors before.
    pub tensors_before: usize,
    /// Tensors after.
    pub tensors_after: usize,
    /// Bytes before.
    #[ts(type = "number")]
    pub size_before: u64,
    /// Bytes after.
    #[ts(type = "number")]
    pub size_after: u64,
}

/// A key and its new name.
#[derive(Debug, Clone, Serialize, TS)]
pub struct Renamed {
    /// Before.
    pub from: String,
    /// After.
    pub to: String,
}

/// A key that the result lacks.
#[derive(Debug, Clone, Serialize, TS)]
pub struct DroppedKey {
    /// The key.
    pub key: String,
    /// Why.
    pub reason: String,
}

/// A scale that goes into a layer's numbers.
#[derive(Debug, Clone, Serialize, TS)]
pub struct BakedScale {
    /// The layer.
    pub path: String,
    /// What its first factor is multiplied by.
    pub scale: f32,
}

/// A layer whose algorithm becomes LoRA.
#[derive(Debug, Clone, Serialize, TS)]
pub struct Rebuilt {
    /// The algorithm before.
    pub algorithm: String,
    /// Whether the LoRA is the same change but for rounding.
    pub exact: bool,
    /// Ranks, and what is lost where it is not.
    #[serde(flatten)]
    pub kept: KeptRow,
}
