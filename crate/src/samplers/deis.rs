//! DEIS: the polynomial through the last three derivatives, over the time of the variance preserving process,
//! integrated over the step.
//!
//! Source: Zhang and Chen, "Fast Sampling of Diffusion Models with Exponential Integrator", 2022 (tAB-DEIS); ComfyUI's
//! sampler "deis", which integrates by 10,000 rectangles over a process from σ 0.002 to 80.

use super::noise::NoiseSource;
use super::properties::Properties;
use super::solver::{Call, Row, Solver, weighted_sum};
use super::spacing::SigmaSpacing;

pub(super) const DEIS: Row = Row::new(
    Properties {
        automatic_spacing: Some(SigmaSpacing::Timesteps),
        is_web_ui_only: true,
        ..Properties::variance_exploding("deis", "DEIS")
    },
    |run| (Box::new(Deis { slopes: Vec::new() }), run.schedule.sigma_schedule(run.steps)),
);

const ORDER: usize = 3;
const RECTANGLES: u32 = 10_000;

struct Deis {
    /// Derivatives of the last calls, newest first.
    slopes: Vec<Vec<f32>>,
}

impl Solver for Deis {
    fn step(&mut self, call: &Call, _noise: &mut dyn NoiseSource) -> Vec<f32> {
        if call.ends_at_zero() {
            return call.clean();
        }
        self.slopes.insert(0, call.noise());
        self.slopes.truncate(ORDER);
        let end = call.next_level().sigma_ratio();
        let sigmas: Vec<f64> = (0..self.slopes.len()).map(|k| call.levels[call.index - k].sigma_ratio()).collect();
        let weights = if sigmas.len() == 1 { vec![end - sigmas[0]] } else { Process::new().weights(&sigmas, end) };
        let mut terms = vec![(1.0, call.sample)];
        terms.extend(weights.into_iter().zip(&self.slopes).map(|(weight, slope)| (weight, slope.as_slice())));
        weighted_sum(&terms)
    }
}

/// A variance preserving process whose β grows linearly over time.
struct Process {
    first: f64,
    growth: f64,
}

impl Process {
    fn new() -> Self {
        const FIRST_TIME: f64 = 1e-3;
        let log = |sigma: f64| (sigma * sigma + 1.0).ln();
        let growth = 2.0 * (log(0.002) / FIRST_TIME - log(80.0)) / (FIRST_TIME - 1.0);
        Self { first: log(80.0) - 0.5 * growth, growth }
    }

    fn time(&self, sigma: f64) -> f64 {
        let root = (self.first * self.first + 2.0 * self.growth * (sigma * sigma + 1.0).ln()).sqrt();
        (root - self.first) / self.growth
    }

    /// Returns the change of σ with time.
    fn speed(&self, time: f64) -> f64 {
        let alpha = (-0.5 * time * time * self.growth - time * self.first).exp();
        0.5 * (time * self.growth + self.first) / (alpha * (1.0 - alpha)).sqrt()
    }

    /// Returns the weights of the derivatives at `sigmas`, newest first, for a step to `end`.
    fn weights(&self, sigmas: &[f64], end: f64) -> Vec<f64> {
        let times: Vec<f64> = sigmas.iter().map(|sigma| self.time(*sigma)).collect();
        let length = self.time(end) - times[0];
        let mut weights = vec![0.0; times.len()];
        for i in 0..RECTANGLES {
            let time = times[0] + length * f64::from(i) / f64::from(RECTANGLES - 1);
            let area = self.speed(time) * length / f64::from(RECTANGLES);
            for (j, weight) in weights.iter_mut().enumerate() {
                let others = times.iter().enumerate().filter(|(k, _)| *k != j);
                let basis = others.fold(1.0, |so_far, (_, other)| so_far * (time - other) / (times[j] - other));
                *weight += area * basis;
            }
        }
        weights
    }
}
