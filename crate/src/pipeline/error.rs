//! Errors of the pipeline.

use super::said;
use crate::device::DeviceError;
use crate::gpu::GpuError;
use crate::model::ConfigError;
use crate::plan::PlanError;
use crate::samplers::ScheduleError;
use crate::sentence::{Sentence, Value, sentence};
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
    #[error("{}", missing_file(.0).clause())]
    MissingFile(String),
    /// A model file that cannot be read or does not fit.
    #[error("{file}: {reason}")]
    InvalidFile { file: String, reason: Value },
    /// A file with a UNet whose text encoders or VAE are in other files.
    #[error("{}", missing_parts(.file, .family, .missing).clause())]
    MissingParts { file: String, family: &'static str, missing: Vec<Sentence> },
    /// A model or pipeline that is not supported.
    #[error("{}", unsupported(.0).clause())]
    Unsupported(Box<Sentence>),
    /// An invalid value in the recipe.
    #[error("{}", .0.clause())]
    Recipe(Box<Sentence>),
    /// An adapter or embedding of the recipe that is not loaded.
    #[error("{}", no_adapter(.name, .sha256).clause())]
    NoAdapter { name: String, sha256: String },
    /// An upscaler of the recipe that is not open.
    #[error("{}", no_upscaler(.0).clause())]
    NoUpscaler(String),
    /// NaN or infinity in a network's output.
    #[error("{}", .0.clause())]
    NotFinite(Box<Sentence>),
    /// NaN or infinity from f16 math; generation continues without it.
    #[error("a value overflowed f16")]
    F16Overflow,
    /// A partner that fails; generation continues without it.
    #[error("the second worker failed: {0}")]
    Partner(String),
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

fn unsupported(what: &Sentence) -> Sentence {
    sentence!("image.unsupported", what = what)
}

fn missing_file(file: &str) -> Sentence {
    sentence!("image.missing_file", file = file)
}

fn missing_parts(file: &str, family: &str, missing: &[Sentence]) -> Sentence {
    sentence!("image.missing_parts", file = file, base = family, parts = missing.to_vec())
}

fn no_adapter(name: &str, sha256: &str) -> Sentence {
    sentence!("image.no_adapter", file = name, hash = sha256)
}

fn no_upscaler(name: &str) -> Sentence {
    sentence!("image.no_upscaler", file = name)
}

impl PipelineError {
    /// Returns the error of an invalid value in the recipe.
    pub(super) fn recipe(sentence: Sentence) -> PipelineError {
        PipelineError::Recipe(Box::new(sentence))
    }

    /// Returns the error of a model that is not supported: what it is.
    pub(super) fn unsupported(what: Sentence) -> PipelineError {
        PipelineError::Unsupported(Box::new(what))
    }

    /// Returns the error of a network whose output has NaN or infinity, since this layer if it was found.
    pub(super) fn not_finite(
        when: Sentence,
        network: Sentence,
        layer: Option<String>,
        hint: Sentence,
    ) -> PipelineError {
        let place = match layer {
            Some(layer) => sentence!("image.layer_of", layer = layer, network = network),
            None => network,
        };
        PipelineError::NotFinite(Box::new(sentence!("image.not_finite", when = when, place = place, hint = hint)))
    }

    /// Returns the error of a half that a partner computes.
    pub(super) fn of_partner(self) -> PipelineError {
        match self {
            PipelineError::Cancelled | PipelineError::Partner(_) => self,
            error => PipelineError::Partner(error.to_string()),
        }
    }

    /// Returns whether the device was lost; opening it again may succeed.
    pub fn is_lost_device(&self) -> bool {
        matches!(
            self,
            PipelineError::Gpu(GpuError::Lost(_)) | PipelineError::Weights(WeightsError::Gpu(GpuError::Lost(_)))
        )
    }

    /// Returns the message as a sentence; `None` for what is no message (cancelled, repeated without f16 or
    /// without a partner).
    pub fn sentence(&self) -> Option<Sentence> {
        Some(match self {
            PipelineError::Cancelled | PipelineError::F16Overflow | PipelineError::Partner(_) => return None,
            PipelineError::MissingFile(file) => missing_file(file),
            PipelineError::InvalidFile { file, reason } => {
                sentence!("edit.file", file = file, problem = reason.clone())
            }
            PipelineError::MissingParts { file, family, missing } => missing_parts(file, family, missing),
            PipelineError::Unsupported(what) => unsupported(what),
            PipelineError::NoAdapter { name, sha256 } => no_adapter(name, sha256),
            PipelineError::NoUpscaler(name) => no_upscaler(name),
            PipelineError::Recipe(sentence) | PipelineError::NotFinite(sentence) => sentence.as_ref().clone(),
            PipelineError::Config(error) => said::config(error),
            PipelineError::Text(error) => said::text(error),
            PipelineError::Schedule(error) => said::schedule(error),
            PipelineError::Weights(error) => said::weights(error),
            PipelineError::Plan(error) => said::plan(error),
            PipelineError::Gpu(error) => said::gpu(error),
        })
    }

    /// Returns a machine-readable kind: `cancelled`, `no_webgpu`, `gpu`, `adapter`, `model`, `recipe`.
    pub fn kind(&self) -> &'static str {
        match self {
            PipelineError::Cancelled => "cancelled",
            PipelineError::Gpu(GpuError::NoAdapter(_))
            | PipelineError::Weights(WeightsError::Gpu(GpuError::NoAdapter(_))) => "no_webgpu",
            PipelineError::Gpu(_) | PipelineError::Weights(WeightsError::Gpu(_)) | PipelineError::NotFinite(_) => "gpu",
            PipelineError::NoAdapter { .. }
            | PipelineError::NoUpscaler(_)
            | PipelineError::Weights(WeightsError::Delta { .. }) => "adapter",
            PipelineError::MissingParts { .. } => "parts",
            PipelineError::Recipe(_) | PipelineError::Schedule(_) => "recipe",
            _ => "model",
        }
    }
}
