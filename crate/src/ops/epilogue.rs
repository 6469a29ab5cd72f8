//! Operations fused into a matmul or convolution kernel after the sums: channel bias, activation or
//! GEGLU, residual, in this order.

use super::unary::{Activation, gelu};
use super::{ProductOperands, View};
use crate::num::to_f32;
use serde::{Deserialize, Serialize};

/// Operations applied to the sums of a matmul or convolution before they are stored. [`ProductOperands`] has the
/// tensors that they read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Epilogue {
    /// Adds columns of a (B, S) tensor, starting at this one, to every row of a batch item: a resnet's
    /// time embedding.
    pub channel_bias: Option<usize>,
    /// Activation of the sum.
    pub activation: Option<Activation>,
    /// Multiplies the first half of the columns by GELU of the second half; the output has half the columns.
    pub geglu: bool,
    /// Adds a tensor of the output's shape, last.
    pub residual: bool,
}

impl Epilogue {
    /// Returns the number of columns stored if `columns` are computed.
    pub fn output_columns(&self, columns: usize) -> usize {
        if self.geglu { columns / 2 } else { columns }
    }

    /// Checks the epilogue's tensors against the output shape `result`; returns the first mismatch, if any.
    pub fn mismatch(&self, operands: &ProductOperands<&[usize]>, result: &[usize], columns: usize) -> Option<String> {
        if self.geglu && !columns.is_multiple_of(2) {
            return Some(format!("GEGLU needs an even number of columns, not {columns}"));
        }
        if let (Some(at), Some(bias)) = (self.channel_bias, operands.channel_bias)
            && !matches!(bias, &[batch, width] if batch == result[0] && at + columns <= width)
        {
            return Some(format!("the channel bias must be ({}, {} or more)", result[0], at + columns));
        }
        if operands.residual.is_some_and(|residual| residual != result) {
            return Some("the residual must have the output's shape".into());
        }
        None
    }

    /// Applies the epilogue to the `sums` of row `row` of `rows` and writes the result to `output`.
    pub fn apply(
        &self,
        operands: &ProductOperands<View>,
        row: usize,
        rows: usize,
        sums: &mut [f64],
        output: &mut [f32],
    ) {
        if let (Some(at), Some(bias)) = (self.channel_bias, operands.channel_bias) {
            let (item, width) = (row / (rows / bias.shape[0]), bias.width());
            let bias = &bias.data[item * width + at..];
            sums.iter_mut().zip(bias).for_each(|(sum, bias)| *sum += f64::from(*bias));
        }
        for (column, out) in output.iter_mut().enumerate() {
            let mut value = to_f32(sums[column]);
            if self.geglu {
                value *= gelu(to_f32(sums[column + sums.len() / 2]));
            }
            if let Some(function) = self.activation {
                value = function.of(value);
            }
            if let Some(residual) = operands.residual {
                value += residual.data[row * self.output_columns(sums.len()) + column];
            }
            *out = value;
        }
    }

    /// Describes the parts for printed plans, each preceded by a space.
    pub fn details(&self) -> String {
        let mut text = String::new();
        if let Some(at) = self.channel_bias {
            text += &format!(" channel_bias {at}");
        }
        if let Some(function) = self.activation {
            text += &format!(" {}", function.name());
        }
        if self.geglu {
            text += " geglu";
        }
        if self.residual {
            text += " residual";
        }
        text
    }
}
