//! Memory planning: assigns a plan's temporary tensors to shared slots by liveness.

use super::{Plan, Source};
use std::cmp::Reverse;

/// Memory of a tensor during a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Allocation {
    /// The shared slot with this index.
    Slot(usize),
    /// A dedicated buffer: inputs, weights and outputs.
    Dedicated,
}

/// Allocations of all tensors of a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Memory {
    /// Size of each shared slot, in bytes.
    pub slots: Vec<u64>,
    /// Allocation of each tensor, by index.
    pub allocations: Vec<Allocation>,
}

impl Memory {
    /// Returns the total size of all slots, in bytes.
    pub fn bytes(&self) -> u64 {
        self.slots.iter().sum()
    }
}

/// Returns the sizes in bytes of the buffers that plans which never run concurrently share for their temporaries, largest
/// first; elements are f32.
pub fn shared_slots(plans: &[&Plan]) -> Vec<u64> {
    let mut sizes: Vec<u64> = Vec::new();
    for plan in plans {
        let mut slots = plan.memory(4).slots;
        slots.iter_mut().for_each(|bytes| *bytes = bytes.next_multiple_of(16));
        slots.sort_unstable_by_key(|&bytes| Reverse(bytes));
        sizes.resize(sizes.len().max(slots.len()), 0);
        sizes.iter_mut().zip(slots).for_each(|(size, bytes)| *size = (*size).max(bytes));
    }
    sizes
}

/// Returns whether a plan's slots fit buffers of these sizes, in descending order.
pub fn slots_fit(plan: &Plan, buffers: &[u64]) -> bool {
    let slots = shared_slots(&[plan]);
    slots.len() <= buffers.len() && slots.iter().zip(buffers).all(|(slot, buffer)| slot <= buffer)
}

/// Returns the index of each slot's buffer among [`shared_slots`]: the largest slot has the largest buffer.
pub fn slot_order(slots: &[u64]) -> Vec<usize> {
    let mut by_size: Vec<usize> = (0..slots.len()).collect();
    by_size.sort_by_key(|&slot| Reverse(slots[slot]));
    let mut order = vec![0; slots.len()];
    by_size.into_iter().enumerate().for_each(|(buffer, slot)| order[slot] = buffer);
    order
}

impl Plan {
    /// Returns, for each tensor, the index of the last step that reads or writes it; None for unused
    /// tensors and for outputs, which outlive the run.
    pub fn last_uses(&self) -> Vec<Option<usize>> {
        let mut last = vec![None; self.values.len()];
        for (index, step) in self.steps.iter().enumerate() {
            for id in step.inputs.iter().chain([&step.output]) {
                last[id.0] = Some(index);
            }
        }
        for (_, id) in &self.outputs {
            last[id.0] = None;
        }
        last
    }

    /// Assigns a slot to each temporary tensor, with `element` bytes per element. A slot becomes free
    /// after the last step that uses its tensor, never during it: a dispatch must not read and write
    /// the same buffer. Best fit: the smallest free slot that is large enough; if there is none, the
    /// largest free slot grows.
    pub fn memory(&self, element: u64) -> Memory {
        let last = self.last_uses();
        let mut memory = Memory { slots: Vec::new(), allocations: vec![Allocation::Dedicated; self.values.len()] };
        let mut free: Vec<usize> = Vec::new();
        for (index, step) in self.steps.iter().enumerate() {
            let is_temporary = |id: usize| matches!(self.values[id].source, Source::Step(_)) && last[id].is_some();
            if is_temporary(step.output.0) {
                let bytes = self.value(step.output).numel() * element;
                let best_fit =
                    free.iter().copied().filter(|&slot| memory.slots[slot] >= bytes).min_by_key(|&s| memory.slots[s]);
                let slot = best_fit
                    .or_else(|| free.iter().copied().max_by_key(|&slot| memory.slots[slot]))
                    .unwrap_or_else(|| {
                        memory.slots.push(0);
                        memory.slots.len() - 1
                    });
                free.retain(|&other| other != slot);
                memory.slots[slot] = memory.slots[slot].max(bytes);
                memory.allocations[step.output.0] = Allocation::Slot(slot);
            }
            let mut operands: Vec<usize> = step.inputs.iter().chain([&step.output]).map(|id| id.0).collect();
            operands.sort_unstable();
            operands.dedup();
            for id in operands.into_iter().filter(|&id| last[id] == Some(index)) {
                if let Allocation::Slot(slot) = memory.allocations[id] {
                    free.push(slot);
                }
            }
        }
        memory
    }
}
