//! Benchmarks of a session's networks and of strength changes.

use super::denoiser::DenoiserRunner;
use super::error::PipelineError;
use super::plans::{ImagePlans, Runners};
use super::recipe::Recipe;
use super::session::Session;
use super::shape::Shape;
use crate::device::Runner;
use crate::gpu::BenchBudget;
use crate::model::Component;
use crate::num::to_count;
use crate::weights::{LoadedAdapter, Strength};
use web_time::Instant;

/// Measured rounds.
#[derive(Debug, Clone, PartialEq)]
pub struct BenchResult {
    /// Duration of each round in milliseconds.
    pub rounds: Vec<f64>,
    /// Floating-point operations per round; 0 if not meaningful.
    pub flops: u64,
}

impl Session {
    /// Returns the floating-point operations of the calls of a recipe's images, without those of a partner. The second
    /// pass of hires fix is not counted, nor are further chunks of long prompts.
    pub fn flops(&self, recipe: &Recipe) -> Result<u64, PipelineError> {
        let pixels = self.model.size_multiple();
        let shape = Shape {
            images: 1,
            guided: recipe.guidance > 1.0,
            prompts: 1,
            height: recipe.height / pixels,
            width: recipe.width / pixels,
            chunks: 1,
            clip_skip: 0,
            encodes_image: false,
        };
        let plans = ImagePlans::new(&self.model, shape, &self.config)?;
        let share = recipe.denoise.unwrap_or(1.0).clamp(0.0, 1.0);
        let steps = to_count((recipe.steps as f64 * share).ceil());
        let calls = steps * recipe.sampler.calls_per_step() as u64;
        let workers = if self.is_shared(shape) { 2 } else { 1 };
        Ok((plans.denoiser.flops() * calls / workers + plans.decoder.flops()) * recipe.batch as u64)
    }

    /// Times UNet calls in the shape of the last image; `None` before the first, and if their weights are streamed.
    pub async fn time_unet(&self, budget: BenchBudget) -> Result<Option<BenchResult>, PipelineError> {
        match self.runners.as_deref() {
            Some(Runners { denoiser: DenoiserRunner::Resident(denoiser), .. }) => {
                Ok(Some(self.time(denoiser, budget).await?))
            }
            _ => Ok(None),
        }
    }

    /// Times the VAE's decoder in the shape of the last image; `None` before the first.
    pub async fn time_decoder(&self, budget: BenchBudget) -> Result<Option<BenchResult>, PipelineError> {
        match &self.runners {
            Some(runners) => Ok(Some(self.time(&runners.decoder, budget).await?)),
            None => Ok(None),
        }
    }

    async fn time(&self, runner: &Runner, budget: BenchBudget) -> Result<BenchResult, PipelineError> {
        let rounds = self.device.time(budget, runner).await?;
        Ok(BenchResult { rounds, flops: runner.flops() })
    }

    /// Times changes of an adapter's strength, from the call until the GPU has folded all weights.
    pub async fn time_strength(
        &mut self,
        adapter: &LoadedAdapter,
        budget: BenchBudget,
    ) -> Result<BenchResult, PipelineError> {
        let mut rounds = Vec::new();
        let start = Instant::now();
        // Warm-up: the first call uploads the factors and is not measured.
        for round in 0..=budget.rounds {
            let strength = 0.1 * (round + 1) as f32;
            let round_start = Instant::now();
            let strength = Strength { unet: strength, text: strength, blocks: Default::default() };
            self.fold(&[(adapter, strength)], &[Component::Unet], &mut |_, _, _, _| Ok(())).await?;
            self.device.finished().await?;
            if round > 0 {
                rounds.push(round_start.elapsed().as_secs_f64() * 1e3);
            }
            if round > 0 && start.elapsed() > budget.limit {
                break;
            }
        }
        Ok(BenchResult { rounds, flops: 0 })
    }
}
