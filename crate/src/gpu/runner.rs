//! Turns a plan into dispatches that can be submitted again and again: buffers, parameters and
//! bind groups are made once.

use super::config::KernelConfig;
use super::device::{AllocationGuard, Gpu, GpuError, DeviceCaps, Tensor};
use super::kernel::{Binding, Scalar};
use super::kernels::{self, BufferRef, SCRATCH, KernelSequence};
use crate::num::{host_len, to_whole};
use crate::ops::{Op, Storage};
use crate::plan::{Allocation, Plan, Source, Step, Value, ValueId};
use std::collections::BTreeMap;
use std::rc::Rc;

/// What a submission may take: short enough that a cancel or a watchdog never waits, long enough
/// that submitting costs nothing.
const SUBMISSION_SECONDS: f64 = 0.08;
/// Uniform buffers bind at multiples of this on every device.
const PARAMS_STRIDE: u64 = 256;

struct BoundDispatch {
    pipeline: wgpu::ComputePipeline,
    bind_group: wgpu::BindGroup,
    groups: [u32; 3],
    flops: u64,
}

/// Buffers for the temporaries of plans that never run at the same time, and what those plans' kernels are.
pub struct Arena {
    slots: Vec<Tensor>,
    scratch: Vec<Tensor>,
    config: KernelConfig,
}

/// What steps need of a device beside the tensors of their plan.
struct StepResources {
    /// Dispatches of all steps.
    dispatches: u64,
    /// Bytes of what lies between the dispatches of one step.
    scratch: [u64; SCRATCH],
}

impl StepResources {
    fn of(plan: &Plan, means: DeviceCaps) -> StepResources {
        let mut extra = StepResources { dispatches: 0, scratch: [0; SCRATCH] };
        for step in &plan.steps {
            let stored = vec![Storage::F32; step.inputs.len()];
            // A step without a launch is told of when the plan is made.
            let Ok(work) = lower_step(plan, step, &stored, means) else { continue };
            extra.dispatches += work.dispatches.len() as u64;
            let bytes = work.scratch.map(|numbers| 4 * numbers);
            extra.scratch.iter_mut().zip(bytes).for_each(|(most, bytes)| *most = (*most).max(bytes));
        }
        extra
    }
}

/// A step's dispatches on a device of these means; `stored` says how its inputs lie.
pub(super) fn lower_step(plan: &Plan, step: &Step, stored: &[Storage], means: DeviceCaps) -> Result<KernelSequence, GpuError> {
    let least = if plan.allows_winograd { means.winograd } else { usize::MAX };
    let output = &plan.value(step.output).shape;
    kernels::lower(&step.op, &plan.input_shapes(step), output, stored, means.style, least)
        .map_err(|source| GpuError::NoLaunch { label: step.label.clone(), source })
}

impl Arena {
    /// Buffers in which each of these plans fits.
    pub async fn of(gpu: &Gpu, plans: &[&Plan]) -> Result<Arena, GpuError> {
        Arena::with_config(gpu, gpu.config(), plans).await
    }

    /// The same for plans with other kernels than the device's own.
    pub async fn with_config(gpu: &Gpu, config: KernelConfig, plans: &[&Plan]) -> Result<Arena, GpuError> {
        let means = config.caps(gpu.info().max_binding);
        let names: Vec<&str> = plans.iter().map(|plan| plan.name.as_str()).collect();
        let room = |bytes: u64| gpu.tensor(&format!("a temporary of {}", names.join(", ")), bytes / 4);
        let make = || {
            let rooms = |sizes: Vec<u64>| sizes.into_iter().map(room).collect::<Result<_, GpuError>>();
            Ok(Arena { slots: rooms(Arena::sizes(plans))?, scratch: rooms(Arena::scratch(plans, means))?, config })
        };
        gpu.with_error_scopes("temporaries", make).await
    }

    /// Bytes of all its buffers on a device of these means.
    pub fn bytes(plans: &[&Plan], means: DeviceCaps) -> u64 {
        Arena::sizes(plans).into_iter().chain(Arena::scratch(plans, means)).sum()
    }

    /// Bytes of what lies between the dispatches of one step; of nothing, none.
    fn scratch(plans: &[&Plan], means: DeviceCaps) -> Vec<u64> {
        let mut most = [0; SCRATCH];
        for plan in plans.iter().filter(|plan| plan.allows_winograd) {
            let own = StepResources::of(plan, means).scratch;
            most.iter_mut().zip(own).for_each(|(most, own)| *most = (*most).max(own));
        }
        most.into_iter().filter(|&bytes| bytes > 0).collect()
    }

    /// Bytes of its buffers for temporaries, the largest first.
    fn sizes(plans: &[&Plan]) -> Vec<u64> {
        let mut sizes: Vec<u64> = Vec::new();
        for plan in plans {
            let mut own = plan.memory(4).slots;
            own.iter_mut().for_each(|bytes| *bytes = bytes.next_multiple_of(16));
            own.sort_unstable_by_key(|&bytes| std::cmp::Reverse(bytes));
            sizes.resize(sizes.len().max(own.len()), 0);
            sizes.iter_mut().zip(own).for_each(|(size, own)| *size = (*size).max(own));
        }
        sizes
    }

    /// The buffers of a plan's slots.
    fn slots(&self, sizes: &[u64]) -> Vec<Tensor> {
        let mut order: Vec<usize> = (0..sizes.len()).collect();
        order.sort_by_key(|&slot| std::cmp::Reverse(sizes[slot]));
        let mut slots = vec![None; sizes.len()];
        order.into_iter().zip(&self.slots).for_each(|(slot, tensor)| slots[slot] = Some(tensor.clone()));
        slots.into_iter().flatten().collect()
    }
}

/// How the numbers lie that a plan writes: as its one operation that writes halves says, else f32.
fn written(plan: &Plan, value: &Value) -> Storage {
    match value.source {
        Source::Step(step) => match plan.steps[step].op {
            Op::Narrow(narrow) => narrow.storage,
            _ => Storage::F32,
        },
        _ => Storage::F32,
    }
}

/// What a step computes.
struct CompiledStep {
    label: String,
    output: Tensor,
    /// The steps that formed its inputs.
    from: Vec<usize>,
    /// Dispatches up to its last.
    dispatches: usize,
}

/// A plan with its buffers.
pub struct Runner {
    dispatches: Vec<BoundDispatch>,
    steps: Vec<CompiledStep>,
    inputs: BTreeMap<String, Tensor>,
    outputs: BTreeMap<String, Tensor>,
    scalars: wgpu::Buffer,
    _counted: [Rc<AllocationGuard>; 2],
    /// All that its dispatches are bound to stays as long as it does.
    _bound: Vec<Tensor>,
    /// Bytes of graphics memory made for this plan: inputs, outputs, parameters.
    pub bytes: u64,
    /// Whether some of its products are formed of halves.
    pub uses_f16_math: bool,
}

impl Runner {
    /// Makes everything that the plan needs. `resident` gives weights by name, and tensors that
    /// inputs are read from and outputs written into; those that it does not know get their own.
    pub async fn new(gpu: &Gpu, plan: &Plan, resident: &dyn Fn(&str) -> Option<Tensor>) -> Result<Runner, GpuError> {
        let arena = Arena::of(gpu, &[plan]).await?;
        Runner::within(gpu, plan, resident, &arena).await
    }

    /// The same with temporaries in an arena that was made for this plan among others.
    pub async fn within(
        gpu: &Gpu,
        plan: &Plan,
        resident: &dyn Fn(&str) -> Option<Tensor>,
        arena: &Arena,
    ) -> Result<Runner, GpuError> {
        gpu.with_error_scopes(&format!("the plan `{}`", plan.name), || Runner::make(gpu, plan, resident, arena)).await
    }

    /// Dispatches of one run of a plan on a device of these means.
    pub fn dispatches(plan: &Plan, means: DeviceCaps) -> u64 {
        StepResources::of(plan, means).dispatches
    }

    /// Bytes of graphics memory that a plan's runner makes besides temporaries, weights and the inputs
    /// that are `given`, on a device of these means.
    pub fn own_bytes(plan: &Plan, means: DeviceCaps, given: &dyn Fn(&str) -> bool) -> u64 {
        // An output may have several names.
        let is_own = |(index, value): &(usize, &Value)| match &value.source {
            Source::Input(name) => !given(name),
            Source::Step(_) => plan.outputs.iter().any(|(_, id)| id.0 == *index),
            _ => false,
        };
        let own = plan.values.iter().enumerate().filter(is_own);
        let numbers: u64 = own.map(|(_, value)| written(plan, value).resident(value.numel())).sum();
        numbers + Runner::params_bytes(plan, means)
    }

    /// Bytes of them that are run-time numbers and parameters.
    pub fn params_bytes(plan: &Plan, means: DeviceCaps) -> u64 {
        let (scalars, dispatches) = (plan.scalars.len().max(1) as u64, StepResources::of(plan, means).dispatches.max(1));
        scalars * 4 + dispatches * PARAMS_STRIDE
    }

    fn make(
        gpu: &Gpu,
        plan: &Plan,
        resident: &dyn Fn(&str) -> Option<Tensor>,
        arena: &Arena,
    ) -> Result<Runner, GpuError> {
        let means = arena.config.caps(gpu.info().max_binding);
        let memory = plan.memory(gpu.scalar().bytes());
        let slots = arena.slots(&memory.slots);
        let mut bytes = 0;
        let (mut inputs, mut outputs) = (BTreeMap::new(), BTreeMap::new());
        let mut tensors: Vec<Option<Tensor>> = Vec::with_capacity(plan.values.len());
        for (index, value) in plan.values.iter().enumerate() {
            let fits = |name: &str, tensor: Tensor| match tensor.len == value.numel() {
                true => Ok(tensor),
                false => Err(GpuError::LengthMismatch { name: name.into(), found: tensor.len, wanted: value.numel() }),
            };
            let storage = written(plan, value);
            // What is read may lie in any way: kernels say what they can read.
            let takes = |name: &str, tensor: Tensor| match tensor.storage == storage {
                true => fits(name, tensor),
                false => Err(GpuError::StorageMismatch { name: name.into(), found: tensor.storage, wanted: storage }),
            };
            let tensor = match (&value.source, memory.allocations[index]) {
                (Source::Weight { name, .. }, _) => {
                    let missing = || GpuError::Missing { plan: plan.name.clone(), name: name.clone() };
                    Some(fits(name, resident(name).ok_or_else(missing)?)?)
                }
                (Source::Concatenated(parts), _) => {
                    let parts: Vec<Tensor> = parts.iter().filter_map(|part| tensors[part.0].clone()).collect();
                    let apart = || GpuError::NotContiguous { plan: plan.name.clone(), name: plan.display_name(ValueId(index)) };
                    let name = plan.display_name(ValueId(index));
                    Some(fits(&name, Tensor::contiguous(&parts).ok_or_else(apart)?)?)
                }
                (Source::Input(name), _) => {
                    let tensor = match resident(name) {
                        Some(tensor) => fits(name, tensor)?,
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
                (Source::Step(_), Allocation::Own) => match plan.outputs.iter().find(|(_, id)| id.0 == index) {
                    Some((name, _)) => Some(match resident(name) {
                        Some(tensor) => takes(name, tensor)?,
                        None => {
                            let tensor = gpu.tensor_stored(name, value.numel(), storage)?;
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
        let mut works = Vec::with_capacity(plan.steps.len());
        for step in &plan.steps {
            let stored = step.inputs.iter().map(|&id| Ok(tensor(id)?.storage)).collect::<Result<Vec<_>, GpuError>>()?;
            works.push(lower_step(plan, step, &stored, means)?);
        }
        let count = works.iter().map(|work| work.dispatches.len()).sum::<usize>().max(1);
        let scalars = buffer("run-time numbers", plan.scalars.len().max(1) as u64 * 4, wgpu::BufferUsages::STORAGE);
        let params = buffer("parameters", count as u64 * PARAMS_STRIDE, wgpu::BufferUsages::UNIFORM);
        bytes += scalars.size() + params.size();
        let counted = [gpu.track_buffer(&scalars), gpu.track_buffer(&params)];

        let mut dispatches = Vec::with_capacity(count);
        let mut formed = Vec::with_capacity(plan.steps.len());
        let mut words = vec![0u8; host_len(params.size())];
        let mut multiplies_halves = false;
        for (step, work) in plan.steps.iter().zip(works) {
            let operand = |operand: BufferRef| match operand {
                BufferRef::Input(input) => tensor(step.inputs[input]),
                BufferRef::Output => tensor(step.output),
                BufferRef::Scratch(index) => arena.scratch.get(index).ok_or_else(|| GpuError::Missing {
                    plan: plan.name.clone(),
                    name: "room between dispatches".into(),
                }),
            };
            for stage in work.dispatches {
                let launch = arena.config.chosen(plan, stage.launch);
                multiplies_halves |= launch.operand_type == Scalar::F16;
                let offset = dispatches.len() as u64 * PARAMS_STRIDE;
                let own = bytemuck::cast_slice(&launch.params);
                words[host_len(offset)..][..own.len()].copy_from_slice(own);
                // A uniform binding covers whole 16-byte rows.
                let span = wgpu::BufferSize::new((own.len() as u64).next_multiple_of(16));
                let parameters = wgpu::BufferBinding { buffer: &params, offset, size: span };
                let mut entries =
                    vec![wgpu::BindGroupEntry { binding: 0, resource: wgpu::BindingResource::Buffer(parameters) }];
                for (at, binding) in (1..).zip(&launch.bindings) {
                    let resource = match binding {
                        Binding::Input(input) => operand(stage.inputs[*input])?.binding(),
                        Binding::Output => operand(stage.output)?.binding(),
                        Binding::Scalars => scalars.as_entire_binding(),
                    };
                    entries.push(wgpu::BindGroupEntry { binding: at, resource });
                }
                let pipeline = gpu.pipeline(&launch)?;
                gpu.track_bind_group();
                let bind_group = gpu.device.create_bind_group(&wgpu::BindGroupDescriptor {
                    label: Some(&step.label),
                    layout: &pipeline.get_bind_group_layout(0),
                    entries: &entries,
                });
                dispatches.push(BoundDispatch { pipeline, bind_group, groups: launch.groups, flops: stage.flops });
            }
            let output = Tensor { len: plan.value(step.output).numel(), ..tensor(step.output)?.clone() };
            let forms = |id: &ValueId| match plan.value(*id).source {
                Source::Step(step) => Some(step),
                _ => None,
            };
            let from = step.inputs.iter().filter_map(forms).collect();
            let label = format!("`{}` ({})", step.label, step.op);
            formed.push(CompiledStep { label, output, from, dispatches: dispatches.len() });
        }
        gpu.queue.write_buffer(&params, 0, &words);
        Ok(Runner {
            dispatches,
            steps: formed,
            inputs,
            outputs,
            scalars,
            _counted: counted,
            _bound: tensors.into_iter().flatten().chain(arena.scratch.iter().cloned()).collect(),
            bytes,
            uses_f16_math: multiplies_halves,
        })
    }

    /// Gives an input its numbers.
    pub fn set(&self, gpu: &Gpu, name: &str, data: &[f32]) -> Result<(), GpuError> {
        let missing = || GpuError::Missing { plan: "this plan".into(), name: name.into() };
        let tensor = self.inputs.get(name).ok_or_else(missing)?;
        let found = data.len() as u64;
        if tensor.len != found {
            return Err(GpuError::LengthMismatch { name: name.into(), found, wanted: tensor.len });
        }
        gpu.write(tensor, data)
    }

    /// Gives the run-time numbers, in the plan's order.
    pub fn set_scalars(&self, gpu: &Gpu, scalars: &[f32]) {
        gpu.queue.write_buffer(&self.scalars, 0, bytemuck::cast_slice(scalars));
    }

    /// How many numbers an input has.
    pub fn len(&self, input: &str) -> Option<u64> {
        self.inputs.get(input).map(|tensor| tensor.len)
    }

    /// The first step whose output holds NaN or infinity, with the inputs of the last run; or the
    /// input that does. Runs the plan again, in part and several times.
    pub async fn find_non_finite(&self, gpu: &Gpu) -> Result<Option<String>, GpuError> {
        let is_finite = async |tensor| Ok(gpu.read(tensor).await?.iter().all(|value| value.is_finite()));
        for (name, tensor) in &self.inputs {
            if !is_finite(tensor).await? {
                return Ok(Some(format!("its input `{name}`")));
            }
        }
        let is_right = async |step: usize| {
            self.run_first(gpu, self.steps[step].dispatches);
            is_finite(&self.steps[step].output).await
        };
        // What is not finite once stays so in nearly all that follows from it: half of the plan is
        // left out at a time.
        let (mut low, mut high) = (0, self.steps.len());
        while low < high {
            let middle = usize::midpoint(low, high);
            match is_right(middle).await? {
                true => low = middle + 1,
                false => high = middle,
            }
        }
        // Two branches may lie side by side there: one of them is at fault.
        while let Some(formed) = self.steps.get(low) {
            let mut wrong = None;
            for &step in &formed.from {
                if wrong.is_none() && !is_right(step).await? {
                    wrong = Some(step);
                }
            }
            match wrong {
                Some(step) => low = step,
                None => break,
            }
        }
        Ok(self.steps.get(low).map(|formed| formed.label.clone()))
    }

    /// Submits all steps, in portions.
    pub fn run(&self, gpu: &Gpu) {
        self.run_first(gpu, self.dispatches.len());
    }

    /// Submits the first dispatches.
    fn run_first(&self, gpu: &Gpu, dispatches: usize) {
        let mut rest = &self.dispatches[..dispatches];
        while !rest.is_empty() {
            rest = submit_portion(gpu, rest);
        }
    }

    /// Floating-point operations of one run.
    pub fn flops(&self) -> u64 {
        self.dispatches.iter().map(|dispatch| dispatch.flops).sum()
    }

    /// An output's tensor.
    pub fn output(&self, name: &str) -> Option<&Tensor> {
        self.outputs.get(name)
    }

    /// Runs everything and reads one output.
    pub async fn compute(&self, gpu: &Gpu, output: &str) -> Result<Vec<f32>, GpuError> {
        self.compute_while(gpu, output, &mut || Ok(())).await
    }

    /// The same, and asks `go_on` whenever the device has done a portion: what it refuses ends the run at
    /// once, with no more than the portion that the device is at. Learns how large portions should be.
    pub async fn compute_while<E: From<GpuError>>(
        &self,
        gpu: &Gpu,
        output: &str,
        go_on: &mut dyn FnMut() -> Result<(), E>,
    ) -> Result<Vec<f32>, E> {
        let missing = || GpuError::Missing { plan: "this plan".into(), name: output.into() };
        let tensor = self.output(output).ok_or_else(missing)?;
        let started = web_time::Instant::now();
        let flops_of = |dispatches: &[BoundDispatch]| dispatches.iter().map(|dispatch| dispatch.flops).sum::<u64>();
        let (mut rest, mut under_way) = (self.dispatches.as_slice(), None);
        loop {
            // One portion waits at the device while it is at another.
            rest = submit_portion(gpu, rest);
            if rest.is_empty() {
                break;
            }
            let submitted = (gpu.finished(), self.flops() - flops_of(rest));
            if let Some((done, flops)) = under_way.replace(submitted) {
                done.await?;
                gpu.update_throughput_estimate(flops, started.elapsed().as_secs_f64());
                go_on()?;
            }
        }
        let numbers = gpu.read(tensor).await?;
        gpu.update_throughput_estimate(self.flops(), started.elapsed().as_secs_f64());
        Ok(numbers)
    }
}

/// Submits as many of these dispatches as fill a portion; returns the others.
fn submit_portion<'a>(gpu: &Gpu, dispatches: &'a [BoundDispatch]) -> &'a [BoundDispatch] {
    let (limit, mut flops) = (gpu.submission_flops.get(), 0);
    let count = dispatches.iter().take_while(|dispatch| {
        let room = flops < limit;
        flops += dispatch.flops;
        room
    });
    let (now, later) = dispatches.split_at(count.count());
    let mut encoder = gpu.device.create_command_encoder(&Default::default());
    {
        let mut pass = encoder.begin_compute_pass(&Default::default());
        for dispatch in now {
            pass.set_pipeline(&dispatch.pipeline);
            pass.set_bind_group(0, &dispatch.bind_group, &[]);
            let [x, y, z] = dispatch.groups;
            pass.dispatch_workgroups(x, y, z);
        }
    }
    gpu.queue.submit([encoder.finish()]);
    later
}

impl Gpu {
    /// Learns from work that is done how many operations a submission may have.
    fn update_throughput_estimate(&self, flops: u64, seconds: f64) {
        // Small plans are all overhead and tell nothing of the speed.
        if flops > 100_000_000 && seconds > 0.0 {
            let (measured, now) = (flops as f64 / seconds * SUBMISSION_SECONDS, self.submission_flops.get() as f64);
            // The first portions of a run also wait for what was submitted before.
            self.submission_flops.set(to_whole(measured.min(4.0 * now).clamp(1e8, 1e12)).unsigned_abs());
        }
    }

    /// Chooses how many operations a submission has until the device's speed is known.
    pub fn set_submission_flops(&self, flops: u64) {
        self.submission_flops.set(flops);
    }
}
