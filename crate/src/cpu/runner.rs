//! Plans with their tensors in host memory, and their execution.

use super::kernels::{self, Operand};
use super::tensor::{Borrowed, Tensor};
use crate::ops::Storage;
use crate::plan::{
    Allocation, Memory, Part, Plan, PlanError, Source, Value, ValueId, shared_slots, slot_order, slots_fit,
};
use std::cell::RefCell;

/// Buffers for the temporaries of plans that never run concurrently.
pub struct Arena {
    slots: Vec<Tensor>,
}

impl Arena {
    /// Allocates buffers that are large enough for each of these plans.
    pub fn new(plans: &[&Plan]) -> Arena {
        let slots = shared_slots(plans).into_iter().map(|bytes| Tensor::new(bytes / 4, Storage::F32));
        Arena { slots: slots.collect() }
    }

    /// Returns whether another plan's temporaries fit its buffers.
    pub fn fits(&self, plan: &Plan) -> bool {
        let sizes: Vec<u64> = self.slots.iter().map(|slot| 4 * slot.len).collect();
        slots_fit(plan, &sizes)
    }
}

/// A plan with its tensors.
pub struct Runner {
    plan: Plan,
    /// By value; None for results that nothing reads.
    tensors: Vec<Option<Tensor>>,
    scalars: RefCell<Vec<f32>>,
}

impl Runner {
    /// Prepares a plan. `resident` returns weights by name, and tensors to use as inputs and outputs; those inputs and
    /// outputs for which it returns None are allocated.
    pub fn new(plan: &Plan, resident: &dyn Fn(&str) -> Option<Tensor>, arena: &Arena) -> Result<Runner, PlanError> {
        Runner::with_memory(plan, &plan.memory(4), resident, arena)
    }

    /// Prepares a part of a plan, whose arena it is.
    pub fn of_part(part: &Part, resident: &dyn Fn(&str) -> Option<Tensor>, arena: &Arena) -> Result<Runner, PlanError> {
        Runner::with_memory(&part.plan, &part.memory, resident, arena)
    }

    fn with_memory(
        plan: &Plan,
        memory: &Memory,
        resident: &dyn Fn(&str) -> Option<Tensor>,
        arena: &Arena,
    ) -> Result<Runner, PlanError> {
        let slots: Vec<Tensor> = slot_order(&memory.slots).into_iter().map(|at| arena.slots[at].clone()).collect();
        let mut tensors: Vec<Option<Tensor>> = Vec::with_capacity(plan.values.len());
        for (index, (value, allocation)) in plan.values.iter().zip(&memory.allocations).enumerate() {
            let missing = || PlanError::Missing { plan: plan.name.clone(), name: plan.display_name(ValueId(index)) };
            let allocated = || Tensor::new(value.numel(), Storage::F32);
            let tensor = match (&value.source, allocation) {
                (Source::Weight { name, .. }, _) => Some(resident(name).ok_or_else(missing)?),
                (Source::Input(name), Allocation::Dedicated) => Some(resident(name).unwrap_or_else(allocated)),
                (Source::Concatenated(parts), _) => {
                    let parts: Vec<Tensor> = parts.iter().filter_map(|part| tensors[part.0].clone()).collect();
                    Some(Tensor::contiguous(&parts).ok_or_else(missing)?)
                }
                (Source::Input(_) | Source::Step(_), Allocation::Slot(slot)) => Some(slots[*slot].first(value.numel())),
                (Source::Step(_), Allocation::Dedicated) => {
                    let output = plan.outputs.iter().find(|(_, id)| id.0 == index);
                    output.map(|(name, _)| resident(name).unwrap_or_else(allocated))
                }
            };
            if let Some(tensor) = tensor.as_ref().filter(|tensor| tensor.len != value.numel()) {
                let (plan, name) = (plan.name.clone(), plan.display_name(ValueId(index)));
                return Err(PlanError::Length { plan, name, found: tensor.len, wanted: value.numel() });
            }
            tensors.push(tensor);
        }
        let scalars = RefCell::new(vec![0.0; plan.scalars.len()]);
        Ok(Runner { plan: plan.clone(), tensors, scalars })
    }

    fn missing(&self, name: &str) -> PlanError {
        PlanError::Missing { plan: self.plan.name.clone(), name: name.into() }
    }

    fn input(&self, name: &str) -> Option<&Tensor> {
        let is_input = |value: &Value| matches!(&value.source, Source::Input(input) if input == name);
        self.tensors[self.plan.values.iter().position(is_input)?].as_ref()
    }

    /// Writes an input.
    pub fn set(&self, name: &str, data: &[f32]) -> Result<(), PlanError> {
        let tensor = self.input(name).ok_or_else(|| self.missing(name))?;
        let (found, wanted) = (data.len() as u64, tensor.len);
        if found != wanted {
            return Err(PlanError::Length { plan: self.plan.name.clone(), name: name.into(), found, wanted });
        }
        tensor.write_at(0, data)
    }

    /// Writes the run-time scalars, in the plan's order.
    pub fn set_scalars(&self, scalars: &[f32]) {
        self.scalars.replace(scalars.to_vec());
    }

    /// Returns the number of elements of an input.
    pub fn len(&self, input: &str) -> Option<u64> {
        self.input(input).map(|tensor| tensor.len)
    }

    /// Returns the tensor of an output.
    pub fn output(&self, name: &str) -> Option<Tensor> {
        let (_, id) = self.plan.outputs.iter().find(|(output, _)| output == name)?;
        self.tensors[id.0].clone()
    }

    /// Returns the number of steps.
    pub fn steps(&self) -> usize {
        self.plan.steps.len()
    }

    /// Returns the floating-point operations of one run.
    pub fn flops(&self) -> u64 {
        self.plan.flops()
    }

    /// Runs the step with this index.
    pub fn run_step(&self, index: usize) -> Result<(), PlanError> {
        let step = &self.plan.steps[index];
        let tensor =
            |id: &ValueId| self.tensors[id.0].as_ref().ok_or_else(|| self.missing(&self.plan.display_name(*id)));
        let inputs = step.inputs.iter().map(|id| Ok(tensor(id)?.borrow())).collect::<Result<Vec<_>, PlanError>>()?;
        let shapes = self.plan.input_shapes(step);
        let operand = |(borrowed, shape)| Operand { elements: Borrowed::elements(borrowed), shape };
        let operands: Vec<Operand<'_>> = inputs.iter().zip(shapes).map(operand).collect();
        // A step never reads and writes the same buffer, and nothing reads the results that have no tensor.
        let Some(output) = &self.tensors[step.output.0] else { return Ok(()) };
        output.compute(|output| kernels::run(&step.op, &operands, &self.scalars.borrow(), output))
    }

    /// Runs all steps.
    pub fn run(&self) -> Result<(), PlanError> {
        (0..self.steps()).try_for_each(|step| self.run_step(step))
    }

    /// Finds the first input or step whose output contains NaN or infinity, for the inputs of the last run.
    pub fn find_non_finite(&self) -> Result<Option<String>, PlanError> {
        let is_finite = |tensor: &Option<Tensor>| {
            tensor.as_ref().is_none_or(|tensor| tensor.read().iter().all(|value| value.is_finite()))
        };
        for (value, tensor) in self.plan.values.iter().zip(&self.tensors) {
            if let Source::Input(name) = &value.source
                && !is_finite(tensor)
            {
                return Ok(Some(format!("the input `{name}`")));
            }
        }
        for (index, step) in self.plan.steps.iter().enumerate() {
            self.run_step(index)?;
            if !is_finite(&self.tensors[step.output.0]) {
                return Ok(Some(format!("`{}` ({})", step.label, step.op)));
            }
        }
        Ok(None)
    }
}
