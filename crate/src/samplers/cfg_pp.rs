//! Samplers with CFG++ guidance: a step goes to the guided x₀, in the direction of the negative prompt's.
//!
//! Source: Chung et al., "CFG++: Manifold-constrained Classifier Free Guidance for Diffusion Models", 2024; ComfyUI's
//! samplers `…_cfg_pp`.

use super::dpm2::{ancestral_midpoint_sigma, mean_from_start};
use super::euler_a::ancestral_step;
use super::noise::NoiseSource;
use super::properties::Properties;
use super::solver::{Call, Row, Solver, weighted_sum};
use super::spacing::SigmaSpacing;

const fn properties(name: &'static str, label: &'static str) -> Properties {
    Properties {
        automatic_spacing: Some(SigmaSpacing::Timesteps),
        cfg_pp_divisor: Some(1.0),
        is_web_ui_only: true,
        ..Properties::variance_exploding(name, label)
    }
}

pub(super) const EULER_CFG_PP: Row = Row::new(properties("euler_cfg_pp", "Euler CFG++"), |run| {
    (Box::new(Euler { eta: 0.0 }), run.schedule.sigma_schedule(run.steps))
});

pub(super) const EULER_A_CFG_PP: Row =
    Row::new(Properties { eta: Some(1.0), ..properties("euler_a_cfg_pp", "Euler a CFG++") }, |run| {
        (Box::new(Euler { eta: run.eta }), run.schedule.sigma_schedule(run.steps))
    });

pub(super) const DPMPP_2S_A_CFG_PP: Row = Row::new(
    Properties {
        eta: Some(1.0),
        calls_per_step: 2,
        rescales_betas: false,
        ..properties("dpmpp_2s_a_cfg_pp", "DPM++ 2S a CFG++")
    },
    |run| {
        let solver = Dpmpp2sA { eta: run.eta, noise_scale: run.noise_scale(), start: None };
        let middle = ancestral_midpoint_sigma(run, mean_from_start);
        (Box::new(solver), run.schedule.midpoint_schedule(run.steps, &middle, false))
    },
);

pub(super) const DPMPP_2M_CFG_PP: Row = Row::new(properties("dpmpp_2m_cfg_pp", "DPM++ 2M CFG++"), |run| {
    (Box::new(Dpmpp2m { last: None }), run.schedule.sigma_schedule(run.steps))
});

struct Euler {
    eta: f64,
}

impl Solver for Euler {
    fn step(&mut self, call: &Call, noise: &mut dyn NoiseSource) -> Vec<f32> {
        let clean = call.clean();
        if call.ends_at_zero() {
            return clean;
        }
        let (sigma_down, sigma_up) = ancestral_step(call.level(), call.next_level(), self.eta);
        let noise = if self.eta > 0.0 { noise.next(clean.len()) } else { Vec::new() };
        weighted_sum(&[(1.0, &clean), (sigma_down, &call.negative_noise()), (sigma_up, &noise)])
    }
}

struct Dpmpp2sA {
    eta: f64,
    noise_scale: f64,
    /// Sample and x₀ at the start of the step, between its two calls.
    start: Option<(Vec<f32>, Vec<f32>)>,
}

impl Solver for Dpmpp2sA {
    fn step(&mut self, call: &Call, noise: &mut dyn NoiseSource) -> Vec<f32> {
        let (clean, negative) = (call.clean(), call.negative_clean());
        if call.ends_at_zero() {
            return clean;
        }
        let to = call.next_level();
        // The sample, moved by the guidance, and the prediction that the step goes to.
        let step = |ratio: f64, sample: &[f32], guided: &[f32], target: &[f32]| {
            weighted_sum(&[(ratio, sample), (ratio, guided), (-ratio, &negative), (1.0 - ratio, target)])
        };
        let Some((sample, first_clean)) = self.start.take() else {
            let next = step(to.sigma_ratio() / call.level().sigma_ratio(), call.sample, &clean, &clean);
            self.start = Some((call.sample.to_vec(), clean));
            return next;
        };
        let from = call.levels[call.index - 1];
        let (sigma_down, sigma_up) = ancestral_step(from, to, self.eta);
        // As in ComfyUI, the negative prompt's prediction is that of the second call.
        let next = step(sigma_down / from.sigma_ratio(), &sample, &first_clean, &clean);
        weighted_sum(&[(1.0, &next), (sigma_up * self.noise_scale, &noise.next(sample.len()))])
    }
}

struct Dpmpp2m {
    /// The negative prompt's x₀ of the previous call.
    last: Option<Vec<f32>>,
}

impl Solver for Dpmpp2m {
    fn step(&mut self, call: &Call, _noise: &mut dyn NoiseSource) -> Vec<f32> {
        let (clean, negative) = (call.clean(), call.negative_clean());
        let last = self.last.replace(negative.clone());
        if call.ends_at_zero() {
            return clean;
        }
        let log_ratio = |index: usize| (call.levels[index].sigma_ratio() / call.levels[index + 1].sigma_ratio()).ln();
        let h = log_ratio(call.index);
        let decay = (-h).exp();
        let mut terms = vec![(1.0, clean.as_slice()), (decay, call.sample), (-decay, negative.as_slice())];
        if let Some(last) = &last {
            let gain = (1.0 - decay) * h / (2.0 * log_ratio(call.index - 1));
            terms.extend([(gain, clean.as_slice()), (-gain, last.as_slice())]);
        }
        weighted_sum(&terms)
    }
}
