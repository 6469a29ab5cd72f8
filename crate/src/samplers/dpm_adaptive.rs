//! "DPM adaptive": DPM-Solver of order 3 whose steps follow an error estimate. The number of steps that is asked for has
//! no effect.
//!
//! Source: Lu et al., "DPM-Solver", 2022, adaptive step size, with the controller of k-diffusion's
//! `sample_dpm_adaptive` at its defaults (an integral controller).

use super::dpm_solver::DpmStep;
use super::noise::NoiseSource;
use super::properties::Properties;
use super::schedule::{Level, NoiseSchedule};
use super::solver::{Call, Row, SamplerRun, Solver, Started, weighted_sum};

pub(super) const DPM_ADAPTIVE: Row = Row::new(
    Properties {
        eta: Some(1.0),
        is_web_ui_only: true,
        ..Properties::variance_exploding("dpm_adaptive", "DPM adaptive")
    },
    start,
);

/// ComfyUI's sampler, which adds no noise.
pub(super) const DPM_ADAPTIVE_COMFYUI: Row = Row::new(Properties { eta: Some(0.0), ..DPM_ADAPTIVE.properties }, start);

/// Order of the steps, and number of their calls.
const ORDER: usize = 3;
/// First step in λ.
const FIRST_STEP: f64 = 0.05;
/// Tolerated error of a value, relative and absolute.
const TOLERANCE: (f32, f32) = (0.05, 0.0078);
/// Smallest factor of the step size with which a step is accepted.
const ACCEPT_SAFETY: f64 = 0.81;
/// λ before the end that is reached.
const END_MARGIN: f64 = 1e-5;
/// Number of rejections after which a step is accepted.
const MAX_REJECTIONS: usize = 50;

fn start(run: &SamplerRun) -> Started {
    let (max, min) = run.schedule.solver_range();
    let mut solver = DpmAdaptive {
        last: -min.ln(),
        eta: run.eta,
        at: -max.ln(),
        size: FIRST_STEP,
        rejections: 0,
        step: None,
        start: Vec::new(),
        before: Vec::new(),
        slopes: Vec::new(),
    };
    solver.plan();
    let mut noise_schedule = NoiseSchedule { timesteps: Vec::new(), levels: vec![Level::from_sigma(min)] };
    if solver.step.is_some() {
        noise_schedule.timesteps.push(run.schedule.timestep_of(max));
        noise_schedule.levels.insert(0, Level::from_sigma(max));
    }
    (Box::new(solver), noise_schedule)
}

struct DpmAdaptive {
    /// λ at the end of the run.
    last: f64,
    eta: f64,
    /// λ at the start of the current step.
    at: f64,
    /// Size of the next step in λ.
    size: f64,
    /// Number of rejections of the current step.
    rejections: usize,
    /// The current step and its target; `None` at the end.
    step: Option<(DpmStep, f64)>,
    /// Sample at the start of the step.
    start: Vec<f32>,
    /// Sample of order 2 of the last accepted step.
    before: Vec<f32>,
    /// Predicted noise of the step's calls.
    slopes: Vec<Vec<f32>>,
}

impl DpmAdaptive {
    fn plan(&mut self) {
        let target = self.last.min(self.at + self.size);
        let step = (self.at < self.last - END_MARGIN)
            .then(|| (DpmStep::new(self.at, target, self.last, self.eta, ORDER), target));
        self.step = step;
    }

    /// Updates the size of the next step and returns whether this one is accepted.
    fn accepts(&mut self, error: f64) -> bool {
        let order = if self.eta > 0.0 { 1.5 } else { ORDER as f64 };
        let factor = 1.0 + ((1.0 / (error + 1e-8)).powf(1.0 / order) - 1.0).atan();
        self.size *= factor;
        self.rejections += 1;
        factor >= ACCEPT_SAFETY || self.rejections > MAX_REJECTIONS
    }
}

/// Returns the root mean square of the difference in multiples of the tolerance.
fn error(low: &[f32], high: &[f32], before: &[f32]) -> f64 {
    let (relative, absolute) = TOLERANCE;
    let ratio = |((low, high), before): ((&f32, &f32), &f32)| {
        f64::from((low - high) / absolute.max(relative * low.abs().max(before.abs())))
    };
    let sum: f64 = low.iter().zip(high).zip(before).map(|values| ratio(values).powi(2)).sum();
    (sum / low.len() as f64).sqrt()
}

impl Solver for DpmAdaptive {
    fn step(&mut self, call: &Call, noise: &mut dyn NoiseSource) -> Vec<f32> {
        let Some((step, target)) = self.step else { return call.sample.to_vec() };
        if self.slopes.is_empty() {
            self.start = call.sample.to_vec();
        }
        if self.before.is_empty() {
            self.before.clone_from(&self.start);
        }
        self.slopes.push(call.noise());
        let high = step.advanced(&self.start, &self.slopes);
        if self.slopes.len() < ORDER {
            return high;
        }
        let low = step.lower_order(&self.start, &self.slopes);
        self.slopes.clear();
        let next = match self.accepts(error(&low, &high, &self.before)) {
            false => std::mem::take(&mut self.start),
            true => {
                (self.at, self.before, self.rejections) = (target, low, 0);
                let noise = if self.eta > 0.0 { noise.next(high.len()) } else { Vec::new() };
                weighted_sum(&[(1.0, &high), (step.sigma_up, &noise)])
            }
        };
        self.plan();
        next
    }

    fn chosen_sigma(&self) -> Option<f64> {
        self.step.map(|(step, _)| step.sigmas()[self.slopes.len()])
    }
}
