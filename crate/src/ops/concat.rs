//! Turns two feature maps into one with the channels of both (the UNet's skip connections).

use super::{Operation, ShapeError, View};
use serde::{Deserialize, Serialize};

/// x's channels, then y's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Concat {}

impl Operation for Concat {
    fn name(&self) -> &'static str {
        "concat"
    }

    fn shape(&self, inputs: &[&[usize]]) -> Result<Vec<usize>, ShapeError> {
        let &[x, y] = inputs else { return Err(self.shape_error(inputs, "takes two inputs")) };
        let (Some((&left, head)), Some((&right, other))) = (x.split_last(), y.split_last()) else {
            return Err(self.shape_error(inputs, "both need an axis"));
        };
        if head != other {
            return Err(self.shape_error(inputs, "all axes but the last must agree"));
        }
        Ok([head, &[left + right]].concat())
    }

    fn run(&self, inputs: &[View], _scalars: &[f32], output: &mut [f32]) {
        let (left, right) = (inputs[0].width(), inputs[1].width());
        for ((x, y), out) in inputs[0].rows().zip(inputs[1].rows()).zip(output.chunks_exact_mut(left + right)) {
            out[..left].copy_from_slice(x);
            out[left..].copy_from_slice(y);
        }
    }

    fn details(&self) -> String {
        String::new()
    }
}
