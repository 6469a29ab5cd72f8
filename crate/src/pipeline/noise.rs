//! The noise of an image or batch: generators and Brownian paths, seeded as the recipe's program does.

use super::recipe::{Recipe, Rng};
use crate::samplers::{BrownianPath, NoiseRules, NoiseSource, PhiloxNoise, TorchNoise};

/// Noise of a pass, drawn in order, channels first as in PyTorch, and returned channels last.
pub(super) struct Noise {
    /// Generators of the initial noise: one for the batch, or one for each image.
    generators: Vec<Generator>,
    /// Generators of the steps' noise, if they are others.
    step_generators: Option<Vec<Generator>>,
    /// Brownian paths, one for each generator; empty if the steps' noise is independent.
    paths: Vec<BrownianPath>,
    channels: usize,
    batch: usize,
}

/// A seeded generator.
#[derive(Clone)]
enum Generator {
    Torch(Box<TorchNoise>),
    Philox(PhiloxNoise),
}

impl Generator {
    fn new(rng: Rng, seed: u64) -> Self {
        match rng {
            Rng::Torch => Self::Torch(Box::new(TorchNoise::new(seed))),
            Rng::Philox => Self::Philox(PhiloxNoise::new(seed)),
        }
    }

    fn randn(&mut self, n: usize) -> Vec<f32> {
        match self {
            Self::Torch(noise) => noise.randn(n),
            Self::Philox(noise) => noise.randn(n),
        }
    }
}

impl Noise {
    /// Creates the noise of a batch of latents of `pixels` positions. `range` are the smallest and the largest σ of
    /// the run, if its steps' noise is from Brownian paths.
    pub fn new(recipe: &Recipe, rules: NoiseRules, range: Option<(f64, f64)>, shape: (usize, usize, usize)) -> Noise {
        let (batch, pixels, channels) = shape;
        let rng = recipe.rng;
        let generators = if rules.seeds_each_image { batch as u64 } else { 1 };
        let seeds: Vec<u64> = (0..generators).map(|i| recipe.seed.wrapping_add(i)).collect();
        let generators = |delta: i64| {
            seeds.iter().map(|seed| Generator::new(rng, seed.wrapping_add_signed(delta))).collect::<Vec<_>>()
        };
        let count = channels * pixels * batch / seeds.len();
        let path = |range| {
            let unit = move |seed| Generator::new(rng, seed).randn(count);
            seeds.iter().map(move |seed| BrownianPath::new(*seed, range, Box::new(unit))).collect()
        };
        Noise {
            generators: generators(0),
            step_generators: rules.step_seed_delta.map(generators),
            paths: range.map(path).unwrap_or_default(),
            channels,
            batch,
        }
    }

    /// Returns the number of images.
    pub fn batch(&self) -> usize {
        self.batch
    }

    /// Draws the initial noise, (B, pixels, C).
    pub fn initial(&mut self, pixels: usize) -> Vec<f32> {
        let count = self.channels * pixels * self.batch / self.generators.len();
        let drawn = self.generators.iter_mut().flat_map(|generator| generator.randn(count)).collect();
        self.channels_last(drawn)
    }

    /// Draws the next (pixels, C) values of the first generator, for a single image.
    pub fn draw_one(&mut self, pixels: usize) -> Vec<f32> {
        channels_last(&self.generators[0].randn(self.channels * pixels), self.channels)
    }

    fn channels_last(&self, drawn: Vec<f32>) -> Vec<f32> {
        drawn.chunks_exact(drawn.len() / self.batch).flat_map(|image| channels_last(image, self.channels)).collect()
    }
}

impl NoiseSource for Noise {
    fn next(&mut self, n: usize) -> Vec<f32> {
        let generators = self.step_generators.as_mut().unwrap_or(&mut self.generators);
        let count = n / generators.len();
        let drawn = generators.iter_mut().flat_map(|generator| generator.randn(count)).collect();
        self.channels_last(drawn)
    }

    fn between(&mut self, n: usize, from: f64, to: f64) -> Vec<f32> {
        if self.paths.is_empty() {
            return self.next(n);
        }
        let drawn = self.paths.iter_mut().flat_map(|path| path.noise(from, to)).collect();
        self.channels_last(drawn)
    }
}

/// Transposes (C, P) to (P, C).
fn channels_last(data: &[f32], channels: usize) -> Vec<f32> {
    let pixels = data.len() / channels;
    (0..data.len()).map(|i| data[i % channels * pixels + i / channels]).collect()
}
