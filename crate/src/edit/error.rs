//! Errors of edits.

use crate::adapters::{Algorithm, BakeError, ConfigError};
use crate::formats::{Dtype, FormatError};
use std::io;

/// Errors of planning or writing an edit.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "each variant's message explains its fields")]
pub enum EditError {
    /// The file cannot be read.
    #[error("{file}: {source}")]
    Read { file: String, source: FormatError },
    /// The file changes no layer.
    #[error("{file} is not an adapter that can be edited: none of its {keys} tensors changes a layer")]
    NoAdapter { file: String, keys: usize },
    /// The file's adapter config is invalid.
    #[error("{file}: {source}")]
    BadConfig { file: String, source: ConfigError },
    /// Part of a layer's change is missing or cannot be computed.
    #[error(
        "{file}: `{key}` belongs to a layer's change and cannot be converted: {reason}; nothing is written, so that it \
         is not lost, unless such keys may be left out"
    )]
    Incomplete { file: String, key: String, reason: String },
    /// The model's layer names are unknown, so there is no other key format.
    #[error("{file} is for {label}, whose layer names are unknown, so its keys cannot be renamed; keep its own keys")]
    UnknownLayers { file: String, label: String },
    /// The key format cannot store a layer or its algorithm.
    #[error("`{layer}`: {target} files cannot store {what}; {hint}")]
    Unsupported { layer: String, what: String, target: &'static str, hint: &'static str },
    /// The change is not a factorizable matrix, so it cannot be converted to LoRA.
    #[error(
        "`{layer}`: {algorithm} depends on the base model's weights or is not a matrix, so it cannot be converted to \
         LoRA from this file alone; bake it into the model and extract a LoRA, or leave such layers out"
    )]
    NoMatrix { layer: String, algorithm: Algorithm },
    /// No rank was given for a change of full rank.
    #[error(
        "`{layer}`: an exact LoRA of this {algorithm} layer needs rank {rank} and is no smaller; choose a rank for \
         the best approximation of that rank and its error"
    )]
    NeedsRank { layer: String, algorithm: Algorithm, rank: usize },
    /// Rank 0.
    #[error("the rank of a LoRA is at least 1, not 0; give another rank, or none")]
    NoRank,
    /// A share outside (0, 1].
    #[error("{0} is not a valid share; give a number above 0 and at most 1")]
    NoShare(f64),
    /// A strength that cannot be baked into a nonlinear algorithm.
    #[error("`{layer}`: {algorithm} does not scale linearly, so strength {strength} cannot be baked in; use 0 or 1")]
    NotLinear { layer: String, algorithm: Algorithm, strength: f32 },
    /// NaN or Inf values.
    #[error(
        "`{layer}` contains NaN or Inf values, so nothing can be computed from it; set its block weight to 0, or ask \
         the file's author for another version"
    )]
    NotFinite { layer: String },
    /// The files are for different model families.
    #[error("{file_a} is for {a} and {file_b} for {b}, so they have no layers in common")]
    OtherFamily { file_a: String, a: String, file_b: String, b: String },
    /// One file has fused layers that the other file splits into parts.
    #[error(
        "{file_a} and {file_b} name the layers of {model} differently, one with fused layers and one with their parts; \
         convert one of them to the other's key format first"
    )]
    OtherNaming { file_a: String, file_b: String, model: String },
    /// A layer has different shapes in two files.
    #[error("`{layer}` has shape {a:?} in {file_a} and {b:?} in {file_b}: the files are for different models")]
    OtherShape { layer: String, file_a: String, a: (usize, usize), file_b: String, b: (usize, usize) },
    /// The result would have no tensors.
    #[error("the result would be empty")]
    Nothing,
    /// An unsupported output dtype.
    #[error("cannot write tensors as {0}; choose f32, f16 or bf16")]
    NoType(Dtype),
    /// A value outside the range of the dtype.
    #[error("`{name}` contains {value}, which overflows {dtype}; use bf16 or f32")]
    Overflow { name: String, value: f32, dtype: Dtype },
    /// A metadata edit of a file that is not safetensors.
    #[error("{file} has no safetensors header, so there is no metadata to edit{hint}")]
    NoHeader { file: String, hint: &'static str },
    /// A reserved or empty metadata key.
    #[error("`{0}` is not a valid metadata key")]
    BadKey(String),
    /// The wrong number of files for an edit.
    #[error("{edit} needs {wants}; files given: {files}")]
    Files { edit: &'static str, wants: &'static str, files: usize },
    /// An unsupported model.
    #[error(
        "{file} is not a supported model: give a checkpoint of Stable Diffusion 1.x, 2.x or XL, or a \
         diffusers folder with unet/ and text_encoder/"
    )]
    NoModel { file: String },
    /// An adapter that does not apply to the base model.
    #[error("{file}: {reason}")]
    Refused { file: String, reason: String },
    /// Baking failed.
    #[error(transparent)]
    Bake(#[from] BakeError),
    /// Cancelled by the progress callback.
    #[error("the edit was cancelled")]
    Stopped,
    /// The result cannot be written.
    #[error("the result cannot be written: {0}; check the free disk space")]
    Write(#[from] io::Error),
}
