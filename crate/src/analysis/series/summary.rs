//! A training run as a whole: norms by file, part and block, and what they say in words.

use super::find::SeriesFile;
use super::layers::{SeriesLayer, SeriesPart, SeriesPoint};
use crate::sentence::{Sentence, Value, sentence};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use ts_rs::TS;

/// Norms of a training run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, TS)]
pub struct SeriesSummary {
    /// One per file.
    pub totals: Vec<SeriesTotal>,
    /// Norms by part of the network.
    pub parts: Vec<SeriesRow>,
    /// Norms by block, in the network's order.
    pub blocks: Vec<SeriesRow>,
    /// What they say: whether it is still growing, has settled or jumps.
    pub sentences: Vec<Sentence>,
}

/// All layers of one file.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, TS)]
pub struct SeriesTotal {
    /// Frobenius norm of all changes together.
    pub norm: f64,
    /// Frobenius norm of the difference from the file before; null for the first.
    pub moved: Option<f64>,
    /// Cosine similarity with the file before; null for the first.
    pub cosine: Option<f64>,
    /// Mean of the layers' effective ranks, weighted by their energy.
    pub effective_rank: f64,
}

/// Norms of a part of the network, one per file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, TS)]
pub struct SeriesRow {
    /// A [`SeriesPart`], or a block.
    pub name: String,
    /// Frobenius norms.
    pub norms: Vec<f64>,
}

/// Share of the norm by which a run that is still growing grew last.
const GROWING: f64 = 0.02;
/// Share of the norm below which a file has not moved much.
const SETTLED: f64 = 0.1;
/// Factor by which a jump exceeds what is before and after it.
const JUMP: f64 = 2.0;

impl SeriesSummary {
    /// Summarizes the layers of a run's files.
    pub fn of(files: &[SeriesFile], layers: &[SeriesLayer]) -> SeriesSummary {
        let totals: Vec<SeriesTotal> = (0..files.len()).map(|file| total(layers, file)).collect();
        let sentences = sentences(files, layers, &totals);
        let mut parts = rows(layers, files.len(), |layer| layer.part.name().into());
        parts.sort_by_key(|row| SeriesPart::ALL.into_iter().position(|part| part.name() == row.name));
        let mut blocks = rows(layers, files.len(), |layer| layer.block.clone());
        blocks.retain(|row| !row.name.is_empty());
        blocks.sort_by_key(|row| place(&row.name));
        SeriesSummary { totals, parts, blocks, sentences }
    }
}

/// Returns a key that sorts blocks by the network's order: text encoders, then input, middle and output.
fn place(block: &str) -> (usize, String) {
    const ORDER: [&str; 6] = ["TE", "BASE", "IN", "MID", "OUT", "END"];
    let stack = block.trim_end_matches(|letter: char| letter.is_ascii_digit());
    // Stacks of transformers, which have the one block or the other, stand between.
    (ORDER.iter().position(|name| *name == stack).unwrap_or(2), block.into())
}

fn rows(layers: &[SeriesLayer], files: usize, name: impl Fn(&SeriesLayer) -> String) -> Vec<SeriesRow> {
    let mut squares: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    for layer in layers {
        let sums = squares.entry(name(layer)).or_insert_with(|| vec![0.0; files]);
        for (sum, point) in sums.iter_mut().zip(&layer.points) {
            *sum += point.map_or(0.0, |point| point.norm.powi(2));
        }
    }
    let row =
        |(name, squares): (String, Vec<f64>)| SeriesRow { name, norms: squares.into_iter().map(f64::sqrt).collect() };
    squares.into_iter().map(row).collect()
}

fn total(layers: &[SeriesLayer], file: usize) -> SeriesTotal {
    let points = || layers.iter().filter_map(|layer| Some((layer, layer.points.get(file).copied().flatten()?)));
    let energy: f64 = points().map(|(_, point)| point.norm.powi(2)).sum();
    let ranks = points().filter_map(|(_, point)| Some((point.effective_rank?, point.norm.powi(2))));
    let (ranks, weights) =
        ranks.fold((0.0, 0.0), |(ranks, weights), (rank, weight)| (ranks + rank * weight, weights + weight));
    let effective_rank = if weights > 0.0 { ranks / weights } else { 0.0 };
    let norm = energy.sqrt();
    // A layer that only this file changes has moved by its norm.
    let before =
        |layer: &SeriesLayer| layer.points[..file].iter().rev().find_map(|point| point.map(|point| point.norm));
    let moved = points().map(|(_, point)| point.moved.unwrap_or(point.norm).powi(2)).sum::<f64>().sqrt();
    let norm_before = layers.iter().filter_map(before).map(|norm| norm.powi(2)).sum::<f64>().sqrt();
    let product = norm * norm_before;
    let cosine = (energy + norm_before.powi(2) - moved.powi(2)) / (2.0 * product);
    SeriesTotal {
        norm,
        moved: (file > 0).then_some(moved),
        cosine: (file > 0 && product > 0.0).then(|| cosine.clamp(-1.0, 1.0)),
        effective_rank,
    }
}

/// Returns what the totals say.
fn sentences(files: &[SeriesFile], layers: &[SeriesLayer], totals: &[SeriesTotal]) -> Vec<Sentence> {
    let (Some(last), true) = (totals.last(), totals.len() > 1) else { return Vec::new() };
    let mut list = Vec::new();
    let before = totals[totals.len() - 2].norm;
    let growth = if before > 0.0 { last.norm / before - 1.0 } else { 0.0 };
    let moves: Vec<f64> = totals.iter().map(|total| share(total.moved, total.norm)).collect();
    // The first file after which none moves much.
    let settled = moves.iter().rposition(|moved| *moved >= SETTLED).unwrap_or(0);
    if settled + 2 < totals.len() {
        list.push(sentence!("series.settled", file = label(&files[settled]), percent = (100.0 * SETTLED).round()));
    } else if growth > GROWING {
        list.push(sentence!("series.growing", percent = (100.0 * growth).round()));
    } else if growth < -GROWING {
        list.push(sentence!("series.shrinking", percent = (-100.0 * growth).round()));
    } else {
        list.push(sentence!("series.moving", percent = (100.0 * moves[moves.len() - 1]).round()));
    }
    for (at, file) in files.iter().enumerate().skip(2) {
        let moved = |total: &SeriesTotal| total.moved;
        if is_jump(totals.get(at - 1).and_then(moved), totals[at].moved, totals.get(at + 1).and_then(moved)) {
            let moved = |layer: &&SeriesLayer, at: usize| {
                layer.points.get(at).copied().flatten().and_then(|point: SeriesPoint| point.moved)
            };
            let jump = |layer: &&SeriesLayer| is_jump(moved(layer, at - 1), moved(layer, at), moved(layer, at + 1));
            list.push(sentence!("series.jump", file = label(file), n = layers.iter().filter(jump).count()));
        }
    }
    for (at, pair) in files.windows(2).enumerate() {
        if totals[at + 1].moved == Some(0.0) {
            list.push(sentence!("series.equal", a = label(&pair[0]), b = label(&pair[1])));
        }
    }
    list
}

fn share(moved: Option<f64>, norm: f64) -> f64 {
    moved.filter(|_| norm > 0.0).map_or(f64::INFINITY, |moved| moved / norm)
}

/// Returns whether something moved much more than before and after.
fn is_jump(before: Option<f64>, moved: Option<f64>, after: Option<f64>) -> bool {
    let Some((before, moved)) = before.zip(moved) else { return false };
    moved > JUMP * before && after.is_none_or(|after| moved > JUMP * after)
}

/// Returns the phrase that names a file of a run.
fn label(file: &SeriesFile) -> Value {
    match (file.epoch, file.step) {
        (Some(epoch), _) => sentence!("series_file.epoch", epoch = epoch).into(),
        (None, Some(step)) => sentence!("series_file.step", step = step).into(),
        (None, None) => file.name.as_str().into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A run of one layer with these norms and moves.
    fn summary(points: &[(f64, Option<f64>)]) -> SeriesSummary {
        let file = |index| SeriesFile { index, name: String::new(), epoch: Some(index as u64 + 1), step: None };
        let point = |&(norm, moved): &(f64, Option<f64>)| Some(SeriesPoint { norm, moved, effective_rank: Some(2.0) });
        let layer = SeriesLayer {
            path: "unet.x".into(),
            block: "IN01".into(),
            part: SeriesPart::Attention,
            points: points.iter().map(point).collect(),
        };
        SeriesSummary::of(&(0..points.len()).map(file).collect::<Vec<_>>(), &[layer])
    }

    fn said(points: &[(f64, Option<f64>)]) -> Vec<String> {
        summary(points).sentences.into_iter().map(|sentence| sentence.text).collect()
    }

    #[test]
    fn a_run_is_told_in_words() {
        assert_eq!(
            said(&[(1.0, None), (2.0, Some(1.0)), (3.0, Some(1.0))]),
            ["Still growing: the norm grew by 50 % in the last file."]
        );
        assert_eq!(
            said(&[(1.0, None), (2.0, Some(1.1)), (2.1, Some(0.15)), (2.1, Some(0.1)), (2.1, Some(0.0))]),
            [
                "Settled after epoch 2: from there on no file differs from the one before by 10 % of its norm.",
                "The same weights: epoch 4 and epoch 5.",
            ]
        );
        let jump = said(&[(1.0, None), (1.2, Some(0.2)), (1.4, Some(0.2)), (2.0, Some(0.9)), (2.2, Some(0.3))]);
        assert_eq!(jump[1], "A jump at epoch 4: 1 layer moves more than twice as far as before and after.");
        assert!(said(&[(1.0, None)]).is_empty());
    }

    #[test]
    fn cosines_follow_from_norms_and_moves() {
        let totals = summary(&[(3.0, None), (4.0, Some(5.0)), (4.0, Some(0.0))]).totals;
        assert_eq!((totals[0].cosine, totals[0].moved), (None, None));
        assert!(totals[1].cosine.is_some_and(|cosine| cosine.abs() < 1e-12), "3, 4, 5 is a right angle");
        assert_eq!((totals[2].cosine, totals[2].effective_rank), (Some(1.0), 2.0));
    }
}
