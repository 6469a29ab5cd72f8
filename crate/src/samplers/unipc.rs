//! Turns clean predictions into the next sample by UniPC: each call first corrects its own sample, then predicts the next.
//!
//! Source: Zhao et al., "UniPC: A Unified Predictor-Corrector Framework for Fast Sampling of
//! Diffusion Models", 2023: order 2, B(h) = e^h - 1 ("bh2"), on clean predictions.

use super::schedule::Level;
use super::{Call, weighted_sum};

/// What the last call leaves to the next: its sample after correction, its clean prediction and
/// the one before, and the order of its step.
#[derive(Default)]
pub(super) struct UniPc {
    last: Option<(Vec<f32>, usize)>,
    cleans: Vec<Vec<f32>>,
}

impl UniPc {
    pub fn step(&mut self, call: &Call) -> Vec<f32> {
        let clean = call.clean();
        let sample = match self.last.take() {
            Some((last_sample, order)) => self.correct(call, &last_sample, &clean, order),
            None => call.sample.to_vec(),
        };
        self.cleans.insert(0, clean);
        self.cleans.truncate(2);
        let order = if call.is_last() { 1 } else { self.cleans.len() };

        let (from, to) = (call.level(), call.next_level());
        let width = to.lambda() - from.lambda();
        let gain = -to.alpha * (-width).exp_m1();
        let mut terms = vec![(to.sigma / from.sigma, sample.as_slice()), (gain, &self.cleans[0])];
        if order == 2 {
            let slope = gain * 0.5 / ratio(call.levels[call.index - 1], from, width);
            terms.extend([(slope, self.cleans[1].as_slice()), (-slope, &self.cleans[0])]);
        }
        let next = weighted_sum(&terms);
        self.last = Some((sample, order));
        next
    }

    /// The step to this call's sample again, now that the clean prediction at its end is known.
    fn correct(&self, call: &Call, last_sample: &[f32], clean: &[f32], order: usize) -> Vec<f32> {
        let (from, to) = (call.levels[call.index - 1], call.level());
        let width = to.lambda() - from.lambda();
        let (h, growth) = (-width, (-width).exp_m1());
        let gain = -to.alpha * growth;
        let start = &self.cleans[0];
        let mut terms = vec![(to.sigma / from.sigma, last_sample), (gain, start.as_slice())];
        let at_end = if order == 1 {
            0.5
        } else {
            let ratio = ratio(call.levels[call.index - 2], from, width);
            let first = (growth / h - 1.0) / growth;
            let second = 2.0 * ((growth / h - 1.0) / h - 0.5) / growth;
            let before = (first - second) / (1.0 - ratio);
            let slope = gain * before / ratio;
            terms.extend([(slope, self.cleans[1].as_slice()), (-slope, start)]);
            first - before
        };
        terms.extend([(gain * at_end, clean), (-gain * at_end, start)]);
        weighted_sum(&terms)
    }
}

/// Place in λ of an earlier level, where `from` is 0 and the end of the step 1.
fn ratio(earlier: Level, from: Level, width: f64) -> f64 {
    (earlier.lambda() - from.lambda()) / width
}
