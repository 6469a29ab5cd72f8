//! Turns what can be wrong with a run's plan into a sentence: the thing, the fault, and what to do.

use super::SamplerKind;

/// Why a run cannot be planned.
#[derive(Debug, thiserror::Error)]
pub enum ScheduleError {
    /// The schedule's file is not the JSON that it should be.
    #[error("scheduler_config.json is not valid: {0}; take it from the model again")]
    Json(#[from] serde_json::Error),
    /// A field asks for maths that is not there.
    #[error(
        "scheduler_config.json: {field} is {value}, supported is {supported}; choose a model that uses one of these"
    )]
    Unsupported {
        /// Name of the field.
        field: &'static str,
        /// Its value, as JSON.
        value: String,
        /// The supported values, as a JSON list.
        supported: String,
    },
    /// The number of steps does not fit the schedule.
    #[error("{steps} steps asked of {kind}, which takes 1 to {limit} with this model; change the number of steps")]
    Steps {
        /// The sampler.
        kind: SamplerKind,
        /// Steps asked for.
        steps: usize,
        /// Most steps that it can take.
        limit: usize,
    },
    /// The sampler's timesteps decide its noise levels.
    #[error("{kind} has no choice of noise levels; take another sampler or leave the choice out")]
    SigmaSpacing {
        /// The sampler.
        kind: SamplerKind,
    },
    /// The share of fresh noise is no share.
    #[error("eta is {0}; it must be from 0 (no fresh noise) to 1")]
    Eta(f64),
    /// The sampler has no fresh noise to share out.
    #[error("{kind} has no eta; leave it out, or take a sampler with fresh noise, such as euler_a or ddim")]
    NoEta {
        /// The sampler.
        kind: SamplerKind,
    },
    /// No sampler of that name.
    #[error("there is no sampler {name:?}; there are {}", SamplerKind::ALL.map(|kind| kind.name()).join(", "))]
    UnknownSampler {
        /// The name asked for.
        name: String,
    },
}
