//! The choices of Python's `random.Random`.
//!
//! Source: CPython's `Lib/random.py` and `Modules/_randommodule.c`.

use crate::num::low_word;
use crate::twister::Twister;

/// Python's generator, seeded with a whole number.
pub(super) struct PythonRandom(Twister);

impl PythonRandom {
    pub(super) fn new(seed: u64) -> Self {
        let words = [low_word(seed), low_word(seed >> 32)];
        // Python leaves out leading words that are 0.
        Self(Twister::of_words(if words[1] == 0 { &words[..1] } else { &words }))
    }

    /// Returns an index below a count (`choice`, `randrange`), which is not 0.
    pub(super) fn below(&mut self, count: usize) -> usize {
        let bits = usize::BITS - count.leading_zeros();
        loop {
            let drawn = (self.0.word() >> (u32::BITS - bits.clamp(1, u32::BITS))) as usize;
            if drawn < count.max(1) {
                return drawn;
            }
        }
    }

    /// Returns an index with probabilities that are proportional to weights (`choices`).
    pub(super) fn weighted(&mut self, weights: &[f64]) -> usize {
        let bits = u64::from(self.0.word() >> 5) << 26 | u64::from(self.0.word() >> 6);
        let at = bits as f64 / (1_u64 << 53) as f64 * weights.iter().sum::<f64>();
        let mut sum = 0.0;
        let mut below = |weight: &f64| {
            sum += weight;
            sum <= at
        };
        weights.iter().take(weights.len().saturating_sub(1)).take_while(|weight| below(weight)).count()
    }
}
