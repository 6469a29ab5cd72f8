//! Turns a session that has drawn into the times of its parts.

use super::error::PipelineError;
use super::generate::Session;
use crate::gpu::{BenchBudget, Runner};
use crate::weights::{LoadedAdapter, Strength};
use web_time::Instant;

/// Rounds in milliseconds, and the floating-point operations of one.
#[derive(Debug, Clone, PartialEq)]
pub struct Timed {
    /// Milliseconds of each round.
    pub rounds: Vec<f64>,
    /// 0 where they say nothing.
    pub flops: u64,
}

impl Session {
    /// Calls of the UNet as the last picture needed them.
    pub async fn time_unet(&self, effort: BenchBudget) -> Result<Option<Timed>, PipelineError> {
        match &self.runners {
            Some(runners) => Ok(Some(self.time(&runners.unet, effort).await?)),
            None => Ok(None),
        }
    }

    /// Calls of the VAE's decoder as the last picture needed them.
    pub async fn time_decoder(&self, effort: BenchBudget) -> Result<Option<Timed>, PipelineError> {
        match &self.runners {
            Some(runners) => Ok(Some(self.time(&runners.decoder, effort).await?)),
            None => Ok(None),
        }
    }

    async fn time(&self, runner: &Runner, effort: BenchBudget) -> Result<Timed, PipelineError> {
        let rounds = self.gpu.time(effort, &|| runner.run(&self.gpu)).await?;
        Ok(Timed { rounds, flops: runner.flops() })
    }

    /// Changes of an adapter's strength, from the call until the device has formed all weights.
    pub async fn time_strength(&mut self, adapter: &LoadedAdapter, effort: BenchBudget) -> Result<Timed, PipelineError> {
        let mut rounds = Vec::new();
        let begun = Instant::now();
        // The first call brings the factors, and is none of the rounds.
        for round in 0..=effort.rounds {
            let strength = 0.1 * (round + 1) as f32;
            let started = Instant::now();
            let strength = Strength { unet: strength, text: strength, blocks: Default::default() };
            self.weights.apply(&self.gpu, &self.model.checkpoint, &[(adapter, strength)]).await?;
            self.gpu.finished().await?;
            if round > 0 {
                rounds.push(started.elapsed().as_secs_f64() * 1e3);
            }
            if round > 0 && begun.elapsed() > effort.limit {
                break;
            }
        }
        Ok(Timed { rounds, flops: 0 })
    }
}
