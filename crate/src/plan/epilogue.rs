//! Epilogue fusion, hoisting of loop-invariant steps and removal of unused values. A pass returns an
//! equivalent plan with fewer steps. See merge_projections.rs for products that become one, and
//! prologue.rs for prologue fusion.

use super::{Plan, Source, Step, ValueId};
use crate::ops::{Broadcast, Epilogue, Op};
use std::collections::{BTreeSet, HashMap};

impl Plan {
    /// Fuses additions, activations and GEGLU into the preceding matmul or convolution, upsampling into
    /// the following convolution, products of the same rows into one, and concatenations into their
    /// consumers. Outputs, including tapped ones, are preserved.
    pub fn fuse_epilogues(mut self) -> Plan {
        let mut index = 0;
        while index < self.steps.len() {
            // Visit the fused step again: it may absorb another one.
            match self.fuse_with_producer(index) {
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

    /// Tries to fuse step `index` with the step that produces one of its inputs; returns the index of
    /// the producer, which is then unused.
    fn fuse_with_producer(&mut self, index: usize) -> Option<usize> {
        let step = &self.steps[index];
        let (producer, merged) = match &step.op {
            Op::Add(add) if add.broadcast == Broadcast::None => {
                let fuse_residual = |product_input: usize, residual_input: usize| {
                    let (producer, product, epilogue) = self.product(step.inputs[product_input])?;
                    let is_distinct = step.inputs[product_input] != step.inputs[residual_input];
                    let is_free = is_distinct && !epilogue.residual;
                    is_free.then(|| {
                        (
                            producer,
                            with_epilogue(product, Some(step.inputs[residual_input]), |epilogue| {
                                epilogue.residual = true
                            }),
                        )
                    })
                };
                fuse_residual(1, 0).or_else(|| fuse_residual(0, 1))?
            }
            Op::Add(add) if add.broadcast == Broadcast::Pixels => {
                let (producer, product, epilogue) = self.product(step.inputs[0])?;
                let is_free = epilogue == Epilogue::default();
                is_free.then(|| {
                    (producer, with_epilogue(product, Some(step.inputs[1]), |epilogue| epilogue.channel_bias = Some(0)))
                })?
            }
            Op::Unary(unary) => {
                let (producer, product, epilogue) = self.product(step.inputs[0])?;
                let is_free = epilogue.activation.is_none() && !epilogue.geglu && !epilogue.residual;
                is_free.then(|| {
                    (producer, with_epilogue(product, None, |epilogue| epilogue.activation = Some(unary.function)))
                })?
            }
            Op::Geglu(_) => {
                let (producer, product, epilogue) = self.product(step.inputs[0])?;
                let is_aligned = self.value(step.output).shape.last().is_some_and(|width| width % 4 == 0);
                let is_free = is_aligned && epilogue == Epilogue::default() && matches!(product.op, Op::Matmul(_));
                is_free.then(|| (producer, with_epilogue(product, None, |epilogue| epilogue.geglu = true)))?
            }
            Op::Conv2d(conv) if conv.upsample_to.is_none() => {
                let (producer, upsample) = self.single_use_producer(step.inputs[0])?;
                let Op::Upsample(up) = upsample.op else { return None };
                let small = &self.value(upsample.inputs[0]).shape;
                if up.height < small[1] || up.width < small[2] || !self.is_aligned(step) {
                    return None;
                }
                let mut merged = step.clone();
                merged.inputs[0] = upsample.inputs[0];
                if let Op::Conv2d(conv) = &mut merged.op {
                    conv.upsample_to = Some((up.height, up.width));
                }
                (producer, merged)
            }
            _ => return None,
        };
        let output = step.output;
        self.steps[index] = Step { output, ..merged };
        Some(producer)
    }

    /// Returns the step that produces `value` if it is read exactly once and is not an output.
    fn single_use_producer(&self, value: ValueId) -> Option<(usize, &Step)> {
        let reads = self.steps.iter().flat_map(|step| &step.inputs).filter(|&&input| input == value).count();
        if reads != 1 || self.outputs.iter().any(|(_, output)| *output == value) {
            return None;
        }
        self.steps.iter().enumerate().find(|(_, step)| step.output == value)
    }

    /// Like `single_use_producer`, if the step is a matmul or convolution whose kernel supports an epilogue.
    pub(super) fn product(&self, value: ValueId) -> Option<(usize, &Step, Epilogue)> {
        let (index, step) = self.single_use_producer(value)?;
        let epilogue = match &step.op {
            Op::Matmul(op) => op.epilogue,
            Op::Conv2d(op) => op.epilogue,
            _ => return None,
        };
        self.is_aligned(step).then_some((index, step, epilogue))
    }

    /// Returns whether the product's rows are whole vec4s; the unaligned kernels support no fusion.
    pub(super) fn is_aligned(&self, step: &Step) -> bool {
        let width = |id: ValueId| self.value(id).shape.last().copied().unwrap_or(1);
        width(step.inputs[0]) % 4 == 0 && self.value(step.inputs[1]).shape.iter().all(|length| length % 4 == 0)
    }

    /// Splits off the steps that do not depend on the inputs named `varying`: they only run when another
    /// input changes. Results that the second plan needs are outputs of the first and inputs of the
    /// second, under the same name.
    pub fn hoist_invariant(self, varying: &[&str]) -> (Plan, Plan) {
        let mut varies: Vec<bool> = self
            .values
            .iter()
            .map(|value| matches!(&value.source, Source::Input(name) if varying.contains(&name.as_str())))
            .collect();
        for step in &self.steps {
            varies[step.output.0] = step.inputs.iter().any(|input| varies[input.0]);
        }
        let (per_call, once): (Vec<Step>, Vec<Step>) =
            self.steps.iter().cloned().partition(|step| varies[step.output.0]);
        let inputs: BTreeSet<ValueId> = per_call.iter().flat_map(|step| step.inputs.iter().copied()).collect();
        let boundary: Vec<(String, ValueId)> = once
            .iter()
            .filter(|step| inputs.contains(&step.output))
            .map(|step| (format!("once/{}/{}", step.output.0, step.label), step.output))
            .collect();
        let mut values = self.values.clone();
        for (name, id) in &boundary {
            values[id.0].source = Source::Input(name.clone());
        }
        let name = format!("{}, once", self.name);
        // Steps that run once per image gain too little from f16 to justify the loss of precision.
        let first = Plan { name, steps: once, outputs: boundary, allows_f16_math: false, ..self.clone() };
        let second = Plan { steps: per_call, values, ..self };
        (first.compact(), second.compact())
    }

    /// Removes unused values and renumbers the rest.
    pub(super) fn compact(self) -> Plan {
        let mut used: BTreeSet<ValueId> = self.outputs.iter().map(|(_, id)| *id).collect();
        used.extend(self.steps.iter().flat_map(|step| step.inputs.iter().copied().chain([step.output])));
        for id in used.clone() {
            if let Source::Concatenated(parts) = &self.value(id).source {
                used.extend(parts);
            }
        }
        let new_ids: HashMap<ValueId, ValueId> =
            used.iter().enumerate().map(|(index, &id)| (id, ValueId(index))).collect();
        let mut values: Vec<_> = used.iter().map(|id| self.values[id.0].clone()).collect();
        let steps: Vec<Step> = self
            .steps
            .into_iter()
            .map(|step| Step {
                inputs: step.inputs.iter().map(|id| new_ids[id]).collect(),
                output: new_ids[&step.output],
                ..step
            })
            .collect();
        for (index, step) in steps.iter().enumerate() {
            values[step.output.0].source = Source::Step(index);
        }
        for value in &mut values {
            if let Source::Concatenated(parts) = &mut value.source {
                parts.iter_mut().for_each(|part| *part = new_ids[part]);
            }
        }
        let outputs = self.outputs.into_iter().map(|(name, id)| (name, new_ids[&id])).collect();
        Plan { values, steps, outputs, ..self }
    }
}

/// Returns the product with a modified epilogue and, optionally, one more input.
fn with_epilogue(product: &Step, input: Option<ValueId>, change: impl Fn(&mut Epilogue)) -> Step {
    let mut step = product.clone();
    match &mut step.op {
        Op::Matmul(op) => change(&mut op.epilogue),
        Op::Conv2d(op) => change(&mut op.epilogue),
        _ => unreachable!("only matmuls and convolutions have epilogues"),
    }
    step.inputs.extend(input);
    step
}
