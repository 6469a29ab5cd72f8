//! The kinds of fixes, one row each.

use super::names::Target;
use crate::analysis::ProblemClass;
use serde::{Serialize, Serializer};
use std::fmt;

macro_rules! fixes {
    ($($(#[$doc:meta])+ $id:ident = $name:literal, [$($problem:ident),*], $why:literal;)+) => {
        /// Kind of a fix.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum FixId {
            $($(#[$doc])+ $id,)+
        }

        impl FixId {
            /// Every kind.
            pub const ALL: &[FixId] = &[$(FixId::$id),+];

            /// Returns the name: `rename_kohya`, …
            pub fn name(self) -> &'static str {
                match self { $(FixId::$id => $name,)+ }
            }

            /// Returns the classes of problems that it may fix.
            pub fn problems(self) -> &'static [ProblemClass] {
                match self { $(FixId::$id => &[$(ProblemClass::$problem),*],)+ }
            }

            /// Returns the reason to apply it, as a sentence.
            pub fn why(self) -> &'static str {
                match self { $(FixId::$id => $why,)+ }
            }
        }
    };
}
// Name, problems, and reason.
fixes! {
    /// The tensors of a pickle or GGUF as safetensors.
    Safetensors = "safetensors", [], "A safetensors file contains no code, and every program reads it.";
    /// The adapter inside an archive.
    Unpack = "unpack", [Archive], "Programs load the file itself, not a zip archive.";
    /// The hashes in the header.
    RepairHashes = "repair_hashes", [WrongHash], "Programs can then identify the file by the hash in its header.";
    /// The base model in the header.
    RightHeader = "right_header", [WrongHeader],
        "Programs that sort files by their headers then list it under the right base model.";
    /// Without keys of a layer that are copies or zeros.
    RemoveBroken = "remove_broken", [IncompletePair, RankMismatch, ShapeMismatch, ConflictingKeys, UnsupportedAlgorithm],
        "The removed keys are zeros, training state or copies of keys that stay: no network changes without them.";
    /// Without keys of no layer that are copies or zeros.
    RemoveStrays = "remove_strays", [UnmatchedKeys],
        "The removed keys are zeros, training state or copies of keys that stay: no network changes without them.";
    /// Zeros in place of NaN and infinite values.
    WithoutNan = "without_nan", [NanInf],
        "Images are no longer black; every other value stays, but what the replaced ones were is lost.";
    /// alpha multiplied into the weights.
    BakeAlpha = "bake_alpha", [AmbiguousAlpha],
        "Not every program reads alpha from outside the tensors. Baked in, the strength is the same everywhere.";
    /// Keys of sd-scripts.
    RenameKohya = "rename_kohya", [], "Only the keys change; the effect is the same.";
    /// Keys of diffusers.
    RenamePeft = "rename_peft", [], "Only the keys change; the effect is the same.";
    /// Keys of diffusers before 0.22.
    RenameDiffusers = "rename_diffusers", [], "Only the keys change; the effect is the same.";
    /// Keys of ComfyUI.
    RenameComfy = "rename_comfy", [], "Only the keys change; the effect is the same.";
    /// Keys of OneTrainer.
    RenameOnetrainer = "rename_onetrainer", [], "Only the keys change; the effect is the same.";
    /// Keys of ai-toolkit.
    RenameAitoolkit = "rename_aitoolkit", [], "Only the keys change; the effect is the same.";
    /// Plain LoRA with keys of sd-scripts.
    LoraKohya = "lora_kohya", [],
        "Other algorithms become plain LoRA, exactly where possible; the preview shows the error otherwise.";
    /// Plain LoRA with keys of diffusers.
    LoraPeft = "lora_peft", [],
        "Other algorithms become plain LoRA, exactly where possible; the preview shows the error otherwise.";
    /// Plain LoRA with keys of diffusers before 0.22.
    LoraDiffusers = "lora_diffusers", [],
        "Other algorithms become plain LoRA, exactly where possible; the preview shows the error otherwise.";
    /// Plain LoRA with keys of ComfyUI.
    LoraComfy = "lora_comfy", [],
        "Other algorithms become plain LoRA, exactly where possible; the preview shows the error otherwise.";
    /// Plain LoRA with keys of OneTrainer.
    LoraOnetrainer = "lora_onetrainer", [],
        "Other algorithms become plain LoRA, exactly where possible; the preview shows the error otherwise.";
    /// Plain LoRA with keys of ai-toolkit.
    LoraAitoolkit = "lora_aitoolkit", [],
        "Other algorithms become plain LoRA, exactly where possible; the preview shows the error otherwise.";
    /// A common dtype, exactly.
    AsF16 = "as_f16", [], "Every program reads F16, which holds all of these values.";
    /// A common dtype, for dtypes whose values F16 does not hold.
    AsF32 = "as_f32", [], "Every program reads F32; values are rounded to its precision.";
    /// A smaller rank.
    Smaller = "smaller", [], "Keeps 98% of the energy of its changes.";
    /// Weights of a typical strength.
    UsualStrength = "usual_strength", [], "Strength 1 is then as strong as in a typical LoRA.";
}

impl FixId {
    /// Returns the conversion to a key format, with or without other algorithms as LoRA.
    pub(super) fn conversion(target: Target, as_lora: bool) -> FixId {
        match (target, as_lora) {
            (Target::Kohya, false) => FixId::RenameKohya,
            (Target::Peft, false) => FixId::RenamePeft,
            (Target::Diffusers, false) => FixId::RenameDiffusers,
            (Target::Comfy, false) => FixId::RenameComfy,
            (Target::Onetrainer, false) => FixId::RenameOnetrainer,
            (Target::Aitoolkit, false) => FixId::RenameAitoolkit,
            (Target::Kohya, true) => FixId::LoraKohya,
            (Target::Peft, true) => FixId::LoraPeft,
            (Target::Diffusers, true) => FixId::LoraDiffusers,
            (Target::Comfy, true) => FixId::LoraComfy,
            (Target::Onetrainer, true) => FixId::LoraOnetrainer,
            (Target::Aitoolkit, true) => FixId::LoraAitoolkit,
        }
    }

    /// Returns whether it is of use although no loader applies more layers and no problem is gone.
    pub(super) fn is_advice(self) -> bool {
        matches!(
            self,
            FixId::Safetensors | FixId::BakeAlpha | FixId::AsF16 | FixId::AsF32 | FixId::Smaller | FixId::UsualStrength
        )
    }

    /// Returns whether the weight changes of the result equal those of the file, up to rounding. The others are
    /// approximations, scaled, or contain other values on purpose.
    pub fn keeps_deltas(self) -> bool {
        !matches!(
            self,
            FixId::LoraKohya
                | FixId::LoraPeft
                | FixId::LoraDiffusers
                | FixId::LoraComfy
                | FixId::LoraOnetrainer
                | FixId::LoraAitoolkit
                | FixId::Smaller
                | FixId::UsualStrength
                | FixId::WithoutNan
        )
    }
}

impl fmt::Display for FixId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl Serialize for FixId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}
