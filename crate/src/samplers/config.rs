//! Turns a model's `scheduler_config.json` into the facts of its noise schedule, or says which field is not supported.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::{SamplerKind, ScheduleError};
use crate::num::to_f32;

/// How the noise of one training step grows from step to step.
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

/// What the network's output means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PredictionType {
    /// The noise in the sample (SD 1.x, SDXL).
    Epsilon,
    /// Velocity α·noise - σ·x₀ (SD 2.x at 768; Salimans and Ho 2022).
    VPrediction,
    /// The clean sample x₀.
    Sample,
}

/// How the timesteps of a run are chosen from the training timesteps (Lin et al. 2023, table 2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TimestepSpacing {
    /// Multiples of a whole step width from 0, plus `steps_offset`.
    Leading,
    /// Evenly from the first to the last training timestep.
    Linspace,
    /// Evenly from the last training timestep downwards.
    Trailing,
}

/// A model's noise schedule, with the field names of diffusers' `scheduler_config.json`.
///
/// A field that is `None` takes the default of the diffusers class of the sampler in use, as
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
    /// Curve between the two.
    pub beta_schedule: Option<BetaSchedule>,
    /// All β, in place of the three fields above.
    pub trained_betas: Option<Vec<f32>>,
    /// Whether β are rescaled so that the last timestep is pure noise.
    pub rescale_betas_zero_snr: Option<bool>,
    /// What the network's output means.
    pub prediction_type: Option<PredictionType>,
    /// Choice of timesteps.
    pub timestep_spacing: Option<TimestepSpacing>,
    /// Added to the timesteps of [`TimestepSpacing::Leading`].
    pub steps_offset: Option<usize>,
    /// Whether the last step ends at ᾱ = 1 and not at ᾱ of timestep 0 (DDIM, PNDM, LCM).
    pub set_alpha_to_one: Option<bool>,
    /// Whether x₀ is clipped (DDIM, LCM).
    pub clip_sample: Option<bool>,
    /// Clipping range of x₀, ± this value.
    pub clip_sample_range: Option<f64>,
    /// Whether PNDM starts without its Runge-Kutta steps.
    pub skip_prk_steps: Option<bool>,
    /// Noise levels after Karras et al. 2022.
    pub use_karras_sigmas: Option<bool>,
    /// Noise levels in a geometric row.
    pub use_exponential_sigmas: Option<bool>,
    /// Noise levels at quantiles of a Beta distribution.
    pub use_beta_sigmas: Option<bool>,
    /// Steps of the schedule that LCM was distilled with.
    pub original_inference_steps: Option<usize>,
    /// Scale of the timestep in LCM's boundary condition.
    pub timestep_scaling: Option<f64>,
}

impl ScheduleConfig {
    /// Stable Diffusion's schedule (1.x, SDXL; 2.x with another `prediction_type`), for checkpoints that bring none.
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

    /// Reads a `scheduler_config.json`, given as text. Python's `-Infinity`, which diffusers writes for
    /// `lambda_min_clipped`, is understood there; elsewhere it, `Infinity` and `NaN` are no numbers.
    ///
    /// # Errors
    /// [`ScheduleError::Json`] for text that is no such file, [`ScheduleError::Unsupported`] for a
    /// field that would change the result and is not supported.
    pub fn from_json(text: &str) -> Result<Self, ScheduleError> {
        let fields: Map<String, Value> = serde_json::from_str(&quoted(text))?;
        for (field, supported) in supported_values() {
            match fields.get(field) {
                None | Some(Value::Null) => {}
                Some(value) if supported.as_array().is_some_and(|list| list.contains(value)) => {}
                Some(value) => return Err(unsupported(field, value, &supported)),
            }
        }
        Ok(serde_json::from_value(Value::Object(fields))?)
    }

    /// The same as diffusers' pipelines of SD 1.x and 2.x mend it: early configs lack two fields, of which
    /// the classes' defaults are wrong for these models.
    pub fn with_pipeline_defaults(self) -> Self {
        Self { steps_offset: Some(1), clip_sample: Some(false), ..self }
    }

    /// Checks what only some samplers read, and the numbers that everything divides by.
    pub(super) fn check(&self, kind: SamplerKind, steps: usize) -> Result<(), ScheduleError> {
        let train_steps = self.train_steps();
        let limit = match kind {
            SamplerKind::Lcm | SamplerKind::Tcd => self.distilled_steps(),
            _ => train_steps.saturating_sub(1),
        };
        if !(1..=limit).contains(&steps) {
            return Err(ScheduleError::Steps { kind, steps, limit });
        }
        let rescaled = self.rescale_betas_zero_snr == Some(true);
        if rescaled
            && kind == SamplerKind::Ddim
            && self.prediction_type.unwrap_or(PredictionType::Epsilon) == PredictionType::Epsilon
        {
            return Err(unsupported("prediction_type", &json!("epsilon"), &json!(["v_prediction", "sample"])));
        }
        if kind == SamplerKind::Pndm && self.skip_prk_steps != Some(true) {
            return Err(unsupported("skip_prk_steps", &json!(false), &json!([true])));
        }
        if kind == SamplerKind::Heun && self.clip_sample == Some(true) {
            return Err(unsupported("clip_sample", &json!(true), &json!([false])));
        }
        Ok(())
    }

    /// Steps of the schedule that a consistency model was distilled with.
    pub(super) fn distilled_steps(&self) -> usize {
        self.original_inference_steps.unwrap_or(50).min(self.train_steps())
    }

    /// Range that x₀ is clipped to, ±; the diffusers classes differ in whether they clip unless told.
    pub(super) fn clip_range(&self, default: bool) -> Option<f32> {
        self.clip_sample.unwrap_or(default).then_some(to_f32(self.clip_sample_range.unwrap_or(1.0).abs()))
    }

    /// Number of training timesteps, from whichever field says it.
    pub(super) fn train_steps(&self) -> usize {
        self.trained_betas.as_ref().map_or(self.num_train_timesteps.unwrap_or(1000), Vec::len)
    }
}

/// The words that Python's JSON has for numbers which JSON has not.
const NUMBERS: [&str; 3] = ["-Infinity", "Infinity", "NaN"];

/// The text with [`NUMBERS`] as strings, where they are none already.
fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len());
    let (mut rest, mut in_string) = (text, false);
    while let Some(first) = rest.chars().next() {
        let number = NUMBERS.into_iter().find(|number| !in_string && rest.starts_with(number));
        let len = match (number, first) {
            (Some(number), _) => {
                quoted.extend(['"'].into_iter().chain(number.chars()).chain(['"']));
                rest = &rest[number.len()..];
                continue;
            }
            // Whatever follows a backslash is part of the string.
            (None, '\\') if in_string => 1 + rest[1..].chars().next().map_or(0, char::len_utf8),
            (None, first) => first.len_utf8(),
        };
        in_string ^= first == '"';
        quoted.push_str(&rest[..len]);
        rest = &rest[len..];
    }
    quoted
}

fn unsupported(field: &'static str, value: &Value, supported: &Value) -> ScheduleError {
    ScheduleError::Unsupported { field, value: value.to_string(), supported: supported.to_string() }
}

/// The values of every field whose other values would ask for other maths.
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

/// diffusers' schedulers whose noise schedule is a row of β.
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
