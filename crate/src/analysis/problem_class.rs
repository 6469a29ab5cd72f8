//! The classes of problems, one row each.

use crate::adapters::LeftoverClass;
use crate::formats::FormatError;
use serde::{Serialize, Serializer};
use std::fmt;

macro_rules! classes {
    ($($(#[$doc:meta])+ $class:ident = $name:literal;)+) => {
        /// Class of a problem.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum ProblemClass {
            $($(#[$doc])+ $class,)+
        }

        impl ProblemClass {
            /// Every class.
            pub const ALL: &[ProblemClass] = &[$(ProblemClass::$class),+];

            /// Returns the name in reports.
            pub fn name(self) -> &'static str {
                match self { $(ProblemClass::$class => $name,)+ }
            }
        }
    };
}
classes! {
    /// The file cannot be opened.
    Unreadable = "unreadable";
    /// The file ends before its contents do.
    Truncated = "truncated";
    /// Invalid safetensors or GGUF header.
    BadHeader = "bad_header";
    /// A key occurs twice in the header.
    DuplicateKey = "duplicate_key";
    /// Tensors that overlap, leave gaps or end outside the file.
    BadOffsets = "bad_offsets";
    /// A shape that does not fit the tensor's data.
    BadShape = "bad_shape";
    /// A tensor of a kind that is not read.
    UnsupportedTensor = "unsupported_tensor";
    /// Invalid zip archive.
    BadZip = "bad_zip";
    /// A small file that claims to expand to a huge one.
    ResourceBomb = "resource_bomb";
    /// Invalid pickle.
    BadPickle = "bad_pickle";
    /// A pickle that can run programs.
    UnsafePickle = "unsafe_pickle";
    /// A pickle that imports something unknown.
    UnknownGlobal = "unknown_global";
    /// A dtype that is not read.
    BadDtype = "bad_dtype";
    /// A value outside the range of its dtype.
    Overflow = "overflow";
    /// No adapter.
    NotAnAdapter = "not_an_adapter";
    /// A textual inversion.
    TextualInversion = "textual_inversion";
    /// A whole model.
    FullCheckpoint = "full_checkpoint";
    /// An adapter inside a zip archive.
    Archive = "archive";
    /// A config of the scales that cannot be read.
    BadConfig = "bad_config";
    /// A hash in the header that is not the file's.
    WrongHash = "wrong_hash";
    /// A header that names another model than the layers show.
    WrongHeader = "wrong_header";
    /// An adapter for another model than the intended base.
    WrongBase = "wrong_base";
    /// An adapter for a model that this program does not run.
    OtherModel = "other_model";
    /// An adapter for an unknown model.
    UnknownModel = "unknown_model";
    /// NaN or infinite values.
    NanInf = "nan_inf";
    /// An alpha that programs read differently, or that none reads.
    AmbiguousAlpha = "ambiguous_alpha";
    /// Every change is zero.
    NoEffect = "no_effect";
    /// Shapes that differ from the layers'.
    ShapeMismatch = "shape_mismatch";
    /// One factor of a pair without the other.
    IncompletePair = "incomplete_pair";
    /// Inner dimensions of a product that differ.
    RankMismatch = "rank_mismatch";
    /// Several keys for the same tensor.
    ConflictingKeys = "conflicting_keys";
    /// An algorithm that is not computed.
    UnsupportedAlgorithm = "unsupported_algorithm";
    /// Keys of no layer.
    UnmatchedKeys = "unmatched_keys";
    /// A failed comparison with the base model.
    NotWeighed = "not_weighed";
}

impl ProblemClass {
    /// Returns the class with this name in reports.
    pub fn from_name(name: &str) -> Option<ProblemClass> {
        ProblemClass::ALL.iter().copied().find(|class| class.name() == name)
    }
}

impl fmt::Display for ProblemClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Serialize for ProblemClass {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl From<&FormatError> for ProblemClass {
    fn from(error: &FormatError) -> ProblemClass {
        ProblemClass::from_name(error.class()).unwrap_or(ProblemClass::Unreadable)
    }
}

impl From<LeftoverClass> for ProblemClass {
    fn from(class: LeftoverClass) -> ProblemClass {
        match class {
            LeftoverClass::IncompletePair => ProblemClass::IncompletePair,
            LeftoverClass::RankMismatch => ProblemClass::RankMismatch,
            LeftoverClass::ShapeMismatch => ProblemClass::ShapeMismatch,
            LeftoverClass::ConflictingKeys => ProblemClass::ConflictingKeys,
            LeftoverClass::UnsupportedAlgorithm => ProblemClass::UnsupportedAlgorithm,
            LeftoverClass::UnmatchedKeys => ProblemClass::UnmatchedKeys,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_identify_the_classes() {
        for &class in ProblemClass::ALL {
            assert_eq!(ProblemClass::from_name(class.name()), Some(class));
            assert_eq!(serde_json::to_value(class).expect("a string"), class.name());
        }
        for class in LeftoverClass::ALL {
            assert_eq!(ProblemClass::from(class).name(), class.name());
        }
        assert_eq!(ProblemClass::from(&FormatError::Truncated("".into())), ProblemClass::Truncated);
    }
}
