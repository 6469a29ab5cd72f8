//! Sinusoidal embeddings of timesteps and of the guidance scale.

use crate::num::to_f32;

/// Returns cosines, then sines, of the timestep at `width / 2` frequencies from 1 down to 1/10000
/// (diffusers' `get_timestep_embedding` with flip_sin_to_cos and freq_shift 0).
pub fn timestep_embedding(timestep: f32, width: usize) -> Vec<f32> {
    let half = width / 2;
    let angle = |i: usize| f64::from(timestep) * (-(10_000f64.ln()) * i as f64 / half as f64).exp();
    let cosines = (0..half).map(|i| to_f32(angle(i).cos()));
    cosines.chain((0..half).map(|i| to_f32(angle(i).sin()))).collect()
}

/// Returns sines, then cosines, of 1000 (guidance - 1) at `width / 2` frequencies from 1 to 1/10000
/// (diffusers' `get_guidance_scale_embedding`).
pub fn guidance_embedding(guidance: f32, width: usize) -> Vec<f32> {
    let half = width / 2;
    let position = 1000.0 * f64::from(guidance - 1.0);
    let angle = |i: usize| position * (-(10_000f64.ln()) * i as f64 / (half as f64 - 1.0)).exp();
    let sines = (0..half).map(|i| to_f32(angle(i).sin()));
    sines.chain((0..half).map(|i| to_f32(angle(i).cos()))).collect()
}
