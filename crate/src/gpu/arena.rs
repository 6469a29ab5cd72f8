//! Buffers that the plans of an image share: temporaries, and scratch between the dispatches of a step.

use super::config::KernelConfig;
use super::device::{Gpu, GpuError, Tensor};
use super::kernel::SCRATCH;
use super::lower::lower_step;
use crate::ops::Storage;
use crate::plan::{Plan, shared_slots, slot_order, slots_fit};

/// Buffers for the temporaries of plans that never run concurrently, and the kernel configuration of these plans.
pub struct Arena {
    slots: Vec<Tensor>,
    pub(super) scratch: Vec<Tensor>,
    pub(super) config: KernelConfig,
}

/// Device resources of a plan's steps besides the plan's tensors.
pub(super) struct StepResources {
    /// Number of dispatches of all steps.
    pub dispatches: u64,
    /// Bytes of each scratch buffer between the dispatches of a step.
    pub scratch: [u64; SCRATCH],
}

impl StepResources {
    pub fn of(plan: &Plan, config: &KernelConfig) -> StepResources {
        let mut resources = StepResources { dispatches: 0, scratch: [0; SCRATCH] };
        for step in &plan.steps {
            let stored = vec![Storage::F32; step.inputs.len()];
            // Compiling the plan reports unsupported steps.
            let Ok(sequence) = lower_step(plan, step, &stored, config) else { continue };
            resources.dispatches += sequence.dispatches.len() as u64;
            let bytes = sequence.scratch.map(|elements| 4 * elements);
            resources.scratch.iter_mut().zip(bytes).for_each(|(max, bytes)| *max = (*max).max(bytes));
        }
        resources
    }
}

impl Arena {
    /// Allocates buffers that are large enough for each of these plans, which are compiled with this configuration.
    pub async fn new(gpu: &Gpu, config: &KernelConfig, plans: &[&Plan]) -> Result<Arena, GpuError> {
        let names: Vec<&str> = plans.iter().map(|plan| plan.name.as_str()).collect();
        let tensor = |bytes: u64| gpu.tensor(&format!("a temporary of {}", names.join(", ")), bytes / 4);
        let tensors = |sizes: Vec<u64>| sizes.into_iter().map(tensor).collect::<Result<_, GpuError>>();
        let create = || {
            let (slots, scratch) = (shared_slots(plans), Arena::scratch(plans, config));
            Ok(Arena { slots: tensors(slots)?, scratch: tensors(scratch)?, config: config.clone() })
        };
        gpu.with_error_scopes("temporaries", create).await
    }

    /// Returns whether another plan's temporaries fit its buffers.
    pub fn fits(&self, plan: &Plan) -> bool {
        let sizes: Vec<u64> = self.slots.iter().map(|slot| slot.bytes).collect();
        slots_fit(plan, &sizes) && Arena::scratch(&[plan], &self.config).is_empty()
    }

    /// Returns the total size in bytes of an arena for these plans with this configuration.
    pub fn bytes(plans: &[&Plan], config: &KernelConfig) -> u64 {
        shared_slots(plans).into_iter().chain(Arena::scratch(plans, config)).sum()
    }

    /// Returns the sizes in bytes of the scratch buffers; empty if no step needs any.
    fn scratch(plans: &[&Plan], config: &KernelConfig) -> Vec<u64> {
        let mut sizes = [0; SCRATCH];
        for plan in plans {
            let scratch = StepResources::of(plan, config).scratch;
            sizes.iter_mut().zip(scratch).for_each(|(size, bytes)| *size = (*size).max(bytes));
        }
        sizes.into_iter().filter(|&bytes| bytes > 0).collect()
    }

    /// Assigns a buffer to each slot of a plan: the largest slot gets the largest buffer.
    pub(super) fn slots(&self, sizes: &[u64]) -> Vec<Tensor> {
        slot_order(sizes).into_iter().map(|buffer| self.slots[buffer].clone()).collect()
    }
}
