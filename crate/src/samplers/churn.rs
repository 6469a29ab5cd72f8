//! Noise that Euler, Heun and DPM2 add before a step ("Sigma churn" in A1111).
//!
//! Source: Karras et al., "Elucidating the Design Space of Diffusion-Based Generative Models", 2022, algorithm 2;
//! k-diffusion draws noise in every step, also where none is added.

use super::noise::NoiseSource;
use super::schedule::{Level, NoiseSchedule, Schedule};
use super::solver::{SamplerRun, weighted_sum};

/// The steps of a run with churn.
pub(super) struct Churn {
    steps: Vec<ChurnStep>,
    /// Index of the current step.
    current: usize,
    noise_scale: f64,
}

/// σ of a step.
#[derive(Clone, Copy)]
struct ChurnStep {
    /// σ before noise is added.
    before: f64,
    start: f64,
    end: f64,
}

impl Churn {
    /// Returns the churn of a run, if it has any.
    pub fn of(run: &SamplerRun) -> Option<Churn> {
        let settings = &run.settings;
        let churn = settings.s_churn.filter(|churn| *churn > 0.0)?;
        let levels = run.schedule.sigma_schedule(run.steps).levels;
        let share = (churn / (levels.len() - 1) as f64).min(std::f64::consts::SQRT_2 - 1.0);
        let min = settings.s_tmin.unwrap_or(0.0);
        let max = settings.s_tmax.filter(|max| *max > 0.0).unwrap_or(f64::INFINITY);
        let step = |pair: &[Level]| {
            let (before, end) = (pair[0].sigma_ratio(), pair[1].sigma_ratio());
            let start = if (min..=max).contains(&before) { before * (1.0 + share) } else { before };
            ChurnStep { before, start, end }
        };
        let steps = levels.windows(2).map(step).collect();
        Some(Churn { steps, current: 0, noise_scale: run.noise_scale() })
    }

    /// Returns the calls at the start of each step and, if it does not end at 0, at the σ that `inner` computes from its
    /// ends.
    pub fn schedule(&self, schedule: &Schedule, inner: Option<&dyn Fn(Level, Level) -> f64>) -> NoiseSchedule {
        let mut sigmas = Vec::new();
        for step in &self.steps {
            sigmas.push(step.start);
            let second = inner.filter(|_| step.end > 0.0);
            sigmas.extend(second.map(|inner| inner(Level::from_sigma(step.start), Level::from_sigma(step.end))));
        }
        NoiseSchedule {
            timesteps: sigmas.iter().map(|sigma| schedule.timestep_of(*sigma)).collect(),
            levels: sigmas.into_iter().chain(self.steps.last().map(|step| step.end)).map(Level::from_sigma).collect(),
        }
    }

    /// Returns σ at the end of the current step.
    pub fn end(&self) -> f64 {
        self.steps[self.current].end
    }

    /// Adds the noise before the current step to a sample.
    pub fn raise(&self, sample: Vec<f32>, noise: &mut dyn NoiseSource) -> Vec<f32> {
        let Some(step) = self.steps.get(self.current) else { return sample };
        let drawn = noise.next(sample.len());
        let added = (step.start * step.start - step.before * step.before).max(0.0).sqrt();
        weighted_sum(&[(1.0, &sample), (added * self.noise_scale, &drawn)])
    }

    /// Ends the current step with its sample, and adds the noise before the next one.
    pub fn finish(&mut self, sample: Vec<f32>, noise: &mut dyn NoiseSource) -> Vec<f32> {
        self.current += 1;
        self.raise(sample, noise)
    }
}
