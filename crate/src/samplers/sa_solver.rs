//! SA-Solver: a stochastic Adams method, predictor of third and corrector of fourth order.
//!
//! Source: Xue et al., "SA-Solver: Stochastic Adams Solver for Fast Sampling of Diffusion Models", 2023; ComfyUI's
//! samplers "sa_solver", whose corrector uses the predictor's call, and "sa_solver_pece", which calls the network again
//! after it. Noise is added from a fifth to four fifths of the training schedule.

use super::noise::NoiseSource;
use super::properties::Properties;
use super::schedule::{Level, NoiseSchedule};
use super::solver::{Call, Row, SamplerRun, Solver, Started, weighted_sum};
use super::spacing::SigmaSpacing;

pub(super) const SA_SOLVER: Row = Row::new(
    Properties {
        automatic_spacing: Some(SigmaSpacing::Timesteps),
        is_web_ui_only: true,
        ..Properties::variance_exploding("sa_solver", "SA Solver")
    },
    |run| start(run, run.schedule.sigma_schedule(run.steps), false),
);

pub(super) const SA_SOLVER_PECE: Row = Row::new(
    Properties {
        automatic_spacing: Some(SigmaSpacing::Timesteps),
        is_web_ui_only: true,
        ..Properties::two_calls("sa_solver_pece", "SA Solver PECE")
    },
    |run| start(run, run.schedule.both_ends_schedule(run.steps), true),
);

const PREDICTOR_ORDER: usize = 3;
const CORRECTOR_ORDER: usize = 4;
/// Shares of the training timesteps between which noise is added.
const NOISY: (f64, f64) = (0.2, 0.8);

fn start(run: &SamplerRun, calls: NoiseSchedule, calls_again: bool) -> Started {
    let sigmas = run.schedule.sigma_schedule(run.steps).levels.into_iter().map(Level::sigma_ratio).collect();
    let noisy = (run.schedule.sigma_after(NOISY.0), run.schedule.sigma_after(NOISY.1));
    let solver = SaSolver { sigmas, noisy, noise_scale: run.noise_scale(), calls_again, ..SaSolver::default() };
    (Box::new(solver), calls)
}

#[derive(Default)]
struct SaSolver {
    /// σ at the start of each step, and at the end.
    sigmas: Vec<f64>,
    /// σ between which noise is added, descending.
    noisy: (f64, f64),
    noise_scale: f64,
    /// Whether the network is called again for the corrected sample.
    calls_again: bool,
    /// Index of the current step.
    at: usize,
    /// Whether the current call is for the corrected sample.
    is_second_call: bool,
    /// Sample that the last step started from.
    last: Vec<f32>,
    /// x₀ predictions of the last calls, newest last.
    cleans: Vec<Vec<f32>>,
    /// τ and noise of the last step.
    tau: f64,
    noise: Vec<f32>,
}

impl SaSolver {
    /// Returns the sample at step `to`, from the one at the step before and the x₀ predictions of the last `order`
    /// steps up to `newest`.
    fn advanced(&self, sample: &[f32], to: usize, newest: usize, order: usize) -> Vec<f32> {
        let lambda = |step: usize| -self.sigmas[step].ln();
        let nodes: Vec<f64> = (newest + 1 - order..=newest).map(lambda).collect();
        let weights = weights(&nodes, (lambda(to - 1), lambda(to)), self.tau);
        let h = lambda(to) - lambda(to - 1);
        let kept = self.sigmas[to] / self.sigmas[to - 1] * (-self.tau * self.tau * h).exp();
        let mut terms = vec![(kept, sample)];
        let cleans = &self.cleans[self.cleans.len() - order..];
        terms.extend(weights.iter().zip(cleans).map(|(weight, clean)| (*weight, clean.as_slice())));
        if !self.noise.is_empty() {
            let deviation = self.sigmas[to] * (-(-2.0 * self.tau * self.tau * h).exp_m1()).sqrt();
            terms.push((deviation * self.noise_scale, &self.noise));
        }
        weighted_sum(&terms)
    }

    /// Returns the order of the corrector in this step; 0 for none.
    fn corrector_order(&self) -> usize {
        let steps = self.sigmas.len() - 1;
        if self.at == 0 || (self.sigmas[self.at + 1] == 0.0 && !self.calls_again) {
            return 0;
        }
        self.limited(CORRECTOR_ORDER, steps - self.at)
    }

    /// Limits an order to the predictions so far and, where the run ends at 0, to the steps that are left.
    fn limited(&self, order: usize, left: usize) -> usize {
        let order = order.min(self.cleans.len());
        if self.sigmas[self.sigmas.len() - 1] == 0.0 { order.min(left) } else { order }
    }

    /// Returns the sample of the next step's first call.
    fn predicted(&mut self, sample: Vec<f32>, noise: &mut dyn NoiseSource) -> Vec<f32> {
        let to = self.at + 1;
        let end = self.sigmas[to];
        let newest = self.cleans.len() - 1;
        if end == 0.0 {
            return self.cleans[newest].clone();
        }
        self.tau = if self.noisy.0 >= end && end > self.noisy.1 { 1.0 } else { 0.0 };
        self.noise = if self.tau > 0.0 { noise.next(sample.len()) } else { Vec::new() };
        let order = self.limited(PREDICTOR_ORDER, self.sigmas.len() - 2 - self.at);
        let next = self.advanced(&sample, to, self.at, order);
        (self.last, self.at) = (sample, to);
        next
    }
}

impl Solver for SaSolver {
    fn step(&mut self, call: &Call, noise: &mut dyn NoiseSource) -> Vec<f32> {
        if self.at + 1 == self.sigmas.len() {
            return call.sample.to_vec();
        }
        let clean = call.clean();
        if std::mem::take(&mut self.is_second_call) {
            self.cleans.pop();
            self.cleans.push(clean);
            return self.predicted(call.sample.to_vec(), noise);
        }
        if self.cleans.len() == CORRECTOR_ORDER {
            self.cleans.remove(0);
        }
        self.cleans.push(clean);
        let order = self.corrector_order();
        if order == 0 {
            return self.predicted(call.sample.to_vec(), noise);
        }
        let corrected = self.advanced(&self.last, self.at, self.at, order);
        if self.calls_again {
            self.is_second_call = true;
            return corrected;
        }
        self.predicted(corrected, noise)
    }
}

/// Returns the weights of the x₀ predictions at the λ of `nodes` for a step: the integrals of their Lagrange basis
/// polynomials times (1 + τ²) e^((1 + τ²) (λ - end)).
fn weights(nodes: &[f64], (start, end): (f64, f64), tau: f64) -> Vec<f64> {
    let rate = 1.0 + tau * tau;
    let h = end - start;
    // Integrals of the powers of λ - end.
    let mut moments = vec![-(-rate * h).exp_m1()];
    for power in 1..nodes.len() {
        let exponent = power as f64;
        moments.push(-(-h).powf(exponent) * (-rate * h).exp() - exponent / rate * moments[power - 1]);
    }
    let weight = |at: usize| {
        // Coefficients of the basis polynomial, by rising powers.
        let mut basis = vec![1.0];
        for (_, other) in nodes.iter().enumerate().filter(|(j, _)| *j != at) {
            let (root, scale) = (other - end, 1.0 / (nodes[at] - other));
            let shifted = [0.0].into_iter().chain(basis.iter().copied());
            let scaled = basis.iter().copied().chain([0.0]);
            basis = shifted.zip(scaled).map(|(higher, lower)| (higher - root * lower) * scale).collect();
        }
        basis.iter().zip(&moments).map(|(coefficient, moment)| coefficient * moment).sum()
    };
    (0..nodes.len()).map(weight).collect()
}
