//! Turns norms and spectra of a file's changes into sentences: how strong it is, how much of its
//! rank it uses, how much of it was never trained.

use super::report::ModuleRow;
use super::spectrum::Spectrum;
use crate::adapters::Delta;
use crate::formats::Header;
use crate::num::{host_len, numel};
use serde::{Deserialize, Serialize};
use ts_rs::TS;

/// One layer, as far as health needs it.
#[derive(Debug, Clone)]
pub struct HealthRow {
    /// The layer.
    pub path: String,
    /// Numbers in a row of the change times its rows: (outputs, inputs · kernel²).
    pub size: (usize, usize),
    /// Bytes that the layer's tensors take in the file.
    pub bytes: u64,
    /// Its singular values at strength 1.
    pub spectrum: Spectrum,
}

/// What can be said of a file's strength and rank.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, TS)]
pub struct Health {
    /// Layers whose singular values were computed.
    pub layers: usize,
    /// Median over the layers of ‖change‖ / ‖weight‖; the weight's norm is the base model's, or
    /// estimated from its size.
    pub relative: f64,
    /// Whether every weight's norm is the base model's own.
    pub measured: bool,
    /// How many times the upper end of what is usual the strength is; 1 where it is usual.
    pub times_usual: f64,
    /// The one rank for all layers that keeps 98 % of the energy of all together.
    pub rank_98: usize,
    /// The largest rank in the file.
    pub rank: usize,
    /// Bytes of the layers now.
    #[ts(type = "number")]
    pub bytes: u64,
    /// Bytes at [`Health::rank_98`].
    #[ts(type = "number")]
    pub bytes_98: u64,
    /// Share of the layers that change nothing.
    pub untrained: f64,
    /// Share of all layers' energy Σσ² that every layer cut to rank 1, 2, … keeps, up to the largest rank.
    pub energy: Vec<f32>,
    /// Layers whose norm is far above the others', the strongest first.
    pub outliers: Vec<String>,
    /// Plain sentences, the most important first.
    pub sentences: Vec<String>,
}

/// ‖change‖ / ‖weight‖ of most adapters that people use at strength 1. Rules of thumb: weight decay
/// and sd-scripts' max-norm regularisation (`scale_weight_norms`) keep trained changes in this range.
const USUAL: (f64, f64) = (0.002, 0.1);

/// Length of a row of a trained weight, root mean square: PyTorch's initialisation of linear layers
/// gives 1/√3, and training takes the median of a network's layers to about this (0.72 and 0.75 in
/// the UNet and the text encoder of the demo model).
const ROW: f64 = 0.7;

/// The share of energy that "keeps" a file.
const KEPT: f64 = 0.98;

/// How many times the median of all layers' norms makes one stand out.
const STANDS_OUT: f64 = 8.0;

impl HealthRow {
    /// A delta with these singular values, whose tensors `header` has.
    pub fn new(delta: &Delta, header: &Header, spectrum: Spectrum) -> HealthRow {
        let tensors = delta.change.factors().into_iter().filter_map(|factor| header.get(&factor.key));
        let bytes = tensors.map(|tensor| tensor.bytes.end - tensor.bytes.start).sum();
        let shape = delta.change.shape();
        let size = (shape.first().copied().unwrap_or(0), host_len(numel(shape.get(1..).unwrap_or(&[]))));
        HealthRow { path: delta.path(), size, bytes, spectrum }
    }
}

/// The share of energy that is kept at rank 1, 2, … `most`.
fn energy(rows: &[HealthRow], most: usize) -> Vec<f32> {
    let mut sums = vec![0.0; most];
    for row in rows {
        sums.iter_mut().zip(&row.spectrum.values).for_each(|(sum, value)| *sum += value * value);
    }
    let all: f64 = sums.iter().sum();
    let mut kept = 0.0;
    let share = |energy: f64| {
        kept += energy;
        if all > 0.0 { (kept / all) as f32 } else { 1.0 }
    };
    sums.into_iter().map(share).collect()
}

/// Layers of far more than the median norm.
fn outliers(rows: &[HealthRow], norms: &[f64]) -> Vec<String> {
    let mut sorted: Vec<f64> = norms.iter().copied().filter(|&norm| norm > 0.0).collect();
    sorted.sort_by(f64::total_cmp);
    let median = sorted.get(sorted.len() / 2).copied().unwrap_or(0.0);
    let mut far: Vec<(f64, &str)> = norms
        .iter()
        .zip(rows)
        .filter(|(norm, _)| **norm > STANDS_OUT * median)
        .map(|(norm, row)| (*norm, row.path.as_str()))
        .collect();
    far.sort_by(|a, b| b.0.total_cmp(&a.0));
    far.into_iter().map(|(_, path)| path.to_owned()).collect()
}

/// Judges a file by its layers; none where there are none.
pub fn health(rows: &[HealthRow]) -> Option<Health> {
    let norms: Vec<f64> = rows.iter().map(|row| row.spectrum.frobenius()).collect();
    let relative = median(rows.iter().zip(&norms).map(|(row, norm)| norm / estimate(row.size.0)));
    let untrained = norms.iter().filter(|norm| **norm == 0.0).count() as f64 / rows.len().max(1) as f64;
    let rank = rows.iter().map(|row| row.spectrum.values.len()).max().filter(|&rank| rank > 0)?;
    let energy = energy(rows, rank);
    let rank_98 = energy.iter().position(|&share| f64::from(share) >= KEPT).map_or(rank, |index| index + 1);
    let bytes_98 = rows.iter().map(|row| resized(row, rank_98)).sum();
    let mut health = Health {
        layers: rows.len(),
        relative: 0.0,
        measured: false,
        times_usual: 1.0,
        rank_98,
        rank,
        bytes: rows.iter().map(|row| row.bytes).sum(),
        bytes_98,
        untrained,
        energy,
        outliers: outliers(rows, &norms),
        sentences: Vec::new(),
    };
    health.judge(relative);
    Some(health)
}

impl Health {
    /// Judges anew by the layers' ‖change‖ / ‖weight‖; `measured` where all are by the base's own weights.
    pub fn measure(&mut self, shares: impl Iterator<Item = f64>, measured: bool) {
        self.measured = measured;
        self.judge(median(shares));
    }

    fn judge(&mut self, relative: f64) {
        self.relative = relative;
        self.times_usual = relative / relative.clamp(USUAL.0, USUAL.1);
        self.sentences = sentences(self);
    }
}

impl ModuleRow {
    /// ‖change‖ / ‖weight‖ at strength 1; the weight's norm is estimated where no base was at hand.
    pub fn relative(&self) -> Option<f64> {
        Some(self.norm? / self.base_norm.unwrap_or(estimate(*self.shape.first()?)))
    }
}

/// Frobenius norm of a weight with so many outputs, about.
fn estimate(outputs: usize) -> f64 {
    ROW * (outputs as f64).sqrt()
}

/// The median of those that are above 0; 0 where none is.
fn median(shares: impl Iterator<Item = f64>) -> f64 {
    let mut shares: Vec<f64> = shares.filter(|&share| share > 0.0).collect();
    shares.sort_by(f64::total_cmp);
    shares.get(shares.len() / 2).copied().unwrap_or(0.0)
}

/// A layer's bytes at a rank, or its own where it has no more.
fn resized(row: &HealthRow, rank: usize) -> u64 {
    let (now, sides) = (row.spectrum.values.len().max(1), row.size.0 + row.size.1);
    let number = row.bytes as f64 / (now * sides).max(1) as f64;
    if rank < now { (number * rank as f64 * sides as f64) as u64 } else { row.bytes }
}

fn sentences(health: &Health) -> Vec<String> {
    let mut list = Vec::new();
    let layers = health.layers;
    let silent = (health.untrained * layers as f64).round();
    if health.untrained == 1.0 {
        list.push("Every change is zero: the file was saved before training, or training failed.".into());
        return list;
    }
    if health.untrained > 0.0 {
        list.push(format!("{silent} of {layers} layers change nothing: they were not trained."));
    }
    if health.times_usual > 1.2 {
        let (times, try_at) = (short(health.times_usual), short(1.0 / health.times_usual));
        list.push(format!("About {times}x stronger than usual: try strength {try_at}."));
    }
    if health.times_usual < 0.8 {
        let (times, try_at) = (short(1.0 / health.times_usual), short(1.0 / health.times_usual));
        list.push(format!("About {times}x weaker than usual: try strength {try_at}."));
    }
    if let Some(first) = health.outliers.first() {
        let others = match health.outliers.len() {
            1 => "1 layer is".to_owned(),
            count => format!("{count} layers are"),
        };
        list.push(format!("{others} far stronger than the rest, the strongest is {first}."));
    }
    if health.rank_98 * 2 <= health.rank {
        let mb = |bytes: u64| format!("{:.0} MB", (bytes as f64 / 1e6).max(1.0));
        let (rank, before, after) = (health.rank_98, mb(health.bytes), mb(health.bytes_98));
        list.push(format!("Rank {rank} keeps 98 %: {before} -> {after}."));
    }
    list
}

/// Two significant digits.
fn short(x: f64) -> String {
    if x >= 10.0 {
        format!("{x:.0}")
    } else if x >= 1.0 {
        format!("{}", (x * 10.0).round() / 10.0)
    } else {
        format!("{}", (x * 100.0).round() / 100.0)
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
        }
    }

    #[test]
    fn a_file_is_judged_by_its_numbers() {
        let check = |rows: &[HealthRow], want: &[&str]| {
            let health = health(rows).expect("layers");
            assert_eq!(health.sentences.len(), want.len(), "{health:?}");
            assert!(health.sentences.iter().zip(want).all(|(got, want)| got.starts_with(want)), "{health:?}");
        };
        check(&[row(&[0.1, 0.09]), row(&[0.08, 0.05])], &[]);
        check(&[row(&[0.0, 0.0])], &["Every change is zero"]);
        check(&[row(&[0.1, 0.1]), row(&[0.0, 0.0])], &["1 of 2 layers"]);
        check(
            &[row(&[2.4, 0.0]), row(&[2.4, 0.0])],
            &["About 2x stronger than usual: try strength 0.51", "Rank 1 keeps"],
        );
        check(&[row(&[0.001, 0.001])], &["About 17x weaker"]);
        assert!(health(&[]).is_none());
    }

    #[test]
    fn size_shrinks_with_rank() {
        let rows = [row(&[3.0, 0.1, 0.1, 0.1]), row(&[1.0, 0.2, 0.0, 0.0])];
        let health = health(&rows).expect("layers");
        assert_eq!((health.rank, health.rank_98), (4, 1));
        assert_eq!((health.bytes, health.bytes_98), (9600, 2400));
    }
}
