//! Noise schedule configuration: diffusers' `scheduler_config.json`.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::error::ScheduleError;
use super::properties::Properties;
use super::spacing::TimestepSpacing;
use crate::num::to_f32;

/// Curve of the noise variance β over the training timesteps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BetaSchedule {
    /// β is linear between `beta_start` and `beta_end`.
    Linear,
    /// √β is linear: Stable Diffusion's schedule.
    ScaledLinear,
    /// ᾱ follows a squared cosine (Nichol and Dhariwal 2021).
    #[serde(rename = "squaredcos_cap_v2")]
    SquaredCosine,
}

/// Parametrization of the network's output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PredictionType {
    /// Noise in the sample (SD 1.x, SDXL).
    Epsilon,
    /// Velocity α·noise - σ·x₀ (SD 2.x at 768; Salimans and Ho 2022).
    VPrediction,
    /// Clean sample x₀.
    Sample,
}

/// Configuration of a model's noise schedule, with the field names of diffusers' `scheduler_config.json`.
///
/// A `None` field takes the default of the diffusers class of the sampler in use, as
/// `Sampler.from_config(pipe.scheduler.config)` does.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ScheduleConfig {
    /// Number of training timesteps.
    pub num_train_timesteps: Option<usize>,
    /// β of the first training timestep.
    pub beta_start: Option<f64>,
    /// β of the last training timestep.
    pub beta_end: Option<f64>,
    /// Curve from `beta_start` to `beta_end`.
    pub beta_schedule: Option<BetaSchedule>,
    /// All β, instead of the three fields above.
    pub trained_betas: Option<Vec<f32>>,
    /// Whether β are rescaled so that the last timestep is pure noise.
    pub rescale_betas_zero_snr: Option<bool>,
    /// Parametrization of the network's output.
    pub prediction_type: Option<PredictionType>,
    /// Selection of timesteps.
    pub timestep_spacing: Option<TimestepSpacing>,
    /// Added to the timesteps of [`TimestepSpacing::Leading`].
    pub steps_offset: Option<usize>,
    /// Whether the last step ends at ᾱ = 1 instead of ᾱ of timestep 0 (DDIM, PNDM, LCM).
    pub set_alpha_to_one: Option<bool>,
    /// Whether x₀ is clipped (DDIM, LCM).
    pub clip_sample: Option<bool>,
    /// Clipping range of x₀, ± this value.
    pub clip_sample_range: Option<f64>,
    /// Whether PNDM starts without its Runge-Kutta steps.
    pub skip_prk_steps: Option<bool>,
    /// Whether noise levels are spaced as in Karras et al. 2022.
    pub use_karras_sigmas: Option<bool>,
    /// Whether noise levels are spaced geometrically.
    pub use_exponential_sigmas: Option<bool>,
    /// Whether noise levels are quantiles of a Beta distribution.
    pub use_beta_sigmas: Option<bool>,
    /// Number of steps of the schedule that LCM was distilled with.
    pub original_inference_steps: Option<usize>,
    /// Scale of the timestep in LCM's boundary condition.
    pub timestep_scaling: Option<f64>,
}

impl ScheduleConfig {
    /// Returns Stable Diffusion's schedule (1.x, SDXL; 2.x with another `prediction_type`), for checkpoints
    /// without one.
    pub fn stable_diffusion() -> Self {
        Self {
            num_train_timesteps: Some(1000),
            beta_start: Some(0.00085),
            beta_end: Some(0.012),
            beta_schedule: Some(BetaSchedule::ScaledLinear),
            prediction_type: Some(PredictionType::Epsilon),
            steps_offset: Some(1),
            set_alpha_to_one: Some(false),
            clip_sample: Some(false),
            skip_prk_steps: Some(true),
            ..Self::default()
        }
    }

    /// Parses the text of a `scheduler_config.json`. Python's `-Infinity` is accepted for `lambda_min_clipped`,
    /// where diffusers writes it; elsewhere it, `Infinity` and `NaN` are not valid numbers.
    ///
    /// # Errors
    /// [`ScheduleError::Json`] for text that is not such a file, [`ScheduleError::Unsupported`] for an
    /// unsupported value that would change the result.
    pub fn from_json(text: &str) -> Result<Self, ScheduleError> {
        let fields: Map<String, Value> = serde_json::from_str(&quote_non_finite(text))?;
        for (field, supported) in supported_values() {
            match fields.get(field) {
                None | Some(Value::Null) => {}
                Some(value) if supported.as_array().is_some_and(|list| list.contains(value)) => {}
                Some(value) => return Err(ScheduleError::unsupported(field, value, &supported)),
            }
        }
        Ok(serde_json::from_value(Value::Object(fields))?)
    }

    /// Returns the config with the corrections of diffusers' SD 1.x and 2.x pipelines: early configs lack two
    /// fields whose class defaults are wrong for these models.
    pub fn with_pipeline_defaults(self) -> Self {
        Self { steps_offset: Some(1), clip_sample: Some(false), ..self }
    }

    /// Checks the number of steps of a sampler.
    pub(super) fn check_steps(&self, properties: &Properties, steps: usize) -> Result<(), ScheduleError> {
        let limit = if properties.is_distilled { self.distilled_steps() } else { self.train_steps().saturating_sub(1) };
        if !(1..=limit).contains(&steps) {
            return Err(ScheduleError::Steps { sampler: properties.name, steps, limit });
        }
        Ok(())
    }

    /// Returns the parametrization of the network's output.
    pub(super) fn prediction(&self) -> PredictionType {
        self.prediction_type.unwrap_or(PredictionType::Epsilon)
    }

    /// Returns the number of steps of the schedule that a consistency model was distilled with.
    pub(super) fn distilled_steps(&self) -> usize {
        self.original_inference_steps.unwrap_or(50).min(self.train_steps())
    }

    /// Returns the range ± that x₀ is clipped to, if any. `default` is the diffusers class's `clip_sample`.
    pub(super) fn clip_range(&self, default: bool) -> Option<f32> {
        self.clip_sample.unwrap_or(default).then_some(to_f32(self.clip_sample_range.unwrap_or(1.0).abs()))
    }

    /// Returns the number of training timesteps, from `trained_betas` or `num_train_timesteps`.
    pub(super) fn train_steps(&self) -> usize {
        self.trained_betas.as_ref().map_or(self.num_train_timesteps.unwrap_or(1000), Vec::len)
    }
}

/// Literals of Python's JSON for numbers that JSON cannot represent.
const NON_FINITE: [&str; 3] = ["-Infinity", "Infinity", "NaN"];

/// Quotes [`NON_FINITE`] literals that are outside of strings.
fn quote_non_finite(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len());
    let (mut rest, mut in_string) = (text, false);
    while let Some(first) = rest.chars().next() {
        let literal = NON_FINITE.into_iter().find(|literal| !in_string && rest.starts_with(literal));
        let len = match (literal, first) {
            (Some(literal), _) => {
                quoted.extend(['"'].into_iter().chain(literal.chars()).chain(['"']));
                rest = &rest[literal.len()..];
                continue;
            }
            // The character after a backslash never ends the string.
            (None, '\\') if in_string => 1 + rest[1..].chars().next().map_or(0, char::len_utf8),
            (None, first) => first.len_utf8(),
        };
        in_string ^= first == '"';
        quoted.push_str(&rest[..len]);
        rest = &rest[len..];
    }
    quoted
}

/// Supported values of the fields whose other values need a different algorithm.
fn supported_values() -> [(&'static str, Value); 21] {
    [
        ("_class_name", json!(BETA_CLASSES)),
        ("beta_schedule", json!(["linear", "scaled_linear", "squaredcos_cap_v2"])),
        ("prediction_type", json!(["epsilon", "v_prediction", "sample"])),
        ("timestep_spacing", json!(["leading", "linspace", "trailing"])),
        ("timestep_type", json!(["discrete"])),
        ("interpolation_type", json!(["linear"])),
        ("final_sigmas_type", json!(["zero"])),
        ("algorithm_type", json!(["dpmsolver++", "sde-dpmsolver++", "deis"])),
        ("solver_order", json!([2])),
        ("solver_type", json!(["midpoint", "bh2", "logrho"])),
        ("lower_order_final", json!([true])),
        ("predict_x0", json!([true])),
        ("disable_corrector", json!([[]])),
        ("variance_type", json!(["fixed_small"])),
        ("thresholding", json!([false])),
        ("use_lu_lambdas", json!([false])),
        ("use_flow_sigmas", json!([false])),
        ("use_dynamic_shifting", json!([false])),
        ("lambda_min_clipped", json!(["-Infinity"])),
        ("sigma_min", json!([])),
        ("sigma_max", json!([])),
    ]
}

/// diffusers schedulers whose noise schedule is given by β.
const BETA_CLASSES: [&str; 16] = [
    "DDIMScheduler",
    "DDPMScheduler",
    "DEISMultistepScheduler",
    "DPMSolverMultistepScheduler",
    "DPMSolverSDEScheduler",
    "DPMSolverSinglestepScheduler",
    "EulerAncestralDiscreteScheduler",
    "EulerDiscreteScheduler",
    "HeunDiscreteScheduler",
    "KDPM2AncestralDiscreteScheduler",
    "KDPM2DiscreteScheduler",
    "LCMScheduler",
    "LMSDiscreteScheduler",
    "PNDMScheduler",
    "TCDScheduler",
    "UniPCMultistepScheduler",
];
