//! Turns the sums of a matrix product or convolution into what is stored: bias, shift, function or
//! gate, residual, in this order and in one kernel.

use super::View;
use super::unary::{Activation, gelu};
use crate::num::to_f32;
use serde::{Deserialize, Serialize};

/// What follows a product before its result is stored. Each part that has numbers of its own adds
/// an input, in the order of the fields, after the product's own inputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Epilogue {
    /// Columns from here on of a (B, S) input are added to every row of an item: a resnet's time
    /// embedding.
    pub channel_bias: Option<usize>,
    /// A function of the sum.
    pub activation: Option<Activation>,
    /// The first half of the columns times GELU of the second: half as many are stored.
    pub geglu: bool,
    /// A tensor of the result's shape is added last.
    pub residual: bool,
}

impl Epilogue {
    /// Inputs that it reads.
    pub fn inputs(&self) -> usize {
        usize::from(self.channel_bias.is_some()) + usize::from(self.residual)
    }

    /// Columns that are stored of `columns` that are computed.
    pub fn output_columns(&self, columns: usize) -> usize {
        if self.geglu { columns / 2 } else { columns }
    }

    /// What does not fit, for a result of this shape; `inputs` are those of its own.
    pub fn mismatch(&self, inputs: &[&[usize]], result: &[usize], columns: usize) -> Option<String> {
        if self.geglu && !columns.is_multiple_of(2) {
            return Some(format!("a gate needs an even number of columns, not {columns}"));
        }
        if let Some(at) = self.channel_bias
            && !matches!(inputs[0], &[batch, width] if batch == result[0] && at + columns <= width)
        {
            return Some(format!("the shift must be ({}, {} or more)", result[0], at + columns));
        }
        if self.residual && inputs[inputs.len() - 1] != result {
            return Some("the residual must have the result's shape".into());
        }
        None
    }

    /// Stores one row: `row` is its number, `items` the batch, `rows` all rows.
    pub fn store(&self, inputs: &[View], row: usize, rows: usize, sums: &mut [f64], output: &mut [f32]) {
        if let Some(at) = self.channel_bias {
            let (item, width) = (row / (rows / inputs[0].shape[0]), inputs[0].width());
            let shift = &inputs[0].data[item * width + at..];
            sums.iter_mut().zip(shift).for_each(|(sum, shift)| *sum += f64::from(*shift));
        }
        for (column, out) in output.iter_mut().enumerate() {
            let mut value = to_f32(sums[column]);
            if self.geglu {
                value *= gelu(to_f32(sums[column + sums.len() / 2]));
            }
            if let Some(function) = self.activation {
                value = function.of(value);
            }
            if self.residual {
                value += inputs[inputs.len() - 1].data[row * self.output_columns(sums.len()) + column];
            }
            *out = value;
        }
    }

    /// The parts in words, each after a blank.
    pub fn details(&self) -> String {
        let mut text = String::new();
        if let Some(at) = self.channel_bias {
            text += &format!(" shift {at}");
        }
        if let Some(function) = self.activation {
            text += &format!(" {}", function.name());
        }
        if self.geglu {
            text += " gate";
        }
        if self.residual {
            text += " residual";
        }
        text
    }
}
