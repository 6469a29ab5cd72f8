//! Benchmarks: device -> table of times of kernels (relative to a GPU's peak), networks, images and LoRA strength changes.
//!
//! The command line, the browser tests and the page's benchmark panel run the same rows.

mod cases;
mod session;

pub use cases::{Case, Size, cases, numbers, seed};

use crate::device::{Device, DeviceError, Runner, Tensor};
use crate::gpu::{BenchBudget, KernelConfig, RooflinePeak};
use crate::num::numel;
use crate::ops::Storage;
use crate::pipeline::PipelineError;
use crate::plan::{Plan, Source};
use serde::Serialize;
use std::collections::HashMap;
use std::time::Duration;
use ts_rs::TS;

/// Default time budget of a row.
pub const BUDGET: BenchBudget = BenchBudget { rounds: 7, limit: Duration::from_secs(6) };

/// Time budget of a row on a CPU: runs are short, and the shortest counts.
const CPU_BUDGET: BenchBudget = BenchBudget { rounds: 60, limit: Duration::from_millis(600) };

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
    /// Fraction of the GPU's peak arithmetic throughput.
    pub share_of_roof: Option<f64>,
}

impl Row {
    fn new(group: &str, name: impl Into<String>, rounds: Vec<f64>) -> Row {
        Row { group: group.into(), name: name.into(), ours_ms: Spread::of(rounds), gflops: None, share_of_roof: None }
    }

    fn with_flops(mut self, flops: u64, roof: Option<RooflinePeak>) -> Row {
        let rate = flops as f64 / (self.ours_ms.median / 1e3);
        self.gflops = Some(rate / 1e9);
        self.share_of_roof = roof.map(|roof| rate / roof.flops);
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

/// A case's plan with its buffers on a device, filled with generated data.
pub struct Prepared {
    device: Device,
    runner: Runner,
    output: String,
}

impl Prepared {
    /// Allocates the plan's buffers, with matrices in `storage`, and fills them with data generated from their names.
    pub async fn new(
        device: &Device,
        config: &KernelConfig,
        plan: &Plan,
        storage: Storage,
    ) -> Result<Prepared, PipelineError> {
        let weights = allocate(device, plan, storage).await?;
        for (name, _, shape) in plan.weights() {
            weights[name].write_at(0, &numbers(name, shape))?;
        }
        let runner = Runner::new(device, config, plan, &|name| weights.get(name).cloned()).await?;
        for value in &plan.values {
            if let Source::Input(name) = &value.source {
                runner.set(name, &numbers(name, &value.shape))?;
            }
        }
        Ok(Prepared { device: device.clone(), runner, output: plan.outputs[0].0.clone() })
    }

    /// Times runs of the whole plan. `roof` is the device's peak, if it is known.
    pub async fn row(&self, group: &str, name: &str, roof: Option<RooflinePeak>) -> Result<Row, PipelineError> {
        let budget = if self.device.gpu().is_some() { BUDGET } else { CPU_BUDGET };
        Ok(Row::new(group, name, self.time(budget).await?).with_flops(self.runner.flops(), roof))
    }

    /// Times runs of the whole plan, in milliseconds per round.
    pub async fn time(&self, budget: BenchBudget) -> Result<Vec<f64>, PipelineError> {
        Ok(self.device.time(budget, &self.runner).await?)
    }

    /// Runs the plan and returns its output, for comparison with another implementation.
    pub async fn output(&self) -> Result<Vec<f32>, PipelineError> {
        self.runner.compute_cancellable(&self.output, &mut || Ok(())).await
    }
}

/// Allocates all weights of a plan, matrices in `storage`.
async fn allocate(device: &Device, plan: &Plan, storage: Storage) -> Result<HashMap<String, Tensor>, DeviceError> {
    let mut weights = HashMap::new();
    for group in plan.weight_groups() {
        let lengths: Vec<(&str, u64)> = group.iter().map(|(name, shape)| (*name, numel(shape))).collect();
        let storage = if group[0].1.len() > 1 { storage } else { Storage::F32 };
        let tensors = device.contiguous_parts(&lengths, storage).await?;
        weights.extend(lengths.iter().zip(tensors).map(|((name, _), tensor)| ((*name).to_owned(), tensor)));
    }
    Ok(weights)
}
