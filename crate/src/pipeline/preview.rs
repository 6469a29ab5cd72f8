//! Latent previews: a linear map from the latent channels to RGB.

use super::image::to_rgb8;
use crate::num::to_f32;

/// A preview image, one pixel per latent position.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Preview {
    /// Width in pixels.
    pub width: usize,
    /// Height in pixels.
    pub height: usize,
    /// 8-bit RGB, row by row.
    pub rgb: Vec<u8>,
}

/// A linear map from latent channels to RGB.
#[derive(Debug, Clone, PartialEq)]
pub struct Previewer {
    /// RGB weights of each latent channel.
    factors: Vec<[f32; 3]>,
    bias: [f32; 3],
}

impl Previewer {
    /// Returns a map with these RGB weights of each latent channel.
    pub fn new(factors: Vec<[f32; 3]>, bias: [f32; 3]) -> Previewer {
        Previewer { factors, bias }
    }

    /// Fits a map by least squares to pairs of a latent position's channels and the mean RGB that the VAE
    /// decodes there.
    pub fn fitted(pairs: &[(Vec<f32>, [f32; 3])], channels: usize) -> Previewer {
        let width = channels + 1;
        let row = |channels: &[f32]| channels.iter().map(|&x| f64::from(x)).chain([1.0]).collect::<Vec<f64>>();
        // Normal equations suffice for a handful of channels.
        let mut system = vec![vec![0.0; width + 3]; width];
        for (latent, rgb) in pairs {
            let row = row(latent);
            for (line, x) in system.iter_mut().zip(&row) {
                let right = row.iter().copied().chain(rgb.map(f64::from));
                line.iter_mut().zip(right).for_each(|(cell, y)| *cell += x * y);
            }
        }
        for (at, line) in system.iter_mut().enumerate() {
            line[at] += 1e-6;
        }
        for pivot in 0..width {
            let pivot_line: Vec<f64> = system[pivot].iter().map(|cell| cell / system[pivot][pivot]).collect();
            for (index, line) in system.iter_mut().enumerate() {
                let factor = line[pivot];
                match index == pivot {
                    true => line.clone_from(&pivot_line),
                    false => line.iter_mut().zip(&pivot_line).for_each(|(cell, value)| *cell -= factor * value),
                }
            }
        }
        let solution = |line: &Vec<f64>| [line[width], line[width + 1], line[width + 2]].map(to_f32);
        let mut factors: Vec<[f32; 3]> = system.iter().map(solution).collect();
        let bias = factors.pop().unwrap_or_default();
        Previewer { factors, bias }
    }

    /// Renders one image's latents (h, w, C).
    pub fn show(&self, latents: &[f32], height: usize, width: usize) -> Preview {
        let rgb = |channels: &[f32]| {
            let mut sum = self.bias;
            for (value, weights) in channels.iter().zip(&self.factors) {
                sum.iter_mut().zip(weights).for_each(|(sum, weight)| *sum += value * weight);
            }
            sum
        };
        let pixels: Vec<f32> = latents.chunks_exact(self.factors.len()).flat_map(rgb).collect();
        Preview { width, height, rgb: to_rgb8(&pixels) }
    }
}
