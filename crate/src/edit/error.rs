//! Errors of edits, each with a sentence.

use crate::adapters::{Algorithm, BakeError, ConfigError};
use crate::formats::{Dtype, FormatError};
use crate::sentence::{Sentence, Value, sentence};
use std::error::Error;
use std::{fmt, io};

/// Error of planning or writing an edit.
#[derive(Debug)]
#[expect(missing_docs, reason = "the sentence of each variant says what its fields are")]
pub enum EditError {
    /// File that cannot be read.
    Read { file: String, source: FormatError },
    /// File that changes no layer.
    NoAdapter { file: String, keys: usize },
    /// Adapter config that cannot be read.
    BadConfig { file: String, source: ConfigError },
    /// Part of a layer's change that is missing or cannot be computed.
    Incomplete { file: String, key: String, reason: Sentence },
    /// Model whose layer names are unknown, so that there is no other key format.
    UnknownLayers { file: String, label: String },
    /// Layer or algorithm that the key format cannot store. `hint` is the id of a phrase.
    Unsupported { layer: String, what: Value, target: &'static str, hint: &'static str },
    /// Change that is no factorizable matrix, and so cannot be converted to LoRA.
    NoMatrix { layer: String, algorithm: Algorithm },
    /// Change of a layer whose size the file shows in part, and that part is not the published model's.
    SizeUnknown { layer: String, algorithm: Algorithm },
    /// Change that is no matrix, whatever the base model.
    NotAMatrix { layer: String, algorithm: Algorithm },
    /// Change of full rank, without a rank for its approximation.
    NeedsRank { layer: String, algorithm: Algorithm, rank: usize },
    /// Number of blocks of no deeper model that the adapter's blocks could be moved to.
    NoBlocks { file: String, blocks: usize },
    /// Rank 0.
    NoRank,
    /// Share outside (0, 1].
    NoShare(f64),
    /// Position outside [0, 1].
    NoPosition(f64),
    /// Rank by energy with a sparse method of merging.
    FixedRankOnly,
    /// Strength that cannot be baked into a nonlinear algorithm.
    NotLinear { layer: String, algorithm: Algorithm, strength: f32 },
    /// NaN or Inf values.
    NotFinite { layer: String },
    /// Files for different model families.
    OtherFamily { file_a: String, a: String, file_b: String, b: String },
    /// Fused layers in one file that the other file splits into parts.
    OtherNaming { file_a: String, file_b: String, model: String },
    /// Layer of different shapes in two files.
    OtherShape { layer: String, file_a: String, a: (usize, usize), file_b: String, b: (usize, usize) },
    /// Result without tensors.
    Nothing,
    /// Output dtype that is not supported.
    NoType(Dtype),
    /// Value outside the range of the dtype.
    Overflow { name: String, value: f32, dtype: Dtype },
    /// Metadata edit of a file that is not safetensors; `convertible` if a copy can be saved as safetensors.
    NoHeader { file: String, convertible: bool },
    /// Reserved or empty metadata key.
    BadKey(String),
    /// Wrong number of files for an edit. `wants` is the id of the sentence that says what it needs.
    Files { wants: &'static str, files: usize },
    /// Model that is not supported.
    NoModel { file: String },
    /// Adapter that does not apply to the base model.
    Refused { file: String, reason: Sentence },
    /// Error of baking.
    Bake(BakeError),
    /// Cancelled by the progress callback.
    Stopped,
    /// Result that cannot be written.
    Write(io::Error),
}

impl EditError {
    /// Returns the sentence: what happened, why, and what to do.
    pub fn sentence(&self) -> Sentence {
        match self {
            EditError::Read { file, source } => of_file(file, source.sentence()),
            EditError::BadConfig { file, source } => of_file(file, source.sentence()),
            EditError::Refused { file, reason } => of_file(file, reason.clone()),
            EditError::NoAdapter { file, keys } => sentence!("edit.no_adapter", file = file, n = *keys),
            EditError::Incomplete { file, key, reason } => {
                sentence!("edit.incomplete", file = file, key = key, reason = reason)
            }
            EditError::UnknownLayers { file, label } => {
                sentence!("edit.unknown_layers", file = file, base = family(label))
            }
            EditError::Unsupported { layer, what, target, hint } => {
                let hint = Value::phrase(hint);
                sentence!("edit.unsupported", layer = layer, target = *target, what = what.clone(), hint = hint)
            }
            EditError::NoMatrix { layer, algorithm } => {
                sentence!("edit.no_matrix", layer = layer, algorithm = algorithm.word())
            }
            EditError::SizeUnknown { layer, algorithm } => {
                sentence!("edit.size_unknown", layer = layer, algorithm = algorithm.word())
            }
            EditError::NotAMatrix { layer, algorithm } => {
                sentence!("edit.not_a_matrix", layer = layer, algorithm = algorithm.word())
            }
            EditError::NeedsRank { layer, algorithm, rank } => {
                sentence!("edit.needs_rank", layer = layer, algorithm = algorithm.word(), rank = *rank)
            }
            EditError::NotLinear { layer, algorithm, strength } => {
                sentence!("edit.not_linear", layer = layer, algorithm = algorithm.word(), strength = *strength)
            }
            EditError::NoBlocks { file, blocks } => sentence!("edit.no_blocks", file = file, blocks = *blocks),
            EditError::NoRank => sentence!("edit.no_rank"),
            EditError::NoShare(share) => sentence!("edit.no_share", share = *share),
            EditError::NoPosition(position) => sentence!("edit.no_position", position = *position),
            EditError::FixedRankOnly => sentence!("edit.fixed_rank_only"),
            EditError::NotFinite { layer } => sentence!("edit.not_finite", layer = layer),
            EditError::Nothing => sentence!("edit.nothing"),
            EditError::NoType(dtype) => sentence!("edit.no_type", dtype = dtype.to_string()),
            EditError::Overflow { name, value, dtype } => {
                sentence!("edit.overflow", key = name, value = *value, dtype = dtype.to_string())
            }
            EditError::NoHeader { file, convertible: false } => sentence!("edit.no_header", file = file),
            EditError::NoHeader { file, convertible: true } => sentence!("edit.no_header_yet", file = file),
            EditError::BadKey(key) => sentence!("edit.bad_key", key = key),
            EditError::Files { wants, files } => sentence!(wants, files = *files),
            EditError::NoModel { file } => sentence!("edit.no_model", file = file),
            EditError::Bake(error) => error.sentence(),
            EditError::Stopped => sentence!("edit.stopped"),
            EditError::Write(error) => sentence!("edit.write", reason = error.to_string()),
            EditError::OtherFamily { file_a, a, file_b, b } => {
                sentence!("edit.other_family", file_a = file_a, a = family(a), file_b = file_b, b = family(b))
            }
            EditError::OtherNaming { file_a, file_b, model } => {
                sentence!("edit.other_naming", file_a = file_a, file_b = file_b, base = family(model))
            }
            EditError::OtherShape { layer, file_a, a, file_b, b } => {
                let [a, b] = [a, b].map(|(rows, columns)| format!("{rows} x {columns}"));
                sentence!("edit.other_shape", layer = layer, file_a = file_a, a = a, file_b = file_b, b = b)
            }
        }
    }
}

fn of_file(file: &str, problem: Sentence) -> Sentence {
    sentence!("edit.file", file = file, problem = problem)
}

fn family(label: &str) -> Value {
    Value::label("family", label)
}

impl fmt::Display for EditError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.sentence().clause())
    }
}

impl Error for EditError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            EditError::Read { source, .. } => Some(source),
            EditError::BadConfig { source, .. } => Some(source),
            EditError::Bake(error) => Some(error),
            EditError::Write(error) => Some(error),
            _ => None,
        }
    }
}

impl From<BakeError> for EditError {
    fn from(error: BakeError) -> EditError {
        EditError::Bake(error)
    }
}

impl From<io::Error> for EditError {
    fn from(error: io::Error) -> EditError {
        EditError::Write(error)
    }
}
