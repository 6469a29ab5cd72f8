//! RES: a multistep exponential integrator of second order, also ancestral and with CFG++ guidance.
//!
//! Source: Zhang et al., "Improved Order Analysis and Design of Exponential Integrator for Diffusion Models Sampling",
//! 2023; ComfyUI's samplers "res_multistep…".

use super::euler_a::ancestral_step;
use super::noise::NoiseSource;
use super::properties::Properties;
use super::solver::{Call, Row, Solver, weighted_sum};
use super::spacing::SigmaSpacing;

const fn properties(name: &'static str, label: &'static str) -> Properties {
    Properties {
        automatic_spacing: Some(SigmaSpacing::Timesteps),
        is_web_ui_only: true,
        ..Properties::variance_exploding(name, label)
    }
}

pub(super) const RES_MULTISTEP: Row = Row::new(properties("res_multistep", "Res Multistep"), |run| {
    (Box::new(ResMultistep::new(0.0, false)), run.schedule.sigma_schedule(run.steps))
});

pub(super) const RES_MULTISTEP_CFG_PP: Row = Row::new(
    Properties { cfg_pp_divisor: Some(1.0), ..properties("res_multistep_cfg_pp", "Res Multistep CFG++") },
    |run| (Box::new(ResMultistep::new(0.0, true)), run.schedule.sigma_schedule(run.steps)),
);

pub(super) const RES_MULTISTEP_A: Row =
    Row::new(Properties { eta: Some(1.0), ..properties("res_multistep_a", "Res Multistep Ancestral") }, |run| {
        (Box::new(ResMultistep::new(run.eta, false)), run.schedule.sigma_schedule(run.steps))
    });

pub(super) const RES_MULTISTEP_A_CFG_PP: Row = Row::new(
    Properties {
        eta: Some(1.0),
        cfg_pp_divisor: Some(1.0),
        ..properties("res_multistep_a_cfg_pp", "Res Multistep Ancestral CFG++")
    },
    |run| (Box::new(ResMultistep::new(run.eta, true)), run.schedule.sigma_schedule(run.steps)),
);

struct ResMultistep {
    eta: f64,
    is_cfg_pp: bool,
    /// x₀ of the previous call, and the σ that its step went down to.
    last: Option<(Vec<f32>, f64)>,
}

impl ResMultistep {
    fn new(eta: f64, is_cfg_pp: bool) -> Self {
        Self { eta, is_cfg_pp, last: None }
    }
}

impl Solver for ResMultistep {
    fn step(&mut self, call: &Call, noise: &mut dyn NoiseSource) -> Vec<f32> {
        let clean = call.clean();
        if call.ends_at_zero() {
            return clean;
        }
        // CFG++ steps from the guided x₀ in the direction of the negative prompt's.
        let target = if self.is_cfg_pp { call.negative_clean() } else { clean.clone() };
        let (sigma_down, sigma_up) = ancestral_step(call.level(), call.next_level(), self.eta);
        let ratio = sigma_down / call.level().sigma_ratio();
        let last = self.last.replace((target.clone(), sigma_down));
        let next = match last {
            None => weighted_sum(&[(1.0, &clean), (ratio, call.sample), (-ratio, &target)]),
            Some((last, last_down)) => {
                let moved = weighted_sum(&[(1.0, call.sample), (1.0, &clean), (-1.0, &target)]);
                let h = -ratio.ln();
                let previous = call.levels[call.index - 1].sigma_ratio();
                let position = (last_down / previous).ln() / h;
                let (phi_1, phi_2) = ((1.0 - ratio) / h, (h - 1.0 + ratio) / (h * h));
                let weight = h * phi_2 / position;
                weighted_sum(&[(ratio, &moved), (h * phi_1 - weight, &target), (weight, &last)])
            }
        };
        let noise = noise.next(next.len());
        weighted_sum(&[(1.0, &next), (sigma_up, &noise)])
    }
}
