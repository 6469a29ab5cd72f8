//! Turns a recipe's noise and the UNet's predictions into latents, call by call: all of a picture's
//! state that does not live on the device.

use super::generate::Job;
use super::recipe::{Recipe, Rng};
use crate::samplers::{PhiloxNoise, Sampler, TorchNoise};

/// Where a picture is.
pub struct Latents {
    /// Steps the latents.
    pub sampler: Sampler,
    /// (B, h, w, C), once they are there.
    pub now: Option<Vec<f32>>,
    /// The next call of the UNet.
    pub call: usize,
    /// The first call: not 0 where the picture starts from another.
    pub first: usize,
    /// The scene that the UNet was last told of.
    pub told: Option<(usize, usize)>,
    /// Noise for the sample of what the encoder says; drawn before the picture's own.
    pub posterior: Vec<f32>,
    own: Vec<f32>,
    noise: Noise,
    pixels: usize,
}

impl Latents {
    /// The state before anything is done.
    pub fn new(job: &Job, sampler: Sampler, channels: usize) -> Latents {
        let mut noise = Noise::new(job.recipe, channels, job.shape.pictures);
        let pixels = job.shape.height * job.shape.width;
        let posterior = if job.init.is_some() { noise.draw(pixels) } else { Vec::new() };
        let first = job.init.map_or(0, |(_, denoise)| sampler.start_index(denoise));
        Latents {
            now: None,
            call: first,
            first,
            told: None,
            posterior,
            own: noise.draw(pixels),
            noise,
            pixels,
            sampler,
        }
    }

    /// The first latents: pure noise, or the `clean` latents of a picture with noise on them.
    pub fn start(&mut self, clean: Option<Vec<f32>>) {
        let own = std::mem::take(&mut self.own);
        let scale = self.sampler.init_noise_sigma();
        self.now = Some(match clean {
            Some(clean) => self.sampler.add_noise(&clean, &own, self.first),
            None => own.into_iter().map(|value| value * scale).collect(),
        });
    }

    /// What the UNet is given at this call.
    pub fn input(&self) -> Vec<f32> {
        self.sampler.scale_input(self.call, self.now.as_deref().unwrap_or_default())
    }

    /// Ends this call with the UNet's prediction.
    pub fn step(&mut self, predicted: &[f32]) {
        let Latents { sampler, now, call, noise, pixels, .. } = self;
        let before = now.take().unwrap_or_default();
        *now = Some(sampler.step(*call, predicted, &before, &mut |_| noise.draw(*pixels)));
        *call += 1;
    }
}

/// The noise of a recipe: one generator, drawn from in order, channel by channel as PyTorch does.
struct Noise {
    torch: TorchNoise,
    philox: PhiloxNoise,
    rng: Rng,
    channels: usize,
    pictures: usize,
}

impl Noise {
    fn new(recipe: &Recipe, channels: usize, pictures: usize) -> Noise {
        let (torch, philox) = (TorchNoise::new(recipe.seed), PhiloxNoise::new(recipe.seed));
        Noise { torch, philox, rng: recipe.rng, channels, pictures }
    }

    /// The next (B, pixels, C) numbers.
    fn draw(&mut self, pixels: usize) -> Vec<f32> {
        let count = self.pictures * self.channels * pixels;
        let drawn = match self.rng {
            Rng::Torch => self.torch.randn(count),
            Rng::Philox => self.philox.randn(count),
        };
        drawn.chunks_exact(self.channels * pixels).flat_map(|item| channels_last(item, self.channels)).collect()
    }
}

/// (C, P) to (P, C): PyTorch draws noise channel by channel.
fn channels_last(data: &[f32], channels: usize) -> Vec<f32> {
    let pixels = data.len() / channels;
    (0..data.len()).map(|i| data[i % channels * pixels + i / channels]).collect()
}
