//! Compiled plans: dispatches whose buffers, parameters and bind groups are created once and submitted repeatedly.

use super::arena::{Arena, StepResources};
use super::compile::{BoundDispatch, CompiledPlan, PARAMS_STRIDE, compile, output_storage};
use super::config::KernelConfig;
use super::device::{Gpu, GpuError, Tensor};
use crate::num::to_whole;
use crate::plan::{Memory, Part, Plan, Source, Value};

/// Target duration of a submission: short enough for prompt cancellation and for GPU watchdogs, long enough to make the
/// submission overhead negligible.
const SUBMISSION_SECONDS: f64 = 0.08;

/// A compiled plan with its buffers.
pub struct Runner {
    compiled: CompiledPlan,
    /// Bytes of GPU memory allocated for this plan: inputs, outputs, parameters.
    pub bytes: u64,
    /// Whether any dispatch multiplies in f16.
    pub uses_f16_math: bool,
}

impl Runner {
    /// Compiles a plan. `resident` returns weights by name, and tensors to use as inputs and outputs; those inputs and
    /// outputs for which it returns None are allocated.
    pub async fn new(
        gpu: &Gpu,
        config: &KernelConfig,
        plan: &Plan,
        resident: &dyn Fn(&str) -> Option<Tensor>,
    ) -> Result<Runner, GpuError> {
        let arena = Arena::new(gpu, config, &[plan]).await?;
        Runner::with_arena(gpu, plan, resident, &arena).await
    }

    /// [`Runner::with_arena`] for a part of a plan, whose arena it is.
    pub async fn of_part(
        gpu: &Gpu,
        part: &Part,
        resident: &dyn Fn(&str) -> Option<Tensor>,
        arena: &Arena,
    ) -> Result<Runner, GpuError> {
        Runner::compile(gpu, (&part.plan, &part.memory), resident, arena).await
    }

    /// Like [`Runner::new`], with temporaries in an arena that several plans share, this one among them.
    pub async fn with_arena(
        gpu: &Gpu,
        plan: &Plan,
        resident: &dyn Fn(&str) -> Option<Tensor>,
        arena: &Arena,
    ) -> Result<Runner, GpuError> {
        Runner::compile(gpu, (plan, &plan.memory(gpu.scalar().bytes())), resident, arena).await
    }

    async fn compile(
        gpu: &Gpu,
        (plan, memory): (&Plan, &Memory),
        resident: &dyn Fn(&str) -> Option<Tensor>,
        arena: &Arena,
    ) -> Result<Runner, GpuError> {
        let what = format!("the plan `{}`", plan.name);
        let compiled = gpu.with_error_scopes(&what, || compile(gpu, (plan, memory), resident, arena)).await?;
        Ok(Runner { bytes: compiled.bytes, uses_f16_math: compiled.uses_f16_math, compiled })
    }

    /// Returns the number of dispatches of one run of a plan with this configuration.
    pub fn dispatches(plan: &Plan, config: &KernelConfig) -> u64 {
        StepResources::of(plan, config).dispatches
    }

    /// Returns the bytes of GPU memory that compiling a plan allocates: everything but temporaries, weights and inputs
    /// for which `is_resident` returns true.
    pub fn own_bytes(plan: &Plan, config: &KernelConfig, is_resident: &dyn Fn(&str) -> bool) -> u64 {
        // An output may have several names.
        let is_allocated = |(index, value): &(usize, &Value)| match &value.source {
            Source::Input(name) => !is_resident(name),
            Source::Step(_) => plan.outputs.iter().any(|(_, id)| id.0 == *index),
            _ => false,
        };
        let allocated = plan.values.iter().enumerate().filter(is_allocated);
        let bytes: u64 = allocated.map(|(_, value)| output_storage(plan, value).resident(value.numel())).sum();
        bytes + Runner::params_bytes(plan, config)
    }

    /// Returns the bytes of the run-time scalars and the kernel parameters, which are part of [`Runner::own_bytes`].
    pub fn params_bytes(plan: &Plan, config: &KernelConfig) -> u64 {
        let scalars = plan.scalars.len().max(1) as u64;
        let dispatches = StepResources::of(plan, config).dispatches.max(1);
        scalars * 4 + dispatches * PARAMS_STRIDE
    }

    /// Writes an input.
    pub fn set(&self, gpu: &Gpu, name: &str, data: &[f32]) -> Result<(), GpuError> {
        let missing = || GpuError::Missing { plan: "this plan".into(), name: name.into() };
        let tensor = self.compiled.inputs.get(name).ok_or_else(missing)?;
        let found = data.len() as u64;
        if tensor.len != found {
            return Err(GpuError::LengthMismatch { name: name.into(), found, wanted: tensor.len });
        }
        gpu.write(tensor, data)
    }

    /// Writes the run-time scalars, in the plan's order.
    pub fn set_scalars(&self, gpu: &Gpu, scalars: &[f32]) {
        gpu.queue.write_buffer(&self.compiled.scalars, 0, bytemuck::cast_slice(scalars));
    }

    /// Returns the number of elements of an input.
    pub fn len(&self, input: &str) -> Option<u64> {
        self.compiled.inputs.get(input).map(|tensor| tensor.len)
    }

    /// Finds the first input or step whose output contains NaN or infinity, for the inputs of the last run. Runs the plan
    /// step by step.
    pub async fn find_non_finite(&self, gpu: &Gpu) -> Result<Option<String>, GpuError> {
        let is_finite = async |tensor| Ok(gpu.read(tensor).await?.iter().all(|value| value.is_finite()));
        for (name, tensor) in &self.compiled.inputs {
            if !is_finite(tensor).await? {
                return Ok(Some(format!("the input `{name}`")));
            }
        }
        let mut done = 0;
        for step in &self.compiled.steps {
            submit(gpu, &self.compiled.dispatches[done..step.dispatch_end]);
            done = step.dispatch_end;
            if !is_finite(&step.output).await? {
                return Ok(Some(step.label.clone()));
            }
        }
        Ok(None)
    }

    /// Submits all dispatches, in batches.
    pub fn run(&self, gpu: &Gpu) {
        submit(gpu, &self.compiled.dispatches);
    }

    /// Returns the floating-point operations of one run.
    pub fn flops(&self) -> u64 {
        self.compiled.dispatches.iter().map(|dispatch| dispatch.flops).sum()
    }

    /// Returns the tensor of an output.
    pub fn output(&self, name: &str) -> Option<&Tensor> {
        self.compiled.outputs.get(name)
    }

    /// Runs the plan and reads an output.
    pub async fn compute(&self, gpu: &Gpu, output: &str) -> Result<Vec<f32>, GpuError> {
        self.compute_cancellable(gpu, output, &mut || Ok(())).await
    }

    /// Like [`Runner::compute`], and calls `on_batch` as [`Runner::run_cancellable`] does.
    pub async fn compute_cancellable<E: From<GpuError>>(
        &self,
        gpu: &Gpu,
        output: &str,
        on_batch: &mut dyn FnMut() -> Result<(), E>,
    ) -> Result<Vec<f32>, E> {
        let missing = || GpuError::Missing { plan: "this plan".into(), name: output.into() };
        let tensor = self.output(output).ok_or_else(missing)?;
        let start = web_time::Instant::now();
        self.run_cancellable(gpu, on_batch).await?;
        let data = gpu.read(tensor).await?;
        gpu.update_throughput_estimate(self.flops(), start.elapsed().as_secs_f64());
        Ok(data)
    }

    /// Runs the plan and calls `on_batch` after each finished batch; the last may still be running afterwards. An error
    /// from `on_batch` cancels the run: only the batch in flight still executes. Updates the throughput estimate, which
    /// determines the batch size.
    pub async fn run_cancellable<E: From<GpuError>>(
        &self,
        gpu: &Gpu,
        on_batch: &mut dyn FnMut() -> Result<(), E>,
    ) -> Result<(), E> {
        let start = web_time::Instant::now();
        let flops_of = |dispatches: &[BoundDispatch]| dispatches.iter().map(|dispatch| dispatch.flops).sum::<u64>();
        let (mut rest, mut in_flight) = (self.compiled.dispatches.as_slice(), None);
        loop {
            // One batch is queued while the previous one executes.
            rest = submit_batch(gpu, rest);
            if rest.is_empty() {
                return Ok(());
            }
            let submitted = (gpu.finished(), self.flops() - flops_of(rest));
            if let Some((finished, flops)) = in_flight.replace(submitted) {
                finished.await?;
                gpu.update_throughput_estimate(flops, start.elapsed().as_secs_f64());
                on_batch()?;
            }
        }
    }
}

/// Submits dispatches, in batches.
fn submit(gpu: &Gpu, dispatches: &[BoundDispatch]) {
    let mut rest = dispatches;
    while !rest.is_empty() {
        rest = submit_batch(gpu, rest);
    }
}

/// Submits a batch of the dispatches; returns the remaining ones.
fn submit_batch<'a>(gpu: &Gpu, dispatches: &'a [BoundDispatch]) -> &'a [BoundDispatch] {
    let (limit, mut flops) = (gpu.submission_flops.get(), 0);
    let count = dispatches.iter().take_while(|dispatch| {
        let fits = flops < limit;
        flops += dispatch.flops;
        fits
    });
    let (batch, rest) = dispatches.split_at(count.count());
    let mut encoder = gpu.device.create_command_encoder(&Default::default());
    {
        let mut pass = encoder.begin_compute_pass(&Default::default());
        for dispatch in batch {
            pass.set_pipeline(&dispatch.pipeline);
            pass.set_bind_group(0, &dispatch.bind_group, &[]);
            let [x, y, z] = dispatch.groups;
            pass.dispatch_workgroups(x, y, z);
        }
    }
    gpu.queue.submit([encoder.finish()]);
    rest
}

impl Gpu {
    /// Adjusts the submission size to the throughput of finished work.
    fn update_throughput_estimate(&self, flops: u64, seconds: f64) {
        // Small plans are dominated by overhead.
        if flops > 100_000_000 && seconds > 0.0 {
            let measured = flops as f64 / seconds * SUBMISSION_SECONDS;
            let current = self.submission_flops.get() as f64;
            // The first batches of a run also wait for earlier submissions.
            self.submission_flops.set(to_whole(measured.min(4.0 * current).clamp(1e8, 1e12)).unsigned_abs());
        }
    }

    /// Sets the operations per submission until the throughput is measured.
    pub fn set_submission_flops(&self, flops: u64) {
        self.submission_flops.set(flops);
    }
}
