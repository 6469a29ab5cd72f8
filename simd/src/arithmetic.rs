//! Elementwise arithmetic on slices.

use crate::isa::vectorized;

vectorized! {
    /// Adds `values` to `sums`, up to the shorter length.
    pub fn add(sums: &mut [f32], values: &[f32]) {
        sums.iter_mut().zip(values).for_each(|(sum, value)| *sum += value);
    }
}

vectorized! {
    /// Computes x + alpha · y.
    pub fn axpy(x: &[f32], alpha: f32, y: &[f32], out: &mut [f32]) {
        out.iter_mut().zip(x).zip(y).for_each(|((out, x), y)| *out = x + alpha * y);
    }
}
