//! Distances between tensors, and the goldens' `expected` tolerances for f32.

/// Tolerance for the text encoder's hidden states.
pub const TEXT: f64 = 1e-5;
/// Tolerance for a UNet call.
pub const UNET: f64 = 1e-5;
/// Tolerance for the outputs of a network's modules.
pub const INNER: f64 = 2e-5;
/// Tolerance for the VAE decoder's image.
pub const VAE: f64 = 1e-5;
/// Tolerance for end-to-end latents.
pub const LATENTS: f64 = 2e-5;

/// Returns ||a - b|| / ||b|| in f64, the goldens' `rel_rms`. Infinite if the lengths differ or a value is not finite,
/// so that no comparison passes by accident.
pub fn rel_rms(a: &[f32], b: &[f32]) -> f64 {
    if a.len() != b.len() || a.iter().chain(b).any(|value| !value.is_finite()) {
        return f64::INFINITY;
    }
    let difference: f64 = a.iter().zip(b).map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2)).sum();
    let size: f64 = b.iter().map(|b| f64::from(*b).powi(2)).sum();
    if size == 0.0 { difference.sqrt() } else { (difference / size).sqrt() }
}

/// Returns the largest absolute difference; infinite as in [`rel_rms`].
pub fn max_abs(a: &[f32], b: &[f32]) -> f64 {
    if a.len() != b.len() || a.iter().chain(b).any(|value| !value.is_finite()) {
        return f64::INFINITY;
    }
    a.iter().zip(b).map(|(a, b)| (f64::from(*a) - f64::from(*b)).abs()).fold(0.0, f64::max)
}

/// Panics with the distance and the worst element if `a` is further than `limit` from `b`.
#[track_caller]
pub fn close(what: &str, a: &[f32], b: &[f32], limit: f64) {
    let distance = rel_rms(a, b);
    if distance <= limit {
        return;
    }
    let worst = a.iter().zip(b).enumerate().max_by(|x, y| {
        let off = |(_, (a, b)): &(usize, (&f32, &f32))| (*a - *b).abs();
        off(x).total_cmp(&off(y))
    });
    panic!("{what}: rel_rms {distance:e} > {limit:e} ({} and {} elements, worst {worst:?})", a.len(), b.len());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_wrong_element_is_detected() {
        let b: Vec<f32> = (0..4096).map(|i| (i as f32).sin()).collect();
        let mut a = b.clone();
        assert_eq!(rel_rms(&a, &b), 0.0);
        a[17] += 0.1;
        assert!(rel_rms(&a, &b) > 1e-3);
        assert!(max_abs(&a, &b) > 0.09);
    }

    #[test]
    #[cfg_attr(target_os = "wasi", ignore = "panics abort on WASI")]
    fn invalid_comparisons_fail() {
        assert_eq!(rel_rms(&[1.0], &[1.0, 2.0]), f64::INFINITY);
        assert_eq!(rel_rms(&[f32::NAN], &[1.0]), f64::INFINITY);
        assert_eq!(rel_rms(&[1.0], &[f32::NAN]), f64::INFINITY);
        assert!(rel_rms(&[1e-3], &[0.0]) > 0.0);
        assert!(std::panic::catch_unwind(|| close("x", &[1.0], &[1.1], 1e-3)).is_err());
    }
}
