//! Algorithms: their names in reports, and the properties that edits depend on.

use crate::sentence::Sentence;
use serde::{Serialize, Serializer};
use std::fmt;

/// Dependence of a change on the factors and on the base weight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Structure {
    /// The product of a LoRA pair.
    Pair,
    /// Another function of the factors alone.
    Composed,
    /// The only factor.
    Difference,
    /// A function of the factors and the base weight that is linear in the strength.
    Relative,
    /// A function of the factors and the base weight that is not linear in the strength, or whose strength cannot be
    /// multiplied into a factor.
    Nonlinear,
}

macro_rules! algorithms {
    ($($(#[$doc:meta])+ $algorithm:ident = $name:literal, $label:literal, $structure:ident;)+) => {
        /// Algorithm of a change. Tucker variants have a core tensor between the factors of a convolution.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Algorithm {
            $($(#[$doc])+ $algorithm,)+
        }

        impl Algorithm {
            /// Every algorithm.
            pub const ALL: &[Algorithm] = &[$(Algorithm::$algorithm),+];

            /// Returns the name in reports.
            pub fn name(self) -> &'static str {
                match self { $(Algorithm::$algorithm => $name,)+ }
            }

            /// Returns the display name.
            pub fn label(self) -> &'static str {
                match self { $(Algorithm::$algorithm => $label,)+ }
            }

            /// Returns the display name as a word of sentences.
            pub fn word(self) -> Sentence {
                Sentence::word(format!("algorithm.{}", self.name()), self.label())
            }

            fn structure(self) -> Structure {
                match self { $(Algorithm::$algorithm => Structure::$structure,)+ }
            }
        }
    };
}
// Name in reports, display name, and structure.
algorithms! {
    /// LoRA: up · down.
    Lora = "lora", "LoRA", Pair;
    /// LoRA trained at several ranks; its files are those of LoRA.
    Dylora = "dylora", "DyLoRA", Pair;
    /// LoRA on convolution kernels.
    Locon = "locon", "LoCon", Pair;
    /// LoCon with a Tucker core: up · mid · down.
    LoconTucker = "locon_tucker", "LoCon (Tucker)", Composed;
    /// LoHa: the Hadamard product of two low-rank products.
    Loha = "loha", "LoHa", Composed;
    /// LoHa with Tucker cores.
    LohaTucker = "loha_tucker", "LoHa (Tucker)", Composed;
    /// LoKr: a Kronecker product.
    Lokr = "lokr", "LoKr", Composed;
    /// LoKr with a Tucker core.
    LokrTucker = "lokr_tucker", "LoKr (Tucker)", Composed;
    /// AdaLoRA: up · diag(singular values) · down.
    Adalora = "adalora", "AdaLoRA", Composed;
    /// VeRA: random projections shared by all layers, scaled by two vectors per layer.
    Vera = "vera", "VeRA", Composed;
    /// DeLoRA: a product of normalized factors with a learned norm.
    Delora = "delora", "DeLoRA", Composed;
    /// MiSS: a small matrix repeated along the inputs.
    Miss = "miss", "MiSS", Composed;
    /// Bone, the earlier name of MiSS.
    Bone = "bone", "Bone", Composed;
    /// SHiRA: differences of a few elements.
    Shira = "shira", "SHiRA", Composed;
    /// GLoRA in the layout of LyCORIS since version 2.
    Glora = "glora", "GLoRA", Relative;
    /// GLoRA in the earlier layout.
    GloraOld = "glora_old", "GLoRA", Relative;
    /// (IA)³: factors of the weight's rows or columns.
    Ia3 = "ia3", "(IA)³", Relative;
    /// (IA)³ as PEFT writes it: the factors replace 1 and change the bias too.
    PeftIa3 = "peft_ia3", "(IA)³", Nonlinear;
    /// The difference of a weight or bias.
    Full = "full", "full diff", Difference;
    /// The difference of a norm layer's weight or bias.
    Norm = "norm", "norm diff", Difference;
    /// OFT as sd-scripts writes it: block-diagonal rotations.
    Oft = "oft", "OFT", Nonlinear;
    /// OFT as LyCORIS writes it.
    DiagOft = "diag_oft", "Diag-OFT", Nonlinear;
    /// OFT as PEFT and OneTrainer write it: rotations of the inputs.
    OftV2 = "oft_v2", "OFT v2", Nonlinear;
    /// HRA: Householder reflections of the inputs.
    Hra = "hra", "HRA", Nonlinear;
    /// BOFT: butterfly-factorized rotations.
    Boft = "boft", "BOFT", Nonlinear;
    /// DoRA: another algorithm's change with learned magnitudes.
    Dora = "dora", "DoRA", Nonlinear;
}

impl Algorithm {
    /// Returns the algorithm with this name in reports.
    pub fn from_name(name: &str) -> Option<Algorithm> {
        Algorithm::ALL.iter().copied().find(|algorithm| algorithm.name() == name)
    }

    /// Returns whether the factors are a LoRA pair and the change is their product.
    pub fn is_pair(self) -> bool {
        self.structure() == Structure::Pair
    }

    /// Returns whether the factors are composed in another way than those of a LoRA pair, so that a plain LoRA has to
    /// be computed from the change.
    pub fn is_composed(self) -> bool {
        self.structure() == Structure::Composed
    }

    /// Returns whether the only factor is the change itself.
    pub fn is_difference(self) -> bool {
        self.structure() == Structure::Difference
    }

    /// Returns whether the change is a function of the base weight.
    pub fn needs_base(self) -> bool {
        matches!(self.structure(), Structure::Relative | Structure::Nonlinear)
    }

    /// Returns whether the change scales linearly with the strength, so that a strength can be multiplied into
    /// [`Algorithm::scaled_factors`].
    pub fn is_linear(self) -> bool {
        self.structure() != Structure::Nonlinear
    }

    /// Returns the indices in [`Change::factors`](super::Change::factors) of the factors that the scale is multiplied
    /// into: one per term of the sum.
    pub fn scaled_factors(self) -> &'static [usize] {
        match self {
            Algorithm::Glora | Algorithm::GloraOld => &[0, 2],
            _ => &[0],
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Serialize for Algorithm {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_identify_the_algorithms() {
        for &algorithm in Algorithm::ALL {
            assert_eq!(Algorithm::from_name(algorithm.name()), Some(algorithm));
            assert_eq!(serde_json::to_value(algorithm).expect("a string"), algorithm.name());
        }
        assert_eq!(Algorithm::from_name("vb_lora"), None);
    }
}
