//! Benchmarks: device -> table of times of kernels (relative to the device's peak), networks, images and
//! LoRA strength changes.
//!
//! The command line, the browser tests and the page's benchmark panel run the same rows.

mod cases;
mod session;

pub use cases::{Case, Size, cases, numbers, seed};

use crate::gpu::{BenchBudget, Gpu, KernelConfig, RooflinePeak, Runner};
use crate::ops::Storage;
use crate::pipeline::PipelineError;
use crate::plan::{Plan, Source};
use serde::Serialize;
use std::time::Duration;
use ts_rs::TS;

/// Default time budget of a row.
pub const BUDGET: BenchBudget = BenchBudget { rounds: 7, limit: Duration::from_secs(6) };

/// Distribution of a row's times over its rounds, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, TS)]
pub struct Spread {
    /// Minimum.
    pub min: f64,
    /// Median, used in comparisons.
    pub median: f64,
    /// Maximum.
    pub max: f64,
}

impl Spread {
    /// Summarizes the times of at least one round.
    pub fn of(mut rounds: Vec<f64>) -> Spread {
        rounds.sort_by(f64::total_cmp);
        Spread { min: rounds[0], median: rounds[rounds.len() / 2], max: rounds[rounds.len() - 1] }
    }
}

/// A row of the benchmark table.
#[derive(Debug, Clone, PartialEq, Serialize, TS)]
pub struct Row {
    /// Group of rows: `roof`, `kernels`, `networks`, `images`, `strength`.
    pub group: String,
    /// What was timed, with its sizes.
    pub name: String,
    /// Time per run.
    pub ours_ms: Spread,
    /// GFLOP/s at the median; for a copy, GB/s.
    pub gflops: Option<f64>,
    /// Fraction of the device's peak arithmetic throughput.
    pub share_of_roof: Option<f64>,
}

impl Row {
    fn new(group: &str, name: impl Into<String>, rounds: Vec<f64>) -> Row {
        Row { group: group.into(), name: name.into(), ours_ms: Spread::of(rounds), gflops: None, share_of_roof: None }
    }

    fn with_flops(mut self, flops: u64, roof: RooflinePeak) -> Row {
        let rate = flops as f64 / (self.ours_ms.median / 1e3);
        self.gflops = Some(rate / 1e9);
        self.share_of_roof = Some(rate / roof.flops);
        self
    }
}

/// Returns the peak arithmetic throughput and memory bandwidth as rows; the times are per GFLOP and per GB.
pub fn roofline_rows(roof: RooflinePeak) -> [Row; 2] {
    let row = |name: &str, rate: f64| {
        let mut row = Row::new("roof", name, vec![1e12 / rate]);
        row.gflops = Some(rate / 1e9);
        row
    };
    [row("multiply-adds in registers, 1 GFLOP", roof.flops), row("copy, 1 GB read and written", roof.bytes)]
}

/// A case's plan with its buffers, filled with generated data.
pub struct Prepared {
    runner: Runner,
}

impl Prepared {
    /// Allocates the plan's buffers, with matrices in `storage`, and fills them with data generated from their names.
    pub async fn new(
        gpu: &Gpu,
        config: &KernelConfig,
        plan: &Plan,
        storage: Storage,
    ) -> Result<Prepared, PipelineError> {
        let storage_of = |_: &str, shape: &[usize]| if shape.len() > 1 { storage } else { Storage::F32 };
        let weights = gpu.with_error_scopes(&plan.name, || gpu.allocate_weights(plan, &storage_of)).await?;
        for (name, _, shape) in plan.weights() {
            gpu.write(&weights[name], &numbers(name, shape))?;
        }
        let runner = Runner::new(gpu, config, plan, &|name| weights.get(name).cloned()).await?;
        for value in &plan.values {
            if let Source::Input(name) = &value.source {
                runner.set(gpu, name, &numbers(name, &value.shape))?;
            }
        }
        Ok(Prepared { runner })
    }

    /// Times runs of the whole plan.
    pub async fn row(&self, gpu: &Gpu, group: &str, name: &str, roof: RooflinePeak) -> Result<Row, PipelineError> {
        let rounds = self.time(gpu, BUDGET).await?;
        Ok(Row::new(group, name, rounds).with_flops(self.runner.flops(), roof))
    }

    /// Times runs of the whole plan, in milliseconds per round.
    pub async fn time(&self, gpu: &Gpu, budget: BenchBudget) -> Result<Vec<f64>, PipelineError> {
        Ok(gpu.time(budget, &|| self.runner.run(gpu)).await?)
    }

    /// Runs the plan and returns an output, for comparison with another implementation.
    pub async fn output(&self, gpu: &Gpu, name: &str) -> Result<Vec<f32>, PipelineError> {
        Ok(self.runner.compute(gpu, name).await?)
    }
}
