//! Sampling state of an image on the CPU: latents, noise and the current call.

use super::noise::{Noise, NoiseShape};
use super::preview::Preview;
use super::recipe::Recipe;
use super::request::{Request, Start};
use super::spec::LatentSpace;
use crate::program::Program;
use crate::samplers::{NoiseRules, Outputs, Sampler};

/// Sampling state of an image or batch.
pub struct Latents {
    /// Sampler that steps the latents.
    pub sampler: Sampler,
    /// Current latents, (B, h, w, C); `None` until [`start`](Self::start).
    pub current: Option<Vec<f32>>,
    /// Index of the next UNet call.
    pub next_call: usize,
    /// Index of the first UNet call; above 0 in image-to-image runs.
    pub first_call: usize,
    /// Prompt segment whose conditioning is bound to the UNet: the index of each prompt's text.
    pub bound_segment: Option<Vec<usize>>,
    /// Noise for sampling the encoder's distribution; drawn before the initial noise.
    pub posterior: Vec<f32>,
    /// The same for the masked image of an inpainting model; drawn after the initial noise.
    pub masked_posterior: Vec<f32>,
    /// What an inpainting model reads besides the latents: the mask and the latents of the masked image, (B, h, w, 1 + C).
    masked: Option<Vec<f32>>,
    /// Preview as of the last call.
    pub preview: Option<Preview>,
    /// Latents of the init image, their noise, and the mask of the positions to regenerate.
    inpaint: Option<(Vec<f32>, Vec<f32>, Vec<bool>)>,
    /// Whether the initial latents are pure noise despite an init image.
    from_noise: bool,
    initial_noise: Vec<f32>,
    noise: Noise,
    /// Latent positions of one image, h * w.
    pixels: usize,
}

impl Latents {
    /// Creates the state before the first call.
    pub fn new(request: &Request, sampler: Sampler, space: LatentSpace) -> Latents {
        let Request { recipe, shape, .. } = request;
        let LatentSpace { channels, pixels: multiple, reads_masked_image, .. } = space;
        let pixels = shape.height * shape.width;
        let rules = NoiseRules::of(recipe.program, &recipe.web_ui.unwrap_or_default());
        let size = (shape.height, shape.width);
        let noise_shape = NoiseShape { batch: shape.images, size, channels, multiple };
        let mut noise = Noise::new(recipe, rules, sampler.noise_range(), noise_shape);
        let mask = request.start.mask();
        // With a mask, a strength of 1 regenerates the masked area from pure noise.
        let from_noise = mask.is_some() && request.start.denoise() == Some(1.0);
        // For an inpainting model, diffusers encodes the init image only if it starts from it.
        let is_encoded = matches!(request.start, Start::Image { .. }) && !(reads_masked_image && from_noise);
        let is_sampled = rules.samples_encoder && is_encoded;
        // The whole batch shares one sample of the init image.
        let posterior = if is_sampled { noise.draw_one(pixels).repeat(request.shape.images) } else { Vec::new() };
        let first = request.start.denoise().map_or(0, |denoise| sampler.start_index(denoise));
        let initial_noise = noise.initial();
        // diffusers encodes the masked image for every model, which draws noise.
        let masked_posterior = match mask.is_some() || reads_masked_image && rules.samples_encoder {
            true => noise.draw_one(pixels).repeat(shape.images),
            false => Vec::new(),
        };
        // diffusers leaves the rest of the image to an inpainting model; the web UIs likely restore it after each
        // step, as with other models (not seen).
        let is_restored = !(reads_masked_image && recipe.program == Program::Diffusers);
        let restored = mask.filter(|_| is_restored).map(|mask| mask.latents.clone());
        Latents {
            preview: None,
            from_noise,
            inpaint: restored.map(|mask| (Vec::new(), initial_noise.clone(), mask)),
            masked_posterior: if rules.samples_encoder { masked_posterior } else { Vec::new() },
            masked: None,
            current: None,
            next_call: first,
            first_call: first,
            bound_segment: None,
            posterior,
            initial_noise,
            noise,
            pixels,
            sampler,
        }
    }

    /// Sets the initial latents: pure noise, or the `clean` latents of an image with noise added.
    pub fn start(&mut self, clean: Option<Vec<f32>>) {
        let noise = std::mem::take(&mut self.initial_noise);
        if let (Some((init, _, _)), Some(clean)) = (&mut self.inpaint, &clean) {
            init.clone_from(clean);
        }
        let clean = clean.filter(|_| !self.from_noise);
        let sample = self.sampler.start(clean.as_deref(), &noise, self.first_call);
        self.current = Some(self.sampler.begin(sample, &mut self.noise));
    }

    /// Returns whether the init image is not needed.
    pub fn starts_from_noise(&self) -> bool {
        self.from_noise && self.inpaint.is_none()
    }

    /// Sets what an inpainting model reads besides the latents. Without a mask, everything is regenerated.
    pub fn set_masked(&mut self, mask: Option<&[bool]>, encoded: &[f32], images: usize) {
        let channels = encoded.len() / images / self.pixels;
        let value = |at: usize| mask.is_none_or(|mask| mask[at % mask.len()]);
        let rows = encoded.chunks_exact(channels).enumerate();
        self.masked = Some(rows.flat_map(|(at, row)| [&[f32::from(value(at))], row].concat()).collect());
    }

    /// Returns the UNet's input from the latents at this call: with mask and masked image for an inpainting model.
    pub fn sample(&self, latents: &[f32], images: usize) -> Vec<f32> {
        let Some(masked) = &self.masked else { return latents.to_vec() };
        let positions = images * self.pixels;
        let rows = latents.chunks_exact(latents.len() / positions).zip(masked.chunks_exact(masked.len() / positions));
        rows.flat_map(|(latent, masked)| [latent, masked].concat()).collect()
    }

    /// Returns whether there are no more UNet calls.
    pub fn is_done(&self) -> bool {
        self.next_call >= self.sampler.timesteps().len()
    }

    /// Returns the number of UNet calls of this run; that of a sampler which chooses its steps grows.
    pub fn calls(&self) -> usize {
        self.sampler.timesteps().len() - self.first_call
    }

    /// Returns the index of the next UNet call in this run, from 0.
    pub fn relative_call(&self) -> usize {
        self.next_call - self.first_call
    }

    /// Returns whether the negative prompt has an effect at this call, which A1111's settings "NGMS" and "Skip Early
    /// CFG" decide.
    pub fn is_guided(&self, recipe: &Recipe) -> bool {
        let Some(settings) = recipe.web_ui.filter(|_| recipe.program == Program::A1111) else { return true };
        let (call, per_step) = (self.relative_call(), recipe.sampler.calls_per_step());
        let calls = self.calls().div_ceil(per_step) * per_step;
        let is_early = |share: f64| share > 0.0 && call as f64 / calls as f64 <= share;
        if settings.skip_early_guidance.is_some_and(is_early) {
            return false;
        }
        let is_late = |min: f64| call % 2 == 1 && self.sampler.web_ui_sigma(self.next_call) < min;
        !settings.min_sigma_of_guidance.is_some_and(is_late)
    }

    /// Returns the UNet's input at this call.
    pub fn input(&self) -> Vec<f32> {
        self.sampler.scale_input(self.next_call, self.current.as_deref().unwrap_or_default())
    }

    /// Returns the clean latents (x₀) that a prediction implies at this call.
    pub fn predicted_x0(&self, predicted: &[f32]) -> Vec<f32> {
        self.sampler.predicted_x0(self.next_call, predicted, self.current.as_deref().unwrap_or_default())
    }

    /// Completes this call with the UNet's predictions. Outside the mask, the latents are replaced by those
    /// of the init image, noised to the current level.
    pub fn step(&mut self, predicted: Outputs) {
        let Latents { sampler, current: now, next_call: call, noise, pixels, inpaint, .. } = self;
        let sample = now.take().unwrap_or_default();
        let mut next = sampler.step(*call, predicted, &sample, noise);
        *call += 1;
        if let Some((init, init_noise, mask)) = inpaint {
            let noised = match *call < sampler.timesteps().len() {
                true => sampler.add_noise(init, init_noise, *call),
                false => init.clone(),
            };
            let channels = next.len() / *pixels / noise.batch();
            for (at, (value, kept)) in next.iter_mut().zip(noised).enumerate() {
                if !mask[at / channels % mask.len()] {
                    *value = kept;
                }
            }
        }
        *now = Some(next);
    }
}
