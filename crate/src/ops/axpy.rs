//! Scaled addition with a factor set per run (BLAS `axpy`).

use super::{Operation, ShapeError, View};
use serde::{Deserialize, Serialize};

/// `x + (scalars[scalar] * factor) * y`; bit-identical to x, even for non-finite y, if the product is 0.
/// With `gate`, any scalar but 0 counts as 1.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Axpy {
    /// Index into the plan's scalars.
    pub scalar: usize,
    /// Constant multiplied with the scalar.
    pub factor: f32,
    /// Whether the scalar only decides between x and x + factor * y.
    #[serde(default)]
    pub gate: bool,
}

impl Axpy {
    /// Returns the factor of y.
    pub fn alpha(&self, scalars: &[f32]) -> f32 {
        let scalar = scalars[self.scalar];
        self.factor * if self.gate && scalar != 0.0 { 1.0 } else { scalar }
    }
}

impl Operation for Axpy {
    fn name(&self) -> &'static str {
        "axpy"
    }

    fn shape(&self, inputs: &[&[usize]]) -> Result<Vec<usize>, ShapeError> {
        match inputs {
            [x, y] if x == y => Ok(x.to_vec()),
            _ => Err(self.shape_error(inputs, "expects two inputs of the same shape")),
        }
    }

    fn run(&self, inputs: &[View], scalars: &[f32], output: &mut [f32]) {
        let alpha = self.alpha(scalars);
        for (i, out) in output.iter_mut().enumerate() {
            let x = inputs[0].data[i];
            *out = if alpha == 0.0 { x } else { x + alpha * inputs[1].data[i] };
        }
    }

    fn details(&self) -> String {
        format!("s{}{}*{}", self.scalar, if self.gate { " != 0" } else { "" }, self.factor)
    }
}
