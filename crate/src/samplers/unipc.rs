//! UniPC: each call first corrects its sample, then predicts the next one.
//!
//! Source: Zhao et al., "UniPC: A Unified Predictor-Corrector Framework for Fast Sampling of
//! Diffusion Models", 2023: x₀ prediction, with B(h) = h ("bh1") or B(h) = e^h - 1 ("bh2"). diffusers uses bh2 and
//! order 2, the web UIs order 3.

use super::noise::NoiseSource;
use super::properties::Properties;
use super::schedule::{Level, NoiseSchedule, Schedule};
use super::solver::{Call, Row, SamplerRun, Solver, Started, weighted_sum};
use crate::num::{to_f32, to_index, to_whole};

pub(super) const UNIPC: Row = Row::new(Properties::sigma_based("unipc", "UniPC"), |run| {
    (Box::new(UniPc::new(Variant::Bh2, 2)), run.schedule.lambda_schedule(run.steps))
});

pub(super) const UNIPC_A1111: Row = Row::new(UNIPC.properties, start_in_time);

pub(super) const UNIPC_COMFYUI: Row = Row::new(UNIPC.properties, |run| start_in_sigma(run, Variant::Bh1));

pub(super) const UNIPC_BH2: Row =
    Row::new(Properties { is_web_ui_only: true, ..Properties::sigma_based("unipc_bh2", "UniPC BH2") }, |run| {
        start_in_sigma(run, Variant::Bh2)
    });

/// The function B(h).
#[derive(Clone, Copy)]
enum Variant {
    Bh1,
    Bh2,
}

struct UniPc {
    variant: Variant,
    /// Largest order of a step.
    order: usize,
    /// Corrected sample of the last call, and the order of its step.
    last: Option<(Vec<f32>, usize)>,
    /// x₀ predictions of the last calls, newest first.
    cleans: Vec<Vec<f32>>,
    /// Level at which the network's output of each call is converted, if it isn't that of its sample.
    output_levels: Option<Vec<Level>>,
}

impl UniPc {
    fn new(variant: Variant, order: usize) -> Self {
        Self { variant, order, last: None, cleans: Vec::new(), output_levels: None }
    }
}

/// ComfyUI's run: the levels of its schedule.
fn start_in_sigma(run: &SamplerRun, variant: Variant) -> Started {
    let noise_schedule = run.schedule.lambda_schedule(run.steps);
    let order = noise_schedule.levels.len().saturating_sub(2).clamp(1, 3);
    (Box::new(UniPc::new(variant, order)), noise_schedule)
}

/// A1111's run: evenly spaced times from 1, or from that of an init image, to 1/1000, as many steps as DDIM has
/// timesteps.
fn start_in_time(run: &SamplerRun) -> Started {
    let Some(planned) = run.schedule.web_ui_timesteps() else { return (UNIPC.start)(run) };
    let train = run.schedule.alphas_bar.len() as f64;
    let steps = planned.timesteps.len().max(1);
    let first = match planned.start {
        Some(_) => planned.timesteps.first().map_or(1.0, |t| (*t as f64 + 1.0) / train),
        None => 1.0,
    };
    let time = |i: usize| first + (1.0 / train - first) * i as f64 / steps as f64;
    // In f32, as the web UI computes them: its conversion of v-predictions truncates them.
    let positions: Vec<f64> =
        (0..=steps).map(|i| f64::from((to_f32(time(i)) - to_f32(1.0 / train)) * to_f32(train)).max(0.0)).collect();
    let levels = positions.iter().map(|position| level_at(run.schedule, *position)).collect();
    let timesteps = positions[..steps].to_vec();
    let truncated = timesteps.iter().map(|t| run.schedule.level(to_whole(*t))).collect();
    let solver = UniPc { output_levels: Some(truncated), ..UniPc::new(Variant::Bh1, 3.min(steps)) };
    (Box::new(solver), NoiseSchedule { timesteps, levels })
}

/// Returns the level at a fractional timestep, interpolated in log α.
fn level_at(schedule: &Schedule, position: f64) -> Level {
    let log = |index: usize| 0.5 * schedule.alphas_bar[index.min(schedule.alphas_bar.len() - 1)].ln();
    let low = to_index(position);
    let log_alpha = log(low) + (log(low + 1) - log(low)) * (position - low as f64);
    Level::from_alpha_bar((2.0 * log_alpha).exp())
}

impl Solver for UniPc {
    fn step(&mut self, call: &Call, _noise: &mut dyn NoiseSource) -> Vec<f32> {
        let clean = self.clean(call);
        let sample = match self.last.take() {
            Some((last_sample, order)) => {
                self.stepped(call.levels, (call.index - 1, call.index), &last_sample, order, Some(&clean))
            }
            None => call.sample.to_vec(),
        };
        self.cleans.insert(0, clean);
        self.cleans.truncate(self.order);
        // Lower orders at the end stabilize the last steps.
        let order = self.cleans.len().min(call.levels.len() - 1 - call.index);
        let next = self.stepped(call.levels, (call.index, call.index + 1), &sample, order, None);
        self.last = Some((sample, order));
        next
    }
}

impl UniPc {
    fn clean(&self, call: &Call) -> Vec<f32> {
        let Some(levels) = &self.output_levels else { return call.clean() };
        let (sample_weight, output_weight) = call.prediction.noise_weights(levels[call.index]);
        let Level { alpha, sigma } = call.level();
        weighted_sum(&[
            ((1.0 - sigma * sample_weight) / alpha, call.sample),
            (-sigma * output_weight / alpha, call.output),
        ])
    }

    /// Returns the sample after a step between the levels with these indices, from the x₀ predictions before it and, to
    /// correct it, the one at its `end`.
    fn stepped(
        &self,
        levels: &[Level],
        (from_index, to_index): (usize, usize),
        sample: &[f32],
        order: usize,
        end: Option<&[f32]>,
    ) -> Vec<f32> {
        let (from, to) = (levels[from_index], levels[to_index]);
        let h = to.lambda() - from.lambda();
        let start = &self.cleans[0];
        let mut terms = vec![(to.sigma / from.sigma, sample), (-to.alpha * (-h).exp_m1(), start.as_slice())];
        let scale = match self.variant {
            Variant::Bh1 => -h,
            Variant::Bh2 => (-h).exp_m1(),
        };
        let mut ratios: Vec<f64> =
            (1..order).map(|back| (levels[from_index - back].lambda() - from.lambda()) / h).collect();
        ratios.extend(end.map(|_| 1.0));
        let weights = match ratios.len() {
            // For these, the paper's coefficients are replaced by their limit.
            1 => vec![0.5],
            _ => solved(&ratios, &moments(-h, scale, ratios.len())),
        };
        let others = self.cleans[1..].iter().map(Vec::as_slice).take(order - 1).chain(end);
        for ((ratio, weight), clean) in ratios.into_iter().zip(weights).zip(others) {
            let weight = -to.alpha * scale * weight / ratio;
            terms.extend([(weight, clean), (-weight, start.as_slice())]);
        }
        weighted_sum(&terms)
    }
}

/// Returns the right side of the order conditions: k! φ_{k+1}(h) h / B(h) for k from 1 to `order`.
fn moments(h: f64, scale: f64, order: usize) -> Vec<f64> {
    let (mut phi, mut factorial) = (h.exp_m1() / h - 1.0, 1.0);
    (1..=order)
        .map(|k| {
            let moment = phi * factorial / scale;
            factorial *= (k + 1) as f64;
            phi = phi / h - 1.0 / factorial;
            moment
        })
        .collect()
}

/// Solves Σ ratioⱼ^k · xⱼ = momentₖ, k from 0, by elimination.
fn solved(ratios: &[f64], moments: &[f64]) -> Vec<f64> {
    let n = ratios.len();
    let mut rows: Vec<Vec<f64>> =
        moments.iter().zip(0_i32..).map(|(b, k)| ratios.iter().map(|r| r.powi(k)).chain([*b]).collect()).collect();
    for column in 0..n {
        for row in (0..n).filter(|row| *row != column) {
            let factor = rows[row][column] / rows[column][column];
            for at in column..=n {
                rows[row][at] -= factor * rows[column][at];
            }
        }
    }
    (0..n).map(|i| rows[i][n] / rows[i][i]).collect()
}
