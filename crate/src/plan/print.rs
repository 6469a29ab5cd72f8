//! Text form of a plan, one step per line, suitable for diffs.

use super::{Allocation, Plan, Source, ValueId};
use std::fmt;

/// `17 group_norm down_blocks.0.resnets.0.norm1 (1,64,64,320) G=32 eps=1e-5 silu b3 -> b1`:
/// index, operation, label, output shape, fields, memory read and written. Weights are omitted, because the
/// label names them; `b` is a shared slot, `$` an input, `=` an output.
impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let memory = self.memory(4);
        let location = |id: ValueId| match (&self.value(id).source, memory.allocations[id.0]) {
            (Source::Input(name), _) => Some(format!("${name}")),
            (Source::Weight { .. } | Source::Concatenated(_), _) => None,
            (Source::Step(_), Allocation::Slot(slot)) => Some(format!("b{slot}")),
            (Source::Step(_), Allocation::Dedicated) => {
                self.outputs.iter().find(|(_, output)| *output == id).map(|(name, _)| format!("={name}"))
            }
        };
        writeln!(
            f,
            "{}: {} steps, {} slots, {} bytes of temporaries, {} flops",
            self.name,
            self.steps.len(),
            memory.slots.len(),
            memory.bytes(),
            self.flops()
        )?;
        for (index, step) in self.steps.iter().enumerate() {
            let shape: Vec<String> = self.value(step.output).shape.iter().map(usize::to_string).collect();
            let details = step.op.get().details();
            let reads: Vec<String> = step.inputs.iter().filter_map(|&id| location(id)).collect();
            let gap = if details.is_empty() { "" } else { " " };
            writeln!(
                f,
                "{index} {} {} ({}){gap}{details} {} -> {}",
                step.op,
                step.label,
                shape.join(","),
                reads.join(" "),
                location(step.output).unwrap_or_default()
            )?;
        }
        Ok(())
    }
}
