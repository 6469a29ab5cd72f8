//! Leaky ReLU with a learned slope per channel: PyTorch's `prelu`.

use super::{Operation, ShapeError, View};
use serde::{Deserialize, Serialize};

/// x, or x · slope of its channel below 0; channels are the last axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Prelu {}

impl Operation for Prelu {
    fn name(&self) -> &'static str {
        "prelu"
    }

    fn shape(&self, inputs: &[&[usize]]) -> Result<Vec<usize>, ShapeError> {
        match inputs {
            &[x, &[slopes]] if x.last() == Some(&slopes) => Ok(x.to_vec()),
            _ => Err(self.shape_error(inputs, "expects a tensor and one slope per element of its last axis")),
        }
    }

    fn run(&self, inputs: &[View], _scalars: &[f32], output: &mut [f32]) {
        let slopes = inputs[1].data;
        for (x, out) in inputs[0].rows().zip(output.chunks_exact_mut(slopes.len().max(1))) {
            for ((&x, &slope), out) in x.iter().zip(slopes).zip(out) {
                *out = if x < 0.0 { x * slope } else { x };
            }
        }
    }

    fn details(&self) -> String {
        String::new()
    }
}
