//! Turns what stands in the way of an edit into a sentence.

use crate::adapters::{BakeError, ConfigError};
use crate::formats::{Dtype, FormatError};
use std::io;

/// Why a file cannot be edited as asked.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "each variant's message says what its fields are")]
pub enum EditError {
    /// The file cannot be read.
    #[error("{file}: {source}")]
    Read { file: String, source: FormatError },
    /// The file changes no layer.
    #[error("{file} is no adapter that can be edited: none of its {keys} tensors changes a layer")]
    NoAdapter { file: String, keys: usize },
    /// The config that speaks for the file cannot be read.
    #[error("{file}: {source}")]
    BadConfig { file: String, source: ConfigError },
    /// Part of a layer's change is missing or cannot be computed.
    #[error("{file}: `{key}` cannot be used: {reason}; --drop leaves such tensors out")]
    Incomplete { file: String, key: String, reason: String },
    /// The layers have no other names.
    #[error("{file} was made for {label}, whose layers have no listed names, so it cannot be renamed; leave out --to")]
    NoNames { file: String, label: String },
    /// The spelling has no place for an algorithm.
    #[error("`{layer}`: {what} has no place in {target} files; {hint}")]
    NoPlace { layer: String, what: String, target: &'static str, hint: &'static str },
    /// The change is no matrix in factors, so it cannot be made a LoRA.
    #[error(
        "`{layer}`: {algorithm} depends on the base model's weights or is no matrix, so it cannot be made a LoRA \
         from this file alone; bake it into the model and extract it, or leave such layers out with --drop"
    )]
    NoMatrix { layer: String, algorithm: &'static str },
    /// No rank was given for a change of full rank.
    #[error(
        "`{layer}`: {algorithm} of rank {rank} is no smaller as a LoRA without loss; --rank N makes the nearest of that \
         rank and says the error"
    )]
    NeedsRank { layer: String, algorithm: &'static str, rank: usize },
    /// A rank that no LoRA has.
    #[error("a LoRA has rank 1 or more, and 0 is asked for; give another rank, or none")]
    NoRank,
    /// A share that is none.
    #[error("{0} is no share; give a number above 0, and 1 at most")]
    NoShare(f64),
    /// A strength that does not apply to an algorithm.
    #[error(
        "`{layer}`: {algorithm} at strength {strength} is not a multiple of itself, so only 0 and 1 can be baked in"
    )]
    NotLinear { layer: String, algorithm: &'static str, strength: f32 },
    /// NaN or infinite numbers.
    #[error(
        "`{layer}` holds NaN or infinite numbers, so nothing can be computed from it; leave its block out with \
         --blocks, or ask who made the file for another one"
    )]
    NotFinite { layer: String },
    /// The files were made for different families of models.
    #[error("{file_a} was made for {a} and {file_b} for {b}, so they have no layers in common")]
    OtherFamily { file_a: String, a: String, file_b: String, b: String },
    /// One file has fused layers where the other has parts.
    #[error(
        "{file_a} and {file_b} name the layers of {model} differently, one with fused layers and one with their parts; \
         convert one of them to the other's names first"
    )]
    OtherNaming { file_a: String, file_b: String, model: String },
    /// Shapes of two files' layers differ.
    #[error("`{layer}` is {a:?} in {file_a} and {b:?} in {file_b}: the files were made for different models")]
    OtherShape { layer: String, file_a: String, a: (usize, usize), file_b: String, b: (usize, usize) },
    /// Nothing is left to write.
    #[error("nothing would be left in the result")]
    Nothing,
    /// A number type that cannot be written.
    #[error("tensors cannot be written as {0}; choose f32, f16 or bf16")]
    NoType(Dtype),
    /// A number that the type cannot hold.
    #[error("`{name}` reaches {value}, more than {dtype} can hold; write it as bf16 or f32")]
    Overflow { name: String, value: f32, dtype: Dtype },
    /// The metadata of a file without a safetensors header.
    #[error("{file} is no safetensors file, so it has no metadata; convert it first")]
    NoHeader { file: String },
    /// A metadata key that programs rely on.
    #[error("`{0}` cannot be a metadata key")]
    BadKey(String),
    /// Too few or too many files for an edit.
    #[error("{edit} needs {wants}, and {files} are given")]
    Files { edit: &'static str, wants: &'static str, files: usize },
    /// A model that is not known.
    #[error(
        "{file} is no model that this program knows: give a checkpoint of Stable Diffusion 1.x, 2.x or XL, or a \
         diffusers folder with unet/ and text_encoder/"
    )]
    NoModel { file: String },
    /// An adapter that must not be folded into the base model.
    #[error("{file}: {reason}")]
    Refused { file: String, reason: String },
    /// The fold fails.
    #[error(transparent)]
    Bake(#[from] BakeError),
    /// The listener asked for it.
    #[error("the edit was stopped")]
    Stopped,
    /// The result cannot be written.
    #[error("the result cannot be written: {0}; check that there is room")]
    Write(#[from] io::Error),
}
