//! Compiled plans: dispatches whose buffers, parameters and bind groups are created once and submitted repeatedly.

use super::config::KernelConfig;
use super::device::{AllocationGuard, DeviceCaps, Gpu, GpuError, Tensor};
use super::kernel::{Binding, Scalar};
use super::kernels::{self, BufferRef, KernelSequence, SCRATCH};
use crate::num::{host_len, to_whole};
use crate::ops::{Op, Storage};
use crate::plan::{Allocation, Plan, Source, Step, Value, ValueId};
use std::collections::BTreeMap;
use std::rc::Rc;

/// Target duration of a submission: short enough for prompt cancellation and for GPU watchdogs, long enough to make the
/// submission overhead negligible.
const SUBMISSION_SECONDS: f64 = 0.08;
/// WebGPU's default `minUniformBufferOffsetAlignment`, which every device supports.
const PARAMS_STRIDE: u64 = 256;

struct BoundDispatch {
    pipeline: wgpu::ComputePipeline,
    bind_group: wgpu::BindGroup,
    groups: [u32; 3],
    flops: u64,
}

/// Buffers for the temporaries of plans that never run concurrently, and the kernel configuration of these plans.
pub struct Arena {
    slots: Vec<Tensor>,
    scratch: Vec<Tensor>,
    config: KernelConfig,
}

/// Device resources of a plan's steps besides the plan's tensors.
struct StepResources {
    /// Number of dispatches of all steps.
    dispatches: u64,
    /// Bytes of each scratch buffer between the dispatches of a step.
    scratch: [u64; SCRATCH],
}

impl StepResources {
    fn of(plan: &Plan, caps: DeviceCaps) -> StepResources {
        let mut resources = StepResources { dispatches: 0, scratch: [0; SCRATCH] };
        for step in &plan.steps {
            let stored = vec![Storage::F32; step.inputs.len()];
            // Compiling the plan reports unsupported steps.
            let Ok(sequence) = lower_step(plan, step, &stored, caps) else { continue };
            resources.dispatches += sequence.dispatches.len() as u64;
            let bytes = sequence.scratch.map(|elements| 4 * elements);
            resources.scratch.iter_mut().zip(bytes).for_each(|(max, bytes)| *max = (*max).max(bytes));
        }
        resources
    }
}

/// Lowers a step to dispatches for a device with these capabilities; `stored` holds its inputs' storage types.
pub(super) fn lower_step(
    plan: &Plan,
    step: &Step,
    stored: &[Storage],
    caps: DeviceCaps,
) -> Result<KernelSequence, GpuError> {
    let winograd_min_channels = if plan.allows_winograd { caps.winograd_min_channels } else { usize::MAX };
    let output = &plan.value(step.output).shape;
    kernels::lower(&step.op, &plan.input_shapes(step), output, stored, caps.style, winograd_min_channels)
        .map_err(|source| GpuError::NoLaunch { label: step.label.clone(), source })
}

impl Arena {
    /// Allocates buffers that are large enough for each of these plans.
    pub async fn of(gpu: &Gpu, plans: &[&Plan]) -> Result<Arena, GpuError> {
        Arena::with_config(gpu, gpu.config(), plans).await
    }

    /// Like [`Arena::of`], with a kernel configuration that differs from the device's.
    pub async fn with_config(gpu: &Gpu, config: KernelConfig, plans: &[&Plan]) -> Result<Arena, GpuError> {
        let caps = config.caps(gpu.info().max_binding);
        let names: Vec<&str> = plans.iter().map(|plan| plan.name.as_str()).collect();
        let tensor = |bytes: u64| gpu.tensor(&format!("a temporary of {}", names.join(", ")), bytes / 4);
        let create = || {
            let tensors = |sizes: Vec<u64>| sizes.into_iter().map(tensor).collect::<Result<_, GpuError>>();
            Ok(Arena { slots: tensors(Arena::sizes(plans))?, scratch: tensors(Arena::scratch(plans, caps))?, config })
        };
        gpu.with_error_scopes("temporaries", create).await
    }

    /// Returns the total size in bytes of an arena for these plans on a device with these capabilities.
    pub fn bytes(plans: &[&Plan], caps: DeviceCaps) -> u64 {
        Arena::sizes(plans).into_iter().chain(Arena::scratch(plans, caps)).sum()
    }

    /// Returns the sizes in bytes of the scratch buffers; empty if no step needs any.
    fn scratch(plans: &[&Plan], caps: DeviceCaps) -> Vec<u64> {
        let mut sizes = [0; SCRATCH];
        for plan in plans {
            let scratch = StepResources::of(plan, caps).scratch;
            sizes.iter_mut().zip(scratch).for_each(|(size, bytes)| *size = (*size).max(bytes));
        }
        sizes.into_iter().filter(|&bytes| bytes > 0).collect()
    }

    /// Returns the sizes in bytes of the buffers for temporaries, largest first.
    fn sizes(plans: &[&Plan]) -> Vec<u64> {
        let mut sizes: Vec<u64> = Vec::new();
        for plan in plans {
            let mut slots = plan.memory(4).slots;
            slots.iter_mut().for_each(|bytes| *bytes = bytes.next_multiple_of(16));
            slots.sort_unstable_by_key(|&bytes| std::cmp::Reverse(bytes));
            sizes.resize(sizes.len().max(slots.len()), 0);
            sizes.iter_mut().zip(slots).for_each(|(size, bytes)| *size = (*size).max(bytes));
        }
        sizes
    }

    /// Assigns a buffer to each slot of a plan: the largest slot gets the largest buffer.
    fn slots(&self, sizes: &[u64]) -> Vec<Tensor> {
        let mut order: Vec<usize> = (0..sizes.len()).collect();
        order.sort_by_key(|&slot| std::cmp::Reverse(sizes[slot]));
        let mut slots = vec![None; sizes.len()];
        order.into_iter().zip(&self.slots).for_each(|(slot, tensor)| slots[slot] = Some(tensor.clone()));
        slots.into_iter().flatten().collect()
    }
}

/// Returns the storage type in which a plan writes a value: f32 unless [`Op::Narrow`] produces it.
fn output_storage(plan: &Plan, value: &Value) -> Storage {
    match value.source {
        Source::Step(step) => match plan.steps[step].op {
            Op::Narrow(narrow) => narrow.storage,
            _ => Storage::F32,
        },
        _ => Storage::F32,
    }
}

/// A step of a compiled plan.
struct CompiledStep {
    label: String,
    output: Tensor,
    /// Indices of the steps that produce its inputs.
    producers: Vec<usize>,
    /// Number of dispatches up to and including its last.
    dispatch_end: usize,
}

/// A compiled plan with its buffers.
pub struct Runner {
    dispatches: Vec<BoundDispatch>,
    steps: Vec<CompiledStep>,
    inputs: BTreeMap<String, Tensor>,
    outputs: BTreeMap<String, Tensor>,
    scalars: wgpu::Buffer,
    _guards: [Rc<AllocationGuard>; 2],
    /// Keeps the buffers of all bind groups alive.
    _tensors: Vec<Tensor>,
    /// Bytes of GPU memory allocated for this plan: inputs, outputs, parameters.
    pub bytes: u64,
    /// Whether any dispatch multiplies in f16.
    pub uses_f16_math: bool,
}

impl Runner {
    /// Compiles a plan. `resident` returns weights by name, and tensors to use as inputs and outputs; those inputs and
    /// outputs for which it returns None are allocated.
    pub async fn new(gpu: &Gpu, plan: &Plan, resident: &dyn Fn(&str) -> Option<Tensor>) -> Result<Runner, GpuError> {
        let arena = Arena::of(gpu, &[plan]).await?;
        Runner::with_arena(gpu, plan, resident, &arena).await
    }

    /// Like [`Runner::new`], with temporaries in an arena that several plans share, this one among them.
    pub async fn with_arena(
        gpu: &Gpu,
        plan: &Plan,
        resident: &dyn Fn(&str) -> Option<Tensor>,
        arena: &Arena,
    ) -> Result<Runner, GpuError> {
        let what = format!("the plan `{}`", plan.name);
        gpu.with_error_scopes(&what, || Runner::compile(gpu, plan, resident, arena)).await
    }

    /// Returns the number of dispatches of one run of a plan on a device with these capabilities.
    pub fn dispatches(plan: &Plan, caps: DeviceCaps) -> u64 {
        StepResources::of(plan, caps).dispatches
    }

    /// Returns the bytes of GPU memory that compiling a plan allocates: everything but temporaries, weights and inputs
    /// for which `is_resident` returns true.
    pub fn own_bytes(plan: &Plan, caps: DeviceCaps, is_resident: &dyn Fn(&str) -> bool) -> u64 {
        // An output may have several names.
        let is_allocated = |(index, value): &(usize, &Value)| match &value.source {
            Source::Input(name) => !is_resident(name),
            Source::Step(_) => plan.outputs.iter().any(|(_, id)| id.0 == *index),
            _ => false,
        };
        let allocated = plan.values.iter().enumerate().filter(is_allocated);
        let bytes: u64 = allocated.map(|(_, value)| output_storage(plan, value).resident(value.numel())).sum();
        bytes + Runner::params_bytes(plan, caps)
    }

    /// Returns the bytes of the run-time scalars and the kernel parameters, which are part of [`Runner::own_bytes`].
    pub fn params_bytes(plan: &Plan, caps: DeviceCaps) -> u64 {
        let scalars = plan.scalars.len().max(1) as u64;
        let dispatches = StepResources::of(plan, caps).dispatches.max(1);
        scalars * 4 + dispatches * PARAMS_STRIDE
    }

    fn compile(
        gpu: &Gpu,
        plan: &Plan,
        resident: &dyn Fn(&str) -> Option<Tensor>,
        arena: &Arena,
    ) -> Result<Runner, GpuError> {
        let caps = arena.config.caps(gpu.info().max_binding);
        let memory = plan.memory(gpu.scalar().bytes());
        let slots = arena.slots(&memory.slots);
        let mut bytes = 0;
        let (mut inputs, mut outputs) = (BTreeMap::new(), BTreeMap::new());
        let mut tensors: Vec<Option<Tensor>> = Vec::with_capacity(plan.values.len());
        for (index, value) in plan.values.iter().enumerate() {
            let check_len = |name: &str, tensor: Tensor| match tensor.len == value.numel() {
                true => Ok(tensor),
                false => Err(GpuError::LengthMismatch { name: name.into(), found: tensor.len, wanted: value.numel() }),
            };
            let storage = output_storage(plan, value);
            // Only outputs need this storage type: lowering a step checks the storage types of its inputs.
            let check_output = |name: &str, tensor: Tensor| match tensor.storage == storage {
                true => check_len(name, tensor),
                false => Err(GpuError::StorageMismatch { name: name.into(), found: tensor.storage, wanted: storage }),
            };
            let tensor = match (&value.source, memory.allocations[index]) {
                (Source::Weight { name, .. }, _) => {
                    let missing = || GpuError::Missing { plan: plan.name.clone(), name: name.clone() };
                    Some(check_len(name, resident(name).ok_or_else(missing)?)?)
                }
                (Source::Concatenated(parts), _) => {
                    let parts: Vec<Tensor> = parts.iter().filter_map(|part| tensors[part.0].clone()).collect();
                    let name = plan.display_name(ValueId(index));
                    let not_contiguous = || GpuError::NotContiguous { plan: plan.name.clone(), name: name.clone() };
                    Some(check_len(&name, Tensor::contiguous(&parts).ok_or_else(not_contiguous)?)?)
                }
                (Source::Input(name), _) => {
                    let tensor = match resident(name) {
                        Some(tensor) => check_len(name, tensor)?,
                        None => {
                            let tensor = gpu.tensor(name, value.numel())?;
                            bytes += tensor.bytes;
                            tensor
                        }
                    };
                    inputs.insert(name.clone(), tensor.clone());
                    Some(tensor)
                }
                (Source::Step(_), Allocation::Slot(slot)) => Some(Tensor { storage, ..slots[slot].clone() }),
                (Source::Step(_), Allocation::Dedicated) => match plan.outputs.iter().find(|(_, id)| id.0 == index) {
                    Some((name, _)) => Some(match resident(name) {
                        Some(tensor) => check_output(name, tensor)?,
                        None => {
                            let tensor = gpu.tensor_with_storage(name, value.numel(), storage)?;
                            bytes += tensor.bytes;
                            tensor
                        }
                    }),
                    None => None,
                },
            };
            tensors.push(tensor);
        }
        for (name, id) in &plan.outputs {
            if let Some(tensor) = &tensors[id.0] {
                outputs.insert(name.clone(), tensor.clone());
            }
        }

        let buffer = |label: &str, size: u64, usage| {
            let usage = usage | wgpu::BufferUsages::COPY_DST;
            gpu.device.create_buffer(&wgpu::BufferDescriptor {
                label: Some(label),
                size,
                usage,
                mapped_at_creation: false,
            })
        };
        let tensor = |id: ValueId| -> Result<&Tensor, GpuError> {
            tensors[id.0]
                .as_ref()
                .ok_or_else(|| GpuError::Missing { plan: plan.name.clone(), name: format!("value {}", id.0) })
        };
        let mut sequences = Vec::with_capacity(plan.steps.len());
        for step in &plan.steps {
            let stored = step.inputs.iter().map(|&id| Ok(tensor(id)?.storage)).collect::<Result<Vec<_>, GpuError>>()?;
            sequences.push(lower_step(plan, step, &stored, caps)?);
        }
        let count = sequences.iter().map(|sequence| sequence.dispatches.len()).sum::<usize>().max(1);
        let scalars = buffer("run-time scalars", plan.scalars.len().max(1) as u64 * 4, wgpu::BufferUsages::STORAGE);
        let params = buffer("parameters", count as u64 * PARAMS_STRIDE, wgpu::BufferUsages::UNIFORM);
        bytes += scalars.size() + params.size();
        let guards = [gpu.track_buffer(&scalars), gpu.track_buffer(&params)];

        let mut dispatches = Vec::with_capacity(count);
        let mut steps = Vec::with_capacity(plan.steps.len());
        let mut param_bytes = vec![0u8; host_len(params.size())];
        let mut uses_f16_math = false;
        for (step, sequence) in plan.steps.iter().zip(sequences) {
            let buffer = |buffer: BufferRef| match buffer {
                BufferRef::Input(input) => tensor(step.inputs[input]),
                BufferRef::Output => tensor(step.output),
                BufferRef::Scratch(index) => arena
                    .scratch
                    .get(index)
                    .ok_or_else(|| GpuError::Missing { plan: plan.name.clone(), name: "the scratch buffer".into() }),
            };
            for dispatch in sequence.dispatches {
                let launch = arena.config.select_variant(plan, dispatch.launch);
                uses_f16_math |= launch.operand_type == Scalar::F16;
                let offset = dispatches.len() as u64 * PARAMS_STRIDE;
                let words = bytemuck::cast_slice(launch.params.words());
                param_bytes[host_len(offset)..][..words.len()].copy_from_slice(words);
                // The size of a uniform buffer is a multiple of 16 bytes.
                let size = wgpu::BufferSize::new((words.len() as u64).next_multiple_of(16));
                let uniform = wgpu::BufferBinding { buffer: &params, offset, size };
                let mut entries =
                    vec![wgpu::BindGroupEntry { binding: 0, resource: wgpu::BindingResource::Buffer(uniform) }];
                for (index, binding) in (1..).zip(&launch.bindings) {
                    let resource = match binding {
                        Binding::Input(input) => buffer(dispatch.inputs[*input])?.binding(),
                        Binding::Output => buffer(dispatch.output)?.binding(),
                        Binding::Scalars => scalars.as_entire_binding(),
                    };
                    entries.push(wgpu::BindGroupEntry { binding: index, resource });
                }
                let pipeline = gpu.pipeline(&launch)?;
                gpu.track_bind_group();
                let bind_group = gpu.device.create_bind_group(&wgpu::BindGroupDescriptor {
                    label: Some(&step.label),
                    layout: &pipeline.get_bind_group_layout(0),
                    entries: &entries,
                });
                dispatches.push(BoundDispatch {
                    pipeline,
                    bind_group,
                    groups: launch.workgroups,
                    flops: dispatch.flops,
                });
            }
            let output = Tensor { len: plan.value(step.output).numel(), ..tensor(step.output)?.clone() };
            let producer = |id: &ValueId| match plan.value(*id).source {
                Source::Step(step) => Some(step),
                _ => None,
            };
            let producers = step.inputs.iter().filter_map(producer).collect();
            let label = format!("`{}` ({})", step.label, step.op);
            steps.push(CompiledStep { label, output, producers, dispatch_end: dispatches.len() });
        }
        gpu.queue.write_buffer(&params, 0, &param_bytes);
        Ok(Runner {
            dispatches,
            steps,
            inputs,
            outputs,
            scalars,
            _guards: guards,
            _tensors: tensors.into_iter().flatten().chain(arena.scratch.iter().cloned()).collect(),
            bytes,
            uses_f16_math,
        })
    }

    /// Writes an input.
    pub fn set(&self, gpu: &Gpu, name: &str, data: &[f32]) -> Result<(), GpuError> {
        let missing = || GpuError::Missing { plan: "this plan".into(), name: name.into() };
        let tensor = self.inputs.get(name).ok_or_else(missing)?;
        let found = data.len() as u64;
        if tensor.len != found {
            return Err(GpuError::LengthMismatch { name: name.into(), found, wanted: tensor.len });
        }
        gpu.write(tensor, data)
    }

    /// Writes the run-time scalars, in the plan's order.
    pub fn set_scalars(&self, gpu: &Gpu, scalars: &[f32]) {
        gpu.queue.write_buffer(&self.scalars, 0, bytemuck::cast_slice(scalars));
    }

    /// Returns the number of elements of an input.
    pub fn len(&self, input: &str) -> Option<u64> {
        self.inputs.get(input).map(|tensor| tensor.len)
    }

    /// Finds the first step whose output contains NaN or infinity, or an input that does, for the inputs of the last
    /// run. Repeats parts of the plan several times.
    pub async fn find_non_finite(&self, gpu: &Gpu) -> Result<Option<String>, GpuError> {
        let is_finite = async |tensor| Ok(gpu.read(tensor).await?.iter().all(|value| value.is_finite()));
        for (name, tensor) in &self.inputs {
            if !is_finite(tensor).await? {
                return Ok(Some(format!("the input `{name}`")));
            }
        }
        let is_step_finite = async |step: usize| {
            self.run_first(gpu, self.steps[step].dispatch_end);
            is_finite(&self.steps[step].output).await
        };
        // Binary search: a non-finite value propagates to nearly all later steps.
        let (mut low, mut high) = (0, self.steps.len());
        while low < high {
            let middle = usize::midpoint(low, high);
            match is_step_finite(middle).await? {
                true => low = middle + 1,
                false => high = middle,
            }
        }
        // With parallel branches the search can end past the first bad step: follow non-finite inputs back to it.
        while let Some(step) = self.steps.get(low) {
            let mut culprit = None;
            for &producer in &step.producers {
                if culprit.is_none() && !is_step_finite(producer).await? {
                    culprit = Some(producer);
                }
            }
            match culprit {
                Some(producer) => low = producer,
                None => break,
            }
        }
        Ok(self.steps.get(low).map(|step| step.label.clone()))
    }

    /// Submits all dispatches, in batches.
    pub fn run(&self, gpu: &Gpu) {
        self.run_first(gpu, self.dispatches.len());
    }

    /// Submits the first `count` dispatches.
    fn run_first(&self, gpu: &Gpu, count: usize) {
        let mut rest = &self.dispatches[..count];
        while !rest.is_empty() {
            rest = submit_batch(gpu, rest);
        }
    }

    /// Returns the floating-point operations of one run.
    pub fn flops(&self) -> u64 {
        self.dispatches.iter().map(|dispatch| dispatch.flops).sum()
    }

    /// Returns the tensor of an output.
    pub fn output(&self, name: &str) -> Option<&Tensor> {
        self.outputs.get(name)
    }

    /// Runs the plan and reads an output.
    pub async fn compute(&self, gpu: &Gpu, output: &str) -> Result<Vec<f32>, GpuError> {
        self.compute_cancellable(gpu, output, &mut || Ok(())).await
    }

    /// Like [`Runner::compute`], and calls `on_batch` after each finished batch. An error from it cancels the run: only
    /// the batch in flight still executes. Updates the throughput estimate, which determines the batch size.
    pub async fn compute_cancellable<E: From<GpuError>>(
        &self,
        gpu: &Gpu,
        output: &str,
        on_batch: &mut dyn FnMut() -> Result<(), E>,
    ) -> Result<Vec<f32>, E> {
        let missing = || GpuError::Missing { plan: "this plan".into(), name: output.into() };
        let tensor = self.output(output).ok_or_else(missing)?;
        let start = web_time::Instant::now();
        let flops_of = |dispatches: &[BoundDispatch]| dispatches.iter().map(|dispatch| dispatch.flops).sum::<u64>();
        let (mut rest, mut in_flight) = (self.dispatches.as_slice(), None);
        loop {
            // One batch is queued while the previous one executes.
            rest = submit_batch(gpu, rest);
            if rest.is_empty() {
                break;
            }
            let submitted = (gpu.finished(), self.flops() - flops_of(rest));
            if let Some((finished, flops)) = in_flight.replace(submitted) {
                finished.await?;
                gpu.update_throughput_estimate(flops, start.elapsed().as_secs_f64());
                on_batch()?;
            }
        }
        let data = gpu.read(tensor).await?;
        gpu.update_throughput_estimate(self.flops(), start.elapsed().as_secs_f64());
        Ok(data)
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
