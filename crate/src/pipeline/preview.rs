//! Latent previews: a linear map from the latent channels to RGB.

use super::image::to_rgb8;
use crate::linalg::{Matrix, solve};

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
        let rows = pairs.iter().flat_map(|(latent, _)| latent.iter().map(|&x| f64::from(x)).chain([1.0]));
        let x = Matrix { rows: pairs.len(), columns: width, data: rows.collect() };
        let colors = pairs.iter().flat_map(|(_, rgb)| rgb.map(f64::from));
        let y = Matrix { rows: pairs.len(), columns: 3, data: colors.collect() };
        // Normal equations suffice for a handful of channels.
        let mut normal = x.transposed_times(&x);
        (0..width).for_each(|at| normal.data[at * width + at] += 1e-6);
        let solution = solve(normal, x.transposed_times(&y)).to_f32();
        let mut factors: Vec<[f32; 3]> = solution.as_chunks::<3>().0.to_vec();
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fit_recovers_a_linear_map() {
        let factors = vec![[0.5, -0.25, 1.0], [0.125, 0.75, -0.5], [-1.0, 0.375, 0.25], [0.0, 0.625, -0.75]];
        let map = Previewer { factors, bias: [0.5, -0.125, 0.25] };
        let channel = |position: usize, channel: usize| ((position * 37 + channel * 11) * 29 % 101) as f32 / 32.0 - 1.5;
        let pairs = (0..64).map(|position| {
            let latent: Vec<f32> = (0..4).map(|at| channel(position, at) * channel(position, at + 4)).collect();
            let mut rgb = map.bias;
            for (x, weights) in latent.iter().zip(&map.factors) {
                rgb.iter_mut().zip(weights).for_each(|(sum, weight)| *sum += x * weight);
            }
            (latent, rgb)
        });
        let fitted = Previewer::fitted(&pairs.collect::<Vec<_>>(), 4);
        assert_eq!(fitted.factors.len(), 4);
        let got = fitted.factors.iter().chain([&fitted.bias]).flatten();
        let want = map.factors.iter().chain([&map.bias]).flatten();
        assert!(got.zip(want).all(|(got, want)| (got - want).abs() < 1e-5), "{fitted:?}");
    }
}
