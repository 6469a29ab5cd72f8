//! Turns latents into a small picture of what they may become: three colours from four channels, by
//! a linear map.

use super::error::PipelineError;
use super::generate::Session;
use super::image::to_rgb8;
use super::model::Model;
use crate::gpu::Runner;
use crate::model::FamilyId;
use crate::num::to_f32;
use crate::plan;
use crate::samplers::TorchNoise;

/// A small picture, a pixel for each latent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Preview {
    /// Pixels.
    pub width: usize,
    /// Pixels.
    pub height: usize,
    /// 8-bit colours, row by row.
    pub rgb: Vec<u8>,
}

/// Weights of the latents' channels in each colour, and what is added.
#[derive(Debug, Clone, PartialEq)]
pub struct Previewer {
    colours: Vec<[f32; 3]>,
    bias: [f32; 3],
}

/// Edge of the latents that a map is fitted on.
const FIT: usize = 8;
/// Pictures that it is fitted on.
const FITS: usize = 4;

impl Previewer {
    /// The map of the published models' VAEs, as ComfyUI's users know it.
    pub fn published(model: &Model) -> Option<Previewer> {
        let config = &model.vae.config;
        if config.latent_channels != 4 || config.block_out_channels != [128, 256, 512, 512] {
            return None;
        }
        Some(match model.family() {
            FamilyId::Sd15 | FamilyId::Sd21 => Previewer {
                colours: vec![
                    [0.3512, 0.2297, 0.3227],
                    [0.3250, 0.4974, 0.2350],
                    [-0.2829, 0.1762, 0.2721],
                    [-0.2120, -0.2616, -0.7177],
                ],
                bias: [0.0; 3],
            },
            FamilyId::Sdxl => Previewer {
                colours: vec![
                    [0.3651, 0.4232, 0.4341],
                    [-0.2533, -0.0042, 0.1068],
                    [0.1076, 0.1111, -0.0362],
                    [-0.3165, -0.2492, -0.2188],
                ],
                bias: [0.1084, -0.0175, -0.0011],
            },
        })
    }

    /// The map that comes nearest to what a VAE made of some latents: each pixel's channels, and the
    /// mean colour there.
    pub fn fitted(pairs: &[(Vec<f32>, [f32; 3])], channels: usize) -> Previewer {
        let width = channels + 1;
        let row = |channels: &[f32]| channels.iter().map(|&x| f64::from(x)).chain([1.0]).collect::<Vec<f64>>();
        // Normal equations: at most a handful of channels.
        let mut system = vec![vec![0.0; width + 3]; width];
        for (latent, colour) in pairs {
            let row = row(latent);
            for (line, x) in system.iter_mut().zip(&row) {
                let right = row.iter().copied().chain(colour.map(f64::from));
                line.iter_mut().zip(right).for_each(|(cell, y)| *cell += x * y);
            }
        }
        for (at, line) in system.iter_mut().enumerate() {
            line[at] += 1e-6;
        }
        for pivot in 0..width {
            let own: Vec<f64> = system[pivot].iter().map(|cell| cell / system[pivot][pivot]).collect();
            for (index, line) in system.iter_mut().enumerate() {
                let factor = line[pivot];
                match index == pivot {
                    true => line.clone_from(&own),
                    false => line.iter_mut().zip(&own).for_each(|(cell, own)| *cell -= factor * own),
                }
            }
        }
        let colour = |line: &Vec<f64>| [line[width], line[width + 1], line[width + 2]].map(to_f32);
        let mut colours: Vec<[f32; 3]> = system.iter().map(colour).collect();
        let bias = colours.pop().unwrap_or_default();
        Previewer { colours, bias }
    }

    /// The picture of one map of latents (h, w, C).
    pub fn show(&self, latents: &[f32], height: usize, width: usize) -> Preview {
        let colour = |pixel: &[f32]| {
            let mut sum = self.bias;
            for (value, weights) in pixel.iter().zip(&self.colours) {
                sum.iter_mut().zip(weights).for_each(|(sum, weight)| *sum += value * weight);
            }
            sum
        };
        let colours: Vec<f32> = latents.chunks_exact(self.colours.len()).flat_map(colour).collect();
        Preview { width, height, rgb: to_rgb8(&colours) }
    }
}

impl Session {
    /// A map for a VAE that nobody has published one for, from decoding some noise.
    pub(super) async fn fitted_previewer(&self) -> Result<Previewer, PipelineError> {
        let (channels, multiple) = (self.model.vae.config.latent_channels, self.model.size_multiple());
        let plan = plan::vae_decoder(&self.model.vae, 1, FIT, FIT)?;
        let decoder = Runner::new(&self.gpu, &plan, &|name| self.weights.get(name)).await?;
        let mut noise = TorchNoise::new(0);
        let mut pairs = Vec::new();
        for _ in 0..FITS {
            let latent = noise.randn(FIT * FIT * channels);
            let image = self.decode_one(&decoder, &latent, &mut || Ok(())).await?;
            for (at, pixel) in latent.chunks_exact(channels).enumerate() {
                let (row, column) = (at / FIT * multiple, at % FIT * multiple);
                let place = |i: usize| ((row + i / multiple) * FIT * multiple + column + i % multiple) * 3;
                let mut colour = [0.0; 3];
                for i in 0..multiple * multiple {
                    colour.iter_mut().zip(&image[place(i)..]).for_each(|(sum, value)| *sum += value);
                }
                pairs.push((pixel.to_vec(), colour.map(|sum| sum / (multiple * multiple) as f32)));
            }
        }
        Ok(Previewer::fitted(&pairs, channels))
    }
}
