//! Interpolation of images and latents, as in PyTorch's `interpolate`, and of 8-bit images, as in Pillow.

use super::image::DecodedImage;
use crate::num::{to_f32, to_index, to_whole};
use std::f64::consts::PI;

/// Interpolation method.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Filter {
    /// Bilinear: two neighbours per axis.
    Linear,
    /// Bicubic: four neighbours per axis, Keys' cubic with a = -3/4.
    Cubic,
}

impl Filter {
    /// Returns the weights of the four pixels from `floor(position) - 1` on, for the position's `fraction`.
    fn weights(self, fraction: f64) -> [f64; 4] {
        match self {
            Filter::Linear => [0.0, 1.0 - fraction, fraction, 0.0],
            Filter::Cubic => {
                const A: f64 = -0.75;
                let near = |x: f64| ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0;
                let far = |x: f64| ((A * x - 5.0 * A) * x + 8.0 * A) * x - 4.0 * A;
                [far(fraction + 1.0), near(fraction), near(1.0 - fraction), far(2.0 - fraction)]
            }
        }
    }
}

/// Resizes an image (H, W, C) between sizes (height, width), with aligned pixel centres (`align_corners=False`).
pub fn resize(map: &[f32], from: (usize, usize), to: (usize, usize), filter: Filter) -> Vec<f32> {
    let channels = map.len() / (from.0 * from.1);
    let rows = resize_axis(map, (1, from.0, from.1 * channels), to.0, filter);
    resize_axis(&rows, (to.0, from.1, channels), to.1, filter)
}

/// Resizes the middle axis of (outer, length, inner).
fn resize_axis(map: &[f32], (outer, length, inner): (usize, usize, usize), to: usize, filter: Filter) -> Vec<f32> {
    let mut out = Vec::with_capacity(outer * to * inner);
    for part in map.chunks_exact(length * inner) {
        for at in 0..to {
            let position = (at as f64 + 0.5) * length as f64 / to as f64 - 0.5;
            let position = if filter == Filter::Linear { position.max(0.0) } else { position };
            let weights = filter.weights(position - position.floor());
            let row = |tap: usize| {
                let row = to_index((position.floor() + tap as f64 - 1.0).clamp(0.0, length as f64 - 1.0));
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

/// A filter of Pillow's.
#[derive(Debug, Clone, Copy)]
enum Pillow {
    /// Lanczos' filter with a support of three pixels.
    Lanczos,
    /// Keys' cubic with a = -1/2.
    Bicubic,
}

impl Pillow {
    /// Pixels on each side that have an effect.
    fn support(self) -> f64 {
        match self {
            Pillow::Lanczos => 3.0,
            Pillow::Bicubic => 2.0,
        }
    }

    fn weight(self, x: f64) -> f64 {
        let sinc = |x: f64| if x == 0.0 { 1.0 } else { (PI * x).sin() / (PI * x) };
        match self {
            Pillow::Lanczos if (-3.0..3.0).contains(&x) => sinc(x) * sinc(x / 3.0),
            Pillow::Lanczos => 0.0,
            Pillow::Bicubic => match x.abs() {
                x if x < 1.0 => (1.5 * x - 2.5) * x * x + 1.0,
                x if x < 2.0 => ((-0.5 * x + 2.5) * x - 4.0) * x + 2.0,
                _ => 0.0,
            },
        }
    }

    /// Resizes an image of (width, height) with so many channels: along the rows, then along the columns, with weights of
    /// 22 bits after the point.
    fn resize(self, data: Vec<u8>, channels: usize, from: (usize, usize), to: (usize, usize)) -> Vec<u8> {
        let rows = if from.0 == to.0 { data } else { self.resize_axis(&data, (from.1, from.0, channels), to.0) };
        if from.1 == to.1 { rows } else { self.resize_axis(&rows, (1, from.1, channels * to.0), to.1) }
    }

    /// Resizes the middle axis of (outer, length, inner).
    fn resize_axis(self, map: &[u8], (outer, length, inner): (usize, usize, usize), to: usize) -> Vec<u8> {
        let filters: Vec<(usize, Vec<i64>)> = (0..to).map(|at| self.weights(at, length, to)).collect();
        let mut out = Vec::with_capacity(outer * to * inner);
        for part in map.chunks_exact(length * inner) {
            for (first, weights) in &filters {
                out.extend((0..inner).map(|i| {
                    let taps = weights.iter().zip(part[first * inner + i..].iter().step_by(inner));
                    let sum = taps.fold(1 << 21, |sum, (weight, &value)| sum + weight * i64::from(value));
                    u8::try_from((sum >> 22).clamp(0, 255)).unwrap_or(0)
                }));
            }
        }
        out
    }

    /// Returns the first pixel that an output pixel reads, and the weights from it on.
    fn weights(self, at: usize, length: usize, to: usize) -> (usize, Vec<i64>) {
        let scale = length as f64 / to as f64;
        let (center, wide) = ((at as f64 + 0.5) * scale, scale.max(1.0));
        let first = to_index((center - self.support() * wide + 0.5).max(0.0));
        let end = to_index(center + self.support() * wide + 0.5).min(length);
        let weights: Vec<f64> = (first..end).map(|x| self.weight((x as f64 - center + 0.5) / wide)).collect();
        let sum: f64 = weights.iter().sum();
        (first, weights.iter().map(|weight| to_whole((weight / sum * f64::from(1 << 22)).round())).collect())
    }
}

/// Resizes an image to (width, height) by Lanczos' filter with a support of three pixels, as Pillow does.
pub fn lanczos(image: DecodedImage, to: (usize, usize)) -> DecodedImage {
    let DecodedImage { width, height, rgb } = image;
    DecodedImage { width: to.0, height: to.1, rgb: Pillow::Lanczos.resize(rgb, 3, (width, height), to) }
}

/// [`lanczos`] of a mask of (width, height).
pub fn lanczos_mask(mask: &[u8], from: (usize, usize), to: (usize, usize)) -> Vec<u8> {
    Pillow::Lanczos.resize(mask.to_vec(), 1, from, to)
}

/// Resizes a mask of (width, height) by Pillow's bicubic filter.
pub fn bicubic_mask(mask: &[u8], from: (usize, usize), to: (usize, usize)) -> Vec<u8> {
    Pillow::Bicubic.resize(mask.to_vec(), 1, from, to)
}

/// Reduces an image mask (H, W) to the latents' size by nearest sampling: true for values of at least 0.5 at
/// each latent's top left pixel.
pub fn latent_mask(mask: &[f32], width: usize, multiple: usize) -> Vec<bool> {
    let rows = mask.chunks_exact(width).step_by(multiple);
    rows.flat_map(|row| row.iter().step_by(multiple).map(|&value| value >= 0.5)).collect()
}
