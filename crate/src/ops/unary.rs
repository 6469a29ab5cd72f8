//! Elementwise activation functions.

use super::{Operation, ShapeError, View};
use crate::num::to_f32;
use serde::{Deserialize, Serialize};

/// Activation function.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Activation {
    /// x * sigmoid(x).
    Silu,
    /// x * (1 + erf(x / sqrt 2)) / 2: the exact form, not the tanh approximation.
    Gelu,
    /// x * sigmoid(1.702 x), used by OpenAI's CLIP.
    QuickGelu,
    /// x, or 0.2 x below 0, used by ESRGAN.
    LeakyRelu,
}

impl Activation {
    /// Returns the name used in printed plans.
    pub fn name(self) -> &'static str {
        match self {
            Activation::Silu => "silu",
            Activation::Gelu => "gelu",
            Activation::QuickGelu => "quick_gelu",
            Activation::LeakyRelu => "leaky_relu",
        }
    }

    /// Evaluates the function at `x`.
    pub fn of(self, x: f32) -> f32 {
        match self {
            Activation::Silu => silu(x),
            Activation::Gelu => gelu(x),
            Activation::QuickGelu => quick_gelu(x),
            Activation::LeakyRelu => leaky_relu(x),
        }
    }
}

/// An activation function applied to each element.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unary {
    /// Function to apply.
    pub function: Activation,
}

impl Operation for Unary {
    fn name(&self) -> &'static str {
        "unary"
    }

    fn shape(&self, inputs: &[&[usize]]) -> Result<Vec<usize>, ShapeError> {
        match inputs {
            [x] => Ok(x.to_vec()),
            _ => Err(self.shape_error(inputs, "expects one input")),
        }
    }

    fn run(&self, inputs: &[View], _scalars: &[f32], output: &mut [f32]) {
        for (out, &x) in output.iter_mut().zip(inputs[0].data) {
            *out = self.function.of(x);
        }
    }

    fn details(&self) -> String {
        self.function.name().into()
    }
}

/// Returns x * sigmoid(x).
pub fn silu(x: f32) -> f32 {
    let x = f64::from(x);
    to_f32(x / (1.0 + (-x).exp()))
}

/// Returns x * sigmoid(1.702 x).
pub fn quick_gelu(x: f32) -> f32 {
    let x = f64::from(x);
    to_f32(x / (1.0 + (-1.702 * x).exp()))
}

/// Returns x, or 0.2 x below 0.
pub fn leaky_relu(x: f32) -> f32 {
    x.max(0.2 * x)
}

/// Returns x * (1 + erf(x / sqrt 2)) / 2.
pub fn gelu(x: f32) -> f32 {
    let x = f64::from(x);
    to_f32(0.5 * x * (1.0 + erf(x * std::f64::consts::FRAC_1_SQRT_2)))
}

/// Returns the error function with an error of about 1e-15: a series below 3, a continued fraction of
/// the complement from 3 on (Abramowitz and Stegun 7.1.6 and 7.1.14).
fn erf(x: f64) -> f64 {
    let abs = x.abs();
    if abs < 3.0 {
        let (mut term, mut sum, mut n) = (abs, abs, 0.0);
        while term > sum * 1e-17 {
            n += 1.0;
            term *= 2.0 * abs * abs / (2.0 * n + 1.0);
            sum += term;
        }
        let value = std::f64::consts::FRAC_2_SQRT_PI * (-abs * abs).exp() * sum;
        return value.copysign(x);
    }
    let fraction = (1..60).rev().fold(0.0, |tail, k| f64::from(k) / 2.0 / (abs + tail));
    let complement = (-abs * abs).exp() / std::f64::consts::PI.sqrt() / (abs + fraction);
    (1.0 - complement).copysign(x)
}

#[cfg(test)]
mod tests {
    use super::erf;

    #[test]
    fn erf_agrees_with_published_values() {
        // Abramowitz and Stegun, table 7.1.
        for (x, value) in
            [(0.0, 0.0), (0.5, 0.5204998778), (1.0, 0.8427007929), (2.0, 0.9953222650), (-1.0, -0.8427007929)]
        {
            assert!((erf(x) - value).abs() < 1e-10, "erf({x}) = {}", erf(x));
        }
        assert!((erf(2.999_999_999) - erf(3.0)).abs() < 1e-12, "both expansions must agree at 3");
    }
}
