//! Brownian paths that depend only on a seed: the noise of the web UIs' SDE samplers.
//!
//! A path is halved until the requested position is reached; the seed of each half follows from its place in the tree.
//! Source: Li et al., "Scalable Gradients for Stochastic Differential Equations", 2020 (torchsde's `BrownianTree`);
//! positions are rounded to 6 decimals as there.

use super::seed_sequence::seed_words;
use crate::num::to_f32;

/// Number of positions whose values are kept.
const KEPT: usize = 3;

/// A Brownian path over a range of σ, for a tensor.
pub struct BrownianPath {
    seed: u64,
    start: f64,
    end: f64,
    /// Draws the tensor's unit normal values from a generator with this seed.
    unit: Box<dyn Fn(u64) -> Vec<f32>>,
    /// Values at the last positions.
    kept: Vec<(f64, Vec<f32>)>,
}

impl BrownianPath {
    /// Creates the path that is 0 at `start`. `unit` draws unit normal values from a generator with the given seed.
    pub fn new(seed: u64, (start, end): (f64, f64), unit: Box<dyn Fn(u64) -> Vec<f32>>) -> Self {
        Self { seed, start: rounded(start), end: rounded(end), unit, kept: Vec::new() }
    }

    /// Returns the noise of a step from σ `from` down to σ `to`: -(W(from) - W(to)) / √(from - to).
    pub fn noise(&mut self, from: f64, to: f64) -> Vec<f32> {
        let scale = to_f32(1.0 / (from - to).sqrt());
        let (above, below) = (self.value(from), self.value(to));
        above.iter().zip(below).map(|(above, below)| (below - above) * scale).collect()
    }

    /// Returns W at a position, which is taken to lie within the range.
    fn value(&mut self, position: f64) -> Vec<f32> {
        let position = rounded(position).clamp(self.start, self.end);
        if let Some((_, value)) = self.kept.iter().find(|(kept, _)| *kept == position) {
            return value.clone();
        }
        let value = self.descend(position);
        self.kept.truncate(KEPT - 1);
        self.kept.insert(0, (position, value.clone()));
        value
    }

    fn descend(&self, position: f64) -> Vec<f32> {
        let (mut start, mut end) = (self.start, self.end);
        let root = to_f32((end - start).sqrt());
        // Change of W over the node, and W at its start.
        let mut change = scaled(root, &(self.unit)(self.word(&[])));
        let mut value = vec![0.0; change.len()];
        let (mut number, mut depth) = (0_u32, 0_u32);
        while position != start && position != end {
            let middle = rounded((start + end) / 2.0);
            let share = to_f32((middle - start) / (end - start));
            let deviation = to_f32(((middle - start) * (end - middle) / (end - start)).sqrt());
            let noise = (self.unit)(self.word(&[number, depth]));
            let first: Vec<f32> =
                change.iter().zip(noise).map(|(change, noise)| share * change + deviation * noise).collect();
            let is_second = position > middle;
            if is_second {
                change.iter_mut().zip(&first).for_each(|(change, first)| *change -= first);
                value.iter_mut().zip(&first).for_each(|(value, first)| *value += first);
                start = middle;
            } else {
                change = first;
                end = middle;
            }
            (number, depth) = (number.wrapping_mul(2).wrapping_add(u32::from(is_second)), depth + 1);
        }
        if position == end {
            value.iter_mut().zip(change).for_each(|(value, change)| *value += change);
        }
        value
    }

    /// Returns the seed of the root (an empty key) or of a node.
    fn word(&self, key: &[u32]) -> u64 {
        seed_words(self.seed, key, 1).first().copied().map_or(0, u64::from)
    }
}

fn scaled(factor: f32, values: &[f32]) -> Vec<f32> {
    values.iter().map(|value| factor * value).collect()
}

/// Rounds the exact decimal value to 6 places, as Python does.
fn rounded(x: f64) -> f64 {
    format!("{x:.6}").parse().unwrap_or(x)
}
