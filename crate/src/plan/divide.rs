//! Division of a plan into parts that run one after the other, so that the weights of one at a time are in memory.

use super::{Memory, Plan, Source, ValueId};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

/// A part of a plan.
#[derive(Debug, Clone, PartialEq)]
pub struct Part {
    /// Its steps. A value that a later part reads is an output of the part that computes it, and an input of the later one
    /// under the same name.
    pub plan: Plan,
    /// The slots of the whole plan, in which later parts find the values that they read.
    pub memory: Memory,
}

/// Prefix of the names of values that one part of a plan computes and a later one reads.
const PASSED: &str = "passed/";

impl Plan {
    /// Divides the plan into parts whose weights take at most `most` bytes each, or that are a single step. `bytes` has
    /// the size of each weight.
    pub fn divided(&self, most: u64, bytes: &BTreeMap<&str, u64>) -> Vec<Part> {
        let (ranges, memory) = (self.part_ranges(most, bytes), self.memory(4));
        ranges.into_iter().map(|range| self.part(range, &memory)).collect()
    }

    /// Returns the steps of each part.
    fn part_ranges(&self, most: u64, bytes: &BTreeMap<&str, u64>) -> Vec<Range<usize>> {
        let mut ranges = Vec::new();
        let (mut start, mut total, mut names) = (0, 0, BTreeSet::new());
        for (index, step) in self.steps.iter().enumerate() {
            let mut read = BTreeSet::new();
            step.inputs.iter().for_each(|&input| self.add_weight_names(input, &mut read));
            let size = |name: &&str| bytes.get(name).copied().unwrap_or(0);
            let added: u64 = read.iter().filter(|name| !names.contains(*name)).map(size).sum();
            if index > start && total + added > most {
                ranges.push(start..index);
                (start, total) = (index, read.iter().map(size).sum());
                names = read;
            } else {
                total += added;
                names.append(&mut read);
            }
        }
        ranges.push(start..self.steps.len());
        ranges
    }

    /// Adds the names of the weights that this value consists of.
    fn add_weight_names<'a>(&'a self, id: ValueId, names: &mut BTreeSet<&'a str>) {
        match &self.value(id).source {
            Source::Weight { name, .. } => {
                names.insert(name);
            }
            Source::Concatenated(parts) => parts.iter().for_each(|&part| self.add_weight_names(part, names)),
            Source::Input(_) | Source::Step(_) => {}
        }
    }

    /// Returns the part with these steps.
    fn part(&self, range: Range<usize>, whole: &Memory) -> Part {
        let is_own = |id: ValueId| matches!(self.value(id).source, Source::Step(step) if range.contains(&step));
        let name = |id: ValueId| {
            let output = self.outputs.iter().find(|(_, output)| *output == id);
            output.map_or_else(|| format!("{PASSED}{}/{}", self.name, id.0), |(name, _)| name.clone())
        };
        let read_later: BTreeSet<ValueId> =
            self.steps[range.end..].iter().flat_map(|step| step.inputs.iter().copied()).collect();
        let mut outputs: Vec<(String, ValueId)> = self.outputs.iter().filter(|(_, id)| is_own(*id)).cloned().collect();
        let passed =
            read_later.into_iter().filter(|&id| is_own(id) && !outputs.iter().any(|(_, output)| *output == id));
        let passed: Vec<(String, ValueId)> = passed.map(|id| (name(id), id)).collect();
        outputs.extend(passed);
        let mut values = self.values.clone();
        for (index, value) in values.iter_mut().enumerate() {
            if matches!(value.source, Source::Step(step) if !range.contains(&step)) {
                value.source = Source::Input(name(ValueId(index)));
            }
        }
        let steps = self.steps[range].to_vec();
        let (plan, ids) = Plan { values, steps, outputs, ..self.clone() }.compact_with_ids();
        let allocations = ids.iter().map(|id| whole.allocations[id.0]).collect();
        Part { plan, memory: Memory { slots: whole.slots.clone(), allocations } }
    }
}
