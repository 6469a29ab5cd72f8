//! Turns a tensor and a change into the changed tensor, by a number given at run time
//! (BLAS's `axpy`).

use super::{Operation, ShapeError, View};
use serde::{Deserialize, Serialize};

/// x + (scalars[scalar] * factor) * y; exactly x, whatever y holds, where that number is 0.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Axpy {
    /// Index into the plan's scalars.
    pub scalar: usize,
    /// Fixed part of the number.
    pub factor: f32,
}

impl Operation for Axpy {
    fn name(&self) -> &'static str {
        "axpy"
    }

    fn shape(&self, inputs: &[&[usize]]) -> Result<Vec<usize>, ShapeError> {
        match inputs {
            [x, y] if x == y => Ok(x.to_vec()),
            _ => Err(self.shape_error(inputs, "takes two inputs of one shape")),
        }
    }

    fn run(&self, inputs: &[View], scalars: &[f32], output: &mut [f32]) {
        let by = scalars[self.scalar] * self.factor;
        for (i, out) in output.iter_mut().enumerate() {
            let x = inputs[0].data[i];
            *out = if by == 0.0 { x } else { x + by * inputs[1].data[i] };
        }
    }

    fn details(&self) -> String {
        format!("s{}*{}", self.scalar, self.factor)
    }
}
