//! Relation of two files, from the comparison of their layers: same, rescaled, resized or merged.

use super::layer_comparison::{LayerComparison, SideOfLayer};
use crate::sentence::{Sentence, rounded, sentence};
use serde::Serialize;
use ts_rs::TS;

/// Relation of two files.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, TS)]
#[serde(rename_all = "snake_case", tag = "kind")]
#[ts(rename_all = "snake_case", tag = "kind")]
pub enum Relation {
    /// Both change every layer equally.
    Same,
    /// The second is the first, scaled.
    Rescaled {
        /// The strength at which the first equals the second.
        factor: f64,
    },
    /// The second is the first at a lower rank.
    Resized {
        /// Fraction of the first's energy that the second keeps.
        energy: f64,
    },
    /// The first is the second at a lower rank.
    Enlarged {
        /// Fraction of the second's energy that the first keeps.
        energy: f64,
    },
    /// The second contains the first and more.
    MergedFrom,
    /// The first contains the second and more.
    MergedInto,
    /// They share a direction, but neither contains the other.
    Related {
        /// The mean of the layers' cosines, weighted by both norms.
        cosine: f64,
    },
    /// They have nothing in common.
    Different,
    /// No layer can be compared.
    Incomparable,
}

/// Relative tolerance for files stored in f16 or bf16.
const RTOL: f64 = 0.02;

fn near(a: f64, b: f64) -> bool {
    (a - b).abs() <= RTOL * a.abs().max(b.abs())
}

/// Determines the relation of two files from all their layers.
pub fn relation(rows: &[LayerComparison]) -> Relation {
    if !rows.is_empty() && rows.iter().all(|row| row.identical) {
        return Relation::Same;
    }
    let is_nonzero = |side: &Option<SideOfLayer>| side.as_ref().is_some_and(|side| side.norm > 0.0);
    let only_a = rows.iter().filter(|row| is_nonzero(&row.a) && !is_nonzero(&row.b)).count();
    let only_b = rows.iter().filter(|row| is_nonzero(&row.b) && !is_nonzero(&row.a)).count();
    let both: Vec<Shared> = rows.iter().filter_map(Shared::of).collect();
    if both.is_empty() {
        return if only_a + only_b > 0 { Relation::Different } else { Relation::Incomparable };
    }
    let sum = |value: &dyn Fn(&Shared) -> f64| both.iter().map(value).sum::<f64>();
    let energy_a = sum(&|row| row.a.norm.powi(2));
    let energy_b = sum(&|row| row.b.norm.powi(2));
    let dot = sum(&|row| row.cosine * row.a.norm * row.b.norm);
    let weight = sum(&|row| row.a.norm * row.b.norm);
    let cosine = dot / weight;
    let factor = cosine.signum() * (energy_b / energy_a).sqrt();
    let parallel =
        |row: &Shared| row.cosine * factor.signum() > 1.0 - RTOL / 2.0 && near(row.b.norm, factor.abs() * row.a.norm);
    if only_a + only_b == 0 && both.iter().all(parallel) {
        return if near(factor, 1.0) { Relation::Same } else { Relation::Rescaled { factor } };
    }
    // The best low-rank approximation b of a has ⟨a, b⟩ = ‖b‖² = Σσ² of a's largest singular values.
    let lower = |less: &dyn Fn(&Shared) -> usize, more: &dyn Fn(&Shared) -> usize| {
        both.iter().all(|row| less(row) <= more(row)) && both.iter().any(|row| less(row) < more(row))
    };
    let (rank_a, rank_b) = (|row: &Shared| row.a.rank, |row: &Shared| row.b.rank);
    let nearest_in_a = near(energy_b, sum(&|row| row.a.energy_at_other_rank));
    let nearest_in_b = near(energy_a, sum(&|row| row.b.energy_at_other_rank));
    if only_b == 0 && near(dot, energy_b) && nearest_in_a && lower(&rank_b, &rank_a) {
        return Relation::Resized { energy: energy_b / energy_a };
    }
    if only_a == 0 && near(dot, energy_a) && nearest_in_b && lower(&rank_a, &rank_b) {
        return Relation::Enlarged { energy: energy_a / energy_b };
    }
    if only_a == 0 && inside(&both, |row| row.a) {
        return Relation::MergedFrom;
    }
    if only_b == 0 && inside(&both, |row| row.b) {
        return Relation::MergedInto;
    }
    if cosine.abs() > 0.1 { Relation::Related { cosine } } else { Relation::Different }
}

/// A layer that both files change.
struct Shared<'a> {
    a: &'a SideOfLayer,
    b: &'a SideOfLayer,
    cosine: f64,
}

impl Shared<'_> {
    fn of(row: &LayerComparison) -> Option<Shared<'_>> {
        Some(Shared { a: row.a.as_ref()?, b: row.b.as_ref()?, cosine: row.cosine? })
    }
}

/// Returns whether nearly all of a file's energy lies within the other's subspace, over the layers
/// where that is meaningful.
fn inside<'a>(both: &[Shared<'a>], side: impl Fn(&Shared<'a>) -> &'a SideOfLayer) -> bool {
    let known = both.iter().map(side).filter_map(|side| Some((side.norm.powi(2), side.inside_other?)));
    let (inside, all) =
        known.fold((0.0, 0.0), |(inside, all), (energy, share)| (inside + energy * share, all + energy));
    all > 0.0 && inside / all > 1.0 - RTOL
}

impl Relation {
    /// Returns a sentence about two files named `a` and `b`.
    pub fn sentence(self, a: &str, b: &str) -> Sentence {
        let percent = |share: f64| rounded(100.0 * share, 1);
        match self {
            Relation::Same => sentence!("relation.same", a = a, b = b),
            Relation::Rescaled { factor } => {
                sentence!("relation.rescaled", a = a, b = b, factor = rounded(factor, 3))
            }
            Relation::Resized { energy } => {
                sentence!("relation.resized", a = a, b = b, percent = percent(energy))
            }
            Relation::Enlarged { energy } => {
                sentence!("relation.enlarged", a = a, b = b, percent = percent(energy))
            }
            Relation::MergedFrom => sentence!("relation.merged_from", a = a, b = b),
            Relation::MergedInto => sentence!("relation.merged_into", a = a, b = b),
            Relation::Related { cosine } => {
                sentence!("relation.related", a = a, b = b, cosine = rounded(cosine, 2))
            }
            Relation::Different => sentence!("relation.different", a = a, b = b),
            Relation::Incomparable => sentence!("relation.incomparable", a = a, b = b),
        }
    }
}
