//! DDIM.
//!
//! Source: Song et al., "Denoising Diffusion Implicit Models", 2020, formulas (12) and (16).

use serde_json::json;

use super::config::{PredictionType, ScheduleConfig};
use super::error::ScheduleError;
use super::noise::NoiseSource;
use super::properties::Properties;
use super::schedule::{Level, NoiseSchedule};
use super::solver::{Call, Row, SamplerRun, Solver, Started, clip, weighted_sum};

pub(super) const DDIM: Row = Row {
    check: refuse_epsilon_of_pure_noise,
    ..Row::new(Properties { eta: Some(0.0), ..Properties::timestep_based("ddim", "DDIM") }, |run| {
        Ddim::start(run, false)
    })
};

/// CFG++ (Chung et al. 2024): the direction is that of the negative prompt, and the CFG scale a fraction of 12.5.
pub(super) const DDIM_CFG_PP: Row = Row::new(
    Properties {
        eta: Some(0.0),
        cfg_pp_divisor: Some(12.5),
        is_web_ui_only: true,
        ..Properties::timestep_based("ddim_cfg_pp", "DDIM CFG++")
    },
    |run| Ddim::start(run, true),
);

/// At the last timestep of a rescaled schedule the noise alone says nothing of x₀.
fn refuse_epsilon_of_pure_noise(config: &ScheduleConfig) -> Result<(), ScheduleError> {
    if config.rescale_betas_zero_snr == Some(true) && config.prediction() == PredictionType::Epsilon {
        let supported = json!(["v_prediction", "sample"]);
        return Err(ScheduleError::unsupported("prediction_type", &json!("epsilon"), &supported));
    }
    Ok(())
}

struct Ddim {
    /// Level after each call: one step ratio below the call's timestep, which with "linspace" spacing is not
    /// the next call's timestep.
    targets: Vec<Level>,
    clip: Option<f32>,
    eta: f64,
    is_cfg_pp: bool,
}

impl Ddim {
    fn start(&SamplerRun { schedule, config, steps, eta, .. }: &SamplerRun, is_cfg_pp: bool) -> Started {
        let pairs = schedule.timestep_pairs(steps);
        let timesteps = pairs.iter().map(|pair| pair.0 as f64).collect();
        let targets: Vec<Level> = pairs.iter().map(|pair| schedule.level(pair.1)).collect();
        let levels = pairs.iter().map(|pair| schedule.level(pair.0)).chain(targets.last().copied()).collect();
        let clip = if schedule.is_of_web_ui() { None } else { config.clip_range(true) };
        (Box::new(Self { targets, clip, eta, is_cfg_pp }), NoiseSchedule { timesteps, levels })
    }
}

impl Solver for Ddim {
    fn step(&mut self, call: &Call, noise: &mut dyn NoiseSource) -> Vec<f32> {
        let (from, to) = (call.level(), self.targets[call.index]);
        let mut clean = call.clean();
        clip(&mut clean, self.clip);
        let std_dev = self.eta * to.sigma / from.sigma * (1.0 - (from.alpha / to.alpha).powi(2)).sqrt();
        let direction_weight = (to.sigma * to.sigma - std_dev * std_dev).sqrt();
        let direction = if self.is_cfg_pp { call.negative_noise() } else { call.noise() };
        let variance_noise = if self.eta > 0.0 { noise.next(clean.len()) } else { Vec::new() };
        weighted_sum(&[(to.alpha, &clean), (direction_weight, &direction), (std_dev, &variance_noise)])
    }
}
