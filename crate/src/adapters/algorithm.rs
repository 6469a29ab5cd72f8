//! Algorithms: their names in reports, and the properties that edits depend on.

use serde::{Serialize, Serializer};
use std::fmt;

/// Algorithm of a change. Tucker variants have a core tensor between the factors of a convolution.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Algorithm {
    /// LoRA: up · down.
    Lora,
    /// LoRA trained at several ranks; its files are those of LoRA.
    Dylora,
    /// LoRA on convolution kernels.
    Locon,
    /// LoCon with a Tucker core: up · mid · down.
    LoconTucker,
    /// LoHa: the Hadamard product of two low-rank products.
    Loha,
    /// LoHa with Tucker cores.
    LohaTucker,
    /// LoKr: a Kronecker product.
    Lokr,
    /// LoKr with a Tucker core.
    LokrTucker,
    /// GLoRA in the layout of LyCORIS since version 2.
    Glora,
    /// GLoRA in the earlier layout.
    GloraOld,
    /// (IA)³: factors of the weight's rows or columns.
    Ia3,
    /// The difference of a weight or bias.
    Full,
    /// The difference of a norm layer's weight or bias.
    Norm,
    /// OFT as sd-scripts writes it: block-diagonal rotations.
    Oft,
    /// OFT as LyCORIS writes it.
    DiagOft,
    /// BOFT: butterfly-factorized rotations.
    Boft,
    /// DoRA: another algorithm's change with learned magnitudes.
    Dora,
}

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
    /// A function of the factors and the base weight that is not linear in the strength.
    Nonlinear,
}

impl Algorithm {
    /// Every algorithm.
    pub const ALL: [Algorithm; 17] = [
        Algorithm::Lora,
        Algorithm::Dylora,
        Algorithm::Locon,
        Algorithm::LoconTucker,
        Algorithm::Loha,
        Algorithm::LohaTucker,
        Algorithm::Lokr,
        Algorithm::LokrTucker,
        Algorithm::Glora,
        Algorithm::GloraOld,
        Algorithm::Ia3,
        Algorithm::Full,
        Algorithm::Norm,
        Algorithm::Oft,
        Algorithm::DiagOft,
        Algorithm::Boft,
        Algorithm::Dora,
    ];

    /// Returns the name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Algorithm::Lora => "lora",
            Algorithm::Dylora => "dylora",
            Algorithm::Locon => "locon",
            Algorithm::LoconTucker => "locon_tucker",
            Algorithm::Loha => "loha",
            Algorithm::LohaTucker => "loha_tucker",
            Algorithm::Lokr => "lokr",
            Algorithm::LokrTucker => "lokr_tucker",
            Algorithm::Glora => "glora",
            Algorithm::GloraOld => "glora_old",
            Algorithm::Ia3 => "ia3",
            Algorithm::Full => "full",
            Algorithm::Norm => "norm",
            Algorithm::Oft => "oft",
            Algorithm::DiagOft => "diag_oft",
            Algorithm::Boft => "boft",
            Algorithm::Dora => "dora",
        }
    }

    /// Returns the algorithm with this name in reports.
    pub fn from_name(name: &str) -> Option<Algorithm> {
        Algorithm::ALL.into_iter().find(|algorithm| algorithm.name() == name)
    }

    /// Returns the display name.
    pub fn label(self) -> &'static str {
        match self {
            Algorithm::Lora => "LoRA",
            Algorithm::Dylora => "DyLoRA",
            Algorithm::Locon => "LoCon",
            Algorithm::LoconTucker => "LoCon (Tucker)",
            Algorithm::Loha => "LoHa",
            Algorithm::LohaTucker => "LoHa (Tucker)",
            Algorithm::Lokr => "LoKr",
            Algorithm::LokrTucker => "LoKr (Tucker)",
            Algorithm::Glora | Algorithm::GloraOld => "GLoRA",
            Algorithm::Ia3 => "(IA)³",
            Algorithm::Full => "full diff",
            Algorithm::Norm => "norm diff",
            Algorithm::Oft => "OFT",
            Algorithm::DiagOft => "Diag-OFT",
            Algorithm::Boft => "BOFT",
            Algorithm::Dora => "DoRA",
        }
    }

    fn structure(self) -> Structure {
        match self {
            Algorithm::Lora | Algorithm::Dylora | Algorithm::Locon => Structure::Pair,
            Algorithm::LoconTucker
            | Algorithm::Loha
            | Algorithm::LohaTucker
            | Algorithm::Lokr
            | Algorithm::LokrTucker => Structure::Composed,
            Algorithm::Full | Algorithm::Norm => Structure::Difference,
            Algorithm::Glora | Algorithm::GloraOld | Algorithm::Ia3 => Structure::Relative,
            Algorithm::Oft | Algorithm::DiagOft | Algorithm::Boft | Algorithm::Dora => Structure::Nonlinear,
        }
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
        for (index, algorithm) in Algorithm::ALL.into_iter().enumerate() {
            assert_eq!(algorithm as usize, index, "{algorithm} is not at its place in ALL");
            assert_eq!(Algorithm::from_name(algorithm.name()), Some(algorithm));
            assert_eq!(serde_json::to_value(algorithm).expect("a string"), algorithm.name());
        }
        assert_eq!(Algorithm::Dora as usize + 1, Algorithm::ALL.len());
        assert_eq!(Algorithm::from_name("vera"), None);
    }
}
