//! Compilation of a plan: allocate its tensors, lower its steps, upload the kernels' parameters, and bind every dispatch.

use super::arena::Arena;
use super::device::{AllocationGuard, Gpu, GpuError, Tensor};
use super::kernel::{Binding, BufferRef, Dispatch, KernelSequence, Scalar};
use super::lower::lower_step;
use crate::num::host_len;
use crate::ops::{Op, Storage};
use crate::plan::{Allocation, Memory, Plan, Source, Step, Value, ValueId};
use std::collections::BTreeMap;
use std::rc::Rc;

/// WebGPU's default `minUniformBufferOffsetAlignment`, which every device supports.
pub(super) const PARAMS_STRIDE: u64 = 256;

/// A dispatch with its pipeline and bind group.
pub(super) struct BoundDispatch {
    pub pipeline: wgpu::ComputePipeline,
    pub bind_group: wgpu::BindGroup,
    pub groups: [u32; 3],
    pub flops: u64,
}

/// A step of a compiled plan.
pub(super) struct CompiledStep {
    pub label: String,
    pub output: Tensor,
    /// Number of dispatches up to and including its last.
    pub dispatch_end: usize,
}

/// A plan's dispatches, and the buffers that they use.
pub(super) struct CompiledPlan {
    pub dispatches: Vec<BoundDispatch>,
    pub steps: Vec<CompiledStep>,
    pub inputs: BTreeMap<String, Tensor>,
    pub outputs: BTreeMap<String, Tensor>,
    pub scalars: wgpu::Buffer,
    /// Bytes allocated for this plan alone.
    pub bytes: u64,
    /// Whether any dispatch multiplies in f16.
    pub uses_f16_math: bool,
    _guards: [Rc<AllocationGuard>; 2],
    /// Keeps the buffers of all bind groups alive.
    _tensors: Vec<Tensor>,
}

/// Compiles a plan whose temporaries are allocated as `memory` says. `resident` returns weights by name, and tensors to
/// use as inputs and outputs.
pub(super) fn compile(
    gpu: &Gpu,
    (plan, memory): (&Plan, &Memory),
    resident: &dyn Fn(&str) -> Option<Tensor>,
    arena: &Arena,
) -> Result<CompiledPlan, GpuError> {
    let tensors = PlanTensors::allocate(gpu, (plan, memory), resident, arena)?;
    let sequences = lower_all(plan, &tensors, arena)?;
    let dispatches = || sequences.iter().flat_map(|sequence| &sequence.dispatches);
    let uniforms = Uniforms::upload(gpu, plan, dispatches());
    let mut bound = Vec::new();
    let mut steps = Vec::with_capacity(plan.steps.len());
    for (step, sequence) in plan.steps.iter().zip(&sequences) {
        for dispatch in &sequence.dispatches {
            let buffers = StepBuffers { plan, step, tensors: &tensors, arena };
            bound.push(buffers.bind(gpu, dispatch, &uniforms, bound.len() as u64)?);
        }
        steps.push(tensors.compiled_step(plan, step, bound.len())?);
    }
    let guards = [gpu.track_buffer(&uniforms.scalars), gpu.track_buffer(&uniforms.params)];
    Ok(CompiledPlan {
        uses_f16_math: dispatches().any(|dispatch| dispatch.launch.operand_type == Scalar::F16),
        dispatches: bound,
        steps,
        inputs: tensors.inputs,
        outputs: tensors.outputs,
        bytes: tensors.bytes + uniforms.scalars.size() + uniforms.params.size(),
        scalars: uniforms.scalars,
        _guards: guards,
        _tensors: tensors.list.into_iter().flatten().chain(arena.scratch.iter().cloned()).collect(),
    })
}

/// Returns the storage type in which a plan writes a value: f32 unless [`Op::Narrow`] produces it.
pub(super) fn output_storage(plan: &Plan, value: &Value) -> Storage {
    match value.source {
        Source::Step(step) => match plan.steps[step].op {
            Op::Narrow(narrow) => narrow.storage,
            _ => Storage::F32,
        },
        _ => Storage::F32,
    }
}

/// The tensors of a plan in GPU memory.
struct PlanTensors {
    /// By value; None for results that nothing reads.
    list: Vec<Option<Tensor>>,
    inputs: BTreeMap<String, Tensor>,
    outputs: BTreeMap<String, Tensor>,
    /// Bytes allocated for this plan alone.
    bytes: u64,
}

impl PlanTensors {
    /// Finds the resident tensors and the arena's slots, and allocates the others.
    fn allocate(
        gpu: &Gpu,
        (plan, memory): (&Plan, &Memory),
        resident: &dyn Fn(&str) -> Option<Tensor>,
        arena: &Arena,
    ) -> Result<PlanTensors, GpuError> {
        let slots = arena.slots(&memory.slots);
        let (list, inputs, outputs) = (Vec::new(), BTreeMap::new(), BTreeMap::new());
        let mut tensors = PlanTensors { list, inputs, outputs, bytes: 0 };
        for (index, (value, allocation)) in plan.values.iter().zip(&memory.allocations).enumerate() {
            let tensor = match (&value.source, allocation) {
                (Source::Weight { name, .. }, _) => Some(weight(plan, value, name, resident)?),
                (Source::Concatenated(parts), _) => Some(tensors.concatenated(plan, ValueId(index), parts)?),
                (Source::Input(name), Allocation::Slot(slot)) => {
                    let tensor = Tensor { len: value.numel(), ..slots[*slot].clone() };
                    tensors.inputs.insert(name.clone(), tensor.clone());
                    Some(tensor)
                }
                (Source::Input(name), Allocation::Dedicated) => Some(tensors.input(gpu, value, name, resident)?),
                (Source::Step(_), Allocation::Slot(slot)) => {
                    Some(Tensor { storage: output_storage(plan, value), ..slots[*slot].clone() })
                }
                (Source::Step(_), Allocation::Dedicated) => {
                    let output = plan.outputs.iter().find(|(_, id)| id.0 == index);
                    output.map(|(name, _)| tensors.output(gpu, plan, value, name, resident)).transpose()?
                }
            };
            tensors.list.push(tensor);
        }
        for (name, id) in &plan.outputs {
            if let Some(tensor) = &tensors.list[id.0] {
                tensors.outputs.insert(name.clone(), tensor.clone());
            }
        }
        Ok(tensors)
    }

    fn get(&self, plan: &Plan, id: ValueId) -> Result<&Tensor, GpuError> {
        let missing = || GpuError::Missing { plan: plan.name.clone(), name: plan.display_name(id) };
        self.list[id.0].as_ref().ok_or_else(missing)
    }

    fn concatenated(&self, plan: &Plan, id: ValueId, parts: &[ValueId]) -> Result<Tensor, GpuError> {
        let parts: Vec<Tensor> = parts.iter().filter_map(|part| self.list[part.0].clone()).collect();
        let name = plan.display_name(id);
        let not_contiguous = || GpuError::NotContiguous { plan: plan.name.clone(), name: name.clone() };
        checked_len(&name, plan.value(id), Tensor::contiguous(&parts).ok_or_else(not_contiguous)?)
    }

    fn input(
        &mut self,
        gpu: &Gpu,
        value: &Value,
        name: &str,
        resident: &dyn Fn(&str) -> Option<Tensor>,
    ) -> Result<Tensor, GpuError> {
        let tensor = match resident(name) {
            Some(tensor) => checked_len(name, value, tensor)?,
            None => {
                let tensor = gpu.tensor(name, value.numel())?;
                self.bytes += tensor.bytes;
                tensor
            }
        };
        self.inputs.insert(name.into(), tensor.clone());
        Ok(tensor)
    }

    fn output(
        &mut self,
        gpu: &Gpu,
        plan: &Plan,
        value: &Value,
        name: &str,
        resident: &dyn Fn(&str) -> Option<Tensor>,
    ) -> Result<Tensor, GpuError> {
        let wanted = output_storage(plan, value);
        match resident(name) {
            // Only outputs are checked here: lowering a step checks the storage types of its inputs.
            Some(tensor) if tensor.storage != wanted => {
                Err(GpuError::StorageMismatch { name: name.into(), found: tensor.storage, wanted })
            }
            Some(tensor) => checked_len(name, value, tensor),
            None => {
                let tensor = gpu.tensor_with_storage(name, value.numel(), wanted)?;
                self.bytes += tensor.bytes;
                Ok(tensor)
            }
        }
    }

    fn compiled_step(&self, plan: &Plan, step: &Step, dispatch_end: usize) -> Result<CompiledStep, GpuError> {
        Ok(CompiledStep {
            label: format!("`{}` ({})", step.label, step.op),
            output: Tensor { len: plan.value(step.output).numel(), ..self.get(plan, step.output)?.clone() },
            dispatch_end,
        })
    }
}

fn weight(
    plan: &Plan,
    value: &Value,
    name: &str,
    resident: &dyn Fn(&str) -> Option<Tensor>,
) -> Result<Tensor, GpuError> {
    let missing = || GpuError::Missing { plan: plan.name.clone(), name: name.into() };
    checked_len(name, value, resident(name).ok_or_else(missing)?)
}

fn checked_len(name: &str, value: &Value, tensor: Tensor) -> Result<Tensor, GpuError> {
    match tensor.len == value.numel() {
        true => Ok(tensor),
        false => Err(GpuError::LengthMismatch { name: name.into(), found: tensor.len, wanted: value.numel() }),
    }
}

fn lower_all(plan: &Plan, tensors: &PlanTensors, arena: &Arena) -> Result<Vec<KernelSequence>, GpuError> {
    let lower = |step: &Step| {
        let stored = step.inputs.iter().map(|&id| Ok(tensors.get(plan, id)?.storage));
        let stored = stored.collect::<Result<Vec<_>, GpuError>>()?;
        lower_step(plan, step, &stored, &arena.config)
            .map_err(|source| GpuError::NoLaunch { label: step.label.clone(), source })
    };
    plan.steps.iter().map(lower).collect()
}

/// Buffers of the run-time scalars and of all dispatches' parameters.
struct Uniforms {
    scalars: wgpu::Buffer,
    params: wgpu::Buffer,
}

impl Uniforms {
    fn upload<'a>(gpu: &Gpu, plan: &Plan, dispatches: impl Iterator<Item = &'a Dispatch>) -> Uniforms {
        let mut bytes: Vec<u8> = Vec::new();
        for dispatch in dispatches {
            bytes.extend_from_slice(bytemuck::cast_slice(dispatch.launch.params.words()));
            bytes.resize(bytes.len().next_multiple_of(host_len(PARAMS_STRIDE)), 0);
        }
        let buffer = |label, size, usage| {
            let usage = usage | wgpu::BufferUsages::COPY_DST;
            let descriptor = wgpu::BufferDescriptor { label: Some(label), size, usage, mapped_at_creation: false };
            gpu.device.create_buffer(&descriptor)
        };
        let (scalars_len, params_len) = (4 * plan.scalars.len().max(1) as u64, (bytes.len() as u64).max(PARAMS_STRIDE));
        let uniforms = Uniforms {
            scalars: buffer("run-time scalars", scalars_len, wgpu::BufferUsages::STORAGE),
            params: buffer("parameters", params_len, wgpu::BufferUsages::UNIFORM),
        };
        gpu.queue.write_buffer(&uniforms.params, 0, &bytes);
        uniforms
    }
}

/// The buffers that the dispatches of one step refer to.
struct StepBuffers<'a> {
    plan: &'a Plan,
    step: &'a Step,
    tensors: &'a PlanTensors,
    arena: &'a Arena,
}

impl StepBuffers<'_> {
    fn get(&self, buffer: BufferRef) -> Result<&Tensor, GpuError> {
        let missing = || GpuError::Missing { plan: self.plan.name.clone(), name: "the scratch buffer".into() };
        match buffer {
            BufferRef::Input(input) => self.tensors.get(self.plan, self.step.inputs[input]),
            BufferRef::Output => self.tensors.get(self.plan, self.step.output),
            BufferRef::Scratch(index) => self.arena.scratch.get(index).ok_or_else(missing),
        }
    }

    /// Binds the dispatch with this index in the plan.
    fn bind(&self, gpu: &Gpu, dispatch: &Dispatch, uniforms: &Uniforms, index: u64) -> Result<BoundDispatch, GpuError> {
        let launch = &dispatch.launch;
        // The size of a uniform buffer is a multiple of 16 bytes.
        let size = (4 * launch.params.words().len() as u64).next_multiple_of(16);
        let (offset, size) = (index * PARAMS_STRIDE, wgpu::BufferSize::new(size));
        let params = wgpu::BufferBinding { buffer: &uniforms.params, offset, size };
        let mut entries = vec![wgpu::BindGroupEntry { binding: 0, resource: wgpu::BindingResource::Buffer(params) }];
        for (index, binding) in (1..).zip(&launch.bindings) {
            let resource = match binding {
                Binding::Input(input) => self.get(dispatch.inputs[*input])?.binding(),
                Binding::Output => self.get(dispatch.output)?.binding(),
                Binding::Scalars => uniforms.scalars.as_entire_binding(),
            };
            entries.push(wgpu::BindGroupEntry { binding: index, resource });
        }
        let pipeline = gpu.pipeline(launch);
        gpu.track_bind_group();
        let bind_group = gpu.device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some(&self.step.label),
            layout: &pipeline.get_bind_group_layout(0),
            entries: &entries,
        });
        Ok(BoundDispatch { pipeline, bind_group, groups: launch.workgroups, flops: dispatch.flops })
    }
}
