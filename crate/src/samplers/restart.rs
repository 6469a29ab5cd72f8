//! Restart sampling: Heun's method that goes back up to a higher σ, with new noise, and down again.
//!
//! Source: Xu et al., "Restart Sampling for Improving Generative Processes", 2023, with AUTOMATIC1111's numbers of
//! steps.

use super::heun::Heun;
use super::properties::Properties;
use super::schedule::{Level, NoiseSchedule, Schedule};
use super::solver::{Row, SamplerRun, Started};
use super::spacing::SigmaSpacing;

pub(super) const RESTART: Row = Row::new(
    Properties {
        automatic_spacing: Some(SigmaSpacing::Karras),
        is_web_ui_only: true,
        ..Properties::two_calls("restart", "Restart")
    },
    start,
);

/// Smallest number of steps with a restart, and with two of them.
const RESTARTS_FROM: (usize, usize) = (20, 36);
/// σ at which a run restarts, and σ that it goes back up to.
const RESTART_SPAN: (f64, f64) = (0.1, 2.0);

fn start(run: &SamplerRun) -> Started {
    let levels = run.schedule.sigma_schedule(run.steps).levels;
    let sigmas: Vec<f64> = levels.into_iter().map(Level::sigma_ratio).collect();
    (Box::new(Heun::default()), calls(run.schedule, &steps(&sigmas)))
}

/// Returns σ at both ends of each step.
fn steps(sigmas: &[f64]) -> Vec<(f64, f64)> {
    let steps = sigmas.len() - 1;
    let pairs = |sigmas: &[f64]| sigmas.windows(2).map(|pair| (pair[0], pair[1])).collect::<Vec<_>>();
    if steps < RESTARTS_FROM.0 {
        return pairs(sigmas);
    }
    let (restart_steps, restarts) = if steps < RESTARTS_FROM.1 { (9, 1) } else { (steps / 4, 2) };
    let sigmas = [karras(steps - restart_steps * restarts, sigmas[0], sigmas[steps - 1]), vec![0.0]].concat();
    let nearest = |sigma: f64| {
        let distance = |index: &usize| (sigmas[*index] - sigma).abs();
        (0..sigmas.len()).min_by(|a, b| distance(a).total_cmp(&distance(b))).unwrap_or(0)
    };
    let (low, high) = (nearest(RESTART_SPAN.0), nearest(RESTART_SPAN.1));
    if low == 0 || high >= low {
        return pairs(&sigmas);
    }
    let again = pairs(&karras(restart_steps + 1, sigmas[high], sigmas[low]));
    [pairs(&sigmas[..=low]), again.repeat(restarts), pairs(&sigmas[low..])].concat()
}

/// Returns the levels of Karras et al. 2022 with ρ = 7.
fn karras(n: usize, max: f64, min: f64) -> Vec<f64> {
    let (high, low) = (max.powf(1.0 / 7.0), min.powf(1.0 / 7.0));
    (0..n).map(|i| (high + (low - high) * i as f64 / (n.max(2) - 1) as f64).powf(7.0)).collect()
}

/// Returns calls at both ends of each step, or at its start if it ends at 0.
fn calls(schedule: &Schedule, steps: &[(f64, f64)]) -> NoiseSchedule {
    let sigmas: Vec<f64> = steps.iter().flat_map(|(from, to)| [*from, *to]).filter(|sigma| *sigma > 0.0).collect();
    let end = steps.last().map(|step| step.1);
    NoiseSchedule {
        timesteps: sigmas.iter().map(|sigma| schedule.timestep_of(*sigma)).collect(),
        levels: sigmas.iter().copied().chain(end).map(Level::from_sigma).collect(),
    }
}
