//! DDIM.
//!
//! Source: Song et al., "Denoising Diffusion Implicit Models", 2020, formulas (12) and (16).

use serde_json::json;

use super::config::{PredictionType, ScheduleConfig};
use super::error::ScheduleError;
use super::properties::Properties;
use super::schedule::{Level, NoiseSchedule};
use super::solver::{Call, Row, SamplerRun, Solver, Started, clip, weighted_sum};
use crate::num::to_whole;

pub(super) const DDIM: Row = Row {
    check: refuse_epsilon_of_pure_noise,
    ..Row::new(Properties { eta: Some(0.0), ..Properties::timestep_based("ddim", "DDIM") }, Ddim::start)
};

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
}

impl Ddim {
    fn start(&SamplerRun { schedule, config, steps, eta }: &SamplerRun) -> Started {
        let timesteps: Vec<f64> = schedule.timesteps(steps, steps).into_iter().map(f64::round_ties_even).collect();
        let step_ratio = (schedule.alphas_bar.len() / steps) as i64;
        let targets: Vec<Level> = timesteps.iter().map(|t| schedule.level(to_whole(*t) - step_ratio)).collect();
        let levels = timesteps.iter().map(|t| schedule.level(to_whole(*t))).chain(targets.last().copied()).collect();
        let clip = config.clip_range(true);
        (Box::new(Self { targets, clip, eta }), NoiseSchedule { timesteps, levels })
    }
}

impl Solver for Ddim {
    fn step(&mut self, call: &Call, noise: &mut dyn FnMut(usize) -> Vec<f32>) -> Vec<f32> {
        let (from, to) = (call.level(), self.targets[call.index]);
        let mut clean = call.clean();
        clip(&mut clean, self.clip);
        let std_dev = self.eta * to.sigma / from.sigma * (1.0 - (from.alpha / to.alpha).powi(2)).sqrt();
        let direction_weight = (to.sigma * to.sigma - std_dev * std_dev).sqrt();
        let direction = call.noise();
        let variance_noise = if self.eta > 0.0 { noise(clean.len()) } else { Vec::new() };
        weighted_sum(&[(to.alpha, &clean), (direction_weight, &direction), (std_dev, &variance_noise)])
    }
}
