//! Noise levels of the training timesteps, and of the model calls of a run.

use super::SamplerOptions;
use super::config::{BetaSchedule, PredictionType, ScheduleConfig};
use super::error::ScheduleError;
use super::programs::{RunRequest, SigmaSchedule, TimestepSchedule, WebUiSchedule, schedule};
use super::properties::Properties;
use super::spacing::{SigmaSpacing, TimestepSpacing, interpolate};
use super::training::{alphas_bar, exact_alphas_bar};
use crate::num::{to_f32, to_whole};

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
#[derive(Default)]
pub(super) struct NoiseSchedule {
    /// Timestep of each model call.
    pub timesteps: Vec<f64>,
    /// Level of the sample at each model call, and at the end.
    pub levels: Vec<Level>,
}

impl NoiseSchedule {
    /// Adds a call.
    fn push(&mut self, timestep: f64, level: Level) {
        self.timesteps.push(timestep);
        self.levels.push(level);
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
    /// The program's own schedule, if it is a web UI that has the sampler.
    web_ui: Option<WebUiSchedule>,
}

impl Schedule {
    /// Resolves `config` for a sampler: a web UI's own schedule, or that of diffusers, where absent fields take the
    /// defaults of the sampler's diffusers class.
    pub fn new(
        properties: &Properties,
        config: &ScheduleConfig,
        options: &SamplerOptions,
        steps: usize,
    ) -> Result<Self, ScheduleError> {
        let exact = exact_alphas_bar(config);
        let web_ui = schedule(
            options.program,
            &RunRequest {
                sampler: properties.name,
                steps,
                spacing: options.sigma_spacing,
                automatic: properties.automatic_spacing.unwrap_or(SigmaSpacing::Timesteps),
                alphas_bar: &exact,
                is_xl: options.is_xl,
                strength: options.strength,
                is_second_pass: options.is_second_pass,
                settings: options.settings,
            },
        );
        if web_ui.is_none() && properties.is_web_ui_only {
            return Err(ScheduleError::OnlyInWebUis { what: properties.name.into() });
        }
        let alphas_bar = match web_ui {
            Some(_) => exact.iter().map(|alpha_bar| f64::from(to_f32(*alpha_bar))).collect(),
            None => alphas_bar(properties, config),
        };
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
        if web_ui.is_none() && sigma_spacing != SigmaSpacing::Timesteps {
            if !properties.is_sigma_based {
                return Err(ScheduleError::SigmaSpacing { sampler: properties.name });
            }
            if sigma_spacing.is_web_ui_only() {
                return Err(ScheduleError::OnlyInWebUis { what: "this schedule type".into() });
            }
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
            web_ui,
        })
    }

    /// Returns whether the program's own schedule is used, not that of diffusers.
    pub fn is_of_web_ui(&self) -> bool {
        self.web_ui.is_some()
    }

    /// Returns the web UI's schedule in σ, if this is one.
    pub fn web_ui_sigmas(&self) -> Option<&SigmaSchedule> {
        match &self.web_ui {
            Some(WebUiSchedule::Sigmas(sigmas)) => Some(sigmas),
            _ => None,
        }
    }

    /// Returns the σ that a solver which chooses its own steps starts and ends at.
    pub fn solver_range(&self) -> (f64, f64) {
        let table = self.sigma_table();
        self.web_ui_sigmas().map_or((table[table.len() - 1], table[0]), |sigmas| sigmas.solver_range)
    }

    /// Returns the web UI's schedule in training timesteps, if this is one.
    pub fn web_ui_timesteps(&self) -> Option<&TimestepSchedule> {
        match &self.web_ui {
            Some(WebUiSchedule::Timesteps(timesteps)) => Some(timesteps),
            _ => None,
        }
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

    /// Returns the timestep of each of DDIM's calls, and the timestep that the step goes to.
    pub fn timestep_pairs(&self, steps: usize) -> Vec<(i64, i64)> {
        if let Some(TimestepSchedule { timesteps, .. }) = self.web_ui_timesteps() {
            return timesteps.windows(2).map(|pair| (pair[0], pair[1])).collect();
        }
        let step_ratio = (self.alphas_bar.len() / steps) as i64;
        let timesteps = self.timesteps(steps, steps).into_iter().map(|t| to_whole(t.round_ties_even()));
        timesteps.map(|t| (t, t - step_ratio)).collect()
    }

    /// Returns the schedule of the samplers that step in σ (k-diffusion's); timesteps may be fractional.
    pub fn sigma_schedule(&self, steps: usize) -> NoiseSchedule {
        if let Some(web_ui) = self.web_ui_sigmas() {
            let sigmas: Vec<f64> = web_ui.sigmas.iter().copied().map(f64::from).collect();
            let timesteps = sigmas[..sigmas.len() - 1].iter().map(|sigma| web_ui.timestep(*sigma)).collect();
            return NoiseSchedule { timesteps, levels: sigmas.into_iter().map(Level::from_sigma).collect() };
        }
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

    /// Returns the network's timestep at a σ.
    pub fn timestep_of(&self, sigma: f64) -> f64 {
        match self.web_ui_sigmas() {
            Some(web_ui) => web_ui.timestep(sigma),
            None => timestep_of(sigma, &self.sigma_table()),
        }
    }

    /// Returns a σ schedule with a second call at the end of every step that does not end at 0.
    pub fn both_ends_schedule(&self, steps: usize) -> NoiseSchedule {
        let NoiseSchedule { timesteps, levels } = self.sigma_schedule(steps);
        let mut calls = NoiseSchedule::default();
        for (i, step) in levels.windows(2).enumerate() {
            calls.push(timesteps[i], step[0]);
            if step[1].sigma > 0.0 {
                let end = timesteps.get(i + 1).copied();
                calls.push(end.unwrap_or_else(|| self.timestep_of(step[1].sigma_ratio())), step[1]);
            }
        }
        calls.levels.extend(levels.last());
        calls
    }

    /// Returns a σ schedule with an additional call within every step that does not end at 0, at the σ that `middle`
    /// computes from the step's ends. With `round`, the other timesteps are rounded for Karras levels, as in
    /// diffusers' DPM2 classes.
    pub fn midpoint_schedule(&self, steps: usize, middle: &dyn Fn(Level, Level) -> f64, round: bool) -> NoiseSchedule {
        let NoiseSchedule { mut timesteps, levels } = self.sigma_schedule(steps);
        if round && self.sigma_spacing == SigmaSpacing::Karras && self.web_ui.is_none() {
            timesteps.iter_mut().for_each(|t| *t = t.round_ties_even());
        }
        let mut calls = NoiseSchedule::default();
        for (i, step) in levels.windows(2).enumerate() {
            calls.push(timesteps[i], step[0]);
            if step[1].sigma > 0.0 {
                let sigma = middle(step[0], step[1]);
                calls.push(self.timestep_of(sigma), Level::from_sigma(sigma));
            }
        }
        calls.levels.extend(levels.last());
        calls
    }

    /// Returns a σ schedule with additional calls within every step that does not end at 0, at shares of the step in
    /// log σ, computed in f32 as in ComfyUI.
    pub fn staged_schedule(&self, steps: usize, shares: &[f64]) -> NoiseSchedule {
        let NoiseSchedule { timesteps, levels } = self.sigma_schedule(steps);
        let mut calls = NoiseSchedule::default();
        for (i, step) in levels.windows(2).enumerate() {
            calls.push(timesteps[i], step[0]);
            let lambda = |level: Level| -to_f32(level.sigma_ratio()).ln();
            let (from, to) = (lambda(step[0]), lambda(step[1]));
            for share in shares.iter().filter(|_| step[1].sigma > 0.0).map(|share| to_f32(*share)) {
                let between = if share < 0.5 { from + share * (to - from) } else { to - (to - from) * (1.0 - share) };
                let sigma = f64::from((-between).exp());
                calls.push(self.timestep_of(sigma), Level::from_sigma(sigma));
            }
        }
        calls.levels.extend(levels.last());
        calls
    }

    /// Returns σ after a share of the training timesteps, counted from the noisiest one.
    pub fn sigma_after(&self, share: f64) -> f64 {
        let index = (1.0 - share) * (self.alphas_bar.len() - 1) as f64;
        match self.web_ui_sigmas() {
            Some(web_ui) => f64::from(web_ui.table.sigma_at(to_f32(index))),
            None => interpolate(&self.sigma_table(), index),
        }
    }

    /// Returns the schedule of the multistep solvers in λ (DPM++ 2M, UniPC); timesteps are integers.
    pub fn lambda_schedule(&self, steps: usize) -> NoiseSchedule {
        if self.web_ui.is_some() {
            return self.sigma_schedule(steps);
        }
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

/// Returns the fractional timestep of a σ, interpolated in log σ between table entries. The logarithms are in
/// f32 as in diffusers, which matters where timesteps are truncated.
fn timestep_of(sigma: f64, table: &[f64]) -> f64 {
    let log = |entry: f64| f64::from(to_f32(entry.ln()));
    let log_sigma = sigma.max(1e-10).ln();
    let low = table.partition_point(|entry| log(*entry) <= log_sigma).saturating_sub(1).min(table.len() - 2);
    let (below, above) = (log(table[low]), log(table[low + 1]));
    low as f64 + ((log_sigma - below) / (above - below)).clamp(0.0, 1.0)
}
