//! Turns every reason why there is no picture into one sentence with what to do.

use crate::gpu::GpuError;
use crate::model::ConfigError;
use crate::plan::PlanError;
use crate::samplers::ScheduleError;
use crate::text::TextError;
use crate::weights::WeightsError;

/// Why there is no picture.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "each variant's message says what its fields are")]
pub enum PipelineError {
    /// The person stopped it.
    #[error("stopped")]
    Cancelled,
    /// A file of the model folder is missing.
    #[error(
        "the model folder has no {0}: drop the whole folder as diffusers saves it (model_index.json, unet, vae, text_encoder, tokenizer, scheduler)"
    )]
    NoFile(String),
    /// A file of the model folder cannot be read.
    #[error("{file}: {reason}")]
    BadFile { file: String, reason: String },
    /// A pipeline that is not built.
    #[error(
        "this is {0}, which this program cannot run; it runs Stable Diffusion 1.x, 2.x and XL models that turn text into pictures"
    )]
    Unsupported(String),
    /// A number of the recipe that cannot be.
    #[error("{what} is {found}; {wanted}")]
    Recipe { what: &'static str, found: String, wanted: String },
    /// An adapter that the recipe names and nobody gave.
    #[error("the recipe asks for the adapter {name} (sha256 {sha256}), which is not loaded: drop its file first")]
    NoAdapter { name: String, sha256: String },
    /// Not a number, at a step.
    #[error("the picture broke at {when}: {} gave NaN or infinity; {hint}", place(.network, .layer))]
    NotFinite { when: String, network: &'static str, layer: Option<String>, hint: String },
    /// The same of kernels that multiply halves: the picture goes on without them.
    #[error("a number was too large for 16 bits")]
    BeyondHalves,
    /// A config.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A tokenizer or prompt.
    #[error(transparent)]
    Text(#[from] TextError),
    /// A scheduler config or a number of steps.
    #[error(transparent)]
    Schedule(#[from] ScheduleError),
    /// Weights or adapters.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// A plan.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The graphics processor.
    #[error(transparent)]
    Gpu(#[from] GpuError),
}

fn place(network: &str, layer: &Option<String>) -> String {
    match layer {
        Some(layer) => format!("{layer} of the {network}"),
        None => format!("the {network}"),
    }
}

impl PipelineError {
    /// Whether the device is gone, and may come back.
    pub fn is_lost_device(&self) -> bool {
        matches!(
            self,
            PipelineError::Gpu(GpuError::Lost(_)) | PipelineError::Weights(WeightsError::Gpu(GpuError::Lost(_)))
        )
    }

    /// Short name for programs: `cancelled`, `no_webgpu`, `gpu`, `adapter`, `model`, `recipe`.
    pub fn kind(&self) -> &'static str {
        match self {
            PipelineError::Cancelled => "cancelled",
            PipelineError::Gpu(GpuError::NoAdapter(_))
            | PipelineError::Weights(WeightsError::Gpu(GpuError::NoAdapter(_))) => "no_webgpu",
            PipelineError::Gpu(_) | PipelineError::Weights(WeightsError::Gpu(_)) | PipelineError::NotFinite { .. } => {
                "gpu"
            }
            PipelineError::NoAdapter { .. } | PipelineError::Weights(WeightsError::Delta { .. }) => "adapter",
            PipelineError::Recipe { .. } | PipelineError::Schedule(_) => "recipe",
            _ => "model",
        }
    }
}
