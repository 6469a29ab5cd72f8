//! Runs of the denoiser by a session: with its weights in memory, or part by part.

use super::denoiser::{DenoiserRunner, StreamedDenoiser};
use super::error::PipelineError;
use super::plans::Runners;
use super::session::Session;
use crate::device::{Arena, Runner, Tensor};
use crate::gpu::GpuError;
use crate::model::Component;
use crate::plan::{Part, Plan};
use crate::weights::{FoldTarget, LoadedAdapter, Strength};

/// What a run of the denoiser is done with.
pub(super) struct RunContext<'a> {
    pub runners: &'a Runners,
    /// The adapters with their strengths in this run.
    pub adapters: &'a [(&'a LoadedAdapter, Strength)],
    /// Called after each portion of the work; an error from it ends the run.
    pub on_progress: &'a mut dyn FnMut() -> Result<(), PipelineError>,
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
            true => DenoiserRunner::Streamed(
                StreamedDenoiser::new(&self.device, plan, self.model.checkpoint.parts(plan, &self.config)?, resident)
                    .await?,
            ),
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
