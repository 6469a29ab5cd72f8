//! Turns a recipe's noise and the UNet's predictions into latents, call by call: all of a picture's
//! state that does not live on the device.

use super::generate::{Request, Start};
use super::preview::Preview;
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
    pub bound_segment: Option<(usize, usize)>,
    /// Noise for the sample of what the encoder says; drawn before the picture's own.
    pub posterior: Vec<f32>,
    /// What the picture may become, as of the last call.
    pub preview: Option<Preview>,
    /// The picture's own latents, its noise and where it is drawn anew.
    inpaint: Option<(Vec<f32>, Vec<f32>, Vec<bool>)>,
    from_noise: bool,
    own: Vec<f32>,
    noise: Noise,
    pixels: usize,
}

impl Latents {
    /// The state before anything is done.
    pub fn new(job: &Request, sampler: Sampler, channels: usize) -> Latents {
        let mut noise = Noise::new(job.recipe, channels, job.shape.pictures);
        let pixels = job.shape.height * job.shape.width;
        let is_sampled = matches!(job.start, Start::Picture { .. });
        // The picture is one, however many are drawn from it.
        let posterior = if is_sampled { noise.draw_one(pixels).repeat(job.shape.pictures) } else { Vec::new() };
        let first = job.start.denoise().map_or(0, |denoise| sampler.start_index(denoise));
        let own = noise.draw(pixels);
        let mask = match &job.start {
            Start::Picture { mask, .. } => mask.clone(),
            _ => None,
        };
        if mask.is_some() {
            // The reference also encodes the picture without what is masked, for inpainting models.
            noise.draw_one(pixels);
        }
        Latents {
            preview: None,
            // With a mask, a strength of 1 leaves nothing of the picture in what is drawn anew.
            from_noise: mask.is_some() && job.start.denoise() == Some(1.0),
            inpaint: mask.map(|mask| (Vec::new(), own.clone(), mask)),
            now: None,
            call: first,
            first,
            bound_segment: None,
            posterior,
            own,
            noise,
            pixels,
            sampler,
        }
    }

    /// The first latents: pure noise, or the `clean` latents of a picture with noise on them.
    pub fn start(&mut self, clean: Option<Vec<f32>>) {
        let own = std::mem::take(&mut self.own);
        let scale = self.sampler.init_noise_sigma();
        if let (Some((picture, _, _)), Some(clean)) = (&mut self.inpaint, &clean) {
            picture.clone_from(clean);
        }
        self.now = Some(match clean.filter(|_| !self.from_noise) {
            Some(clean) => self.sampler.add_noise(&clean, &own, self.first),
            None => own.into_iter().map(|value| value * scale).collect(),
        });
    }

    /// What the UNet is given at this call.
    pub fn input(&self) -> Vec<f32> {
        self.sampler.scale_input(self.call, self.now.as_deref().unwrap_or_default())
    }

    /// The clean latents that a prediction means at this call.
    pub fn clean(&self, predicted: &[f32]) -> Vec<f32> {
        self.sampler.clean(self.call, predicted, self.now.as_deref().unwrap_or_default())
    }

    /// Ends this call with the UNet's prediction. What is not drawn anew becomes the picture's own
    /// latents again, with as much noise as there is now.
    pub fn step(&mut self, predicted: &[f32]) {
        let Latents { sampler, now, call, noise, pixels, inpaint: masked, .. } = self;
        let before = now.take().unwrap_or_default();
        let mut next = sampler.step(*call, predicted, &before, &mut |_| noise.draw(*pixels));
        *call += 1;
        if let Some((picture, own, mask)) = masked {
            let noised = match *call < sampler.timesteps().len() {
                true => sampler.add_noise(picture, own, *call),
                false => picture.clone(),
            };
            let channels = next.len() / *pixels / noise.pictures;
            for (at, (value, kept)) in next.iter_mut().zip(noised).enumerate() {
                if !mask[at / channels % mask.len()] {
                    *value = kept;
                }
            }
        }
        *now = Some(next);
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
        self.draw_of(self.pictures, pixels)
    }

    /// The next (pixels, C) numbers.
    fn draw_one(&mut self, pixels: usize) -> Vec<f32> {
        self.draw_of(1, pixels)
    }

    fn draw_of(&mut self, pictures: usize, pixels: usize) -> Vec<f32> {
        let count = pictures * self.channels * pixels;
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
