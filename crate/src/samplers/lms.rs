//! LMS: the polynomial through the last four derivatives, integrated over the step.
//!
//! Source: k-diffusion's linear multistep sampler (Adams-Bashforth with uneven steps).

use std::collections::VecDeque;

use super::noise::NoiseSource;
use super::properties::Properties;
use super::solver::{Call, Row, Solver, weighted_sum};
use super::spacing::SigmaSpacing;

pub(super) const LMS: Row = Row::new(
    Properties {
        automatic_spacing: Some(SigmaSpacing::Timesteps),
        rescales_betas: false,
        ..Properties::variance_exploding("lms", "LMS")
    },
    |run| (Box::new(Lms::default()), run.schedule.sigma_schedule(run.steps)),
);

pub(super) const LMS_COMFYUI: Row = Row::new(LMS.properties, |run| {
    let solver = Lms { ends_at_x0: true, ..Lms::default() };
    (Box::new(solver), run.schedule.sigma_schedule(run.steps))
});

const ORDER: usize = 4;

#[derive(Default)]
struct Lms {
    /// Derivatives of the last calls, newest first.
    derivatives: VecDeque<Vec<f32>>,
    /// Whether the step to σ = 0 returns the last x₀ prediction, as in ComfyUI.
    ends_at_x0: bool,
}

impl Solver for Lms {
    fn step(&mut self, call: &Call, _noise: &mut dyn NoiseSource) -> Vec<f32> {
        if self.ends_at_x0 && call.ends_at_zero() {
            return call.clean();
        }
        self.derivatives.push_front(call.noise());
        self.derivatives.truncate(ORDER);
        // diffusers counts the order from the start of the schedule, even in image-to-image runs, which start
        // later and have fewer derivatives so far.
        let order = (call.index + 1).min(ORDER);
        let sigmas: Vec<f64> = (0..order).map(|k| call.levels[call.index - k].sigma_ratio()).collect();
        let end = call.next_level().sigma_ratio();
        let mut terms = vec![(1.0, call.sample)];
        terms.extend(
            self.derivatives
                .iter()
                .zip(0..order)
                .map(|(derivative, k)| (weight(&sigmas, k, end), derivative.as_slice())),
        );
        weighted_sum(&terms)
    }
}

/// Integrates the Lagrange basis polynomial that is 1 at `sigmas[k]` and 0 at the others from `sigmas[0]` to
/// `end`, exactly up to degree 3 (two-point Gauss quadrature).
fn weight(sigmas: &[f64], k: usize, end: f64) -> f64 {
    let others = || sigmas.iter().enumerate().filter(move |(j, _)| *j != k).map(|(_, sigma)| *sigma);
    let basis = |x: f64| others().fold(1.0, |so_far, other| so_far * (x - other) / (sigmas[k] - other));
    let (middle, half) = ((sigmas[0] + end) / 2.0, (end - sigmas[0]) / 2.0);
    let gauss = half / 3.0_f64.sqrt();
    half * (basis(middle - gauss) + basis(middle + gauss))
}
