//! Turns strips of a map, one after the other, into what a group norm knows of the whole: how many
//! numbers each group has, their mean, and the sum of squares about it.
//!
//! Source: Chan, Golub and LeVeque, "Updating Formulae and a Pairwise Algorithm for Computing
//! Sample Variances", 1979.

use super::{Operation, ShapeError, View};
use crate::num::{numel, to_f32};
use serde::{Deserialize, Serialize};

/// (B, H, W, C), and the moments of the strips before if there are any, to (B, G, 3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moments {
    /// Groups of channels.
    pub groups: usize,
    /// First row that counts.
    pub start: usize,
    /// Rows that count.
    pub count: usize,
}

impl Operation for Moments {
    fn name(&self) -> &'static str {
        "moments"
    }

    fn shape(&self, inputs: &[&[usize]]) -> Result<Vec<usize>, ShapeError> {
        let (&[batch, height, _, channels], before) = (match inputs {
            [map] => (*map, None),
            [map, before] => (*map, Some(*before)),
            _ => return Err(self.shape_error(inputs, "takes a map and perhaps the moments before")),
        }) else {
            return Err(self.shape_error(inputs, "the map must be (B, H, W, C)"));
        };
        if self.groups == 0 || channels % self.groups != 0 || self.count == 0 || self.start + self.count > height {
            return Err(self.shape_error(inputs, format!("{self:?} does not fit the map")));
        }
        let shape = vec![batch, self.groups, 3];
        match before.is_none_or(|before| before == shape) {
            true => Ok(shape),
            false => Err(self.shape_error(inputs, format!("the moments before must be {shape:?}"))),
        }
    }

    fn run(&self, inputs: &[View], _scalars: &[f32], output: &mut [f32]) {
        let &[_, height, width, channels] = inputs[0].shape else { return };
        let size = channels / self.groups;
        for (index, out) in output.chunks_exact_mut(3).enumerate() {
            let (item, group) = (index / self.groups, index % self.groups);
            let first = (item * height + self.start) * width;
            let pixels = first..first + self.count * width;
            let members = || {
                pixels
                    .clone()
                    .flat_map(|p| &inputs[0].data[p * channels + group * size..][..size])
                    .map(|&x| f64::from(x))
            };
            let mut count = numel(&[self.count, width, size]) as f64;
            let mut mean = members().sum::<f64>() / count;
            let mut squares = members().map(|x| (x - mean).powi(2)).sum::<f64>();
            if let Some(before) = inputs.get(1) {
                let [n, m, s] = [0, 1, 2].map(|i| f64::from(before.data[index * 3 + i]));
                let (all, off) = (n + count, mean - m);
                squares += s + off * off * n * count / all;
                mean = m + off * count / all;
                count = all;
            }
            out.copy_from_slice(&[count, mean, squares].map(to_f32));
        }
    }

    fn flops(&self, inputs: &[&[usize]], _output: &[usize]) -> u64 {
        4 * numel(inputs[0])
    }

    fn details(&self) -> String {
        format!("G={} {}..{}", self.groups, self.start, self.start + self.count)
    }
}
