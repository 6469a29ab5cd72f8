//! Epilogue fusion, hoisting of loop-invariant steps and removal of unused values. A pass returns an
//! equivalent plan with fewer steps. See merge_projections.rs for products that become one, and
//! prologue.rs for prologue fusion.

use super::product::Product;
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
        let (producer, fused) = match &step.op {
            Op::Add(add) if add.broadcast == Broadcast::None => {
                let &[a, b] = step.inputs.as_slice() else { return None };
                self.with_residual(b, a).or_else(|| self.with_residual(a, b))?
            }
            Op::Add(add) if add.broadcast == Broadcast::Pixels => {
                let &[x, bias] = step.inputs.as_slice() else { return None };
                let (producer, product) = self.product(x)?;
                let is_free = product.epilogue() == Epilogue::default();
                is_free.then(|| (producer, product.with_channel_bias(bias, 0)))?
            }
            Op::Unary(unary) => {
                let (producer, product) = self.product(step.inputs[0])?;
                let epilogue = product.epilogue();
                let is_free = epilogue.activation.is_none() && !epilogue.geglu && !epilogue.residual;
                is_free.then(|| (producer, product.with_activation(unary.function)))?
            }
            Op::Geglu(_) => {
                let (producer, product) = self.product(step.inputs[0])?;
                let is_aligned = self.value(step.output).shape.last().is_some_and(|width| width % 4 == 0);
                let is_free = product.epilogue() == Epilogue::default() && product.matmul().is_some();
                (is_aligned && is_free).then(|| (producer, product.with_geglu()))?
            }
            Op::Conv2d(conv) if conv.upsample_to.is_none() => self.with_upsampled(Product::of(step)?)?,
            _ => return None,
        };
        // The fused step keeps the label of the product.
        let labelled = if matches!(step.op, Op::Conv2d(_)) { step } else { &self.steps[producer] };
        self.steps[index] = Step { output: step.output, ..fused.in_step(labelled) };
        Some(producer)
    }

    /// Fuses the addition of `residual` into the product that computes `value`.
    fn with_residual(&self, value: ValueId, residual: ValueId) -> Option<(usize, Product)> {
        let (producer, product) = self.product(value)?;
        (value != residual && !product.epilogue().residual).then(|| (producer, product.with_residual(residual)))
    }

    /// Fuses the upsampling of its feature map into a convolution.
    fn with_upsampled(&self, convolution: Product) -> Option<(usize, Product)> {
        let (producer, upsample) = self.single_use_producer(convolution.operands.x)?;
        let Op::Upsample(up) = upsample.op else { return None };
        let &[x] = upsample.inputs.as_slice() else { return None };
        let &[_, height, width, _] = self.value(x).shape.as_slice() else { return None };
        if up.height < height || up.width < width || !self.is_aligned(&convolution) {
            return None;
        }
        Some((producer, convolution.with_upsampled(x, (up.height, up.width))?))
    }

    /// Returns the step that produces `value` if it is read exactly once and is not an output.
    fn single_use_producer(&self, value: ValueId) -> Option<(usize, &Step)> {
        let reads = self.steps.iter().flat_map(|step| &step.inputs).filter(|&&input| input == value).count();
        if reads != 1 || self.outputs.iter().any(|(_, output)| *output == value) {
            return None;
        }
        self.steps.iter().enumerate().find(|(_, step)| step.output == value)
    }

    /// Returns the product that computes `value` and its step's index, if the value is read exactly once, is not an
    /// output, and the product's kernel supports an epilogue.
    pub(super) fn product(&self, value: ValueId) -> Option<(usize, Product)> {
        let (index, step) = self.single_use_producer(value)?;
        let product = Product::of(step)?;
        self.is_aligned(&product).then_some((index, product))
    }

    /// Returns whether the product's rows are whole vec4s; the unaligned kernels support no fusion.
    pub(super) fn is_aligned(&self, product: &Product) -> bool {
        let width = self.value(product.operands.x).shape.last().copied().unwrap_or(1);
        width.is_multiple_of(4) && self.value(product.operands.weight).shape.iter().all(|length| length % 4 == 0)
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
        self.compact_with_ids().0
    }

    /// [`Plan::compact`], with the former index of each value.
    pub(super) fn compact_with_ids(self) -> (Plan, Vec<ValueId>) {
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
        (Plan { values, steps, outputs, ..self }, used.into_iter().collect())
    }
}
