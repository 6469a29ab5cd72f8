//! Kernel timing and the device's roofline: peak arithmetic throughput and peak memory bandwidth.

use super::device::{Gpu, GpuError, Tensor};
use super::kernel::Launch;
use super::kernels::Kernel;
use super::kernels::roofline::ArithmeticParams;
use crate::num::to_index;
use std::time::Duration;
use web_time::Instant;

/// Peak throughput of a device.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RooflinePeak {
    /// f32 operations per second.
    pub flops: f64,
    /// Bytes read and written per second.
    pub bytes: f64,
}

/// Time limit and number of rounds of a measurement.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BenchBudget {
    /// Maximum number of rounds.
    pub rounds: usize,
    /// Time after which no further round starts.
    pub limit: Duration,
}

/// Minimum duration of a round: shorter work is repeated to average out the clock's resolution.
const MIN_ROUND_SECONDS: f64 = 0.02;
/// Maximum repetitions per round.
const MAX_REPEATS: f64 = 200.0;
/// Workgroups of the arithmetic kernel, with 64 invocations each.
const FULL_OCCUPANCY_GROUPS: u32 = 1024;
/// Workgroups of the copy kernel, with 64 invocations that copy a vec4 each.
const COPY_GROUPS: u32 = 16 << 10;
/// Elements of the copy kernel: 16 MiB read and 16 MiB written.
const COPY_ELEMENTS: u64 = COPY_GROUPS as u64 * 64 * 4;
/// Operations per invocation and round of the arithmetic kernel.
const ROUND_FLOPS: f64 = 64.0;

impl Gpu {
    /// Times `submit` in milliseconds per round, after a warm-up.
    pub async fn time(&self, budget: BenchBudget, submit: &dyn Fn()) -> Result<Vec<f64>, GpuError> {
        let start = Instant::now();
        submit();
        self.finished().await?;
        let first = Instant::now();
        submit();
        self.finished().await?;
        let once = first.elapsed().as_secs_f64();
        let repeats = (MIN_ROUND_SECONDS / once.max(1e-6)).ceil().clamp(1.0, MAX_REPEATS);
        let repeats = to_index(repeats);
        // The first measurement counts only if it is long compared to the clock's resolution.
        let mut rounds = if repeats == 1 { vec![once * 1e3] } else { Vec::new() };
        while rounds.len() < budget.rounds && (rounds.is_empty() || start.elapsed() < budget.limit) {
            let round = Instant::now();
            for _ in 0..repeats {
                submit();
            }
            self.finished().await?;
            rounds.push(round.elapsed().as_secs_f64() * 1e3 / repeats as f64);
        }
        Ok(rounds)
    }

    /// Measures both peaks, each as the best of N rounds: a peak is an upper bound.
    pub async fn roofline_peak(&self, budget: BenchBudget) -> Result<RooflinePeak, GpuError> {
        let output = self.tensor("the roofline output", COPY_ELEMENTS)?;
        let input = self.tensor("the roofline input", COPY_ELEMENTS)?;
        let best = |rounds: Vec<f64>| rounds.into_iter().fold(f64::INFINITY, f64::min) / 1e3;

        let copy = Launch::new(Kernel::RooflineCopy, 1, (), [COPY_GROUPS, 1, 1]);
        let seconds = best(self.time_launch(budget, &copy, &[&input, &output]).await?);
        let bytes = 2.0 * 4.0 * COPY_ELEMENTS as f64 / seconds;
        // Quadruple the work until a round takes about 20 ms.
        let mut inner_rounds: u32 = 16;
        loop {
            let launch = Launch::new(
                Kernel::RooflineArithmetic,
                0,
                ArithmeticParams { rounds: inner_rounds },
                [FULL_OCCUPANCY_GROUPS, 1, 1],
            );
            let seconds = best(self.time_launch(budget, &launch, &[&output]).await?);
            if seconds > MIN_ROUND_SECONDS || inner_rounds >= 1 << 20 {
                let flops = f64::from(FULL_OCCUPANCY_GROUPS) * 64.0 * ROUND_FLOPS * f64::from(inner_rounds);
                return Ok(RooflinePeak { flops: flops / seconds, bytes });
            }
            inner_rounds *= 4;
        }
    }

    /// Times one dispatch, with `tensors` at bindings 1, 2, …
    pub(super) async fn time_launch(
        &self,
        budget: BenchBudget,
        launch: &Launch,
        tensors: &[&Tensor],
    ) -> Result<Vec<f64>, GpuError> {
        let (pipeline, params, bind_group) =
            self.with_error_scopes(launch.kernel.name(), || Ok(self.bind(launch, tensors))).await?;
        let submit = || {
            let mut encoder = self.device.create_command_encoder(&Default::default());
            {
                let mut pass = encoder.begin_compute_pass(&Default::default());
                pass.set_pipeline(&pipeline);
                pass.set_bind_group(0, &bind_group, &[]);
                let [x, y, z] = launch.workgroups;
                pass.dispatch_workgroups(x, y, z);
            }
            self.queue.submit([encoder.finish()]);
        };
        let rounds = self.time(budget, &submit).await;
        params.destroy();
        rounds
    }

    fn bind(&self, launch: &Launch, tensors: &[&Tensor]) -> (wgpu::ComputePipeline, wgpu::Buffer, wgpu::BindGroup) {
        let pipeline = self.pipeline(launch);
        let params = self.device.create_buffer(&wgpu::BufferDescriptor {
            label: Some(launch.kernel.name()),
            size: (4 * launch.params.words().len() as u64).next_multiple_of(16).max(16),
            usage: wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        let mut entries = Vec::new();
        if !launch.params.words().is_empty() {
            self.queue.write_buffer(&params, 0, bytemuck::cast_slice(launch.params.words()));
            entries.push(wgpu::BindGroupEntry { binding: 0, resource: params.as_entire_binding() });
        }
        for (binding, tensor) in (1..).zip(tensors) {
            let resource = tensor.binding();
            entries.push(wgpu::BindGroupEntry { binding, resource });
        }
        let bind_group = self.device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some(launch.kernel.name()),
            layout: &pipeline.get_bind_group_layout(0),
            entries: &entries,
        });
        (pipeline, params, bind_group)
    }
}
