//! Errors of the pipeline.

use crate::device::DeviceError;
use crate::gpu::GpuError;
use crate::model::ConfigError;
use crate::plan::PlanError;
use crate::samplers::ScheduleError;
use crate::text::TextError;
use crate::weights::WeightsError;

/// An error from loading a model or generating an image.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "each variant's message says what its fields are")]
pub enum PipelineError {
    /// Cancelled by the user.
    #[error("cancelled")]
    Cancelled,
    /// A file of the model folder is missing.
    #[error(
        "the model folder has no {0}: open the complete diffusers folder (model_index.json, unet, vae, text_encoder, tokenizer, scheduler)"
    )]
    MissingFile(String),
    /// A model file that cannot be read or does not fit.
    #[error("{file}: {reason}")]
    InvalidFile { file: String, reason: String },
    /// A file with a UNet whose text encoders or VAE are in other files.
    #[error("{file} contains a UNet of {family}, but no {}: open files with them too", .missing.join(" and no "))]
    MissingParts { file: String, family: &'static str, missing: Vec<&'static str> },
    /// A model or pipeline that is not supported.
    #[error("this is {0}; only Stable Diffusion 1.x, 2.x and XL text-to-image models are supported")]
    Unsupported(String),
    /// An invalid value in the recipe.
    #[error("{what} is {found}; {wanted}")]
    Recipe { what: &'static str, found: String, wanted: String },
    /// An adapter or embedding of the recipe that is not loaded.
    #[error("the recipe uses {name} (sha256 {sha256}), which is not loaded: open its file first")]
    NoAdapter { name: String, sha256: String },
    /// An upscaler of the recipe that is not open.
    #[error("the recipe enlarges the image by the upscaler {0}, which is not open: open its file first")]
    NoUpscaler(String),
    /// NaN or infinity in a network's output.
    #[error("generation failed at {when}: {} produced NaN or infinity; {hint}", location(.network, .layer))]
    NotFinite { when: String, network: &'static str, layer: Option<String>, hint: String },
    /// NaN or infinity from f16 math; generation continues without it.
    #[error("a value overflowed f16")]
    F16Overflow,
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
    /// The GPU.
    #[error(transparent)]
    Gpu(#[from] GpuError),
}

impl From<DeviceError> for PipelineError {
    fn from(error: DeviceError) -> PipelineError {
        match error {
            DeviceError::Gpu(error) => error.into(),
            DeviceError::Plan(error) => error.into(),
        }
    }
}

fn location(network: &str, layer: &Option<String>) -> String {
    match layer {
        Some(layer) => format!("{layer} of the {network}"),
        None => format!("the {network}"),
    }
}

impl PipelineError {
    /// Returns whether the device was lost; opening it again may succeed.
    pub fn is_lost_device(&self) -> bool {
        matches!(
            self,
            PipelineError::Gpu(GpuError::Lost(_)) | PipelineError::Weights(WeightsError::Gpu(GpuError::Lost(_)))
        )
    }

    /// Returns a machine-readable kind: `cancelled`, `no_webgpu`, `gpu`, `adapter`, `model`, `recipe`.
    pub fn kind(&self) -> &'static str {
        match self {
            PipelineError::Cancelled => "cancelled",
            PipelineError::Gpu(GpuError::NoAdapter(_))
            | PipelineError::Weights(WeightsError::Gpu(GpuError::NoAdapter(_))) => "no_webgpu",
            PipelineError::Gpu(_) | PipelineError::Weights(WeightsError::Gpu(_)) | PipelineError::NotFinite { .. } => {
                "gpu"
            }
            PipelineError::NoAdapter { .. }
            | PipelineError::NoUpscaler(_)
            | PipelineError::Weights(WeightsError::Delta { .. }) => "adapter",
            PipelineError::MissingParts { .. } => "parts",
            PipelineError::Recipe { .. } | PipelineError::Schedule(_) => "recipe",
            _ => "model",
        }
    }
}
