//! One step of DPM-Solver in λ = -ln σ, of orders 1 to 3, with added noise.
//!
//! Source: Lu et al., "DPM-Solver: A Fast ODE Solver for Diffusion Probabilistic Model Sampling in Around 10 Steps",
//! 2022, with samples x₀ + σ·noise; the added noise is k-diffusion's.

use super::euler_a::ancestral_step;
use super::schedule::Level;
use super::solver::weighted_sum;

/// Positions of the inner calls of a step of order 3.
const INNER: [f64; 2] = [1.0 / 3.0, 2.0 / 3.0];

/// A step between two λ.
#[derive(Debug, Clone, Copy)]
pub(super) struct DpmStep {
    start: f64,
    /// λ that the solver steps to, beyond the step's target if noise is added.
    end: f64,
    order: usize,
    /// Deviation of the noise that brings the sample up to the target.
    pub sigma_up: f64,
}

impl DpmStep {
    /// Plans a step from λ `start` to `target`; `last` is λ at the end of the run.
    pub fn new(start: f64, target: f64, last: f64, eta: f64, order: usize) -> Self {
        let level = |lambda: f64| Level::from_sigma((-lambda).exp());
        let (sigma_down, _) = ancestral_step(level(start), level(target), eta);
        let end = if eta > 0.0 { last.min(-sigma_down.ln()) } else { target };
        let sigma_up = ((-2.0 * target).exp() - (-2.0 * end).exp()).max(0.0).sqrt();
        Self { start, end, order, sigma_up }
    }

    /// Returns σ of each call.
    pub fn sigmas(&self) -> Vec<f64> {
        let inner: &[f64] = match self.order {
            1 => &[],
            2 => &[0.5],
            _ => &INNER,
        };
        [0.0].iter().chain(inner).map(|share| (-self.lambda(*share)).exp()).collect()
    }

    /// Returns the sample of the next call, or at the end of the step, from that at the start and the predicted noise of
    /// the calls so far.
    pub fn advanced(&self, start: &[f32], slopes: &[Vec<f32>]) -> Vec<f32> {
        match (self.order, slopes.len()) {
            (2, 1) => self.first_order(0.5, start, slopes),
            (3, 1) => self.first_order(INNER[0], start, slopes),
            (3, 2) => self.with_correction(INNER[1], INNER[0], start, [&slopes[0], &slopes[1]]),
            (3, _) => self.with_correction(1.0, INNER[1], start, [&slopes[0], &slopes[2]]),
            (2, _) => self.second_order(0.5, start, slopes),
            _ => self.first_order(1.0, start, slopes),
        }
    }

    /// Returns the sample at the end of a step of order 2 with the first inner call of order 3, for an error estimate.
    pub fn lower_order(&self, start: &[f32], slopes: &[Vec<f32>]) -> Vec<f32> {
        self.second_order(INNER[0], start, slopes)
    }

    fn lambda(&self, share: f64) -> f64 {
        self.start + share * (self.end - self.start)
    }

    /// Returns the weight of the predicted noise over a share of the step.
    fn weight(&self, share: f64) -> f64 {
        -(-self.lambda(share)).exp() * (share * (self.end - self.start)).exp_m1()
    }

    fn first_order(&self, share: f64, start: &[f32], slopes: &[Vec<f32>]) -> Vec<f32> {
        weighted_sum(&[(1.0, start), (self.weight(share), &slopes[0])])
    }

    fn second_order(&self, inner: f64, start: &[f32], slopes: &[Vec<f32>]) -> Vec<f32> {
        let weight = self.weight(1.0);
        let correction = weight / (2.0 * inner);
        weighted_sum(&[(1.0, start), (weight - correction, &slopes[0]), (correction, &slopes[1])])
    }

    /// Returns the sample after a share of the step, corrected by the slope at another share.
    fn with_correction(&self, share: f64, inner: f64, start: &[f32], [first, other]: [&[f32]; 2]) -> Vec<f32> {
        let h = share * (self.end - self.start);
        let phi = if h == 0.0 { 0.0 } else { h.exp_m1() / h - 1.0 };
        let correction = -(-self.lambda(share)).exp() * (share / inner) * phi;
        weighted_sum(&[(1.0, start), (self.weight(share) - correction, first), (correction, other)])
    }
}
