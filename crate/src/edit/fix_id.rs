//! The kinds of fixes, one row each.

use super::names::Target;
use crate::analysis::ProblemClass;
use crate::sentence::{Sentence, sentence};
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

            /// Returns the reason to apply it.
            pub fn why(self) -> Sentence {
                match self { $(FixId::$id => sentence!($why),)+ }
            }
        }
    };
}
// Name, problems, and the id of the reason.
fixes! {
    /// The tensors of a pickle or GGUF as safetensors.
    Safetensors = "safetensors", [], "fix_why.safetensors";
    /// The adapter inside an archive.
    Unpack = "unpack", [Archive], "fix_why.unpack";
    /// The hashes in the header.
    RepairHashes = "repair_hashes", [WrongHash], "fix_why.repair_hashes";
    /// The base model in the header.
    RightHeader = "right_header", [WrongHeader], "fix_why.right_header";
    /// Without keys of a layer that are copies or zeros.
    RemoveBroken = "remove_broken", [IncompletePair, RankMismatch, ShapeMismatch, ConflictingKeys, UnsupportedAlgorithm], "fix_why.remove";
    /// Without keys of no layer that are copies or zeros.
    RemoveStrays = "remove_strays", [UnmatchedKeys], "fix_why.remove";
    /// Without halves of pairs.
    RemoveHalves = "remove_halves", [IncompletePair], "fix_why.halves";
    /// Zeros in place of NaN and infinite values.
    WithoutNan = "without_nan", [NanInf], "fix_why.without_nan";
    /// alpha multiplied into the weights.
    BakeAlpha = "bake_alpha", [AmbiguousAlpha], "fix_why.bake_alpha";
    /// Keys of sd-scripts.
    RenameKohya = "rename_kohya", [], "fix_why.rename";
    /// Keys of diffusers.
    RenamePeft = "rename_peft", [], "fix_why.rename";
    /// Keys of diffusers before 0.22.
    RenameDiffusers = "rename_diffusers", [], "fix_why.rename";
    /// Keys of ComfyUI.
    RenameComfy = "rename_comfy", [], "fix_why.rename";
    /// Keys of OneTrainer.
    RenameOnetrainer = "rename_onetrainer", [], "fix_why.rename";
    /// Keys of ai-toolkit.
    RenameAitoolkit = "rename_aitoolkit", [], "fix_why.rename";
    /// Plain LoRA with keys of sd-scripts.
    LoraKohya = "lora_kohya", [], "fix_why.plain_lora";
    /// Plain LoRA with keys of diffusers.
    LoraPeft = "lora_peft", [], "fix_why.plain_lora";
    /// Plain LoRA with keys of diffusers before 0.22.
    LoraDiffusers = "lora_diffusers", [], "fix_why.plain_lora";
    /// Plain LoRA with keys of ComfyUI.
    LoraComfy = "lora_comfy", [], "fix_why.plain_lora";
    /// Plain LoRA with keys of OneTrainer.
    LoraOnetrainer = "lora_onetrainer", [], "fix_why.plain_lora";
    /// Plain LoRA with keys of ai-toolkit.
    LoraAitoolkit = "lora_aitoolkit", [], "fix_why.plain_lora";
    /// The blocks at their positions in Anima 2.9B.
    Blocks40 = "blocks_40", [], "fix_why.blocks";
    /// The blocks at their positions in Anima 3.8B.
    Blocks52 = "blocks_52", [], "fix_why.blocks";
    /// A common dtype, exactly.
    AsF16 = "as_f16", [], "fix_why.as_f16";
    /// A common dtype, for dtypes whose values F16 does not hold.
    AsF32 = "as_f32", [], "fix_why.as_f32";
    /// A smaller rank.
    Smaller = "smaller", [], "fix_why.smaller";
    /// Weights of a typical strength.
    UsualStrength = "usual_strength", [], "fix_why.usual_strength";
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
            FixId::Safetensors
                | FixId::BakeAlpha
                | FixId::Blocks40
                | FixId::Blocks52
                | FixId::AsF16
                | FixId::AsF32
                | FixId::Smaller
                | FixId::UsualStrength
        )
    }

    /// Returns whether the weight changes of the result equal those of the file, up to rounding. The others are
    /// approximations, scaled, moved, or contain other values on purpose.
    pub fn keeps_deltas(self) -> bool {
        !matches!(
            self,
            FixId::LoraKohya
                | FixId::LoraPeft
                | FixId::LoraDiffusers
                | FixId::LoraComfy
                | FixId::LoraOnetrainer
                | FixId::LoraAitoolkit
                | FixId::Blocks40
                | FixId::Blocks52
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
