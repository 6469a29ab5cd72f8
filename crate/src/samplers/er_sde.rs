//! ER-SDE-Solver of third order.
//!
//! Source: Cui et al., "Elucidating the Solution Space of Extended Reverse-Time SDE for Diffusion Models", 2023,
//! VE ER-SDE-Solver-3, with ComfyUI's noise scale and numeric integrals.

use super::noise::NoiseSource;
use super::properties::Properties;
use super::solver::{Call, Row, Solver, weighted_sum};
use super::spacing::SigmaSpacing;

pub(super) const ER_SDE: Row = Row::new(
    Properties {
        automatic_spacing: Some(SigmaSpacing::Timesteps),
        is_web_ui_only: true,
        ..Properties::variance_exploding("er_sde", "ER SDE")
    },
    |run| (Box::new(ErSde { last: None, last_slope: None }), run.schedule.sigma_schedule(run.steps)),
);

/// Number of points of the integrals.
const POINTS: u32 = 200;

/// φ(σ), the scale of the noise.
fn scale(sigma: f64) -> f64 {
    sigma * (sigma.powf(0.3).exp() + 10.0)
}

struct ErSde {
    /// x₀ prediction of the previous call.
    last: Option<Vec<f32>>,
    /// First difference of x₀ over σ at the previous call.
    last_slope: Option<Vec<f32>>,
}

impl Solver for ErSde {
    fn step(&mut self, call: &Call, noise: &mut dyn NoiseSource) -> Vec<f32> {
        let clean = call.clean();
        if call.ends_at_zero() {
            return clean;
        }
        let sigma = |back: usize| call.levels[call.index - back].sigma_ratio();
        let (from, to) = (sigma(0), call.next_level().sigma_ratio());
        let ratio = scale(to) / scale(from);
        let mut next = weighted_sum(&[(ratio, call.sample), (1.0 - ratio, &clean)]);
        if let Some(last) = self.last.take() {
            let dt = to - from;
            let width = -dt / f64::from(POINTS);
            let positions = || (0..POINTS).map(|i| to + f64::from(i) * width);
            let integral: f64 = positions().map(|at| width / scale(at)).sum();
            let per_sigma = 1.0 / (from - sigma(1));
            let slope = weighted_sum(&[(per_sigma, &clean), (-per_sigma, &last)]);
            next = weighted_sum(&[(1.0, &next), (dt + integral * scale(to), &slope)]);
            if let Some(last_slope) = &self.last_slope {
                let integral: f64 = positions().map(|at| width * (at - from) / scale(at)).sum();
                let weight = (dt * dt / 2.0 + integral * scale(to)) * 2.0 / (from - sigma(2));
                next = weighted_sum(&[(1.0, &next), (weight, &slope), (-weight, last_slope)]);
            }
            self.last_slope = Some(slope);
        }
        let deviation = (to * to - (from * ratio).powi(2)).max(0.0).sqrt();
        let noise = noise.next(clean.len());
        self.last = Some(clean);
        weighted_sum(&[(1.0, &next), (deviation, &noise)])
    }
}
