//! Heun++: Heun's method with up to three derivatives, weighted by σ.
//!
//! Source: ComfyUI's sampler "heunpp2".

use super::noise::NoiseSource;
use super::properties::Properties;
use super::schedule::{Level, NoiseSchedule};
use super::solver::{Call, Row, SamplerRun, Solver, Started, weighted_sum};
use super::spacing::SigmaSpacing;

pub(super) const HEUNPP2: Row = Row::new(
    Properties {
        automatic_spacing: Some(SigmaSpacing::Timesteps),
        calls_per_step: 3,
        is_web_ui_only: true,
        ..Properties::two_calls("heunpp2", "HeunPP2")
    },
    start,
);

/// σ of a step's calls, at its start and at the following levels that are not the last one, and σ at its end.
type Step = (Vec<f64>, f64);

fn start(run: &SamplerRun) -> Started {
    let levels = run.schedule.sigma_schedule(run.steps).levels;
    let sigmas: Vec<f64> = levels.into_iter().map(Level::sigma_ratio).collect();
    let last = sigmas.len() - 1;
    let steps: Vec<Step> = (0..last).map(|i| (sigmas[i..(i + 3).min(last)].to_vec(), sigmas[i + 1])).collect();
    let calls: Vec<f64> = steps.iter().flat_map(|step| step.0.clone()).collect();
    let noise_schedule = NoiseSchedule {
        timesteps: calls.iter().map(|sigma| run.schedule.timestep_of(*sigma)).collect(),
        levels: calls.into_iter().chain([sigmas[last]]).map(Level::from_sigma).collect(),
    };
    let solver = HeunPp2 { first: sigmas[0], steps, current: 0, start: Vec::new(), slopes: Vec::new() };
    (Box::new(solver), noise_schedule)
}

struct HeunPp2 {
    /// σ at the start of the run.
    first: f64,
    steps: Vec<Step>,
    /// Index of the current step.
    current: usize,
    /// Sample at the start of the step.
    start: Vec<f32>,
    /// Derivatives of the step's calls.
    slopes: Vec<Vec<f32>>,
}

impl Solver for HeunPp2 {
    fn step(&mut self, call: &Call, _noise: &mut dyn NoiseSource) -> Vec<f32> {
        if self.slopes.is_empty() {
            self.start = call.sample.to_vec();
        }
        self.slopes.push(call.noise());
        let (sigmas, end) = &self.steps[self.current];
        let derivative = &self.slopes[self.slopes.len() - 1];
        if self.slopes.len() < sigmas.len() {
            let dt = sigmas[self.slopes.len()] - call.level().sigma_ratio();
            return weighted_sum(&[(1.0, call.sample), (dt, derivative)]);
        }
        let dt = end - sigmas[0];
        // The weight of a later derivative is its σ, relative to the first σ of the run.
        let weight = |i: usize| sigmas[i] / (sigmas.len() as f64 * self.first);
        let others: f64 = (1..sigmas.len()).map(weight).sum();
        let mut terms = vec![(1.0, self.start.as_slice()), (dt * (1.0 - others), &self.slopes[0])];
        terms.extend((1..sigmas.len()).map(|i| (dt * weight(i), self.slopes[i].as_slice())));
        let next = weighted_sum(&terms);
        self.slopes.clear();
        self.current += 1;
        next
    }
}
