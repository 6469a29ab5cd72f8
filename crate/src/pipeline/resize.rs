//! Turns pictures and latents into larger ones, as PyTorch's `interpolate` does.

use crate::num::{to_f32, to_index};

/// How a value between two pixels is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Filter {
    /// From its two neighbours.
    Linear,
    /// From its four neighbours, by Keys' cubic with a = -3/4.
    Cubic,
}

impl Filter {
    /// Weights of the pixels from `floor(place) - 1` on.
    fn weights(self, share: f64) -> [f64; 4] {
        match self {
            Filter::Linear => [0.0, 1.0 - share, share, 0.0],
            Filter::Cubic => {
                const A: f64 = -0.75;
                let near = |x: f64| ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0;
                let far = |x: f64| ((A * x - 5.0 * A) * x + 8.0 * A) * x - 4.0 * A;
                [far(share + 1.0), near(share), near(1.0 - share), far(2.0 - share)]
            }
        }
    }
}

/// One map (H, W, C) in another size (height, width): pixel centres keep their place.
pub fn resize(map: &[f32], from: (usize, usize), to: (usize, usize), filter: Filter) -> Vec<f32> {
    let channels = map.len() / (from.0 * from.1);
    let rows = along(map, (1, from.0, from.1 * channels), to.0, filter);
    along(&rows, (to.0, from.1, channels), to.1, filter)
}

/// Resizes the middle axis of (outer, length, inner).
fn along(map: &[f32], (outer, length, inner): (usize, usize, usize), to: usize, filter: Filter) -> Vec<f32> {
    let mut out = Vec::with_capacity(outer * to * inner);
    for part in map.chunks_exact(length * inner) {
        for at in 0..to {
            let place = (at as f64 + 0.5) * length as f64 / to as f64 - 0.5;
            let place = if filter == Filter::Linear { place.max(0.0) } else { place };
            let weights = filter.weights(place - place.floor());
            let row = |tap: usize| {
                let row = to_index((place.floor() + tap as f64 - 1.0).clamp(0.0, length as f64 - 1.0));
                &part[row * inner..(row + 1) * inner]
            };
            let taps: [&[f32]; 4] = std::array::from_fn(row);
            out.extend(
                (0..inner)
                    .map(|i| to_f32(taps.iter().zip(weights).map(|(tap, weight)| f64::from(tap[i]) * weight).sum())),
            );
        }
    }
    out
}

/// A mask (H, W) of a picture as one of its latents: white from the middle on, taken at every
/// latent's first pixel.
pub fn latent_mask(mask: &[f32], width: usize, multiple: usize) -> Vec<bool> {
    let rows = mask.chunks_exact(width).step_by(multiple);
    rows.flat_map(|row| row.iter().step_by(multiple).map(|&value| value >= 0.5)).collect()
}
