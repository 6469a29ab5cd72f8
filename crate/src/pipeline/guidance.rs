//! Classifier-free guidance: the predictions of a call's prompts -> one prediction.

use super::recipe::Recipe;
use crate::num::to_f32;
use crate::program::Program;

/// How the predictions of a call are combined.
#[derive(Debug, Clone, PartialEq)]
pub struct Guidance {
    /// CFG scale; 1 if the denoiser reads it instead, or if the program applies none.
    scale: f32,
    /// Weight of each prompt: one, or those of the parts of a composed prompt.
    weights: Vec<f32>,
    /// Share of the combined prediction that is rescaled to the deviation of the prompt's.
    rescale: f32,
    /// Whether the sampler needs the prediction for the negative prompt by itself (CFG++).
    is_cfg_pp: bool,
}

impl Guidance {
    /// Returns the guidance of a recipe with prompts of these weights. `is_embedded`: the denoiser reads the CFG scale.
    pub fn new(recipe: &Recipe, weights: Vec<f32>, is_embedded: bool) -> Guidance {
        let scale = match recipe.program {
            _ if is_embedded => 1.0,
            Program::Diffusers => recipe.guidance.max(1.0),
            Program::A1111 | Program::Comfyui => recipe.guidance,
        };
        let divisor = recipe.sampler.cfg_pp_divisor();
        Guidance {
            scale: scale / divisor.unwrap_or(1.0),
            weights,
            rescale: recipe.guidance_rescale,
            is_cfg_pp: divisor.is_some() && !is_embedded,
        }
    }

    /// Returns the number of prompts besides the negative one.
    pub fn prompts(&self) -> usize {
        self.weights.len()
    }

    /// Returns whether the negative prompt has an effect.
    pub fn needs_negative(&self) -> bool {
        self.is_cfg_pp || self.scale * self.weights.iter().sum::<f32>() != 1.0
    }

    /// Combines a call's predictions of `len` values each: u + scale · Σ weight · (c - u), with the negative prompt's u
    /// first, if it is needed. `images` images are rescaled separately. A call that is not guided has the scale 1 and,
    /// as in the web UI, the first prompt's c for u.
    pub fn combine(&self, predictions: &[f32], len: usize, images: usize, is_guided: bool) -> Vec<f32> {
        let (negative, prompts) = predictions.split_at(if self.needs_negative() { len } else { 0 });
        let (negative, scale) = if is_guided { (negative, self.scale) } else { (&prompts[..len], 1.0) };
        let factors = || self.weights.iter().map(|weight| weight * scale);
        if self.weights == [1.0] && negative.is_empty() {
            return prompts.to_vec();
        }
        let mut combined = if negative.is_empty() { vec![0.0; len] } else { negative.to_vec() };
        for (prompt, factor) in prompts.chunks_exact(len).zip(factors()) {
            match negative.is_empty() {
                true => combined.iter_mut().zip(prompt).for_each(|(sum, c)| *sum += factor * c),
                false => {
                    combined.iter_mut().zip(negative).zip(prompt).for_each(|((sum, u), c)| *sum += factor * (c - u))
                }
            }
        }
        if self.rescale > 0.0 && !negative.is_empty() {
            let one = len / images;
            let pairs = combined.chunks_exact_mut(one).zip(prompts.chunks_exact(one));
            pairs.for_each(|(combined, prompt)| rescale(combined, prompt, self.rescale));
        }
        combined
    }
}

/// Rescales a share of a prediction to the standard deviation of the prompt's.
/// Source: Lin et al., "Common Diffusion Noise Schedules and Sample Steps are Flawed", 2023, section 3.4.
fn rescale(combined: &mut [f32], prompt: &[f32], share: f32) {
    let factor = deviation(prompt) / deviation(combined);
    if factor.is_finite() {
        let factor = share * to_f32(factor) + (1.0 - share);
        combined.iter_mut().for_each(|value| *value *= factor);
    }
}

fn deviation(values: &[f32]) -> f64 {
    let count = values.len() as f64;
    let mean = values.iter().map(|value| f64::from(*value)).sum::<f64>() / count;
    (values.iter().map(|value| (f64::from(*value) - mean).powi(2)).sum::<f64>() / count).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guidance(scale: f32, weights: &[f32], rescale: f32) -> Guidance {
        Guidance { scale, weights: weights.to_vec(), rescale, is_cfg_pp: false }
    }

    #[test]
    fn predictions_are_combined_by_their_weights() {
        assert_eq!(guidance(3.0, &[1.0], 0.0).combine(&[1.0, 2.0, 2.0, 0.0], 2, 1, true), [4.0, -4.0]);
        assert_eq!(guidance(2.0, &[1.5, -0.5], 0.0).combine(&[1.0, 3.0, 5.0], 1, 1, true), [1.0 + 3.0 * 2.0 - 4.0]);
        // Without an effect of the negative prompt, only the prompts are predicted.
        assert!(!guidance(1.0, &[0.25, 0.75], 0.0).needs_negative());
        assert_eq!(guidance(1.0, &[0.25, 0.75], 0.0).combine(&[4.0, 8.0], 1, 1, true), [7.0]);
        assert_eq!(guidance(1.0, &[1.0], 0.7).combine(&[4.0, 8.0], 2, 1, true), [4.0, 8.0]);
        assert!(guidance(1.0, &[1.2], 0.0).needs_negative() && guidance(0.5, &[1.0], 0.0).needs_negative());
    }

    #[test]
    fn rescaling_restores_the_deviation_of_each_image() {
        // Two images: the prompt's deviations are 1 and 2, those of the combinations 3 and 6.
        let predictions = [0.0, 0.0, 0.0, 0.0, 1.0, -1.0, 2.0, -2.0];
        assert_eq!(guidance(3.0, &[1.0], 1.0).combine(&predictions, 4, 2, true), [1.0, -1.0, 2.0, -2.0]);
        assert_eq!(guidance(3.0, &[1.0], 0.5).combine(&predictions, 4, 2, true), [2.0, -2.0, 4.0, -4.0]);
    }
}
