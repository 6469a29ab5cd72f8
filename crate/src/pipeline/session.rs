//! A session: a device, a model and everything that is kept between images.

use super::error::PipelineError;
use super::half::{HalfRunners, Partner};
use super::model::Model;
use super::plans::Runners;
use super::preview::Previewer;
use super::spec::EncodedPrompt;
use crate::device::Device;
use crate::gpu::{Gpu, KernelConfig};
use crate::model::Component;
use crate::weights::Weights;
use std::cell::Cell;
use std::rc::Rc;

/// A device, a model and everything that is kept between images.
pub struct Session {
    /// Where the networks run.
    pub device: Device,
    /// Kernel configuration of plans that are compiled from now on.
    pub config: KernelConfig,
    /// Whether untuned kernels are tuned before the first image; clearing it also ends a tuning in progress.
    pub tuning_enabled: Rc<Cell<bool>>,
    /// The base model.
    pub model: Model,
    /// Another session with the same model and weights, which computes half of the denoiser's batches.
    pub partner: Option<Rc<dyn Partner>>,
    pub(super) weights: Weights,
    pub(super) runners: Option<Rc<Runners>>,
    /// As the partner of another session.
    pub(super) half: Option<HalfRunners>,
    pub(super) prompt_cache: Vec<(String, Rc<EncodedPrompt>)>,
    pub(super) previewer: Option<Previewer>,
}

impl Session {
    /// Creates a session with nothing loaded and tuning disabled.
    pub fn new(device: impl Into<Device>, config: KernelConfig, model: Model) -> Session {
        Session {
            device: device.into(),
            config,
            tuning_enabled: Rc::default(),
            model,
            partner: None,
            weights: Weights::default(),
            runners: None,
            half: None,
            prompt_cache: Vec::new(),
            previewer: None,
        }
    }

    /// Returns the embedding width of each text encoder.
    pub fn text_widths(&self) -> Vec<(Component, usize)> {
        self.model.spec.text_encoders().iter().map(|encoder| (encoder.component, encoder.width)).collect()
    }

    /// Returns the GPU, if the networks run on one.
    pub fn gpu(&self) -> Option<&Rc<Gpu>> {
        self.device.gpu()
    }

    /// Opens the GPU again after a loss. All of its resources are lost and are uploaded again.
    pub(super) async fn recreate_device(&mut self) -> Result<(), PipelineError> {
        let Some(lost) = self.gpu() else { return Ok(()) };
        let (gpu, config) = Gpu::reopen(lost, &self.config).await?;
        self.runners = None;
        self.prompt_cache.clear();
        self.weights = Weights::default();
        self.device = Device::Gpu(Rc::new(gpu));
        self.config = config;
        Ok(())
    }
}
