//! Turns a plan into text, one step a line: what a reviewer reads in a diff.

use super::{Allocation, Plan, Source, ValueId};
use std::fmt;

/// `17 group_norm down_blocks.0.resnets.0.norm1 (1, 64, 64, 320) G=32 silu b3 -> b1`: index,
/// operation, whose, output shape, fields, places read and written. Weights are left out, since
/// the label names them; `b` is a shared slot, `$` an input, `=` an output.
impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let memory = self.memory(4);
        let place = |id: ValueId| match (&self.value(id).source, memory.allocations[id.0]) {
            (Source::Input(name), _) => Some(format!("${name}")),
            (Source::Weight { .. } | Source::Concatenated(_), _) => None,
            (Source::Step(_), Allocation::Slot(slot)) => Some(format!("b{slot}")),
            (Source::Step(_), Allocation::Own) => {
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
            let reads: Vec<String> = step.inputs.iter().filter_map(|&id| place(id)).collect();
            let gap = if details.is_empty() { "" } else { " " };
            writeln!(
                f,
                "{index} {} {} ({}){gap}{details} {} -> {}",
                step.op,
                step.label,
                shape.join(","),
                reads.join(" "),
                place(step.output).unwrap_or_default()
            )?;
        }
        Ok(())
    }
}
