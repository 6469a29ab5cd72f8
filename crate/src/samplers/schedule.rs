//! Noise levels of the training timesteps, and of the model calls of a run.

use super::SamplerOptions;
use super::config::{BetaSchedule, PredictionType, ScheduleConfig};
use super::error::ScheduleError;
use super::properties::Properties;
use super::spacing::{SigmaSpacing, TimestepSpacing, interpolate};
use crate::num::to_f32;

/// Noise level of a sample `alpha` · x₀ + `sigma` · noise, with `alpha`² + `sigma`² = 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Level {
    pub alpha: f64,
    pub sigma: f64,
}

impl Level {
    /// Creates a level from ᾱ = `alpha`².
    pub fn from_alpha_bar(alpha_bar: f64) -> Self {
        Self { alpha: alpha_bar.sqrt(), sigma: (1.0 - alpha_bar).sqrt() }
    }

    /// Creates a level from σ of a sample x₀ + σ·noise, whose x₀ is not scaled down.
    pub fn from_sigma(sigma: f64) -> Self {
        let alpha = 1.0 / (sigma * sigma + 1.0).sqrt();
        Self { alpha, sigma: sigma * alpha }
    }

    /// Returns σ of the sample rescaled to x₀ + σ·noise.
    pub fn sigma_ratio(self) -> f64 {
        self.sigma / self.alpha
    }

    /// Returns half the log signal-to-noise ratio, λ in the DPM-Solver papers.
    pub fn lambda(self) -> f64 {
        self.alpha.ln() - self.sigma.ln()
    }
}

/// Timesteps and noise levels of a run.
pub(super) struct NoiseSchedule {
    /// Timestep of each model call.
    pub timesteps: Vec<f64>,
    /// Level of the sample at each model call, and at the end.
    pub levels: Vec<Level>,
}

impl NoiseSchedule {
    /// Repeats every entry except the first and the last level, for samplers that evaluate the network again at
    /// the next level.
    pub fn doubled(self) -> Self {
        let repeats = |i: usize| if i == 0 { 1 } else { 2 };
        let timesteps = self.timesteps.iter().enumerate().flat_map(|(i, t)| std::iter::repeat_n(*t, repeats(i)));
        let (end, levels) = (self.levels.len() - 1, self.levels.iter().enumerate());
        let levels = levels.flat_map(|(i, level)| std::iter::repeat_n(*level, if i == end { 1 } else { repeats(i) }));
        Self { timesteps: timesteps.collect(), levels: levels.collect() }
    }
}

impl PredictionType {
    /// Returns the weights of the sample at `level` and of the network's output whose sum is x₀.
    pub(super) fn x0_weights(self, level: Level) -> (f64, f64) {
        let Level { alpha, sigma } = level;
        match self {
            Self::Epsilon => (1.0 / alpha, -sigma / alpha),
            Self::VPrediction => (alpha, -sigma),
            Self::Sample => (0.0, 1.0),
        }
    }

    /// Returns the weights of the sample at `level` and of the network's output whose sum is the noise.
    pub(super) fn noise_weights(self, level: Level) -> (f64, f64) {
        let Level { alpha, sigma } = level;
        match self {
            Self::Epsilon => (0.0, 1.0),
            Self::VPrediction => (sigma, alpha),
            Self::Sample => (1.0 / sigma, -alpha / sigma),
        }
    }
}

/// The training schedule, and the timestep selection of one sampler.
pub(super) struct Schedule {
    /// ᾱ of every training timestep.
    pub alphas_bar: Vec<f64>,
    pub prediction: PredictionType,
    pub spacing: TimestepSpacing,
    sigma_spacing: SigmaSpacing,
    /// Whether the spacing was set for the run, not by the model's config.
    is_chosen: bool,
    is_xl: bool,
    /// Whether spaced levels cover the whole table, as in k-diffusion, instead of the range from the first to
    /// the last timestep.
    spans_table: bool,
    steps_offset: usize,
    /// ᾱ after the last step.
    final_alpha_bar: f64,
    is_cosine: bool,
}

impl Schedule {
    /// Resolves `config` for a sampler: absent fields take the defaults of the sampler's diffusers class.
    pub fn new(
        properties: &Properties,
        config: &ScheduleConfig,
        options: &SamplerOptions,
    ) -> Result<Self, ScheduleError> {
        let alphas_bar = alphas_bar(properties, config);
        let final_alpha_bar =
            if config.set_alpha_to_one.unwrap_or(properties.sets_alpha_to_one) { 1.0 } else { alphas_bar[0] };
        let flags = [
            (config.use_karras_sigmas, SigmaSpacing::Karras),
            (config.use_exponential_sigmas, SigmaSpacing::Exponential),
            (config.use_beta_sigmas, SigmaSpacing::Beta),
        ];
        let enabled = flags.iter().find(|(flag, _)| *flag == Some(true) && properties.follows_spaced_config);
        let configured = enabled.map_or(SigmaSpacing::Timesteps, |(_, spacing)| *spacing);
        let sigma_spacing = options.sigma_spacing.unwrap_or(configured);
        if sigma_spacing != SigmaSpacing::Timesteps && !properties.is_sigma_based {
            return Err(ScheduleError::SigmaSpacing { sampler: properties.name });
        }
        Ok(Self {
            final_alpha_bar,
            alphas_bar,
            prediction: config.prediction(),
            spacing: options.timestep_spacing.or(config.timestep_spacing).unwrap_or(properties.default_spacing),
            sigma_spacing,
            is_chosen: options.sigma_spacing.is_some(),
            is_xl: options.is_xl,
            spans_table: !properties.follows_spaced_config,
            steps_offset: config.steps_offset.unwrap_or(0),
            is_cosine: config.beta_schedule == Some(BetaSchedule::SquaredCosine),
        })
    }

    /// Returns the level at a training timestep; negative timesteps are after the last step.
    pub fn level(&self, timestep: i64) -> Level {
        let alpha_bar = usize::try_from(timestep).map_or(self.final_alpha_bar, |t| self.alphas_bar[t]);
        Level::from_alpha_bar(alpha_bar)
    }

    /// Returns `steps` timesteps in descending order. "leading" and "linspace" divide the training range into
    /// `intervals`: `steps`, or one more for the solvers that omit the last timestep.
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

    /// Returns the schedule of the samplers that step in σ (k-diffusion's); timesteps may be fractional.
    pub fn sigma_schedule(&self, steps: usize) -> NoiseSchedule {
        let table = self.sigma_table();
        // diffusers stores these timesteps in f32.
        let timesteps: Vec<f64> = self.timesteps(steps, steps).into_iter().map(|t| f64::from(to_f32(t))).collect();
        let sigmas: Vec<f64> = timesteps.iter().map(|t| interpolate(&table, *t)).collect();
        let ends = match self.spans_table {
            true => (table[table.len() - 1], table[0]),
            false => (sigmas[0], sigmas[steps - 1]),
        };
        let Some(sigmas) = self.respaced(&table, ends, steps) else {
            return from_sigmas(timesteps, &sigmas);
        };
        from_sigmas(sigmas.iter().map(|sigma| timestep_of(*sigma, &table)).collect(), &sigmas)
    }

    /// Returns a σ schedule with an additional call within every step but the last, at the σ that `middle`
    /// computes from the step's ends. With `round`, the other timesteps are rounded for Karras levels, as in
    /// diffusers' DPM2 classes.
    pub fn midpoint_schedule(&self, steps: usize, middle: &dyn Fn(Level, Level) -> f64, round: bool) -> NoiseSchedule {
        let table = self.sigma_table();
        let NoiseSchedule { mut timesteps, levels } = self.sigma_schedule(steps);
        if round && self.sigma_spacing == SigmaSpacing::Karras {
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

    /// Returns the schedule of the multistep solvers in λ (DPM++ 2M, UniPC); timesteps are integers.
    pub fn lambda_schedule(&self, steps: usize) -> NoiseSchedule {
        let table = self.sigma_table();
        let Some(sigmas) = self.respaced(&table, (table[table.len() - 1], table[0]), steps) else {
            let timesteps: Vec<f64> = self.timesteps(steps, steps + 1).into_iter().map(f64::round_ties_even).collect();
            let sigmas: Vec<f64> = timesteps.iter().map(|t| interpolate(&table, *t)).collect();
            return from_sigmas(timesteps, &sigmas);
        };
        let round = |t: f64| match self.sigma_spacing {
            _ if self.has_web_ui_spacing() => t,
            SigmaSpacing::Karras if !self.is_cosine => t.round_ties_even(),
            _ => t.trunc(),
        };
        from_sigmas(sigmas.iter().map(|sigma| round(timestep_of(*sigma, &table))).collect(), &sigmas)
    }

    /// Returns σ of every training timestep, ascending, rounded to f32 as in diffusers.
    fn sigma_table(&self) -> Vec<f64> {
        let sigma = |alpha_bar: f32| ((1.0 - alpha_bar) / alpha_bar).sqrt();
        self.alphas_bar.iter().map(|&alpha_bar| f64::from(sigma(to_f32(alpha_bar)))).collect()
    }

    /// Returns `steps` spaced σ between two `ends`, descending; `None` if they follow from the timesteps.
    fn respaced(&self, table: &[f64], ends: (f64, f64), steps: usize) -> Option<Vec<f64>> {
        self.sigma_spacing.levels(steps, table, ends, self.is_xl)
    }

    /// Returns whether the schedule type is one of the web UIs' (k-diffusion), which diffusers' pipelines rarely
    /// use: timesteps are then fractional with every sampler, and the initial sample is noise times σ.
    pub fn has_web_ui_spacing(&self) -> bool {
        use SigmaSpacing::{Ays, Beta, SgmUniform, Simple};
        self.is_chosen && matches!(self.sigma_spacing, SgmUniform | Simple | Beta | Ays)
    }
}

/// Creates a schedule from timesteps and σ, which ends at σ = 0.
fn from_sigmas(timesteps: Vec<f64>, sigmas: &[f64]) -> NoiseSchedule {
    let levels = sigmas.iter().copied().chain([0.0]).map(Level::from_sigma).collect();
    NoiseSchedule { timesteps, levels }
}

/// Returns ᾱ of every training timestep: the cumulative product of 1 - β. β and ᾱ are rounded to f32 as in
/// diffusers.
fn alphas_bar(properties: &Properties, config: &ScheduleConfig) -> Vec<f64> {
    let mut product = 1.0;
    let mut alphas_bar: Vec<f64> = betas(config)
        .into_iter()
        .map(|beta| {
            product *= f64::from(1.0 - beta);
            f64::from(to_f32(product))
        })
        .collect();
    if config.rescale_betas_zero_snr == Some(true) && properties.rescales_betas {
        rescale_to_zero_snr(&mut alphas_bar);
        if properties.is_sigma_based {
            let last = alphas_bar.len() - 1;
            // σ must stay finite: diffusers uses the smallest f16 value here.
            alphas_bar[last] = f64::from(2.0_f32.powi(-24));
        }
    }
    alphas_bar
}

/// Returns the noise variance β of every training timestep.
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

/// Shifts and scales √ᾱ so that the last value becomes 0 and the first is unchanged (Lin et al.,
/// "Common Diffusion Noise Schedules and Sample Steps are Flawed", 2023, algorithm 1).
fn rescale_to_zero_snr(alphas_bar: &mut [f64]) {
    let (first, last) = (alphas_bar[0].sqrt(), alphas_bar[alphas_bar.len() - 1].sqrt());
    for alpha_bar in alphas_bar {
        *alpha_bar = ((alpha_bar.sqrt() - last) * first / (first - last)).powi(2);
    }
}

/// Returns the fractional timestep of a σ, interpolated in log σ between table entries. The logarithms are in
/// f32 as in diffusers, which matters where timesteps are truncated.
fn timestep_of(sigma: f64, table: &[f64]) -> f64 {
    let log = |entry: f64| f64::from(to_f32(entry.ln()));
    let log_sigma = sigma.max(1e-10).ln();
    let low = table.partition_point(|entry| log(*entry) <= log_sigma).saturating_sub(1).min(table.len() - 2);
    let (below, above) = (log(table[low]), log(table[low + 1]));
    low as f64 + ((log_sigma - below) / (above - below)).clamp(0.0, 1.0)
}
