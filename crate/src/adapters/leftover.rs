//! Keys of a file that are not part of any delta, each with its reason.

use super::delta::Factor;

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
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[expect(missing_docs, reason = "each variant's message says what its fields are")]
pub enum LeftoverReason {
    /// Unknown key suffix.
    #[error("no known adapter format uses this key suffix")]
    UnknownName,
    /// Embedding of a bundled textual inversion.
    #[error("a textual inversion embedding bundled with the adapter; it changes no layer")]
    Embedding,
    /// Layer that the model does not have.
    #[error("the model has no layer `{0}`")]
    NoSuchLayer(String),
    /// Layer that another group of keys already changes.
    #[error("the same layer is already changed by `{by}`, in another key format")]
    LayerTaken { by: String },
    /// Role that another key of the group already has.
    #[error("another key of this layer has the same role")]
    DuplicateRole,
    /// Tensor whose counterpart is missing.
    #[error("the matching {missing} is missing")]
    Incomplete { missing: &'static str },
    /// Inner dimensions of a product that differ.
    #[error("rank mismatch: lora_up has rank {up}, lora_down has rank {down}")]
    RankMismatch { up: usize, down: usize },
    /// Shape that the tensor's role does not allow.
    #[error("`{key}` has shape {shape:?}: it {reason}")]
    Malformed { key: String, shape: Vec<usize>, reason: String },
    /// Unsupported algorithm.
    #[error("{0} is not supported")]
    UnsupportedAlgorithm(&'static str),
    /// Recognized algorithm that is not computed.
    #[error("{algorithm} is recognized but not computed: {because}")]
    NotComputed { algorithm: &'static str, because: &'static str },
}

impl LeftoverReason {
    /// Creates the reason for a tensor whose shape its role does not allow.
    pub(super) fn malformed(factor: &Factor, reason: &str) -> LeftoverReason {
        LeftoverReason::Malformed { key: factor.key.clone(), shape: factor.shape.clone(), reason: reason.into() }
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
