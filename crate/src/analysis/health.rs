//! Strength, rank usage and untrained layers of a file, from the norms and spectra of its changes.

use super::modules::ModuleRow;
use super::spectrum::Spectrum;
use crate::adapters::Delta;
use crate::formats::{Header, TensorInfo};
use crate::num::{host_len, numel, to_count, to_f32, to_index};
use crate::sentence::{Sentence, rounded, sentence};
use crate::sorting;
use serde::{Deserialize, Serialize};
use ts_rs::TS;

/// One layer's input to [`health`].
#[derive(Debug, Clone)]
pub struct HealthRow {
    /// Layer path.
    pub path: String,
    /// Shape of the change as a matrix: (outputs, inputs · kernel²).
    pub size: (usize, usize),
    /// Size of the layer's tensors in the file, in bytes.
    pub bytes: u64,
    /// Singular values at strength 1.
    pub spectrum: Spectrum,
    /// Whether its alpha is 0.
    pub zero_alpha: bool,
}

/// Strength and rank statistics of a file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, TS)]
pub struct Health {
    /// Number of layers with computed singular values.
    pub layers: usize,
    /// Median over the layers of ‖change‖ / ‖weight‖; ‖weight‖ is the base model's, or estimated from
    /// the layer's size.
    pub relative: f64,
    /// Whether every ‖weight‖ is the base model's.
    pub measured: bool,
    /// Usual range of `relative` for the model family; null if it is not known.
    pub usual: Option<(f64, f64)>,
    /// `relative` as a multiple of the nearest end of the usual range; 1 within the range, null if it is not known.
    pub times_usual: Option<f64>,
    /// The smallest uniform rank that keeps 98 % of the total energy.
    pub rank_98: usize,
    /// The largest rank in the file.
    pub rank: usize,
    /// Size of the layers in bytes.
    #[ts(type = "number")]
    pub bytes: u64,
    /// Size in bytes at [`Health::rank_98`].
    #[ts(type = "number")]
    pub bytes_98: u64,
    /// Fraction of layers whose change is zero.
    pub untrained: f64,
    /// Number of layers whose change is zero because their alpha is 0.
    #[serde(default)]
    pub zero_alpha: usize,
    /// Fraction of the total energy Σσ² kept when all layers are cut to rank 1, 2, …, up to the largest rank.
    pub energy: Vec<f32>,
    /// Layers whose norm is far above the median, strongest first.
    pub outliers: Vec<String>,
    /// The largest norm of a layer as a multiple of the median norm; 0 if all are zero.
    pub peak: f64,
    /// Number of layers of rank 4 or more with at least 99 % of their energy in one direction.
    pub one_direction: usize,
    /// Number of layers of rank 8 or more whose singular values are nearly equal.
    pub flat: usize,
    /// Summary sentences, most important first.
    pub sentences: Vec<Sentence>,
}

/// Usual range of ‖change‖ / ‖weight‖ at strength 1, by model family. A rule of thumb for Stable Diffusion: weight decay
/// and sd-scripts' max-norm regularization (`scale_weight_norms`) keep trained changes in this range. Other families
/// have no row until LoRAs of theirs were measured against their weights.
const USUAL_RANGES: [(&str, (f64, f64)); 3] = [("sd15", (0.002, 0.1)), ("sd21", (0.002, 0.1)), ("sdxl", (0.002, 0.1))];

/// RMS row norm of a trained weight. PyTorch's initialization of linear layers gives 1/√3; training
/// moves the median of a network's layers to about this (0.72 and 0.75 in the demo model's UNet and
/// text encoder).
const ROW_NORM: f64 = 0.7;

/// Fraction of energy that [`Health::rank_98`] keeps.
const KEPT_ENERGY: f64 = 0.98;

/// Multiple of the median norm above which a layer is an outlier.
const OUTLIER_FACTOR: f64 = 8.0;

/// Fraction of a layer's energy in its first direction from which on the others hardly matter.
const ONE_DIRECTION: f64 = 0.99;

/// Smallest over largest singular value from which on a spectrum counts as flat. Products of random matrices whose sides
/// are long have such spectra (Marchenko-Pastur); training concentrates the energy in few directions.
const FLAT: f64 = 0.6;

impl HealthRow {
    /// Builds the row of a delta with these singular values; `header` lists its tensors.
    pub fn new(delta: &Delta, header: &Header, spectrum: Spectrum) -> HealthRow {
        let tensors = delta.change.factors().into_iter().filter_map(|factor| header.get(&factor.key));
        let bytes = tensors.map(TensorInfo::byte_len).sum();
        let shape = delta.change.shape();
        let size = (shape.first().copied().unwrap_or(0), host_len(numel(shape.get(1..).unwrap_or(&[]))));
        HealthRow { path: delta.path(), size, bytes, spectrum, zero_alpha: delta.alpha == Some(0.0) }
    }
}

/// Returns the fraction of energy kept at rank 1, 2, … `max_rank`.
fn energy(rows: &[HealthRow], max_rank: usize) -> Vec<f32> {
    let mut sums = vec![0.0; max_rank];
    for row in rows {
        sums.iter_mut().zip(&row.spectrum.values).for_each(|(sum, value)| *sum += value * value);
    }
    let all: f64 = sums.iter().sum();
    let mut kept = 0.0;
    let share = |energy: f64| {
        kept += energy;
        if all > 0.0 { to_f32(kept / all) } else { 1.0 }
    };
    sums.into_iter().map(share).collect()
}

/// Returns the layers whose norm is far above the median, strongest first.
fn outliers(rows: &[HealthRow], norms: &[f64], median: f64) -> Vec<String> {
    let mut far: Vec<(f64, &str)> = norms
        .iter()
        .zip(rows)
        .filter(|(norm, _)| **norm > OUTLIER_FACTOR * median)
        .map(|(norm, row)| (*norm, row.path.as_str()))
        .collect();
    sorting::sort_by(&mut far, |a, b| b.0.total_cmp(&a.0));
    far.into_iter().map(|(_, path)| path.to_owned()).collect()
}

impl HealthRow {
    /// Returns whether nearly all of the energy of a layer with several directions is in the first.
    fn has_one_direction(&self) -> bool {
        let values = &self.spectrum.values;
        let energy: f64 = values.iter().map(|value| value * value).sum();
        values.len() >= 4 && energy > 0.0 && values[0] * values[0] >= ONE_DIRECTION * energy
    }

    /// Returns whether the singular values of a layer are nearly equal.
    fn is_flat(&self) -> bool {
        let values = &self.spectrum.values;
        values.len() >= 8 && values[0] > 0.0 && values[values.len() - 1] >= FLAT * values[0]
    }
}

/// Computes the statistics of a file for a model family; `None` if no layer has singular values.
pub fn health(rows: &[HealthRow], family: &str) -> Option<Health> {
    let norms: Vec<f64> = rows.iter().map(|row| row.spectrum.frobenius()).collect();
    let relative = median(rows.iter().zip(&norms).map(|(row, norm)| norm / estimate_norm(row.size.0)));
    let untrained = norms.iter().filter(|norm| **norm == 0.0).count() as f64 / rows.len().max(1) as f64;
    let rank = rows.iter().map(|row| row.spectrum.values.len()).max().filter(|&rank| rank > 0)?;
    let energy = energy(rows, rank);
    let rank_98 = energy.iter().position(|&share| f64::from(share) >= KEPT_ENERGY).map_or(rank, |index| index + 1);
    let typical = median(norms.iter().copied());
    let peak = norms.iter().copied().fold(0.0, f64::max);
    let bytes_98 = rows.iter().map(|row| resized(row, rank_98)).sum();
    let mut health = Health {
        layers: rows.len(),
        relative: 0.0,
        measured: false,
        usual: USUAL_RANGES.iter().find(|(name, _)| *name == family).map(|(_, range)| *range),
        times_usual: None,
        rank_98,
        rank,
        bytes: rows.iter().map(|row| row.bytes).sum(),
        bytes_98,
        untrained,
        zero_alpha: rows.iter().zip(&norms).filter(|(row, norm)| row.zero_alpha && **norm == 0.0).count(),
        energy,
        outliers: outliers(rows, &norms, typical),
        peak: if typical > 0.0 { peak / typical } else { 0.0 },
        one_direction: rows.iter().filter(|row| row.has_one_direction()).count(),
        flat: rows.iter().filter(|row| row.is_flat()).count(),
        sentences: Vec::new(),
    };
    health.set_relative(relative);
    Some(health)
}

impl Health {
    /// Recomputes the strength from the layers' ‖change‖ / ‖weight‖; `measured` if every ‖weight‖ is the base model's.
    pub fn measure(&mut self, shares: impl Iterator<Item = f64>, measured: bool) {
        self.measured = measured;
        self.set_relative(median(shares));
    }

    fn set_relative(&mut self, relative: f64) {
        self.relative = relative;
        self.times_usual = self.usual.map(|(low, high)| relative / relative.clamp(low, high));
        self.sentences = sentences(self);
    }
}

impl ModuleRow {
    /// Returns ‖change‖ / ‖weight‖ at strength 1; ‖weight‖ is estimated if no base model was given.
    pub fn relative(&self) -> Option<f64> {
        Some(self.norm? / self.base_norm.unwrap_or(estimate_norm(*self.shape.first()?)))
    }
}

/// Estimates the Frobenius norm of a weight with this many outputs.
fn estimate_norm(outputs: usize) -> f64 {
    ROW_NORM * (outputs as f64).sqrt()
}

/// Returns the median of the positive values; 0 if there are none.
fn median(shares: impl Iterator<Item = f64>) -> f64 {
    let mut shares: Vec<f64> = shares.filter(|&share| share > 0.0).collect();
    sorting::sort_by(&mut shares, f64::total_cmp);
    shares.get(shares.len() / 2).copied().unwrap_or(0.0)
}

/// Returns a layer's size in bytes at a rank, or its current size if its rank is not higher.
fn resized(row: &HealthRow, rank: usize) -> u64 {
    let (current, sides) = (row.spectrum.values.len().max(1), row.size.0 + row.size.1);
    let bytes_per_element = row.bytes as f64 / (current * sides).max(1) as f64;
    if rank < current { to_index(bytes_per_element * rank as f64 * sides as f64) as u64 } else { row.bytes }
}

fn sentences(health: &Health) -> Vec<Sentence> {
    let mut list = Vec::new();
    if health.untrained == 1.0 {
        let id = if health.zero_alpha > 0 { "health.zero_alpha" } else { "health.all_zero" };
        return vec![sentence!(id)];
    }
    let zeros = to_count((health.untrained * health.layers as f64).round()).saturating_sub(health.zero_alpha as u64);
    if zeros > 0 {
        list.push(sentence!("health.untrained", n = zeros, layers = health.layers));
    }
    let times_usual = health.times_usual.unwrap_or(1.0);
    let (times, inverse) = (short(times_usual), short(1.0 / times_usual));
    if times_usual > 1.2 {
        list.push(sentence!("health.strong", times = times, strength = inverse));
    }
    if times_usual < 0.8 {
        list.push(sentence!("health.weak", times = inverse, strength = inverse));
    }
    if let Some(first) = health.outliers.first() {
        list.push(sentence!("health.outliers", n = health.outliers.len(), layer = first, times = short(health.peak)));
    }
    if health.one_direction * 2 > health.layers {
        list.push(sentence!("health.one_direction", n = health.one_direction, layers = health.layers));
    }
    if health.flat * 2 > health.layers {
        list.push(sentence!("health.flat", n = health.flat, layers = health.layers));
    }
    if health.rank_98 * 2 <= health.rank {
        let megabytes = |bytes: u64| (bytes as f64 / 1e6).round().max(1.0);
        let (before, after) = (megabytes(health.bytes), megabytes(health.bytes_98));
        list.push(sentence!("health.rank", rank = health.rank_98, before = before, after = after));
    }
    if health.usual.is_none() {
        list.push(sentence!("health.no_usual"));
    }
    list
}

/// Rounds a number to about two significant digits.
fn short(x: f64) -> f64 {
    match x {
        10.0.. => x.round(),
        1.0.. => rounded(x, 1),
        _ => rounded(x, 2),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(values: &[f64]) -> HealthRow {
        let values = values.to_vec();
        HealthRow {
            path: String::new(),
            size: (300, 300),
            bytes: values.len() as u64 * 1200,
            spectrum: Spectrum { values },
            zero_alpha: false,
        }
    }

    #[test]
    fn sentences_follow_from_the_spectra() {
        let check = |rows: &[HealthRow], want: &[&str]| {
            let health = health(rows, "sd15").expect("layers");
            assert_eq!(health.sentences.len(), want.len(), "{health:?}");
            assert!(health.sentences.iter().zip(want).all(|(got, want)| got.starts_with(want)), "{health:?}");
        };
        check(&[row(&[0.1, 0.09]), row(&[0.08, 0.05])], &[]);
        check(&[row(&[0.0, 0.0])], &["Every change is zero: the file was saved before training"]);
        let zero_alpha = HealthRow { zero_alpha: true, ..row(&[0.0, 0.0]) };
        check(std::slice::from_ref(&zero_alpha), &["Every change is zero because alpha is 0"]);
        check(&[row(&[0.1, 0.1]), zero_alpha], &[]);
        check(&[row(&[0.1, 0.1]), row(&[0.0, 0.0])], &["1 of 2 layers"]);
        check(
            &[row(&[2.4, 0.0]), row(&[2.4, 0.0])],
            &["About 2x stronger than usual: try strength 0.51", "Rank 1 keeps"],
        );
        check(&[row(&[0.001, 0.001])], &["About 17x weaker"]);
        assert!(health(&[], "sd15").is_none());
    }

    #[test]
    fn unusual_files_are_described_with_their_figures() {
        let sentences = |rows: &[HealthRow], family: &str| -> Vec<String> {
            health(rows, family).expect("layers").sentences.into_iter().map(|sentence| sentence.text).collect()
        };
        let named = |mut row: HealthRow, path: &str| {
            row.path = path.into();
            row
        };
        let falling = || row(&[0.05, 0.04, 0.03, 0.02, 0.01, 0.008, 0.006, 0.004]);
        let strong = named(row(&[2.0, 1.6, 1.2, 0.8, 0.4, 0.32, 0.24, 0.16]), "unet.conv_in");
        let said = sentences(&[falling(), falling(), strong], "sd15");
        assert_eq!(
            said,
            ["1 layer is far stronger than the rest; the strongest is unet.conv_in, at 40x the median norm."]
        );
        let narrow = row(&[0.2, 0.002, 0.001, 0.001]);
        let said = sentences(&[narrow], "sd15");
        assert!(
            said.iter().any(|line| line.starts_with("1 of 1 layers has over 99% of its energy in one")),
            "{said:?}"
        );
        let said = sentences(&[row(&[0.09; 8])], "sd15");
        assert!(said.iter().any(|line| line.contains("nearly equal, as in random matrices")), "{said:?}");
        assert!(sentences(&[falling()], "sd15").is_empty());
        let said = sentences(&[row(&[9.0, 7.0, 5.0, 3.0])], "flux1");
        assert_eq!(said, ["How strong LoRAs for this model family usually are is not known here."]);
    }

    #[test]
    fn size_shrinks_with_rank() {
        let rows = [row(&[3.0, 0.1, 0.1, 0.1]), row(&[1.0, 0.2, 0.0, 0.0])];
        let health = health(&rows, "sd15").expect("layers");
        assert_eq!((health.rank, health.rank_98), (4, 1));
        assert_eq!((health.bytes, health.bytes_98), (9600, 2400));
    }
}
