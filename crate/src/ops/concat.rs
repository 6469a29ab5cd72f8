//! Concatenation of two tensors along the last axis (the UNet's skip connections).

use super::{Operation, ShapeError, View};
use serde::{Deserialize, Serialize};

/// Channels of x, followed by those of y.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Concat {}

impl Operation for Concat {
    fn name(&self) -> &'static str {
        "concat"
    }

    fn shape(&self, inputs: &[&[usize]]) -> Result<Vec<usize>, ShapeError> {
        let &[x, y] = inputs else { return Err(self.shape_error(inputs, "expects two inputs")) };
        let (Some((&left, outer)), Some((&right, other_outer))) = (x.split_last(), y.split_last()) else {
            return Err(self.shape_error(inputs, "both inputs need at least one axis"));
        };
        if outer != other_outer {
            return Err(self.shape_error(inputs, "all axes except the last must match"));
        }
        Ok([outer, &[left + right]].concat())
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
