//! Turns a plan into one of fewer steps with the same outputs: what follows a product moves into
//! its kernel, and what does not change from call to call moves into a plan of its own. See join.rs
//! for products that become one, before.rs for what goes before a product.

use super::{Plan, Source, Step, ValueId};
use crate::ops::{Epilogue, Broadcast, Op};
use std::collections::{BTreeSet, HashMap};

impl Plan {
    /// The same plan with additions, functions and gates in the kernel of the product before them,
    /// enlargements in that of the convolution after them, products of the same rows as one, and
    /// maps read side by side in place. Outputs, tapped ones too, stay.
    pub fn fuse_epilogues(mut self) -> Plan {
        let mut index = 0;
        while index < self.steps.len() {
            // A step that took one in may take another: it is looked at again.
            match self.absorb(index) {
                Some(producer) => {
                    self.steps.remove(producer);
                    index -= 1;
                }
                None => index += 1,
            }
        }
        self.merge_time_projections();
        self.merge_attention_projections();
        self.fuse_prologues();
        self.compact()
    }

    /// Tries to make one of step `index` and the step before it whose result it reads; returns the
    /// index of that step, which is no longer needed.
    fn absorb(&mut self, index: usize) -> Option<usize> {
        let step = &self.steps[index];
        let (producer, merged) = match &step.op {
            Op::Add(add) if add.broadcast == Broadcast::None => {
                let with = |own: usize, other: usize| {
                    let (at, product, after) = self.product(step.inputs[own])?;
                    let apart = step.inputs[own] != step.inputs[other];
                    let fits = apart && !after.residual;
                    fits.then(|| (at, extended(product, Some(step.inputs[other]), |after| after.residual = true)))
                };
                with(1, 0).or_else(|| with(0, 1))?
            }
            Op::Add(add) if add.broadcast == Broadcast::Pixels => {
                let (at, product, after) = self.product(step.inputs[0])?;
                let is_free = after == Epilogue::default();
                is_free.then(|| (at, extended(product, Some(step.inputs[1]), |after| after.channel_bias = Some(0))))?
            }
            Op::Unary(unary) => {
                let (at, product, after) = self.product(step.inputs[0])?;
                let is_free = after.activation.is_none() && !after.geglu && !after.residual;
                is_free.then(|| (at, extended(product, None, |after| after.activation = Some(unary.function))))?
            }
            Op::Geglu(_) => {
                let (at, product, after) = self.product(step.inputs[0])?;
                let is_whole = self.value(step.output).shape.last().is_some_and(|width| width % 4 == 0);
                let is_free = is_whole && after == Epilogue::default() && matches!(product.op, Op::Matmul(_));
                is_free.then(|| (at, extended(product, None, |after| after.geglu = true)))?
            }
            Op::Conv2d(conv) if conv.upsample_to.is_none() => {
                let (at, before) = self.only_reader(step.inputs[0])?;
                let Op::Upsample(up) = before.op else { return None };
                let small = &self.value(before.inputs[0]).shape;
                if up.height < small[1] || up.width < small[2] || !self.is_aligned(step) {
                    return None;
                }
                let mut merged = step.clone();
                merged.inputs[0] = before.inputs[0];
                if let Op::Conv2d(conv) = &mut merged.op {
                    conv.upsample_to = Some((up.height, up.width));
                }
                (at, merged)
            }
            _ => return None,
        };
        let output = step.output;
        self.steps[index] = Step { output, ..merged };
        Some(producer)
    }

    /// The step that makes this value, where `value` is read once and is no output.
    fn only_reader(&self, value: ValueId) -> Option<(usize, &Step)> {
        let reads = self.steps.iter().flat_map(|step| &step.inputs).filter(|&&input| input == value).count();
        if reads != 1 || self.outputs.iter().any(|(_, output)| *output == value) {
            return None;
        }
        self.steps.iter().enumerate().find(|(_, step)| step.output == value)
    }

    /// The same where the step is a product whose kernel has room for more.
    pub(super) fn product(&self, value: ValueId) -> Option<(usize, &Step, Epilogue)> {
        let (at, step) = self.only_reader(value)?;
        let after = match &step.op {
            Op::Matmul(op) => op.epilogue,
            Op::Conv2d(op) => op.epilogue,
            _ => return None,
        };
        self.is_aligned(step).then_some((at, step, after))
    }

    /// Whether the product's rows are whole vec4s; kernels for others do nothing but the product.
    pub(super) fn is_aligned(&self, step: &Step) -> bool {
        let width = |id: ValueId| self.value(id).shape.last().copied().unwrap_or(1);
        width(step.inputs[0]) % 4 == 0 && self.value(step.inputs[1]).shape.iter().all(|length| length % 4 == 0)
    }

    /// Splits off the steps that read none of the inputs named `varying`: they need to run only when
    /// another input changes. What the rest reads of their results are outputs of the first plan and
    /// inputs of the second, under one name.
    pub fn hoisted(self, varying: &[&str]) -> (Plan, Plan) {
        let mut changes: Vec<bool> = self
            .values
            .iter()
            .map(|value| matches!(&value.source, Source::Input(name) if varying.contains(&name.as_str())))
            .collect();
        for step in &self.steps {
            changes[step.output.0] = step.inputs.iter().any(|input| changes[input.0]);
        }
        let (each, once): (Vec<Step>, Vec<Step>) = self.steps.iter().cloned().partition(|step| changes[step.output.0]);
        let read: BTreeSet<ValueId> = each.iter().flat_map(|step| step.inputs.iter().copied()).collect();
        let crossing: Vec<(String, ValueId)> = once
            .iter()
            .filter(|step| read.contains(&step.output))
            .map(|step| (format!("once/{}/{}", step.output.0, step.label), step.output))
            .collect();
        let mut values = self.values.clone();
        for (name, id) in &crossing {
            values[id.0].source = Source::Input(name.clone());
        }
        let name = format!("{}, once", self.name);
        // What runs once has no need of the speed of halves.
        let first = Plan { name, steps: once, outputs: crossing, allows_f16_math: false, ..self.clone() };
        let second = Plan { steps: each, values, ..self };
        (first.compact(), second.compact())
    }

    /// The same plan without values that nobody touches, its steps numbered anew.
    pub(super) fn compact(self) -> Plan {
        let mut used: BTreeSet<ValueId> = self.outputs.iter().map(|(_, id)| *id).collect();
        used.extend(self.steps.iter().flat_map(|step| step.inputs.iter().copied().chain([step.output])));
        for id in used.clone() {
            if let Source::Concatenated(parts) = &self.value(id).source {
                used.extend(parts);
            }
        }
        let places: HashMap<ValueId, ValueId> =
            used.iter().enumerate().map(|(index, &id)| (id, ValueId(index))).collect();
        let mut values: Vec<_> = used.iter().map(|id| self.values[id.0].clone()).collect();
        let steps: Vec<Step> = self
            .steps
            .into_iter()
            .map(|step| Step {
                inputs: step.inputs.iter().map(|id| places[id]).collect(),
                output: places[&step.output],
                ..step
            })
            .collect();
        for (index, step) in steps.iter().enumerate() {
            values[step.output.0].source = Source::Step(index);
        }
        for value in &mut values {
            if let Source::Concatenated(parts) = &mut value.source {
                parts.iter_mut().for_each(|part| *part = places[part]);
            }
        }
        let outputs = self.outputs.into_iter().map(|(name, id)| (name, places[&id])).collect();
        Plan { values, steps, outputs, ..self }
    }
}

/// The product with more after it.
fn extended(product: &Step, input: Option<ValueId>, change: impl Fn(&mut Epilogue)) -> Step {
    let mut step = product.clone();
    match &mut step.op {
        Op::Matmul(op) => change(&mut op.epilogue),
        Op::Conv2d(op) => change(&mut op.epilogue),
        _ => unreachable!("only products are extended"),
    }
    step.inputs.extend(input);
    step
}
