//! Preparation of an image: weights are loaded, kernels tuned and plans compiled.

use super::error::PipelineError;
use super::plans::{ImagePlans, Runners};
use super::progress::{Report, Stage};
use super::session::Session;
use super::shape::Shape;
use crate::device::{Arena, Runner};
use crate::gpu::Gpu;
use crate::plan::Plan;
use std::collections::BTreeSet;
use std::future::Future;
use std::ops::ControlFlow;
use std::rc::Rc;

impl Session {
    /// Loads the weights of these plans that are not on the GPU yet.
    pub(super) async fn load(&mut self, plans: &[&Plan], report: Report<'_>) -> Result<(), PipelineError> {
        self.weights.allocate(&self.device, &self.config, &self.model.checkpoint, plans).await?;
        let mut missing: Vec<_> = plans.iter().flat_map(|plan| self.weights.missing(plan)).collect();
        let mut names = BTreeSet::new();
        missing.retain(|(name, _)| names.insert(*name));
        for (index, (name, layout)) in missing.iter().enumerate() {
            report(Stage::Load, index, missing.len(), None)?;
            self.weights.load(&self.device, &self.config, &self.model.checkpoint, name, *layout).await?;
        }
        Ok(())
    }

    /// Tunes kernels that this device has not been tuned for, if tuning is enabled, and starts compiling the
    /// pipelines of these plans.
    async fn tune(&mut self, plans: &[&Plan], report: Report<'_>) -> Result<(), PipelineError> {
        let storages = plans
            .iter()
            .map(|plan| self.model.checkpoint.storages(plan, &self.config))
            .collect::<Result<Vec<_>, _>>()?;
        let pairs: Vec<(&Plan, &[_])> = plans.iter().copied().zip(storages.iter().map(Vec::as_slice)).collect();
        let Some(gpu) = self.gpu().cloned() else { return Ok(()) };
        let mut stopped = Ok(());
        let mut on_progress = |done, all| {
            stopped = report(Stage::Tune, done, all, None);
            let goes_on = stopped.is_ok() && self.tuning_enabled.get();
            if goes_on { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        };
        if self.tuning_enabled.get() {
            self.config = gpu.tune(&self.config, &pairs, &mut on_progress).await?;
        }
        stopped?;
        Ok(gpu.warm(&self.config, &pairs).await?)
    }

    /// Compiles the pipelines for an image of the model's native size with guidance ahead of time. Does
    /// nothing if the kernels are to be tuned first, since tuning also compiles them, and on the CPU.
    pub fn warm_up(&self) -> impl Future<Output = ()> + use<> {
        let (gpu, config) = (self.gpu().cloned(), self.config.clone());
        let shape = self.model.native_shape();
        let is_tuned_first = |gpu: &Rc<Gpu>| self.tuning_enabled.get() && gpu.needs_tuning(&config);
        let plans = match gpu.as_ref().is_none_or(is_tuned_first) {
            true => Vec::new(),
            false => ImagePlans::new(&self.model, shape, &config).map(ImagePlans::into_list).unwrap_or_default(),
        };
        let list: Vec<_> = plans
            .into_iter()
            .filter_map(|plan| Some((self.model.checkpoint.storages(&plan, &config).ok()?, plan)))
            .collect();
        async move {
            let plans: Vec<(&Plan, &[_])> = list.iter().map(|(storages, plan)| (plan, storages.as_slice())).collect();
            if let Some(gpu) = &gpu {
                // Compilation errors surface on first use.
                gpu.warm(&config, &plans).await.ok();
            }
        }
    }

    /// Returns the runners for this shape, except those of the text encoders, with their weights loaded. Reuses
    /// existing ones.
    pub(super) async fn prepare(&mut self, shape: Shape, report: Report<'_>) -> Result<Rc<Runners>, PipelineError> {
        let items = if self.is_shared(shape) { shape.items() / 2 } else { shape.items() };
        if let Some(runners) = self.runners.as_ref().filter(|runners| (runners.shape, runners.items) == (shape, items))
        {
            return Ok(runners.clone());
        }
        // Free the old shape's buffers before allocating new ones.
        self.runners = None;
        let plans = ImagePlans::with_items(&self.model, shape, items, &self.config)?;
        self.tune(&plans.list(), report).await?;
        self.load(&plans.resident(&self.config), report).await?;
        let arena = Arena::new(&self.device, &self.config, &plans.list()).await?;
        let compile =
            async |plan: &Plan| Runner::with_arena(&self.device, plan, &|name| self.weights.get(name), &arena).await;
        let texts = self.denoiser_runner(&plans.texts, &|name| self.weights.get(name), &arena).await?;
        // The rest of the denoiser reads the outputs of the first plan.
        let resident = |name: &str| self.weights.get(name).or_else(|| texts.output(name));
        let runners = Runners {
            shape,
            items,
            denoiser: self.denoiser_runner(&plans.denoiser, &resident, &arena).await?,
            decoder: compile(&plans.decoder).await?,
            encoder: match &plans.encoder {
                Some(plan) => Some(compile(plan).await?),
                None => None,
            },
            texts,
            arena,
        };
        let runners = Rc::new(runners);
        self.runners = Some(runners.clone());
        Ok(runners)
    }
}
