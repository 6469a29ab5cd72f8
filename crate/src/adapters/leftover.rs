//! Keys of a file that are not part of any delta, each with its reason.

use super::delta::Factor;
use crate::sentence::{Sentence, Value, sentence};
use std::fmt;

/// A key that is not part of any delta.
#[derive(Debug, Clone, PartialEq)]
pub struct Leftover {
    /// The key.
    pub key: String,
    /// The layer that it addresses, if the model has it: `unet.down_blocks.0…`.
    pub path: Option<String>,
    /// Reason that it is not used.
    pub reason: LeftoverReason,
}

/// Reason that a key is not part of any delta.
#[derive(Debug, Clone, PartialEq)]
#[expect(missing_docs, reason = "the sentence of each variant says what its fields are")]
pub enum LeftoverReason {
    /// Unknown key suffix.
    UnknownName,
    /// Embedding of a bundled textual inversion.
    Embedding,
    /// Layer that the model does not have.
    NoSuchLayer(String),
    /// Layer that another group of keys already changes.
    LayerTaken { by: String },
    /// Role that another key of the group already has.
    DuplicateRole,
    /// Tensor whose counterpart is missing.
    Incomplete { missing: &'static str },
    /// Inner dimensions of a product that differ.
    RankMismatch { up: usize, down: usize },
    /// Shape that the tensor's role does not allow.
    Malformed { key: String, shape: Vec<usize>, reason: &'static str },
    /// Unsupported algorithm.
    UnsupportedAlgorithm(&'static str),
    /// Recognized algorithm that is not computed.
    NotComputed { algorithm: &'static str, because: &'static str },
}

impl LeftoverReason {
    /// Creates the reason for a tensor whose shape its role does not allow: `reason` is the id of a phrase.
    pub(super) fn malformed(factor: &Factor, reason: &'static str) -> LeftoverReason {
        LeftoverReason::Malformed { key: factor.key.clone(), shape: factor.shape.clone(), reason }
    }

    /// Returns the reason as a phrase.
    pub fn sentence(&self) -> Sentence {
        match self {
            LeftoverReason::UnknownName => sentence!("leftover.unknown_suffix"),
            LeftoverReason::Embedding => sentence!("leftover.embedding"),
            LeftoverReason::NoSuchLayer(layer) => sentence!("leftover.no_such_layer", layer = layer),
            LeftoverReason::LayerTaken { by } => sentence!("leftover.layer_taken", by = by),
            LeftoverReason::DuplicateRole => sentence!("leftover.duplicate_role"),
            LeftoverReason::Incomplete { missing } => {
                sentence!("leftover.incomplete", missing = Value::phrase(missing))
            }
            LeftoverReason::RankMismatch { up, down } => sentence!("leftover.rank_mismatch", up = *up, down = *down),
            LeftoverReason::Malformed { key, shape, reason } => {
                let reason = Value::phrase(reason);
                sentence!("leftover.malformed", key = key, shape = format!("{shape:?}"), reason = reason)
            }
            LeftoverReason::UnsupportedAlgorithm(algorithm) => {
                sentence!("leftover.unsupported", algorithm = Value::phrase(algorithm))
            }
            LeftoverReason::NotComputed { algorithm, because } => {
                sentence!("leftover.not_computed", algorithm = *algorithm, because = Value::phrase(because))
            }
        }
    }

    /// Returns the problem class in reports.
    pub fn class(&self) -> LeftoverClass {
        match self {
            LeftoverReason::UnknownName | LeftoverReason::Embedding | LeftoverReason::NoSuchLayer(_) => {
                LeftoverClass::UnmatchedKeys
            }
            LeftoverReason::LayerTaken { .. } | LeftoverReason::DuplicateRole => LeftoverClass::ConflictingKeys,
            LeftoverReason::Incomplete { .. } => LeftoverClass::IncompletePair,
            LeftoverReason::RankMismatch { .. } => LeftoverClass::RankMismatch,
            LeftoverReason::Malformed { .. } => LeftoverClass::ShapeMismatch,
            LeftoverReason::UnsupportedAlgorithm(_) | LeftoverReason::NotComputed { .. } => {
                LeftoverClass::UnsupportedAlgorithm
            }
        }
    }

    /// Returns whether the key addresses no layer of the model. Edits copy or leave out such keys as requested; every
    /// other leftover is part of a layer's change, and stops an edit that would lose it.
    pub fn is_foreign(&self) -> bool {
        self.class().is_foreign()
    }
}

impl fmt::Display for LeftoverReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.sentence().fmt(f)
    }
}

/// Problem class of a leftover.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LeftoverClass {
    /// One factor of a pair without the other.
    IncompletePair,
    /// Inner dimensions of a product that differ.
    RankMismatch,
    /// Shape that the tensor's role does not allow.
    ShapeMismatch,
    /// Two keys with the same role, or two groups of keys for the same layer.
    ConflictingKeys,
    /// Unsupported algorithm.
    UnsupportedAlgorithm,
    /// Key that addresses no layer of the model.
    UnmatchedKeys,
}

impl LeftoverClass {
    /// Every class.
    pub const ALL: [LeftoverClass; 6] = [
        LeftoverClass::IncompletePair,
        LeftoverClass::RankMismatch,
        LeftoverClass::ShapeMismatch,
        LeftoverClass::ConflictingKeys,
        LeftoverClass::UnsupportedAlgorithm,
        LeftoverClass::UnmatchedKeys,
    ];

    /// Returns the name in reports.
    pub fn name(self) -> &'static str {
        match self {
            LeftoverClass::IncompletePair => "incomplete_pair",
            LeftoverClass::RankMismatch => "rank_mismatch",
            LeftoverClass::ShapeMismatch => "shape_mismatch",
            LeftoverClass::ConflictingKeys => "conflicting_keys",
            LeftoverClass::UnsupportedAlgorithm => "unsupported_algorithm",
            LeftoverClass::UnmatchedKeys => "unmatched_keys",
        }
    }

    /// Returns whether its keys belong to no layer of the model.
    pub fn is_foreign(self) -> bool {
        self == LeftoverClass::UnmatchedKeys
    }
}
