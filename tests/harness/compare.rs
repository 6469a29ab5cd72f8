//! Turns two lists of numbers into how far they are apart.

// The goldens' "expected" limits for f32.

/// Of the text encoder's states.
pub const TEXT: f64 = 1e-5;
/// Of a call of the UNet.
pub const UNET: f64 = 1e-5;
/// Of the outputs of a network's modules.
pub const INNER: f64 = 2e-5;
/// Of the VAE decoder's image.
pub const VAE: f64 = 1e-5;
/// Of end-to-end latents.
pub const LATENTS: f64 = 2e-5;

/// ||a - b|| / ||b||, in f64: the goldens' `rel_rms`. Infinite when the lengths differ or a number
/// is not finite, so that no comparison passes by accident.
pub fn rel_rms(a: &[f32], b: &[f32]) -> f64 {
    if a.len() != b.len() || a.iter().chain(b).any(|value| !value.is_finite()) {
        return f64::INFINITY;
    }
    let difference: f64 = a.iter().zip(b).map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2)).sum();
    let size: f64 = b.iter().map(|b| f64::from(*b).powi(2)).sum();
    if size == 0.0 { difference.sqrt() } else { (difference / size).sqrt() }
}

/// Largest absolute difference; infinite as in [`rel_rms`].
pub fn max_abs(a: &[f32], b: &[f32]) -> f64 {
    if a.len() != b.len() || a.iter().chain(b).any(|value| !value.is_finite()) {
        return f64::INFINITY;
    }
    a.iter().zip(b).map(|(a, b)| (f64::from(*a) - f64::from(*b)).abs()).fold(0.0, f64::max)
}

/// Fails with the distance and the worst place when `a` is further than `limit` from `b`.
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
    panic!("{what}: rel_rms {distance:e} > {limit:e} ({} against {} numbers, worst {worst:?})", a.len(), b.len());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_wrong_number_in_many_is_seen() {
        let b: Vec<f32> = (0..4096).map(|i| (i as f32).sin()).collect();
        let mut a = b.clone();
        assert_eq!(rel_rms(&a, &b), 0.0);
        a[17] += 0.1;
        assert!(rel_rms(&a, &b) > 1e-3);
        assert!(max_abs(&a, &b) > 0.09);
    }

    #[test]
    #[cfg_attr(target_os = "wasi", ignore = "a panic ends the program there")]
    fn nothing_passes_by_accident() {
        assert_eq!(rel_rms(&[1.0], &[1.0, 2.0]), f64::INFINITY);
        assert_eq!(rel_rms(&[f32::NAN], &[1.0]), f64::INFINITY);
        assert_eq!(rel_rms(&[1.0], &[f32::NAN]), f64::INFINITY);
        assert!(rel_rms(&[1e-3], &[0.0]) > 0.0);
        assert!(std::panic::catch_unwind(|| close("x", &[1.0], &[1.1], 1e-3)).is_err());
    }
}
