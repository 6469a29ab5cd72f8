//! Turns a schedule configuration into noise levels: per training timestep, and per model call of a run.

use super::config::{BetaSchedule, PredictionType, ScheduleConfig, TimestepSpacing};
use super::spacing::interpolate;
use super::{SamplerKind, SamplerOptions, ScheduleError, SigmaSpacing};
use crate::num::to_f32;

/// A sample's make-up: `alpha` · clean sample + `sigma` · noise, with `alpha`² + `sigma`² = 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Level {
    pub alpha: f64,
    pub sigma: f64,
}

impl Level {
    /// From ᾱ = `alpha`².
    pub fn from_alpha_bar(alpha_bar: f64) -> Self {
        Self { alpha: alpha_bar.sqrt(), sigma: (1.0 - alpha_bar).sqrt() }
    }

    /// From the noise level of samples whose clean part is not scaled down.
    pub fn from_sigma(sigma: f64) -> Self {
        let alpha = 1.0 / (sigma * sigma + 1.0).sqrt();
        Self { alpha, sigma: sigma * alpha }
    }

    /// Noise level of the sample when its clean part is scaled to 1.
    pub fn sigma_ratio(self) -> f64 {
        self.sigma / self.alpha
    }

    /// Half the logarithm of the signal-to-noise ratio, λ in the DPM-Solver papers.
    pub fn lambda(self) -> f64 {
        self.alpha.ln() - self.sigma.ln()
    }
}

/// Timesteps that the network is told, one per model call, and the levels of the samples there;
/// `levels` has one entry more, the level at the end.
pub(super) struct NoiseSchedule {
    pub timesteps: Vec<f64>,
    pub levels: Vec<Level>,
}

impl NoiseSchedule {
    /// Every step but the first and the last level twice, for samplers that call the network again at the next level.
    pub fn doubled(self) -> Self {
        let twice = |i: usize| if i == 0 { 1 } else { 2 };
        let timesteps = self.timesteps.iter().enumerate().flat_map(|(i, t)| std::iter::repeat_n(*t, twice(i)));
        let (end, middle) = (self.levels.len() - 1, self.levels.iter().enumerate());
        let levels = middle.flat_map(|(i, level)| std::iter::repeat_n(*level, if i == end { 1 } else { twice(i) }));
        Self { timesteps: timesteps.collect(), levels: levels.collect() }
    }
}

impl PredictionType {
    /// Weights of a sample at `level` and of the network's output that give the clean sample.
    pub(super) fn clean_weights(self, level: Level) -> (f64, f64) {
        let Level { alpha, sigma } = level;
        match self {
            Self::Epsilon => (1.0 / alpha, -sigma / alpha),
            Self::VPrediction => (alpha, -sigma),
            Self::Sample => (0.0, 1.0),
        }
    }

    /// Weights of a sample at `level` and of the network's output that give the noise.
    pub(super) fn noise_weights(self, level: Level) -> (f64, f64) {
        let Level { alpha, sigma } = level;
        match self {
            Self::Epsilon => (0.0, 1.0),
            Self::VPrediction => (sigma, alpha),
            Self::Sample => (1.0 / sigma, -alpha / sigma),
        }
    }
}

/// The training schedule and the choice of timesteps for one sampler.
pub(super) struct Schedule {
    /// ᾱ of every training timestep.
    pub alphas_bar: Vec<f64>,
    pub prediction: PredictionType,
    pub spacing: TimestepSpacing,
    sigma_spacing: SigmaSpacing,
    /// The run chose the spacing, and not the model's config.
    is_chosen: bool,
    is_xl: bool,
    /// Spaced levels go from the table's end to its start, as k-diffusion's do, and not between those
    /// of the first and last timestep.
    spans_table: bool,
    steps_offset: usize,
    /// ᾱ behind the last step.
    final_alpha_bar: f64,
    cosine: bool,
}

impl Schedule {
    /// Resolves `config` for a sampler: what it leaves open takes the default of the sampler's diffusers class.
    pub fn new(kind: SamplerKind, config: &ScheduleConfig, options: &SamplerOptions) -> Result<Self, ScheduleError> {
        let alphas_bar = alphas_bar(kind, config);
        let final_alpha_bar =
            if config.set_alpha_to_one.unwrap_or(kind != SamplerKind::Pndm) { 1.0 } else { alphas_bar[0] };
        let asked = [
            (config.use_karras_sigmas, SigmaSpacing::Karras),
            (config.use_exponential_sigmas, SigmaSpacing::Exponential),
            (config.use_beta_sigmas, SigmaSpacing::Beta),
        ];
        let asked = asked.iter().find(|(asked, _)| *asked == Some(true) && kind.follows_spaced_config());
        let configured = asked.map_or(SigmaSpacing::Timesteps, |(_, spacing)| *spacing);
        let sigma_spacing = options.sigma_spacing.unwrap_or(configured);
        if sigma_spacing != SigmaSpacing::Timesteps && !kind.has_sigma_spacing() {
            return Err(ScheduleError::SigmaSpacing { kind });
        }
        Ok(Self {
            final_alpha_bar,
            alphas_bar,
            prediction: config.prediction_type.unwrap_or(PredictionType::Epsilon),
            spacing: options.timestep_spacing.or(config.timestep_spacing).unwrap_or(kind.default_spacing()),
            sigma_spacing,
            is_chosen: options.sigma_spacing.is_some(),
            is_xl: options.is_xl,
            spans_table: !kind.follows_spaced_config(),
            steps_offset: config.steps_offset.unwrap_or(0),
            cosine: config.beta_schedule == Some(BetaSchedule::SquaredCosine),
        })
    }

    /// Level at a training timestep; a negative one is behind the last step.
    pub fn level(&self, timestep: i64) -> Level {
        let alpha_bar = usize::try_from(timestep).map_or(self.final_alpha_bar, |t| self.alphas_bar[t]);
        Level::from_alpha_bar(alpha_bar)
    }

    /// `steps` timesteps in falling order. `intervals` is what "leading" and "linspace" divide the
    /// training range into: `steps`, or one more for the solvers that leave the last timestep out.
    pub fn timesteps(&self, steps: usize, intervals: usize) -> Vec<f64> {
        let train = self.alphas_bar.len();
        let last = (train - 1) as f64;
        let nth = |i: usize| match self.spacing {
            TimestepSpacing::Leading => {
                ((intervals - 1 - i) * (train / intervals) + self.steps_offset).min(train - 1) as f64
            }
            TimestepSpacing::Linspace if intervals == 1 => 0.0,
            TimestepSpacing::Linspace => (intervals - 1 - i) as f64 * (last / (intervals - 1) as f64),
            TimestepSpacing::Trailing => {
                (train as f64 - i as f64 * (train as f64 / steps as f64)).round_ties_even() - 1.0
            }
        };
        (0..steps).map(nth).collect()
    }

    /// Track of the samplers that step from σ to σ (k-diffusion's): timesteps may be fractional.
    pub fn sigma_track(&self, steps: usize) -> NoiseSchedule {
        let table = self.sigma_table();
        // The reference holds these timesteps in f32.
        let timesteps: Vec<f64> = self.timesteps(steps, steps).into_iter().map(|t| f64::from(to_f32(t))).collect();
        let sigmas: Vec<f64> = timesteps.iter().map(|t| interpolate(&table, *t)).collect();
        let ends = match self.spans_table {
            true => (table[table.len() - 1], table[0]),
            false => (sigmas[0], sigmas[steps - 1]),
        };
        let Some(sigmas) = self.respaced(&table, ends, steps) else {
            return track(timesteps, &sigmas);
        };
        track(sigmas.iter().map(|sigma| timestep_of(*sigma, &table)).collect(), &sigmas)
    }

    /// A sigma track with a call inside every step but the last, at the σ that `middle` finds between the step's two.
    /// With `whole`, Karras levels round the timesteps of the others, as the DPM2 classes do.
    pub fn midpoint_track(&self, steps: usize, middle: &dyn Fn(Level, Level) -> f64, whole: bool) -> NoiseSchedule {
        let table = self.sigma_table();
        let NoiseSchedule { mut timesteps, levels } = self.sigma_track(steps);
        if whole && self.sigma_spacing == SigmaSpacing::Karras {
            timesteps.iter_mut().for_each(|t| *t = t.round_ties_even());
        }
        let mut calls = NoiseSchedule { timesteps: vec![timesteps[0]], levels: vec![levels[0]] };
        for i in 1..steps {
            let sigma = middle(levels[i - 1], levels[i]);
            calls.timesteps.extend([timestep_of(sigma, &table), timesteps[i]]);
            calls.levels.extend([Level::from_sigma(sigma), levels[i]]);
        }
        calls.levels.push(levels[steps]);
        calls
    }

    /// Track of the multistep solvers in λ (DPM++ 2M, UniPC): timesteps are whole.
    pub fn lambda_track(&self, steps: usize) -> NoiseSchedule {
        let table = self.sigma_table();
        let Some(sigmas) = self.respaced(&table, (table[table.len() - 1], table[0]), steps) else {
            let timesteps: Vec<f64> = self.timesteps(steps, steps + 1).into_iter().map(f64::round_ties_even).collect();
            let sigmas: Vec<f64> = timesteps.iter().map(|t| interpolate(&table, *t)).collect();
            return track(timesteps, &sigmas);
        };
        let whole = |t: f64| match self.sigma_spacing {
            _ if self.is_of_web_uis() => t,
            SigmaSpacing::Karras if !self.cosine => t.round_ties_even(),
            _ => t.trunc(),
        };
        track(sigmas.iter().map(|sigma| whole(timestep_of(*sigma, &table))).collect(), &sigmas)
    }

    /// σ of every training timestep, rising; in f32, as the reference has them.
    fn sigma_table(&self) -> Vec<f64> {
        let sigma = |alpha_bar: f32| ((1.0 - alpha_bar) / alpha_bar).sqrt();
        self.alphas_bar.iter().map(|&alpha_bar| f64::from(sigma(to_f32(alpha_bar)))).collect()
    }

    /// `steps` noise levels between two, falling; `None` when the timesteps decide.
    fn respaced(&self, table: &[f64], ends: (f64, f64), steps: usize) -> Option<Vec<f64>> {
        self.sigma_spacing.levels(steps, table, ends, self.is_xl)
    }

    /// Whether noise levels are spaced as k-diffusion's users do, and diffusers' pipelines seldom:
    /// timesteps are then fractional with every sampler, and the first sample is noise times σ.
    pub fn is_of_web_uis(&self) -> bool {
        use SigmaSpacing::{Ays, Beta, SgmUniform, Simple};
        self.is_chosen && matches!(self.sigma_spacing, SgmUniform | Simple | Beta | Ays)
    }
}

fn track(timesteps: Vec<f64>, sigmas: &[f64]) -> NoiseSchedule {
    let levels = sigmas.iter().copied().chain([0.0]).map(Level::from_sigma).collect();
    NoiseSchedule { timesteps, levels }
}

/// ᾱ of every training timestep: the product of 1 - β up to there. β and ᾱ are rounded to f32 as in the reference.
fn alphas_bar(kind: SamplerKind, config: &ScheduleConfig) -> Vec<f64> {
    let mut product = 1.0;
    let mut alphas_bar: Vec<f64> = betas(config)
        .into_iter()
        .map(|beta| {
            product *= f64::from(1.0 - beta);
            f64::from(to_f32(product))
        })
        .collect();
    if config.rescale_betas_zero_snr == Some(true) && kind.rescales_betas() {
        rescale_to_zero_snr(&mut alphas_bar);
        if kind.is_sigma_based() {
            let last = alphas_bar.len() - 1;
            // The noise level must stay finite: the reference puts the smallest f16 number here.
            alphas_bar[last] = f64::from(2.0_f32.powi(-24));
        }
    }
    alphas_bar
}

/// Noise variance of every training step.
fn betas(config: &ScheduleConfig) -> Vec<f32> {
    if let Some(betas) = &config.trained_betas {
        return betas.clone();
    }
    let train = config.train_steps();
    let (start, end) = (config.beta_start.unwrap_or(0.0001), config.beta_end.unwrap_or(0.02));
    let ramp = |start: f64, end: f64| {
        (0..train).map(move |i| to_f32(start + (end - start) * i as f64 / (train - 1).max(1) as f64))
    };
    match config.beta_schedule.unwrap_or(BetaSchedule::Linear) {
        BetaSchedule::Linear => ramp(start, end).collect(),
        BetaSchedule::ScaledLinear => ramp(start.sqrt(), end.sqrt()).map(|root| root * root).collect(),
        BetaSchedule::SquaredCosine => {
            let curve =
                |i: usize| ((i as f64 / train as f64 + 0.008) / 1.008 * std::f64::consts::FRAC_PI_2).cos().powi(2);
            (0..train).map(|i| to_f32((1.0 - curve(i + 1) / curve(i)).min(0.999))).collect()
        }
    }
}

/// Shifts and scales √ᾱ so that the last one is 0 and the first one stays (Lin et al.,
/// "Common Diffusion Noise Schedules and Sample Steps are Flawed", 2023, algorithm 1).
fn rescale_to_zero_snr(alphas_bar: &mut [f64]) {
    let (first, last) = (alphas_bar[0].sqrt(), alphas_bar[alphas_bar.len() - 1].sqrt());
    for alpha_bar in alphas_bar {
        *alpha_bar = ((alpha_bar.sqrt() - last) * first / (first - last)).powi(2);
    }
}

/// Fractional timestep of a noise level: linear in log σ between the neighbours in the table. Where
/// timesteps are cut to whole ones it counts that the reference has the table's logarithms in f32.
fn timestep_of(sigma: f64, table: &[f64]) -> f64 {
    let log = |entry: f64| f64::from(to_f32(entry.ln()));
    let wanted = sigma.max(1e-10).ln();
    let low = table.partition_point(|entry| log(*entry) <= wanted).saturating_sub(1).min(table.len() - 2);
    let (below, above) = (log(table[low]), log(table[low + 1]));
    low as f64 + ((wanted - below) / (above - below)).clamp(0.0, 1.0)
}
