//! Turns a plan into one whose products of the same rows are one product, their weights side by
//! side: queries, keys and values of an attention, and a network's projections of its time embedding.

use super::{Plan, Source, Step, Value, ValueId};
use crate::num::numel;
use crate::ops::{Epilogue, Prologue, Matmul, Op};

/// Most numbers of weights read as one: 128 MiB of f32, what every WebGPU device binds at once.
const MAX_MERGED_LEN: u64 = 1 << 25;
/// Parts of a buffer begin at multiples of 256 bytes, in halves too.
const MATRIX_STEP: u64 = 128;
/// The same of biases, which are f32.
const BIAS_STEP: u64 = 64;

impl Plan {
    /// Queries, keys and values that one attention alone reads become columns of one tensor; where
    /// queries come of other rows, keys and values do.
    pub(super) fn merge_attention_projections(&mut self) {
        let attentions: Vec<ValueId> =
            self.steps.iter().filter(|step| matches!(step.op, Op::Attention(_))).map(|step| step.output).collect();
        for output in attentions {
            let Some(step) = self.steps.iter().find(|step| step.output == output) else { continue };
            let inputs = step.inputs.clone();
            for first in 0..inputs.len().saturating_sub(1) {
                if let Some(joined) = self.merge_projections(&inputs[first..])
                    && let Some(step) = self.steps.iter_mut().find(|step| step.output == output)
                {
                    step.inputs.truncate(first);
                    step.inputs.push(joined);
                    break;
                }
            }
        }
    }

    /// The shifts of convolutions that are products of the same rows become columns of one tensor.
    pub(super) fn merge_time_projections(&mut self) {
        let is_shifted = |step: &&Step| matches!(&step.op, Op::Conv2d(conv) if conv.epilogue.channel_bias == Some(0));
        let shift_of = |step: &Step| match &step.op {
            Op::Conv2d(conv) => step.inputs[conv.epilogue_start()],
            _ => unreachable!("only convolutions were asked for"),
        };
        let shifts: Vec<ValueId> = self.steps.iter().filter(is_shifted).map(shift_of).collect();
        let mut groups: Vec<(ValueId, u64, Vec<ValueId>)> = Vec::new();
        for shift in shifts {
            let Some((_, product, _)) = self.mergeable(shift) else { continue };
            let (rows, size) = (product.inputs[0], self.value(product.inputs[1]).numel());
            match groups.iter_mut().find(|(known, total, _)| *known == rows && *total + size <= MAX_MERGED_LEN) {
                Some((_, total, group)) => {
                    *total += size;
                    group.push(shift);
                }
                None => groups.push((rows, size, vec![shift])),
            }
        }
        for (_, _, group) in groups {
            let widths: Vec<usize> =
                group.iter().map(|&shift| self.value(shift).shape.last().copied().unwrap_or(0)).collect();
            let Some(joined) = self.merge_projections(&group) else { continue };
            for step in &mut self.steps {
                if let Op::Conv2d(conv) = &mut step.op
                    && conv.epilogue.channel_bias.is_some()
                    && let Some(at) = group.iter().position(|shift| *shift == step.inputs[conv.epilogue_start()])
                {
                    let input = conv.epilogue_start();
                    conv.epilogue.channel_bias = Some(widths[..at].iter().sum());
                    step.inputs[input] = joined;
                }
            }
        }
    }

    /// The step that makes this value, where it is a product of a weight, read once, with nothing
    /// before or after it.
    fn mergeable(&self, value: ValueId) -> Option<(usize, &Step, Matmul)> {
        let (at, step, after) = self.product(value)?;
        let Op::Matmul(op) = step.op else { return None };
        let is_weight = |id: &ValueId| matches!(self.value(*id).source, Source::Weight { .. });
        let is_plain = after == Epilogue::default() && op.prologue == Prologue::None && op.transpose_b;
        (is_plain && step.inputs[1..].iter().all(is_weight)).then_some((at, step, op))
    }

    /// Makes one product of those that form these values, at the place of the first; returns what
    /// it forms, in which their columns follow each other.
    fn merge_projections(&mut self, values: &[ValueId]) -> Option<ValueId> {
        let products: Vec<(usize, &Step, Matmul)> =
            values.iter().map(|&value| self.mergeable(value)).collect::<Option<_>>()?;
        let (_, model, op) = products.first()?;
        let alike = |(_, step, other): &(usize, &Step, Matmul)| {
            let step_of = |id: ValueId| if self.value(id).shape.len() > 1 { MATRIX_STEP } else { BIAS_STEP };
            let fits = |id: &ValueId| self.value(*id).numel().is_multiple_of(step_of(*id));
            other == op && step.inputs[0] == model.inputs[0] && step.inputs[1..].iter().all(fits)
        };
        let matrix = |(_, step, _): &(usize, &Step, Matmul)| self.value(step.inputs[1]).shape.clone();
        let columns: usize = products.iter().map(|product| matrix(product)[0]).sum();
        let inner = matrix(&products[0])[1];
        if products.len() < 2 || !products.iter().all(alike) || numel(&[columns, inner]) > MAX_MERGED_LEN {
            return None;
        }
        let part = |input: usize| Source::Concatenated(products.iter().map(|(_, step, _)| step.inputs[input]).collect());
        let mut new = vec![Value { shape: vec![columns, inner], source: part(1) }];
        if op.bias {
            new.push(Value { shape: vec![columns], source: part(2) });
        }
        let mut shape = self.value(model.output).shape.clone();
        *shape.last_mut()? = columns;
        let mut places: Vec<usize> = products.iter().map(|(at, ..)| *at).collect();
        places.sort_unstable();
        let ends: Vec<&str> =
            products.iter().map(|(_, step, _)| step.label.rsplit('.').next().unwrap_or_default()).collect();
        let label = match products.len() {
            2 | 3 => format!("{}+{}", model.label, ends[1..].join("+")),
            many => format!("{} and {} more", model.label, many - 1),
        };
        let (rows, op) = (model.inputs[0], *op);
        let mut inputs = vec![rows];
        for value in new {
            self.values.push(value);
            inputs.push(ValueId(self.values.len() - 1));
        }
        self.values.push(Value { shape, source: Source::Step(places[0]) });
        let output = ValueId(self.values.len() - 1);
        for &place in places[1..].iter().rev() {
            self.steps.remove(place);
        }
        self.steps[places[0]] = Step { op: op.into(), inputs, output, label };
        Some(output)
    }
}
