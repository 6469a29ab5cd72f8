//! Merging of matmuls with the same left operand into one with concatenated weights: fused QKV
//! projections of attention layers, and a network's time-embedding projections.

use super::{Plan, Source, Step, Value, ValueId};
use crate::num::numel;
use crate::ops::{Epilogue, Matmul, Op, Prologue};

/// Maximum elements of a merged weight: 128 MiB of f32, the binding size that every WebGPU device supports.
const MAX_MERGED_LEN: u64 = 1 << 25;
/// Alignment of a matrix within a merged buffer, in elements: 256 bytes in f16.
const MATRIX_ALIGNMENT: u64 = 128;
/// Alignment of a bias within a merged buffer, in elements: 256 bytes in f32.
const BIAS_ALIGNMENT: u64 = 64;

impl Plan {
    /// Merges query, key and value projections that only one attention reads; in cross-attention, where
    /// the queries have another input, only keys and values.
    pub(super) fn merge_attention_projections(&mut self) {
        let attentions: Vec<ValueId> =
            self.steps.iter().filter(|step| matches!(step.op, Op::Attention(_))).map(|step| step.output).collect();
        for output in attentions {
            let Some(step) = self.steps.iter().find(|step| step.output == output) else { continue };
            let inputs = step.inputs.clone();
            for first in 0..inputs.len().saturating_sub(1) {
                if let Some(merged) = self.merge_projections(&inputs[first..])
                    && let Some(step) = self.steps.iter_mut().find(|step| step.output == output)
                {
                    step.inputs.truncate(first);
                    step.inputs.push(merged);
                    break;
                }
            }
        }
    }

    /// Merges the products of the same rows that compute channel biases of convolutions.
    pub(super) fn merge_time_projections(&mut self) {
        let has_channel_bias =
            |step: &&Step| matches!(&step.op, Op::Conv2d(conv) if conv.epilogue.channel_bias == Some(0));
        let channel_bias = |step: &Step| match &step.op {
            Op::Conv2d(conv) => step.inputs[conv.epilogue_start()],
            _ => unreachable!("filtered to convolutions"),
        };
        let biases: Vec<ValueId> = self.steps.iter().filter(has_channel_bias).map(channel_bias).collect();
        let mut groups: Vec<(ValueId, u64, Vec<ValueId>)> = Vec::new();
        for bias in biases {
            let Some((_, product, _)) = self.mergeable(bias) else { continue };
            let (rows, size) = (product.inputs[0], self.value(product.inputs[1]).numel());
            match groups
                .iter_mut()
                .find(|(group_rows, total, _)| *group_rows == rows && *total + size <= MAX_MERGED_LEN)
            {
                Some((_, total, group)) => {
                    *total += size;
                    group.push(bias);
                }
                None => groups.push((rows, size, vec![bias])),
            }
        }
        for (_, _, group) in groups {
            let widths: Vec<usize> =
                group.iter().map(|&bias| self.value(bias).shape.last().copied().unwrap_or(0)).collect();
            let Some(merged) = self.merge_projections(&group) else { continue };
            for step in &mut self.steps {
                if let Op::Conv2d(conv) = &mut step.op
                    && conv.epilogue.channel_bias.is_some()
                    && let Some(index) = group.iter().position(|bias| *bias == step.inputs[conv.epilogue_start()])
                {
                    let input = conv.epilogue_start();
                    conv.epilogue.channel_bias = Some(widths[..index].iter().sum());
                    step.inputs[input] = merged;
                }
            }
        }
    }

    /// Returns the step that produces this value if it is a matmul with a weight, read once, without
    /// prologue and epilogue.
    fn mergeable(&self, value: ValueId) -> Option<(usize, &Step, Matmul)> {
        let (index, step, epilogue) = self.product(value)?;
        let Op::Matmul(op) = step.op else { return None };
        let is_weight = |id: &ValueId| matches!(self.value(*id).source, Source::Weight { .. });
        let is_plain = epilogue == Epilogue::default() && op.prologue == Prologue::None && op.transpose_b;
        (is_plain && step.inputs[1..].iter().all(is_weight)).then_some((index, step, op))
    }

    /// Merges the products that compute these values into one, at the earliest of their positions;
    /// returns its output, the concatenation of their columns.
    fn merge_projections(&mut self, values: &[ValueId]) -> Option<ValueId> {
        let products: Vec<(usize, &Step, Matmul)> =
            values.iter().map(|&value| self.mergeable(value)).collect::<Option<_>>()?;
        let (_, first, op) = products.first()?;
        let is_compatible = |(_, step, other): &(usize, &Step, Matmul)| {
            let alignment =
                |id: ValueId| if self.value(id).shape.len() > 1 { MATRIX_ALIGNMENT } else { BIAS_ALIGNMENT };
            let is_aligned = |id: &ValueId| self.value(*id).numel().is_multiple_of(alignment(*id));
            other == op && step.inputs[0] == first.inputs[0] && step.inputs[1..].iter().all(is_aligned)
        };
        let matrix = |(_, step, _): &(usize, &Step, Matmul)| self.value(step.inputs[1]).shape.clone();
        let columns: usize = products.iter().map(|product| matrix(product)[0]).sum();
        let inner = matrix(&products[0])[1];
        if products.len() < 2 || !products.iter().all(is_compatible) || numel(&[columns, inner]) > MAX_MERGED_LEN {
            return None;
        }
        let part =
            |input: usize| Source::Concatenated(products.iter().map(|(_, step, _)| step.inputs[input]).collect());
        let mut weights = vec![Value { shape: vec![columns, inner], source: part(1) }];
        if op.bias {
            weights.push(Value { shape: vec![columns], source: part(2) });
        }
        let mut shape = self.value(first.output).shape.clone();
        *shape.last_mut()? = columns;
        let mut indices: Vec<usize> = products.iter().map(|(index, ..)| *index).collect();
        indices.sort_unstable();
        let names: Vec<&str> =
            products.iter().map(|(_, step, _)| step.label.rsplit('.').next().unwrap_or_default()).collect();
        let label = match products.len() {
            2 | 3 => format!("{}+{}", first.label, names[1..].join("+")),
            count => format!("{} and {} more", first.label, count - 1),
        };
        let (rows, op) = (first.inputs[0], *op);
        let mut inputs = vec![rows];
        for value in weights {
            self.values.push(value);
            inputs.push(ValueId(self.values.len() - 1));
        }
        self.values.push(Value { shape, source: Source::Step(indices[0]) });
        let output = ValueId(self.values.len() - 1);
        for &index in indices[1..].iter().rev() {
            self.steps.remove(index);
        }
        self.steps[indices[0]] = Step { op: op.into(), inputs, output, label };
        Some(output)
    }
}
