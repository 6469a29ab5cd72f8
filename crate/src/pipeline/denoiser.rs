//! The denoiser on a device: with its weights in memory, or with weights that are read from the files in each call.

use super::error::PipelineError;
use super::plans::Runners;
use super::session::Session;
use crate::device::{Arena, DeviceError, Runner, Tensor};
use crate::gpu::GpuError;
use crate::model::Component;
use crate::plan::{Part, Plan, Source};
use crate::weights::{FoldTarget, LoadedAdapter, Strength};
use std::cell::Cell;
use std::collections::HashMap;

/// A plan on a device.
pub enum DenoiserRunner {
    /// With its weights in memory.
    Resident(Runner),
    /// In parts, with the weights of one at a time in memory.
    Streamed(StreamedDenoiser),
}

/// A plan in parts whose weights are read from the files in each run.
pub struct StreamedDenoiser {
    parts: Vec<Part>,
    /// Inputs and outputs of the plan.
    tensors: HashMap<String, Tensor>,
    /// Whether any product of the last run multiplied in f16.
    uses_f16_math: Cell<bool>,
}

/// What a run of the denoiser is done with.
pub(super) struct RunContext<'a> {
    pub runners: &'a Runners,
    /// The adapters with their strengths in this run.
    pub adapters: &'a [(&'a LoadedAdapter, Strength)],
    /// Called after each portion of the work; an error from it ends the run.
    pub on_progress: &'a mut dyn FnMut() -> Result<(), PipelineError>,
}

impl StreamedDenoiser {
    /// Divides a plan and allocates its inputs and outputs. `resident` returns tensors to use as inputs.
    async fn new(
        session: &Session,
        plan: &Plan,
        resident: &dyn Fn(&str) -> Option<Tensor>,
    ) -> Result<StreamedDenoiser, PipelineError> {
        let mut tensors = HashMap::new();
        let inputs = plan.values.iter().filter_map(|value| match &value.source {
            Source::Input(name) => Some((name, value)),
            _ => None,
        });
        for (name, value) in inputs.chain(plan.outputs.iter().map(|(name, id)| (name, plan.value(*id)))) {
            let tensor = match resident(name) {
                Some(tensor) => tensor,
                None => session.device.zeros(name, value.numel()).await?,
            };
            tensors.insert(name.clone(), tensor);
        }
        let parts = session.model.checkpoint.parts(plan, &session.config)?;
        Ok(StreamedDenoiser { parts, tensors, uses_f16_math: Cell::new(false) })
    }
}

impl DenoiserRunner {
    /// Writes an input.
    pub fn set(&self, name: &str, data: &[f32]) -> Result<(), DeviceError> {
        match self {
            DenoiserRunner::Resident(runner) => runner.set(name, data),
            DenoiserRunner::Streamed(denoiser) => {
                let missing = || GpuError::Missing { plan: "the denoiser".into(), name: name.into() };
                denoiser.tensors.get(name).ok_or_else(missing)?.write_at(0, data)
            }
        }
    }

    /// Returns the tensor of an output.
    pub fn output(&self, name: &str) -> Option<Tensor> {
        match self {
            DenoiserRunner::Resident(runner) => runner.output(name),
            DenoiserRunner::Streamed(denoiser) => denoiser.tensors.get(name).cloned(),
        }
    }

    /// Returns whether any product multiplies in f16.
    pub fn uses_f16_math(&self) -> bool {
        match self {
            DenoiserRunner::Resident(runner) => runner.uses_f16_math(),
            DenoiserRunner::Streamed(denoiser) => denoiser.uses_f16_math.get(),
        }
    }
}

impl Session {
    /// Prepares a denoiser's plan. `resident` returns weights by name, and tensors to use as inputs.
    pub(super) async fn denoiser_runner(
        &self,
        plan: &Plan,
        resident: &dyn Fn(&str) -> Option<Tensor>,
        arena: &Arena,
    ) -> Result<DenoiserRunner, PipelineError> {
        Ok(match self.config.streams_denoiser() {
            true => DenoiserRunner::Streamed(StreamedDenoiser::new(self, plan, resident).await?),
            false => DenoiserRunner::Resident(Runner::with_arena(&self.device, plan, resident, arena).await?),
        })
    }

    /// Runs a denoiser; a GPU may still be running it afterwards.
    pub(super) async fn run(
        &mut self,
        denoiser: &DenoiserRunner,
        context: RunContext<'_>,
    ) -> Result<(), PipelineError> {
        match denoiser {
            DenoiserRunner::Resident(runner) => Ok(runner.run()?),
            DenoiserRunner::Streamed(denoiser) => self.run_parts(denoiser, context).await,
        }
    }

    /// Runs a denoiser and reads an output.
    pub(super) async fn compute(
        &mut self,
        denoiser: &DenoiserRunner,
        output: &str,
        context: RunContext<'_>,
    ) -> Result<Vec<f32>, PipelineError> {
        match denoiser {
            DenoiserRunner::Resident(runner) => runner.compute_cancellable(output, context.on_progress).await,
            DenoiserRunner::Streamed(streamed) => {
                self.run_parts(streamed, context).await?;
                let missing = || GpuError::Missing { plan: "the denoiser".into(), name: output.into() };
                Ok(denoiser.output(output).ok_or_else(missing)?.read().await?)
            }
        }
    }

    /// Runs the parts one after the other, each with its weights and adapters.
    async fn run_parts(&mut self, denoiser: &StreamedDenoiser, context: RunContext<'_>) -> Result<(), PipelineError> {
        let RunContext { runners, adapters, on_progress } = context;
        denoiser.uses_f16_math.set(false);
        for part in &denoiser.parts {
            let runner = self.compile_part(denoiser, part, &runners.arena, adapters, on_progress).await?;
            denoiser.uses_f16_math.set(denoiser.uses_f16_math.get() || runner.uses_f16_math());
            runner.run_cancellable(on_progress).await?;
            self.end_part(&part.plan).await?;
        }
        Ok(())
    }

    /// Finds the first step of a denoiser whose output contains NaN or infinity, or an input that does, for the inputs of
    /// the last run.
    pub(super) async fn find_non_finite(
        &mut self,
        denoiser: &DenoiserRunner,
        context: RunContext<'_>,
    ) -> Result<Option<String>, PipelineError> {
        let RunContext { runners, adapters, on_progress } = context;
        let streamed = match denoiser {
            DenoiserRunner::Resident(runner) => return Ok(runner.find_non_finite().await?),
            DenoiserRunner::Streamed(streamed) => streamed,
        };
        for part in &streamed.parts {
            let runner = self.compile_part(streamed, part, &runners.arena, adapters, on_progress).await?;
            let found = runner.find_non_finite().await?;
            self.end_part(&part.plan).await?;
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    /// Reads the weights of a part, changed by the adapters, and prepares it.
    async fn compile_part(
        &mut self,
        denoiser: &StreamedDenoiser,
        part: &Part,
        arena: &Arena,
        adapters: &[(&LoadedAdapter, Strength)],
        on_progress: &mut dyn FnMut() -> Result<(), PipelineError>,
    ) -> Result<Runner, PipelineError> {
        self.load(&[&part.plan], &mut |_, _, _, _| on_progress()).await?;
        let target = FoldTarget {
            device: &self.device,
            config: &self.config,
            checkpoint: &self.model.checkpoint,
            // It has what other parts computed.
            arena: None,
        };
        self.weights.apply_streamed(&target, adapters, &[Component::Unet], &mut |_, _| on_progress()).await?;
        let tensor = |name: &str| self.weights.get(name).or_else(|| denoiser.tensors.get(name).cloned());
        Ok(Runner::of_part(&self.device, part, &tensor, arena).await?)
    }

    /// Frees the weights of a part that has run.
    async fn end_part(&mut self, part: &Plan) -> Result<(), PipelineError> {
        // Otherwise the memory of many parts would be in use at once.
        self.device.finished().await?;
        Ok(self.weights.release(&[part])?)
    }
}
