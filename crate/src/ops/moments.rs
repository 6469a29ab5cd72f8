//! Group-norm statistics of a feature map, accumulated strip by strip: element count, mean and sum of
//! squared deviations of each group.
//!
//! Source: Chan, Golub and LeVeque, "Updating Formulae and a Pairwise Algorithm for Computing
//! Sample Variances", 1979.

use super::{Operation, ShapeError, View};
use crate::num::{numel, to_f32};
use serde::{Deserialize, Serialize};

/// Inputs: a strip (B, H, W, C) and, except for the first strip, the moments so far. Output: (B, G, 3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moments {
    /// Number of channel groups.
    pub groups: usize,
    /// First row to include.
    pub start: usize,
    /// Number of rows to include.
    pub count: usize,
}

impl Operation for Moments {
    fn name(&self) -> &'static str {
        "moments"
    }

    fn shape(&self, inputs: &[&[usize]]) -> Result<Vec<usize>, ShapeError> {
        let (&[batch, height, _, channels], previous) = (match inputs {
            [map] => (*map, None),
            [map, previous] => (*map, Some(*previous)),
            _ => return Err(self.shape_error(inputs, "expects a feature map and optionally the previous moments")),
        }) else {
            return Err(self.shape_error(inputs, "the feature map must be (B, H, W, C)"));
        };
        if self.groups == 0 || channels % self.groups != 0 || self.count == 0 || self.start + self.count > height {
            return Err(self.shape_error(inputs, format!("{self:?} does not match the feature map")));
        }
        let shape = vec![batch, self.groups, 3];
        match previous.is_none_or(|previous| previous == shape) {
            true => Ok(shape),
            false => Err(self.shape_error(inputs, format!("the previous moments must be {shape:?}"))),
        }
    }

    fn run(&self, inputs: &[View], _scalars: &[f32], output: &mut [f32]) {
        let &[_, height, width, channels] = inputs[0].shape else { return };
        let size = channels / self.groups;
        for (index, out) in output.chunks_exact_mut(3).enumerate() {
            let (item, group) = (index / self.groups, index % self.groups);
            let first = (item * height + self.start) * width;
            let pixels = first..first + self.count * width;
            let elements = || {
                pixels
                    .clone()
                    .flat_map(|p| &inputs[0].data[p * channels + group * size..][..size])
                    .map(|&x| f64::from(x))
            };
            let mut count = numel(&[self.count, width, size]) as f64;
            let mut mean = elements().sum::<f64>() / count;
            let mut squares = elements().map(|x| (x - mean).powi(2)).sum::<f64>();
            if let Some(previous) = inputs.get(1) {
                let [n, m, s] = [0, 1, 2].map(|i| f64::from(previous.data[index * 3 + i]));
                let (total, delta) = (n + count, mean - m);
                squares += s + delta * delta * n * count / total;
                mean = m + delta * count / total;
                count = total;
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
