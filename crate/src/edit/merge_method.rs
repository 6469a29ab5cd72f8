//! Methods of merging: how the changes that several files make to one layer become one change.
//!
//! The sparse methods keep a share of each change's elements and are computed as by PEFT's `add_weighted_adapter` with the
//! combination types that end in `_svd`: TIES (Yadav et al. 2023, arXiv 2306.01708), DARE (Yu et al. 2024, arXiv
//! 2311.03099), and pruning by magnitude. SLERP (Shoemake 1985) takes two files, as mergekit does.

use crate::num::to_index;
use crate::twister::Twister;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
use ts_rs::TS;

/// A method of merging.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "snake_case")]
#[ts(rename_all = "snake_case")]
pub enum MergeMethod {
    /// The sum of all changes.
    #[default]
    Linear,
    /// Of the largest elements of each change, the mean of those that have the elected sign: that of their sum.
    Ties,
    /// Random elements of each change, enlarged so that the expected sum is the same.
    Dare,
    /// Random elements as in DARE, and of these the mean of those that have the elected sign.
    DareTies,
    /// The sum of the largest elements of each change.
    Prune,
    /// Between two changes, along the arc from one direction to the other.
    Slerp,
}

impl MergeMethod {
    /// Every method.
    pub const ALL: [MergeMethod; 6] = [
        MergeMethod::Linear,
        MergeMethod::Ties,
        MergeMethod::Dare,
        MergeMethod::DareTies,
        MergeMethod::Prune,
        MergeMethod::Slerp,
    ];

    /// Returns the name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            MergeMethod::Linear => "linear",
            MergeMethod::Ties => "ties",
            MergeMethod::Dare => "dare",
            MergeMethod::DareTies => "dare-ties",
            MergeMethod::Prune => "prune",
            MergeMethod::Slerp => "slerp",
        }
    }

    /// Returns whether elements are left out, so that the result has full rank and is approximated by a LoRA.
    pub fn is_sparse(self) -> bool {
        !matches!(self, MergeMethod::Linear | MergeMethod::Slerp)
    }

    /// Returns whether elements that have another sign than the elected one are left out.
    fn elects_signs(self) -> bool {
        matches!(self, MergeMethod::Ties | MergeMethod::DareTies)
    }
}

impl fmt::Display for MergeMethod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for MergeMethod {
    type Err = String;

    fn from_str(text: &str) -> Result<MergeMethod, String> {
        let found = MergeMethod::ALL.into_iter().find(|method| method.name() == text);
        found
            .ok_or_else(|| format!("no method `{text}`; known: {}", MergeMethod::ALL.map(MergeMethod::name).join(", ")))
    }
}

/// One file's change of a layer: its elements at strength 1, and its strength.
pub(super) type Weighted = (Vec<f32>, f32);

/// Merges the changes of one layer by a sparse method. `density` is the share of the elements that are kept; `seed`, and the
/// layer's name, decide which elements are random.
pub(super) fn merge_sparse(
    method: MergeMethod,
    density: f64,
    seed: u32,
    layer: &str,
    mut changes: Vec<Weighted>,
) -> Vec<f32> {
    let mut random = Twister::new(layer_seed(seed, layer));
    for (elements, _) in &mut changes {
        match method {
            MergeMethod::Dare | MergeMethod::DareTies => keep_random(elements, density, &mut random),
            _ => keep_largest(elements, density),
        }
    }
    let count = changes.iter().map(|(elements, _)| elements.len()).max().unwrap_or(0);
    let merged = |at: usize| {
        let elements = changes.iter().map(|(elements, strength)| (elements[at], *strength));
        if !method.elects_signs() {
            return elements.map(|(x, strength)| x * strength).sum();
        }
        let is_positive = elements.clone().map(|(x, _)| x).sum::<f32>() >= 0.0;
        let elected = elements.filter(|(x, _)| *x != 0.0 && (*x > 0.0) == is_positive);
        let (sum, files) = elected.fold((0.0, 0.0f32), |(sum, files), (x, strength)| (sum + x * strength, files + 1.0));
        sum / files.max(1.0)
    };
    (0..count).map(merged).collect()
}

/// Returns the seed of a layer's random elements: FNV-1a of its name, from the usual basis and the seed.
fn layer_seed(seed: u32, layer: &str) -> u32 {
    const BASIS: u32 = 0x811c_9dc5;
    const PRIME: u32 = 0x0100_0193;
    layer.bytes().fold(BASIS ^ seed, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(PRIME))
}

/// Replaces all elements but this share, those of the largest magnitude, by 0.
fn keep_largest(elements: &mut [f32], density: f64) {
    let kept = to_index(density * elements.len() as f64);
    if kept == 0 {
        return elements.fill(0.0);
    }
    if kept >= elements.len() {
        return;
    }
    let mut magnitudes: Vec<f32> = elements.iter().map(|x| x.abs()).collect();
    let (_, &mut smallest, _) = magnitudes.select_nth_unstable_by(kept - 1, |a, b| b.total_cmp(a));
    // Of elements as large as the smallest that is kept, the first are kept.
    let mut equal_left = kept - elements.iter().filter(|x| x.abs() > smallest).count().min(kept);
    for x in elements {
        let is_equal = x.abs() == smallest;
        if x.abs() < smallest || is_equal && equal_left == 0 {
            *x = 0.0;
        } else if is_equal {
            equal_left -= 1;
        }
    }
}

/// Keeps each element with this probability, divided by it, and replaces the others by 0: the elements that
/// `torch.bernoulli` keeps.
fn keep_random(elements: &mut [f32], density: f64, random: &mut Twister) {
    if density >= 1.0 {
        return;
    }
    const MANTISSA: u32 = (1 << 24) - 1;
    let density = crate::num::to_f32(density);
    for x in elements {
        let uniform = (random.word() & MANTISSA) as f32 / (MANTISSA + 1) as f32;
        *x = if uniform < density { *x / density } else { 0.0 };
    }
}

/// Returns the weights of two changes at position `t` of the arc between them, from their cosine. Almost parallel changes,
/// and those of which one is zero (`None`), are interpolated linearly.
pub(super) fn slerp_weights(cosine: Option<f64>, t: f64) -> [f64; 2] {
    const ALMOST_PARALLEL: f64 = 0.9995;
    match cosine.filter(|cosine| cosine.abs() <= ALMOST_PARALLEL) {
        Some(cosine) => {
            let angle = cosine.acos();
            [1.0 - t, t].map(|share| (share * angle).sin() / angle.sin())
        }
        None => [1.0 - t, t],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_elements_are_kept() {
        let kept = |density| {
            let mut elements = [0.5, -2.0, 2.0, 0.0, -3.0];
            keep_largest(&mut elements, density);
            elements
        };
        assert_eq!(kept(0.1), [0.0; 5]);
        assert_eq!(kept(0.4), [0.0, -2.0, 0.0, 0.0, -3.0], "of equal elements the first");
        assert_eq!(kept(0.6), [0.0, -2.0, 2.0, 0.0, -3.0]);
        assert_eq!(kept(1.0), [0.5, -2.0, 2.0, 0.0, -3.0]);
    }

    #[test]
    fn ties_takes_the_mean_of_the_elected_sign() {
        let changes = vec![(vec![1.0, -1.0, 0.0, 2.0], 1.0), (vec![-3.0, -1.0, 0.0, 4.0], 0.5)];
        assert_eq!(merge_sparse(MergeMethod::Ties, 1.0, 0, "", changes), [-1.5, -0.75, 0.0, 2.0]);
    }

    #[test]
    fn the_ends_of_the_arc_are_the_changes() {
        let close = |weights: [f64; 2], want: [f64; 2]| {
            assert!(weights.iter().zip(want).all(|(got, want)| (got - want).abs() < 1e-12), "{weights:?} {want:?}");
        };
        for cosine in [Some(0.3), Some(-0.9), Some(0.9999), None] {
            close(slerp_weights(cosine, 0.0), [1.0, 0.0]);
            close(slerp_weights(cosine, 1.0), [0.0, 1.0]);
        }
        close(slerp_weights(Some(0.0), 0.5), [0.5f64.sqrt(); 2]);
        close(slerp_weights(None, 0.25), [0.75, 0.25]);
    }
}
