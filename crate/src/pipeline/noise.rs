//! The noise of an image or batch: generators and Brownian paths, seeded as the recipe's program does.

use super::recipe::{Recipe, Rng, Variation};
use crate::num::to_f32;
use crate::samplers::{BrownianPath, NoiseRules, NoiseSource, PhiloxNoise, TorchNoise};

/// Noise of a pass, drawn in order, channels first as in PyTorch, and returned channels last.
pub(super) struct Noise {
    /// Generators of the initial noise: one for the batch, or one for each image.
    generators: Vec<Generator>,
    /// Generators of the steps' noise, if they are others.
    step_generators: Option<Vec<Generator>>,
    /// Brownian paths, one for each generator; empty if the steps' noise is independent.
    paths: Vec<BrownianPath>,
    /// Seed of each generator.
    seeds: Vec<u64>,
    rng: Rng,
    variation: Option<Variation>,
    /// Height and width of the latents whose noise is pasted into the initial noise.
    resized_from: Option<(usize, usize)>,
    /// Height and width of the latents.
    size: (usize, usize),
    channels: usize,
    batch: usize,
}

/// Shape of a batch of latents.
#[derive(Clone, Copy)]
pub(super) struct NoiseShape {
    pub batch: usize,
    /// Height and width.
    pub size: (usize, usize),
    pub channels: usize,
    /// Pixels of a latent position.
    pub multiple: usize,
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
            Rng::Torch | Rng::TorchPhilox => Self::Torch(Box::new(TorchNoise::new(seed))),
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
    /// Creates the noise of a batch of latents. `range` are the smallest and the largest σ of the run, if its steps'
    /// noise is from Brownian paths.
    pub fn new(recipe: &Recipe, rules: NoiseRules, range: Option<(f64, f64)>, shape: NoiseShape) -> Noise {
        let NoiseShape { batch, size, channels, multiple } = shape;
        let rng = recipe.rng;
        let variation = recipe.variation.filter(|variation| variation.strength != 0.0);
        let generators = if rules.seeds_each_image { batch as u64 } else { 1 };
        // Images of a batch with a variation differ in its seed.
        let offset = |i: u64| if variation.is_some() { 0 } else { i };
        let seeds: Vec<u64> = (0..generators).map(|i| recipe.seed.wrapping_add(offset(i))).collect();
        let resized_from = recipe.seed_resize.map(|(width, height)| (height / multiple, width / multiple));
        // The generator of a graphics card has the seed itself, whatever the program adds to it on the CPU.
        let (step_rng, step_delta) = match rng {
            Rng::TorchPhilox => (Rng::Philox, Some(0)),
            _ => (rng, rules.step_seed_delta),
        };
        let generators = |rng: Rng, delta: i64| {
            seeds.iter().map(|seed| Generator::new(rng, seed.wrapping_add_signed(delta))).collect::<Vec<_>>()
        };
        let count = channels * size.0 * size.1 * batch / seeds.len();
        let path = |range| {
            let unit = move |seed| Generator::new(step_rng, seed).randn(count);
            seeds.iter().map(move |seed| BrownianPath::new(*seed, range, Box::new(unit))).collect()
        };
        Noise {
            generators: generators(rng, 0),
            step_generators: step_delta.map(|delta| generators(step_rng, delta)),
            paths: range.map(path).unwrap_or_default(),
            rng,
            variation,
            resized_from: resized_from.filter(|from| from.0 > 0 && from.1 > 0 && *from != size),
            size,
            seeds,
            channels,
            batch,
        }
    }

    /// Returns the number of images.
    pub fn batch(&self) -> usize {
        self.batch
    }

    /// Draws the initial noise, (B, pixels, C).
    pub fn initial(&mut self) -> Vec<f32> {
        let drawn = (0..self.generators.len()).flat_map(|index| self.initial_of(index)).collect();
        self.channels_last(drawn)
    }

    /// Draws the initial noise of a generator, channels first, with its variation.
    fn initial_of(&mut self, index: usize) -> Vec<f32> {
        let (channels, rng) = (self.channels * self.batch / self.generators.len(), self.rng);
        let count = |(height, width): (usize, usize)| channels * height * width;
        let from = self.resized_from.unwrap_or(self.size);
        let drawn = |seed: u64| Generator::new(rng, seed).randn(count(from));
        let mut noise = match self.resized_from {
            Some(_) => drawn(self.seeds[index]),
            None => self.generators[index].randn(count(self.size)),
        };
        if let Some(Variation { seed, strength }) = self.variation {
            noise = blended(strength, &noise, &drawn(seed.wrapping_add(index as u64)), from);
        }
        if self.resized_from.is_some() {
            let around = self.generators[index].randn(count(self.size));
            noise = pasted(&noise, from, around, self.size);
        }
        noise
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

/// Blends two noises, (C, H, W), along the arc between them. As in the web UI, columns of the maps are the vectors that
/// are turned.
fn blended(share: f64, low: &[f32], high: &[f32], (height, width): (usize, usize)) -> Vec<f32> {
    let column = |values: &[f32], at: usize| -> Vec<f64> {
        let (channel, x) = (at / width, at % width);
        (0..height).map(|y| f64::from(values[(channel * height + y) * width + x])).collect()
    };
    let length = |column: &[f64]| column.iter().map(|value| value * value).sum::<f64>().sqrt();
    let cosine = |at: usize| {
        let (low, high) = (column(low, at), column(high, at));
        let product: f64 = low.iter().zip(&high).map(|(low, high)| low * high).sum();
        product / length(&low) / length(&high)
    };
    let cosines: Vec<f64> = (0..low.len() / height).map(cosine).collect();
    let is_straight = cosines.iter().sum::<f64>() / cosines.len() as f64 > 0.9995;
    let weights = |cosine: f64| {
        let angle = cosine.acos();
        (((1.0 - share) * angle).sin() / angle.sin(), (share * angle).sin() / angle.sin())
    };
    let value = |at: usize| {
        let column = at / (height * width) * width + at % width;
        // The web UI swaps the shares of noises that are almost the same.
        let (first, second) = if is_straight { (share, 1.0 - share) } else { weights(cosines[column]) };
        to_f32(first * f64::from(low[at]) + second * f64::from(high[at]))
    };
    (0..low.len()).map(value).collect()
}

/// Pastes the middle of a noise, (C, H, W), into the middle of another one.
fn pasted(noise: &[f32], from: (usize, usize), mut around: Vec<f32>, size: (usize, usize)) -> Vec<f32> {
    // Positions in both maps, and their number. Python's division rounds down, also below 0.
    let place = |from: usize, size: usize| match size >= from {
        true => (0, (size - from) / 2, from),
        false => {
            let cut = (from - size).div_ceil(2);
            (cut, 0, from - 2 * cut)
        }
    };
    let ((from_y, to_y, rows), (from_x, to_x, columns)) = (place(from.0, size.0), place(from.1, size.1));
    for channel in 0..noise.len() / (from.0 * from.1) {
        for row in 0..rows {
            let source = (channel * from.0 + from_y + row) * from.1 + from_x;
            let target = (channel * size.0 + to_y + row) * size.1 + to_x;
            around[target..target + columns].copy_from_slice(&noise[source..source + columns]);
        }
    }
    around
}

/// Transposes (C, P) to (P, C).
fn channels_last(data: &[f32], channels: usize) -> Vec<f32> {
    let pixels = data.len() / channels;
    (0..data.len()).map(|i| data[i % channels * pixels + i / channels]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Recorded with PyTorch's generator and A1111's formulas.
    const BLENDED: [f32; 24] = [
        -1.56129, -0.24916, -1.18751, -1.53007, -0.51737, 0.02446, -1.36661, -1.21066, 0.04893, 1.51648, 1.07078,
        -0.09908, 0.05922, -1.4098, -0.51862, -0.18302, -0.82777, -0.21813, 0.19523, 1.42692, -0.26526, 1.03694,
        -1.44499, 2.08881,
    ];
    /// The same with noise that is resized from 5 rows of 2.
    const RESIZED: [f32; 24] = [
        -1.5256, -1.02958, -1.58823, -1.60948, -0.10017, 0.71031, 0.16684, -1.6091, 0.43914, -0.12541, 0.90881,
        -0.09536, 0.13937, 0.17812, -0.03942, -0.29935, -0.79844, -0.73673, 0.69061, 1.7163, -0.05614, -1.51669,
        -0.27134, 2.68909,
    ];

    #[test]
    fn variations_and_resized_seeds_are_those_of_the_web_ui() {
        for (seed_resize, expected) in [(None, BLENDED), (Some((16, 40)), RESIZED)] {
            let recipe: Recipe = serde_json::from_value(serde_json::json!({
                "version": 1, "model": "", "adapters": [], "prompt": "", "seed": 1, "steps": 1, "guidance": 1.0,
                "sampler": "euler", "width": 32, "height": 24, "program": "a1111", "seed_resize": seed_resize,
                "variation": { "seed": 2, "strength": 0.3 },
            }))
            .expect("a recipe");
            let rules = NoiseRules::of(recipe.program, &crate::samplers::WebUiSettings::default());
            let shape = NoiseShape { batch: 1, size: (3, 4), channels: 2, multiple: 8 };
            let drawn = Noise::new(&recipe, rules, None, shape).initial();
            for (value, expected) in drawn.iter().zip(channels_last(&expected, 2)) {
                assert!((value - expected).abs() < 2e-5, "{drawn:?}");
            }
        }
    }
}
