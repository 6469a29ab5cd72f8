//! DPM-Solver++ (3M) on the SDE.
//!
//! Source: k-diffusion's DPM++ 3M SDE sampler: an exponential integrator with divided differences of the last three
//! x₀ predictions over λ = -ln σ.

use super::noise::NoiseSource;
use super::properties::Properties;
use super::solver::{Call, Row, Solver, weighted_sum};
use super::spacing::SigmaSpacing;

pub(super) const DPMPP_3M_SDE: Row = Row::new(
    Properties {
        automatic_spacing: Some(SigmaSpacing::Exponential),
        eta: Some(1.0),
        is_web_ui_only: true,
        ..Properties::variance_exploding("dpmpp_3m_sde", "DPM++ 3M SDE")
    },
    |run| {
        let solver = Dpmpp3mSde { eta: run.eta, noise_scale: run.noise_scale(), last: Vec::new() };
        (Box::new(solver), run.schedule.sigma_schedule(run.steps))
    },
);

struct Dpmpp3mSde {
    eta: f64,
    noise_scale: f64,
    /// x₀ predictions of the last calls, newest first.
    last: Vec<Vec<f32>>,
}

impl Solver for Dpmpp3mSde {
    fn step(&mut self, call: &Call, noise: &mut dyn NoiseSource) -> Vec<f32> {
        let clean = call.clean();
        if call.ends_at_zero() {
            return clean;
        }
        let lambda = |index: usize| -call.levels[index].sigma_ratio().ln();
        let length = |back: usize| lambda(call.index - back + 1) - lambda(call.index - back);
        let h = length(0);
        let damped = h * (1.0 + self.eta);
        let gain = -(-damped).exp_m1();
        let phi_2 = 1.0 - gain / damped;
        let phi_3 = phi_2 / damped - 0.5;
        let (from, to) = (call.level().sigma_ratio(), call.next_level().sigma_ratio());
        // Weights of this and of the last two x₀ predictions.
        let mut weights = [gain, 0.0, 0.0];
        let mut add = |scale: f64, differences: [f64; 3]| {
            weights.iter_mut().zip(differences).for_each(|(weight, difference)| *weight += scale * difference);
        };
        match self.last.len() {
            0 => {}
            1 => {
                let ratio = length(1) / h;
                add(phi_2, [1.0 / ratio, -1.0 / ratio, 0.0]);
            }
            _ => {
                let (near, far) = (length(1) / h, length(2) / h);
                let (first, second) = ([1.0 / near, -1.0 / near, 0.0], [0.0, 1.0 / far, -1.0 / far]);
                let change = [0, 1, 2].map(|i| (first[i] - second[i]) / (near + far));
                add(phi_2, [0, 1, 2].map(|i| first[i] + change[i] * near));
                add(-phi_3, change);
            }
        }
        let noise = match self.eta > 0.0 {
            true => noise.between(clean.len(), from, to),
            false => Vec::new(),
        };
        self.last.insert(0, clean);
        self.last.truncate(3);
        let mut terms = vec![(to / from * (-h * self.eta).exp(), call.sample)];
        terms.extend(weights.into_iter().zip(&self.last).map(|(weight, clean)| (weight, clean.as_slice())));
        if !noise.is_empty() {
            terms.push((to * (-(-2.0 * h * self.eta).exp_m1()).sqrt() * self.noise_scale, &noise));
        }
        let next = weighted_sum(&terms);
        self.last.truncate(2);
        next
    }
}
