//! Merging of matmuls with the same left operand into one with concatenated weights: fused QKV
//! projections of attention layers, and a network's time-embedding projections.

use super::product::{Product, ProductOp};
use super::{Plan, Source, Step, Value, ValueId};
use crate::num::numel;
use crate::ops::{Op, ProductOperands};

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
        let channel_bias = |step: &Step| match Product::of(step)? {
            Product { op: ProductOp::Conv2d(conv), operands } if conv.epilogue.channel_bias == Some(0) => {
                operands.channel_bias
            }
            _ => None,
        };
        let biases: Vec<ValueId> = self.steps.iter().filter_map(channel_bias).collect();
        let mut groups: Vec<(ValueId, u64, Vec<ValueId>)> = Vec::new();
        for bias in biases {
            let Some((_, product)) = self.mergeable(bias) else { continue };
            let (rows, size) = (product.operands.x, self.value(product.operands.weight).numel());
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
                let place = channel_bias(step).and_then(|bias| group.iter().position(|&other| other == bias));
                if let (Some(index), Some(product)) = (place, Product::of(step)) {
                    *step = product.with_channel_bias(merged, widths[..index].iter().sum()).in_step(step);
                }
            }
        }
    }

    /// Returns the product that computes this value and its step's index, if it is a linear layer whose result is read
    /// once and whose operands besides x are weights.
    fn mergeable(&self, value: ValueId) -> Option<(usize, Product)> {
        let (index, product) = self.product(value)?;
        let is_weight = |id: ValueId| matches!(self.value(id).source, Source::Weight { .. });
        let ProductOperands { weight, bias, .. } = product.operands;
        (product.is_linear() && is_weight(weight) && bias.is_none_or(is_weight)).then_some((index, product))
    }

    /// Merges the products that compute these values into one, at the earliest of their positions;
    /// returns its output, the concatenation of their columns.
    fn merge_projections(&mut self, values: &[ValueId]) -> Option<ValueId> {
        let products: Vec<(usize, Product)> =
            values.iter().map(|&value| self.mergeable(value)).collect::<Option<_>>()?;
        let (_, first) = *products.first()?;
        let is_aligned = |id: ValueId, alignment: u64| self.value(id).numel().is_multiple_of(alignment);
        let is_compatible = |(_, other): &(usize, Product)| {
            let ProductOperands { x, weight, bias, .. } = other.operands;
            other.op == first.op
                && x == first.operands.x
                && is_aligned(weight, MATRIX_ALIGNMENT)
                && bias.is_none_or(|bias| is_aligned(bias, BIAS_ALIGNMENT))
        };
        let matrix = |(_, product): &(usize, Product)| self.value(product.operands.weight).shape.clone();
        let columns: usize = products.iter().map(|product| matrix(product)[0]).sum();
        let inner = matrix(&products[0])[1];
        if products.len() < 2 || !products.iter().all(is_compatible) || numel(&[columns, inner]) > MAX_MERGED_LEN {
            return None;
        }
        let label = self.merged_label(&products);
        let mut indices: Vec<usize> = products.iter().map(|(index, _)| *index).collect();
        indices.sort_unstable();
        let mut shape = self.value(self.steps[products[0].0].output).shape.clone();
        *shape.last_mut()? = columns;

        let weights = products.iter().map(|(_, product)| product.operands.weight).collect();
        let biases: Option<Vec<ValueId>> = products.iter().map(|(_, product)| product.operands.bias).collect();
        let mut merged = first;
        merged.operands.weight = self.push_value(vec![columns, inner], Source::Concatenated(weights));
        merged.operands.bias = biases.map(|biases| self.push_value(vec![columns], Source::Concatenated(biases)));
        let output = self.push_value(shape, Source::Step(indices[0]));
        for &index in indices[1..].iter().rev() {
            self.steps.remove(index);
        }
        let step = &mut self.steps[indices[0]];
        *step = Step { output, label, ..merged.in_step(step) };
        Some(output)
    }

    /// Returns the label of merged products.
    fn merged_label(&self, products: &[(usize, Product)]) -> String {
        let label = |(index, _): &(usize, Product)| self.steps[*index].label.as_str();
        let names: Vec<&str> =
            products.iter().map(|product| label(product).rsplit('.').next().unwrap_or_default()).collect();
        match products.len() {
            2 | 3 => format!("{}+{}", label(&products[0]), names[1..].join("+")),
            count => format!("{} and {} more", label(&products[0]), count - 1),
        }
    }

    fn push_value(&mut self, shape: Vec<usize>, source: Source) -> ValueId {
        self.values.push(Value { shape, source });
        ValueId(self.values.len() - 1)
    }
}
