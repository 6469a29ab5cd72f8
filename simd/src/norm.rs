//! Statistics and application of norms: of rows, and of the channels of a feature map.

use crate::activation::silu;
use crate::isa::vectorized;
use crate::parallel::map;

/// Partial sums of a row.
const LANES: usize = 16;
/// Pixels whose sums are added in f32, before they are added to sums in f64.
const BLOCK_PIXELS: usize = 32;
/// Pixels of a part of a feature map, which a thread sums.
const PART_PIXELS: usize = 32 * BLOCK_PIXELS;

/// Number of elements, their mean and their sum of squared deviations.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Moments {
    /// Number of elements.
    pub count: f64,
    /// Mean.
    pub mean: f64,
    /// Sum of squared deviations from the mean.
    pub squares: f64,
}

impl Moments {
    /// Returns the moments of each channel of a feature map, (pixels, channels).
    pub fn of_channels(map: &[f32], channels: usize) -> Vec<Moments> {
        let count = (map.len() / channels.max(1)) as f64;
        let (sums, _) = channel_sums(map, channels, &vec![0.0; channels]);
        let means: Vec<f64> = sums.iter().map(|sum| sum / count).collect();
        let centers: Vec<f32> = means.iter().map(|&mean| round(mean)).collect();
        let (_, squares) = channel_sums(map, channels, &centers);
        means.into_iter().zip(squares).map(|(mean, squares)| Moments { count, mean, squares }).collect()
    }

    /// Returns the moments of both sets of elements (Chan, Golub and LeVeque 1979).
    pub fn with(self, other: Moments) -> Moments {
        if self.count == 0.0 {
            return other;
        }
        let (count, delta) = (self.count + other.count, other.mean - self.mean);
        Moments {
            count,
            mean: self.mean + delta * other.count / count,
            squares: self.squares + other.squares + delta * delta * self.count * other.count / count,
        }
    }

    /// Returns the reciprocal of the standard deviation, with `eps` added to the variance.
    pub fn scale(self, eps: f32) -> f64 {
        1.0 / (self.squares / self.count + f64::from(eps)).sqrt()
    }
}

#[expect(clippy::cast_possible_truncation, reason = "rounding is intended")]
fn round(x: f64) -> f32 {
    x as f32
}

/// Returns the sum and the sum of squares of each channel's differences from its center.
fn channel_sums(map: &[f32], channels: usize, centers: &[f32]) -> (Vec<f64>, Vec<f64>) {
    let parts: Vec<&[f32]> = map.chunks(PART_PIXELS * channels.max(1)).collect();
    let summed = self::map(parts.len(), map.len() as u64, &|part| {
        let (mut sums, mut squares) = (vec![0.0; channels], vec![0.0; channels]);
        for block in parts[part].chunks(BLOCK_PIXELS * channels.max(1)) {
            let (mut block_sums, mut block_squares) = (vec![0.0; channels], vec![0.0; channels]);
            add_pixels(block, centers, &mut block_sums, &mut block_squares);
            sums.iter_mut().zip(block_sums).for_each(|(sum, block)| *sum += f64::from(block));
            squares.iter_mut().zip(block_squares).for_each(|(sum, block)| *sum += f64::from(block));
        }
        (sums, squares)
    });
    let mut totals = (vec![0.0; channels], vec![0.0; channels]);
    for (sums, squares) in summed {
        totals.0.iter_mut().zip(sums).for_each(|(total, sum)| *total += sum);
        totals.1.iter_mut().zip(squares).for_each(|(total, sum)| *total += sum);
    }
    totals
}

vectorized! {
    /// Adds the differences of each pixel's channels from their centers, and their squares.
    fn add_pixels(pixels: &[f32], centers: &[f32], sums: &mut [f32], squares: &mut [f32]) {
        for pixel in pixels.chunks_exact(centers.len()) {
            for (((value, center), sum), square) in pixel.iter().zip(centers).zip(&mut *sums).zip(&mut *squares) {
                let difference = value - center;
                *sum += difference;
                *square += difference * difference;
            }
        }
    }
}

vectorized! {
    /// Computes (x − mean) · scale + shift of each channel of a pixel, and SiLU of it if asked for.
    pub fn scale_and_shift(pixel: &[f32], mean: &[f32], scale: &[f32], shift: &[f32], with_silu: bool, out: &mut [f32]) {
        for ((((out, x), mean), scale), shift) in out.iter_mut().zip(pixel).zip(mean).zip(scale).zip(shift) {
            *out = (x - mean) * scale + shift;
        }
        if with_silu {
            silu(out);
        }
    }
}

vectorized! {
    /// Returns the mean of a row and the reciprocal of its standard deviation, with `eps` added to the variance.
    pub fn row_moments(row: &[f32], eps: f32) -> (f32, f32) {
        let count = row.len() as f32;
        let mean = lane_sum(row, &|x| x) / count;
        let variance = lane_sum(row, &|x| (x - mean) * (x - mean)) / count;
        (mean, 1.0 / (variance + eps).sqrt())
    }
}

vectorized! {
    /// Computes (x − mean) · scale · weight of part of a row.
    pub fn normalize(row: &[f32], mean: f32, scale: f32, weight: &[f32], out: &mut [f32]) {
        for ((out, x), weight) in out.iter_mut().zip(row).zip(weight) {
            *out = (x - mean) * scale * weight;
        }
    }
}

/// Returns the sum of a function of each element.
#[inline(always)]
fn lane_sum(row: &[f32], term: &impl Fn(f32) -> f32) -> f32 {
    let (chunks, rest) = row.as_chunks::<LANES>();
    let mut sums = [0.0; LANES];
    for chunk in chunks {
        sums.iter_mut().zip(chunk).for_each(|(sum, &x)| *sum += term(x));
    }
    sums.iter().sum::<f32>() + rest.iter().map(|&x| term(x)).sum::<f32>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_of_far_off_channels_are_exact() {
        let map: Vec<f32> = (0..5000).map(|at| if at % 2 == 0 { 1000.0 + (at % 7) as f32 } else { 0.5 }).collect();
        let moments = Moments::of_channels(&map, 2);
        let mean = map.iter().step_by(2).map(|&x| f64::from(x)).sum::<f64>() / 2500.0;
        let squares = map.iter().step_by(2).map(|&x| (f64::from(x) - mean).powi(2)).sum::<f64>();
        assert!((moments[0].mean - mean).abs() < 1e-6 && (moments[0].squares / squares - 1.0).abs() < 1e-6);
        assert_eq!(moments[1], Moments { count: 2500.0, mean: 0.5, squares: 0.0 });
        let both = moments[0].with(moments[1]);
        assert!((both.mean - (mean + 0.5) / 2.0).abs() < 1e-6 && both.count == 5000.0);
        let (row_mean, scale) = row_moments(&[1.0, 2.0, 3.0, 6.0], 0.0);
        assert!((row_mean, scale) == (3.0, 1.0 / 3.5f32.sqrt()));
    }
}
