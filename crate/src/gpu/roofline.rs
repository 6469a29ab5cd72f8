//! Turns a device into its two roofs: operations a second with nothing to read, bytes a second with
//! nothing to compute; and work into the time that it takes.

use super::device::{Gpu, GpuError, Tensor};
use super::kernel::Launch;
use crate::num::to_index;
use std::time::Duration;
use web_time::Instant;

/// What a device can do at most.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RooflinePeak {
    /// Floating-point operations a second, in f32.
    pub flops: f64,
    /// Bytes read and written a second.
    pub bytes: f64,
}

/// How long and how often something is timed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BenchBudget {
    /// Rounds wanted.
    pub rounds: usize,
    /// After this time no further round begins.
    pub limit: Duration,
}

/// A round shorter than this says more of the clock than of the device: work is repeated in it.
const MIN_ROUND_SECONDS: f64 = 0.02;
/// Most repetitions in a round.
const MAX_REPEATS: f64 = 200.0;
/// Workgroups of the arithmetic kernel, of 64 invocations each.
const FULL_OCCUPANCY_GROUPS: u32 = 1024;
/// Workgroups of the copy kernel, of 64 invocations that copy a vec4 each.
const COPY_GROUPS: u32 = 16 << 10;
/// Numbers of the copy kernel: 16 MiB read and 16 MiB written.
const COPY_BYTES: u64 = COPY_GROUPS as u64 * 64 * 4;
/// Operations of one invocation of the arithmetic kernel in one of its rounds.
const ROUND_FLOPS: f64 = 64.0;

impl Gpu {
    /// Milliseconds of each round of `submit`, after one that warms up.
    pub async fn time(&self, effort: BenchBudget, submit: &dyn Fn()) -> Result<Vec<f64>, GpuError> {
        let begun = Instant::now();
        submit();
        self.finished().await?;
        let first = Instant::now();
        submit();
        self.finished().await?;
        let once = first.elapsed().as_secs_f64();
        let repeats = (MIN_ROUND_SECONDS / once.max(1e-6)).ceil().clamp(1.0, MAX_REPEATS);
        let repeats = to_index(repeats);
        // A long first measurement counts; of a short one the clock's step is too large a part.
        let mut rounds = if repeats == 1 { vec![once * 1e3] } else { Vec::new() };
        while rounds.len() < effort.rounds && (rounds.is_empty() || begun.elapsed() < effort.limit) {
            let started = Instant::now();
            for _ in 0..repeats {
                submit();
            }
            self.finished().await?;
            rounds.push(started.elapsed().as_secs_f64() * 1e3 / repeats as f64);
        }
        Ok(rounds)
    }

    /// Measures both roofs: the best round of each, since nothing can be faster than a roof.
    pub async fn roofline_peak(&self, effort: BenchBudget) -> Result<RooflinePeak, GpuError> {
        let output = self.tensor("the roof's output", COPY_BYTES)?;
        let input = self.tensor("the roof's input", COPY_BYTES)?;
        let best = |rounds: Vec<f64>| rounds.into_iter().fold(f64::INFINITY, f64::min) / 1e3;

        let copy = Launch::new("roofline_copy", 1, Vec::new(), [COPY_GROUPS, 1, 1]);
        let bytes = 2.0 * 4.0 * COPY_BYTES as f64 / best(self.time_launch(effort, &copy, &[&input, &output]).await?);
        // As many operations as take about 20 ms, found by fourfold steps.
        let mut inner: u32 = 16;
        loop {
            let launch = Launch::new("roofline_arithmetic", 0, vec![inner], [FULL_OCCUPANCY_GROUPS, 1, 1]);
            let seconds = best(self.time_launch(effort, &launch, &[&output]).await?);
            if seconds > MIN_ROUND_SECONDS || inner >= 1 << 20 {
                return Ok(RooflinePeak {
                    flops: f64::from(FULL_OCCUPANCY_GROUPS) * 64.0 * ROUND_FLOPS * f64::from(inner) / seconds,
                    bytes,
                });
            }
            inner *= 4;
        }
    }

    /// Times one dispatch; tensors are bound from 1 on.
    pub(super) async fn time_launch(
        &self,
        effort: BenchBudget,
        launch: &Launch,
        tensors: &[&Tensor],
    ) -> Result<Vec<f64>, GpuError> {
        let (pipeline, params, group) = self.with_error_scopes(launch.kernel, || self.bind(launch, tensors)).await?;
        let submit = || {
            let mut encoder = self.device.create_command_encoder(&Default::default());
            {
                let mut pass = encoder.begin_compute_pass(&Default::default());
                pass.set_pipeline(&pipeline);
                pass.set_bind_group(0, &group, &[]);
                let [x, y, z] = launch.groups;
                pass.dispatch_workgroups(x, y, z);
            }
            self.queue.submit([encoder.finish()]);
        };
        let rounds = self.time(effort, &submit).await;
        params.destroy();
        rounds
    }

    fn bind(
        &self,
        launch: &Launch,
        tensors: &[&Tensor],
    ) -> Result<(wgpu::ComputePipeline, wgpu::Buffer, wgpu::BindGroup), GpuError> {
        let pipeline = self.pipeline(launch)?;
        let params = self.device.create_buffer(&wgpu::BufferDescriptor {
            label: Some(launch.kernel),
            size: (4 * launch.params.len() as u64).next_multiple_of(16).max(16),
            usage: wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        let mut entries = Vec::new();
        if !launch.params.is_empty() {
            self.queue.write_buffer(&params, 0, bytemuck::cast_slice(&launch.params));
            entries.push(wgpu::BindGroupEntry { binding: 0, resource: params.as_entire_binding() });
        }
        for (at, tensor) in (1..).zip(tensors) {
            let resource = tensor.binding();
            entries.push(wgpu::BindGroupEntry { binding: at, resource });
        }
        let group = self.device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some(launch.kernel),
            layout: &pipeline.get_bind_group_layout(0),
            entries: &entries,
        });
        Ok((pipeline, params, group))
    }
}
