//! "DPM fast": DPM-Solver with a given number of model calls, in steps of order 3 and one or two of lower orders.
//!
//! Source: Lu et al., "DPM-Solver", 2022, DPM-Solver-fast; k-diffusion's `sample_dpm_fast`.

use super::dpm_solver::DpmStep;
use super::noise::NoiseSource;
use super::properties::Properties;
use super::schedule::{Level, NoiseSchedule};
use super::solver::{Call, Row, SamplerRun, Solver, Started, weighted_sum};

pub(super) const DPM_FAST: Row = Row::new(
    Properties { eta: Some(1.0), is_web_ui_only: true, ..Properties::variance_exploding("dpm_fast", "DPM fast") },
    start,
);

/// ComfyUI's sampler, which adds no noise.
pub(super) const DPM_FAST_COMFYUI: Row = Row::new(Properties { eta: Some(0.0), ..DPM_FAST.properties }, start);

fn start(run: &SamplerRun) -> Started {
    let (max, min) = run.schedule.solver_range();
    let (first, last) = (-max.ln(), -min.ln());
    let calls = run.schedule.sigma_schedule(run.steps).levels.len() - 1;
    let orders = orders(calls);
    let intervals = calls / 3 + 1;
    let lambda = |i: usize| first + (last - first) * i as f64 / intervals as f64;
    let steps: Vec<DpmStep> = orders
        .iter()
        .enumerate()
        .map(|(i, order)| DpmStep::new(lambda(i), lambda(i + 1), last, run.eta, *order))
        .collect();
    let sigmas: Vec<f64> = steps.iter().flat_map(DpmStep::sigmas).collect();
    let noise_schedule = NoiseSchedule {
        timesteps: sigmas.iter().map(|sigma| run.schedule.timestep_of(*sigma)).collect(),
        levels: sigmas.into_iter().chain([min]).map(Level::from_sigma).collect(),
    };
    let solver = DpmFast {
        steps: steps.into_iter().zip(orders).collect(),
        current: 0,
        start: Vec::new(),
        slopes: Vec::new(),
        noise_scale: run.noise_scale(),
        adds_noise: run.eta > 0.0,
    };
    (Box::new(solver), noise_schedule)
}

/// Returns the order of each step, which is the number of its calls.
fn orders(calls: usize) -> Vec<usize> {
    let rest: &[usize] = match calls % 3 {
        0 => &[2, 1],
        1 => &[1],
        _ => &[2],
    };
    let thirds = if calls.is_multiple_of(3) { (calls / 3).saturating_sub(1) } else { calls / 3 };
    [vec![3; thirds], rest.to_vec()].concat()
}

struct DpmFast {
    /// Steps with their orders.
    steps: Vec<(DpmStep, usize)>,
    /// Index of the current step.
    current: usize,
    /// Sample at the start of the step.
    start: Vec<f32>,
    /// Predicted noise of the step's calls.
    slopes: Vec<Vec<f32>>,
    noise_scale: f64,
    adds_noise: bool,
}

impl Solver for DpmFast {
    fn step(&mut self, call: &Call, noise: &mut dyn NoiseSource) -> Vec<f32> {
        if self.slopes.is_empty() {
            self.start = call.sample.to_vec();
        }
        self.slopes.push(call.noise());
        let (step, order) = self.steps[self.current];
        let next = step.advanced(&self.start, &self.slopes);
        if self.slopes.len() < order {
            return next;
        }
        self.slopes.clear();
        self.current += 1;
        if !self.adds_noise {
            return next;
        }
        weighted_sum(&[(1.0, &next), (step.sigma_up * self.noise_scale, &noise.next(next.len()))])
    }
}
