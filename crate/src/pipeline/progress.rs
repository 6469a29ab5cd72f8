//! Progress of an image: stages, reports and the estimate of the remaining time.

use super::error::PipelineError;
use super::preview::Preview;
use serde::Serialize;
use std::ops::ControlFlow;
use ts_rs::TS;

/// Whether to continue, or to stop before the next step.
pub type Control = ControlFlow<()>;

/// A stage of image generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, TS)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Timing kernel variants, once per device.
    Tune,
    /// Uploading weights to the GPU.
    Load,
    /// Encoding the prompt.
    Text,
    /// Folding adapters into the weights.
    Adapters,
    /// Denoising the latents.
    Denoise,
    /// Decoding the latents into pixels.
    Decode,
    /// Enlarging the image by an upscaling network.
    Upscale,
}

/// Progress of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress<'a> {
    /// Current stage.
    pub stage: Stage,
    /// Completed steps of the stage.
    pub step: usize,
    /// Total steps of the stage.
    pub steps: usize,
    /// Preview of the image, if requested and new.
    pub preview: Option<&'a Preview>,
}

/// Estimates the remaining seconds of denoising after `step` of `steps` calls in `elapsed` seconds; `None`
/// before the first.
pub fn denoise_seconds_left(elapsed: f64, step: usize, steps: usize) -> Option<f64> {
    (step > 0).then(|| elapsed / step as f64 * (steps - step.min(steps)) as f64)
}

/// Progress callback: an error stops the work.
pub(super) type Report<'a> = &'a mut dyn FnMut(Stage, usize, usize, Option<&Preview>) -> Result<(), PipelineError>;
