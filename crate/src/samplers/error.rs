//! Errors of noise schedules and samplers.

use serde_json::Value;

/// An error from setting up a sampler.
#[derive(Debug, thiserror::Error)]
pub enum ScheduleError {
    /// Invalid JSON, or an invalid field in it.
    #[error("scheduler_config.json is not valid: {0}; download it again")]
    Json(#[from] serde_json::Error),
    /// An unsupported value of a field.
    #[error("scheduler_config.json: {field} is {value}, supported: {supported}; use a model with one of these")]
    Unsupported {
        /// Name of the field.
        field: &'static str,
        /// Its value, as JSON.
        value: String,
        /// Supported values, as a JSON array.
        supported: String,
    },
    /// A number of steps that the schedule does not allow.
    #[error("{sampler} takes 1 to {limit} steps with this model, not {steps}; change the number of steps")]
    Steps {
        /// Name of the sampler.
        sampler: &'static str,
        /// Requested number of steps.
        steps: usize,
        /// Maximum number of steps.
        limit: usize,
    },
    /// A schedule type for a sampler whose timesteps determine the noise levels.
    #[error("{sampler} has no schedule type; use another sampler, or leave the schedule out")]
    SigmaSpacing {
        /// Name of the sampler.
        sampler: &'static str,
    },
    /// A sampler or a schedule type that the recipe's program does not have.
    #[error("{what} is not in the program whose image the recipe reproduces; choose another one, or a1111 or comfyui")]
    OnlyInWebUis {
        /// The sampler or schedule type.
        what: String,
    },
    /// An eta out of range.
    #[error("eta is {0}; it must be from 0 (no added noise) to 1")]
    Eta(f64),
    /// An eta for a sampler without one.
    #[error("{sampler} has no eta; leave it out, or use a sampler that adds noise, such as euler_a or ddim")]
    NoEta {
        /// Name of the sampler.
        sampler: &'static str,
    },
    /// An unknown sampler name.
    #[error("unknown sampler {name:?}; available: {available}")]
    UnknownSampler {
        /// The unknown name.
        name: String,
        /// The known names, separated by commas.
        available: String,
    },
}

impl ScheduleError {
    /// Creates the error of a field's unsupported value; `supported` is an array.
    pub(super) fn unsupported(field: &'static str, value: &Value, supported: &Value) -> Self {
        Self::Unsupported { field, value: value.to_string(), supported: supported.to_string() }
    }
}
