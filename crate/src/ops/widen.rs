//! Conversion of a stored tensor to f32.

use super::{Operation, ShapeError, View};
use serde::{Deserialize, Serialize};

/// x unchanged; the kernel converts from the storage type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Widen {}

impl Operation for Widen {
    fn name(&self) -> &'static str {
        "widen"
    }

    fn shape(&self, inputs: &[&[usize]]) -> Result<Vec<usize>, ShapeError> {
        match inputs {
            [x] => Ok(x.to_vec()),
            _ => Err(self.shape_error(inputs, "expects one input")),
        }
    }

    fn run(&self, inputs: &[View], _scalars: &[f32], output: &mut [f32]) {
        output.copy_from_slice(inputs[0].data);
    }

    fn details(&self) -> String {
        String::new()
    }
}
