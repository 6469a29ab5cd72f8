//! SEEDS of second and third order, and the exponential Heun method: exponential integrators of x₀ over λ = -ln σ, with
//! noise that the calls of a step share.
//!
//! Source: Gonzalez et al., "SEEDS: Exponential SDE Solvers for Fast High-Quality Sampling from Diffusion Models",
//! 2023; ComfyUI's samplers "seeds_2", "seeds_3", "exp_heun_2_x0" and "exp_heun_2_x0_sde".

use super::noise::NoiseSource;
use super::properties::Properties;
use super::solver::{Call, Row, SamplerRun, Solver, Started, weighted_sum};
use super::spacing::SigmaSpacing;

const fn properties(name: &'static str, label: &'static str) -> Properties {
    Properties {
        automatic_spacing: Some(SigmaSpacing::Timesteps),
        is_web_ui_only: true,
        ..Properties::two_calls(name, label)
    }
}

pub(super) const SEEDS_2: Row = Row::new(Properties { eta: Some(1.0), ..properties("seeds_2", "SEEDS 2") }, |run| {
    start(run, Method { positions: &[0.5, 1.0], weights: midpoint_weights })
});

pub(super) const SEEDS_3: Row =
    Row::new(Properties { eta: Some(1.0), calls_per_step: 3, ..properties("seeds_3", "SEEDS 3") }, |run| {
        start(run, Method { positions: &[1.0 / 3.0, 2.0 / 3.0, 1.0], weights: third_order_weights })
    });

pub(super) const EXP_HEUN_2_X0: Row = Row::new(properties("exp_heun_2_x0", "Exp Heun 2 x0"), |run| {
    start(run, Method { positions: &[1.0, 1.0], weights: heun_weights })
});

pub(super) const EXP_HEUN_2_X0_SDE: Row =
    Row::new(Properties { eta: Some(1.0), ..properties("exp_heun_2_x0_sde", "Exp Heun 2 x0 SDE") }, |run| {
        start(run, Method { positions: &[1.0, 1.0], weights: heun_weights })
    });

fn start(run: &SamplerRun, method: Method) -> Started {
    let inner = &method.positions[..method.positions.len() - 1];
    let calls = run.schedule.staged_schedule(run.steps, inner);
    let (cleans, noise) = (Vec::new(), Vec::new());
    (Box::new(Seeds { method, eta: run.eta, noise_scale: run.noise_scale(), start: Vec::new(), cleans, noise }), calls)
}

/// A method of two or three calls per step.
struct Method {
    /// Where each call of a step leads to, as a share of the step in λ.
    positions: &'static [f64],
    /// Weights of the x₀ predictions so far, by the number of the call and the length of the step.
    weights: fn(usize, f64) -> Vec<f64>,
}

/// 1 - e^(-h).
fn gain(h: f64) -> f64 {
    -(-h).exp_m1()
}

/// 1 - (1 - e^(-h)) / h.
fn second_gain(h: f64) -> f64 {
    1.0 - gain(h) / h
}

fn midpoint_weights(call: usize, h: f64) -> Vec<f64> {
    if call == 0 { vec![gain(0.5 * h)] } else { vec![0.0, gain(h)] }
}

fn heun_weights(call: usize, h: f64) -> Vec<f64> {
    if call == 0 { vec![gain(h)] } else { vec![gain(h) - second_gain(h), second_gain(h)] }
}

fn third_order_weights(call: usize, h: f64) -> Vec<f64> {
    let (near, far) = (1.0 / 3.0, 2.0 / 3.0);
    match call {
        0 => vec![gain(near * h)],
        1 => {
            let later = far / near * second_gain(far * h);
            vec![gain(far * h) - later, later]
        }
        _ => {
            let later = second_gain(h) / far;
            vec![gain(h) - later, 0.0, later]
        }
    }
}

struct Seeds {
    method: Method,
    eta: f64,
    noise_scale: f64,
    /// Sample at the start of the step.
    start: Vec<f32>,
    /// x₀ predictions of the step's calls.
    cleans: Vec<Vec<f32>>,
    /// Noise of the step so far, relative to σ.
    noise: Vec<f32>,
}

impl Solver for Seeds {
    fn step(&mut self, call: &Call, noise: &mut dyn NoiseSource) -> Vec<f32> {
        let clean = call.clean();
        if call.ends_at_zero() {
            return clean;
        }
        let (stage, positions) = (self.cleans.len(), self.method.positions);
        if stage == 0 {
            self.start = call.sample.to_vec();
            self.noise = vec![0.0; clean.len()];
        }
        self.cleans.push(clean);
        let position = positions[stage];
        let before = if stage == 0 { 0.0 } else { positions[stage - 1] };
        let from = call.levels[call.index - stage].sigma_ratio();
        let h = (from / call.levels[call.index - stage + positions.len()].sigma_ratio()).ln();
        let sigma = call.next_level().sigma_ratio();
        let damped = |share: f64| share * h * self.eta;
        let mut terms = vec![(sigma / from * (-damped(position)).exp(), self.start.as_slice())];
        let weights = (self.method.weights)(stage, h * (1.0 + self.eta));
        terms.extend(weights.into_iter().zip(&self.cleans).map(|(weight, clean)| (weight, clean.as_slice())));
        if self.eta > 0.0 {
            let part = damped(before - position);
            let drawn = noise.next(self.start.len());
            self.noise = weighted_sum(&[(part.exp(), &self.noise), (gain(-2.0 * part).max(0.0).sqrt(), &drawn)]);
            terms.push((sigma * self.noise_scale, &self.noise));
        }
        let next = weighted_sum(&terms);
        if stage + 1 == positions.len() {
            self.cleans.clear();
        }
        next
    }
}
