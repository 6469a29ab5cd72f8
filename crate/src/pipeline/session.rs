//! A session: a GPU, a model and everything that is kept between images.

use super::error::PipelineError;
use super::model::Model;
use super::plans::Runners;
use super::preview::Previewer;
use super::spec::EncodedPrompt;
use crate::gpu::{Gpu, KernelConfig};
use crate::model::Component;
use crate::weights::Weights;
use std::cell::Cell;
use std::rc::Rc;

/// A GPU, a model and everything that is kept between images.
pub struct Session {
    /// The GPU.
    pub gpu: Rc<Gpu>,
    /// Kernel configuration of plans that are compiled from now on.
    pub config: KernelConfig,
    /// Whether untuned kernels are tuned before the first image; clearing it also ends a tuning in progress.
    pub tuning_enabled: Rc<Cell<bool>>,
    /// The base model.
    pub model: Model,
    pub(super) weights: Weights,
    pub(super) runners: Option<Rc<Runners>>,
    pub(super) prompt_cache: Vec<(String, Rc<EncodedPrompt>)>,
    pub(super) previewer: Option<Previewer>,
}

impl Session {
    /// Creates a session with nothing loaded and tuning disabled.
    pub fn new(gpu: Rc<Gpu>, config: KernelConfig, model: Model) -> Session {
        Session {
            gpu,
            config,
            tuning_enabled: Rc::default(),
            model,
            weights: Weights::default(),
            runners: None,
            prompt_cache: Vec::new(),
            previewer: None,
        }
    }

    /// Returns the embedding width of each text encoder.
    pub fn text_widths(&self) -> Vec<(Component, usize)> {
        self.model.spec.text_encoders().iter().map(|encoder| (encoder.component, encoder.width)).collect()
    }

    /// Opens the device again after a loss. All GPU resources are lost and are uploaded again.
    pub(super) async fn recreate_device(&mut self) -> Result<(), PipelineError> {
        let (gpu, config) = Gpu::reopen(&self.gpu, &self.config).await?;
        self.runners = None;
        self.prompt_cache.clear();
        self.weights = Weights::default();
        self.gpu = Rc::new(gpu);
        self.config = config;
        Ok(())
    }
}
