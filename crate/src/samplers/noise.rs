//! Seeded normal noise with the values of PyTorch's CPU generator and of the web UIs' CUDA-like Philox.
//!
//! Both depend only on the seed and the previous calls, so an image's noise is reproducible on any device.

use crate::num::{low_word, to_f32};
use crate::twister::Twister;
use std::f64::consts::TAU;

/// Source of a run's noise.
pub trait NoiseSource {
    /// Returns the next `n` normal values.
    fn next(&mut self, n: usize) -> Vec<f32>;

    /// Returns `n` normal values for a step from σ `from` down to σ `to`, for the samplers of SDEs. Overlapping steps
    /// share noise if the source is a Brownian path; otherwise these are the next values.
    fn between(&mut self, n: usize, from: f64, to: f64) -> Vec<f32> {
        let _ = (from, to);
        self.next(n)
    }
}

impl<F: FnMut(usize) -> Vec<f32>> NoiseSource for F {
    fn next(&mut self, n: usize) -> Vec<f32> {
        self(n)
    }
}

/// Normal noise of `torch.Generator("cpu")`: the Mersenne twister MT19937 and two Box-Muller paths.
///
/// Only the low 32 bits of the seed are used, as in PyTorch. Source: PyTorch's
/// `aten/src/ATen/native/cpu/DistributionTemplates.h`.
#[derive(Debug, Clone)]
pub struct TorchNoise {
    twister: Twister,
    /// Second value of the last Box-Muller pair of the scalar path.
    spare: Option<f64>,
}

impl TorchNoise {
    /// Creates the generator in its state after `manual_seed(seed)`.
    pub fn new(seed: u64) -> Self {
        Self { twister: Twister::new(low_word(seed)), spare: None }
    }

    /// Returns the next raw 32-bit word.
    pub fn word(&mut self) -> u32 {
        self.twister.word()
    }

    /// Returns the next `n` values of `torch.randn` in f32, for a tensor of any shape with `n` elements.
    ///
    /// From 16 values on, PyTorch fills blocks of 16 from 24-bit uniforms and redraws the last 16 if `n` is not
    /// a multiple of 16; below, it draws pairs from 53-bit uniforms and caches the second value.
    pub fn randn(&mut self, n: usize) -> Vec<f32> {
        if n < 16 {
            return (0..n).map(|_| to_f32(self.normal())).collect();
        }
        let mut values: Vec<f32> = (0..n).map(|_| self.uniform_24()).collect();
        values.chunks_exact_mut(16).for_each(box_muller_16);
        if !n.is_multiple_of(16) {
            let tail = &mut values[n - 16..];
            tail.fill_with(|| self.uniform_24());
            box_muller_16(tail);
        }
        values
    }

    /// Returns a uniform value in [0, 1) with 24 random bits.
    fn uniform_24(&mut self) -> f32 {
        (self.word() & 0xff_ffff) as f32 / (1 << 24) as f32
    }

    /// Returns a uniform value in [0, 1) with 53 random bits.
    fn uniform_53(&mut self) -> f64 {
        let bits = u64::from(self.word()) << 32 | u64::from(self.word());
        (bits & ((1 << 53) - 1)) as f64 / (1_u64 << 53) as f64
    }

    fn normal(&mut self) -> f64 {
        if let Some(spare) = self.spare.take() {
            return spare;
        }
        let angle = TAU * self.uniform_53();
        let radius = (-2.0 * (-self.uniform_53()).ln_1p()).sqrt();
        self.spare = Some(radius * angle.sin());
        radius * angle.cos()
    }
}

/// Transforms 16 uniform values to normal ones: value j pairs with value j + 8.
fn box_muller_16(block: &mut [f32]) {
    let (first, second) = block.split_at_mut(8);
    for (a, b) in first.iter_mut().zip(second) {
        let radius = (-2.0 * (1.0 - f64::from(*a)).ln()).sqrt();
        let angle = TAU * f64::from(*b);
        (*a, *b) = (to_f32(radius * angle.cos()), to_f32(radius * angle.sin()));
    }
}

/// Normal noise of the web UIs' "NV" generator: Philox 4x32-10, which emulates PyTorch on CUDA.
///
/// Source: Salmon et al., "Parallel Random Numbers: As Easy as 1, 2, 3", 2011; AUTOMATIC1111's `rng_philox.py`.
#[derive(Debug, Clone)]
pub struct PhiloxNoise {
    seed: u64,
    call: u32,
}

impl PhiloxNoise {
    /// Creates the generator before its first call.
    pub fn new(seed: u64) -> Self {
        Self { seed, call: 0 }
    }

    /// Returns the next call's `n` values; value i depends only on the seed, the call's number and i.
    pub fn randn(&mut self, n: usize) -> Vec<f32> {
        let call = self.call;
        self.call += 1;
        (0..).take(n).map(|index| philox_normal(Self::words(self.seed, call, index))).collect()
    }

    /// Returns the four raw words for one value of one call.
    pub fn words(seed: u64, call: u32, index: u32) -> [u32; 4] {
        let mut counter = [call, 0, index, 0];
        let mut key = [low_word(seed), low_word(seed >> 32)];
        for round in 0..10 {
            if round > 0 {
                key = [key[0].wrapping_add(0x9e37_79b9), key[1].wrapping_add(0xbb67_ae85)];
            }
            let a = u64::from(counter[0]) * 0xd251_1f53;
            let b = u64::from(counter[2]) * 0xcd9e_8d57;
            let high = |product: u64| (product >> 32) as u32;
            counter = [high(b) ^ counter[1] ^ key[0], low_word(b), high(a) ^ counter[3] ^ key[1], low_word(a)];
        }
        counter
    }
}

/// Box-Muller transform of words 0 and 1, with the constants rounded to f32 as in the web UI.
fn philox_normal(words: [u32; 4]) -> f32 {
    let unit = f64::from(2.328_306_4e-10_f32);
    let turn = f64::from(to_f32(2.328_306_4e-10 * 6.283_185_5));
    let u = f64::from(words[0]) * unit + unit / 2.0;
    let v = f64::from(words[1]) * turn + turn / 2.0;
    to_f32((-2.0 * u.ln()).sqrt() * v.sin())
}
