//! Turns a plan into places for its temporary tensors: a pure function of who is alive when.

use super::{Plan, Source};

/// Where a tensor lives during a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Allocation {
    /// In the shared slot with this index.
    Slot(usize),
    /// In a buffer of its own: inputs, weights and outputs.
    Own,
}

/// The places of all tensors of a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Memory {
    /// Bytes of each shared slot.
    pub slots: Vec<u64>,
    /// Place of each tensor, by its index.
    pub allocations: Vec<Allocation>,
}

impl Memory {
    /// Bytes of all slots together.
    pub fn bytes(&self) -> u64 {
        self.slots.iter().sum()
    }
}

impl Plan {
    /// For each tensor the index of the last step that reads or writes it; None for those that
    /// nobody touches, and for outputs, which outlive the run.
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

    /// Assigns each temporary tensor a slot, `element` bytes a number. A slot is free again after
    /// the last step that reads its tensor, never within that step: a dispatch may not read and
    /// write one buffer. The tightest free slot is taken; when none is large enough, the largest
    /// free one grows.
    pub fn memory(&self, element: u64) -> Memory {
        let last = self.last_uses();
        let mut memory = Memory { slots: Vec::new(), allocations: vec![Allocation::Own; self.values.len()] };
        let mut free: Vec<usize> = Vec::new();
        for (index, step) in self.steps.iter().enumerate() {
            let is_temporary = |id: usize| matches!(self.values[id].source, Source::Step(_)) && last[id].is_some();
            if is_temporary(step.output.0) {
                let bytes = self.value(step.output).numel() * element;
                let fit =
                    free.iter().copied().filter(|&slot| memory.slots[slot] >= bytes).min_by_key(|&s| memory.slots[s]);
                let slot =
                    fit.or_else(|| free.iter().copied().max_by_key(|&slot| memory.slots[slot])).unwrap_or_else(|| {
                        memory.slots.push(0);
                        memory.slots.len() - 1
                    });
                free.retain(|&other| other != slot);
                memory.slots[slot] = memory.slots[slot].max(bytes);
                memory.allocations[step.output.0] = Allocation::Slot(slot);
            }
            let mut ended: Vec<usize> = step.inputs.iter().chain([&step.output]).map(|id| id.0).collect();
            ended.sort_unstable();
            ended.dedup();
            for id in ended.into_iter().filter(|&id| last[id] == Some(index)) {
                if let Allocation::Slot(slot) = memory.allocations[id] {
                    free.push(slot);
                }
            }
        }
        memory
    }
}
