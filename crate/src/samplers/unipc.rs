//! UniPC: each call first corrects its sample, then predicts the next one.
//!
//! Source: Zhao et al., "UniPC: A Unified Predictor-Corrector Framework for Fast Sampling of
//! Diffusion Models", 2023: order 2, B(h) = e^h - 1 ("bh2"), x₀ prediction.

use super::properties::Properties;
use super::schedule::Level;
use super::solver::{Call, Row, Solver, weighted_sum};

pub(super) const UNIPC: Row = Row::new(Properties::sigma_based("unipc", "UniPC"), |run| {
    (Box::new(UniPc::default()), run.schedule.lambda_schedule(run.steps))
});

/// State between calls.
#[derive(Default)]
struct UniPc {
    /// Corrected sample of the last call, and the order of its step.
    last: Option<(Vec<f32>, usize)>,
    /// x₀ predictions of the last two calls, newest first.
    cleans: Vec<Vec<f32>>,
}

impl Solver for UniPc {
    fn step(&mut self, call: &Call, _noise: &mut dyn FnMut(usize) -> Vec<f32>) -> Vec<f32> {
        let clean = call.clean();
        let sample = match self.last.take() {
            Some((last_sample, order)) => self.correct(call, &last_sample, &clean, order),
            None => call.sample.to_vec(),
        };
        self.cleans.insert(0, clean);
        self.cleans.truncate(2);
        let order = if call.is_last() { 1 } else { self.cleans.len() };

        let (from, to) = (call.level(), call.next_level());
        let h = to.lambda() - from.lambda();
        let gain = -to.alpha * (-h).exp_m1();
        let mut terms = vec![(to.sigma / from.sigma, sample.as_slice()), (gain, &self.cleans[0])];
        if order == 2 {
            let weight = gain * 0.5 / ratio(call.levels[call.index - 1], from, h);
            terms.extend([(weight, self.cleans[1].as_slice()), (-weight, &self.cleans[0])]);
        }
        let next = weighted_sum(&terms);
        self.last = Some((sample, order));
        next
    }
}

impl UniPc {
    /// Repeats the step to this call's sample, using the x₀ prediction at its end (UniC).
    fn correct(&self, call: &Call, last_sample: &[f32], clean: &[f32], order: usize) -> Vec<f32> {
        let (from, to) = (call.levels[call.index - 1], call.level());
        let h = to.lambda() - from.lambda();
        let (hh, h_phi_1) = (-h, (-h).exp_m1());
        let gain = -to.alpha * h_phi_1;
        let start = &self.cleans[0];
        let mut terms = vec![(to.sigma / from.sigma, last_sample), (gain, start.as_slice())];
        let end_weight = if order == 1 {
            0.5
        } else {
            let ratio = ratio(call.levels[call.index - 2], from, h);
            let b1 = (h_phi_1 / hh - 1.0) / h_phi_1;
            let b2 = 2.0 * ((h_phi_1 / hh - 1.0) / hh - 0.5) / h_phi_1;
            let rho = (b1 - b2) / (1.0 - ratio);
            let weight = gain * rho / ratio;
            terms.extend([(weight, self.cleans[1].as_slice()), (-weight, start)]);
            b1 - rho
        };
        terms.extend([(gain * end_weight, clean), (-gain * end_weight, start)]);
        weighted_sum(&terms)
    }
}

/// Returns the position in λ of an earlier level, on a scale where `from` is 0 and the end of the step, `h`
/// further, is 1.
fn ratio(earlier: Level, from: Level, h: f64) -> f64 {
    (earlier.lambda() - from.lambda()) / h
}
