//! Activation functions. On slices they are vectorized.

use crate::isa::vectorized;
use std::f32::consts::{FRAC_1_SQRT_2, LOG2_E};

/// Returns e^x with a relative error of about 1e-7. Underflows to about 1e-38 and saturates at about 3e38.
///
/// Coefficients: Cephes' `expf`.
#[inline(always)]
pub fn exp(x: f32) -> f32 {
    // Adding 1.5 · 2^23 rounds to an integer, which is then in the low bits.
    const ROUND: f32 = 12_582_912.0;
    let x = x.clamp(-87.3, 88.3);
    let rounded = x * LOG2_E + ROUND;
    let n = rounded - ROUND;
    let r = x - n * 0.693_359_4 + n * 2.121_944_4e-4;
    let mut p = 1.987_569_1e-4;
    for coefficient in [1.398_199_9e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 0.5] {
        p = p * r + coefficient;
    }
    p = p * r * r + r + 1.0;
    f32::from_bits(p.to_bits().wrapping_add(rounded.to_bits() << 23))
}

#[inline(always)]
fn silu_of(x: f32) -> f32 {
    x / (1.0 + exp(-x))
}

/// Returns x · (1 + erf(x / sqrt 2)) / 2, with an absolute error of 1e-7 · |x| (Abramowitz and Stegun 7.1.26).
#[inline(always)]
fn gelu_of(x: f32) -> f32 {
    let z = x.abs() * FRAC_1_SQRT_2;
    let t = 1.0 / (1.0 + 0.327_591_1 * z);
    let mut p = 1.061_405_4;
    for coefficient in [-1.453_152, 1.421_413_8, -0.284_496_74, 0.254_829_6] {
        p = p * t + coefficient;
    }
    let complement = 0.5 * x.abs() * p * t * exp(-z * z);
    x.max(0.0) - complement
}

vectorized! {
    /// Replaces each x by x · sigmoid(x).
    pub fn silu(values: &mut [f32]) {
        values.iter_mut().for_each(|x| *x = silu_of(*x));
    }
}

vectorized! {
    /// Replaces each x by x · sigmoid(1.702 x).
    pub fn quick_gelu(values: &mut [f32]) {
        values.iter_mut().for_each(|x| *x /= 1.0 + exp(-1.702 * *x));
    }
}

vectorized! {
    /// Replaces each x by x · (1 + erf(x / sqrt 2)) / 2.
    pub fn gelu(values: &mut [f32]) {
        values.iter_mut().for_each(|x| *x = gelu_of(*x));
    }
}

vectorized! {
    /// Replaces each x below 0 by 0.2 x.
    pub fn leaky_relu(values: &mut [f32]) {
        values.iter_mut().for_each(|x| *x = x.max(0.2 * *x));
    }
}

vectorized! {
    /// Multiplies each value by GELU of its gate.
    pub fn gelu_gate(values: &mut [f32], gates: &[f32]) {
        values.iter_mut().zip(gates).for_each(|(value, &gate)| *value *= gelu_of(gate));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_is_accurate_and_saturates() {
        for at in -8700..8800 {
            let x = at as f32 * 0.01;
            let error = f64::from(exp(x)) / f64::from(x).exp() - 1.0;
            assert!(error.abs() < 2e-7, "e^{x}: {error:e}");
        }
        assert!(exp(f32::NEG_INFINITY) < 1e-37 && exp(1e9).is_finite() && exp(f32::NAN).is_nan());
    }

    #[test]
    fn activations_agree_with_known_values() {
        let mut values = [-1.0, 0.0, 1.0, 3.0, 20.0];
        gelu(&mut values);
        // From erf(1 / sqrt 2) = 0.682689492137 and erf(3 / sqrt 2) = 0.997300203937.
        let expected = [-0.158_655_26, 0.0, 0.841_344_7, 2.995_950_3, 20.0];
        assert!(values.iter().zip(expected).all(|(value, wanted)| (value - wanted).abs() < 1e-6), "{values:?}");
        let mut values = [-100.0, 0.0, 1.0, 100.0];
        silu(&mut values);
        let expected = [0.0, 0.0, 0.731_058_6, 100.0];
        assert!(values.iter().zip(expected).all(|(value, wanted)| (value - wanted).abs() < 1e-6), "{values:?}");
    }
}
