//! Operations fused into a matmul kernel before the product: concatenation with a second tensor, or
//! layer normalization.

use super::View;
use serde::{Deserialize, Serialize};

/// Computation of the left operand's rows. Its inputs come after the matmul's matrix and bias.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Prologue {
    /// x unchanged.
    #[default]
    None,
    /// Columns of x, followed by those of a second input: a skip connection read in place.
    Concat,
    /// Layer norm of each row of x, (x − mean) / sqrt(variance + `eps`) · scale; its shift is folded
    /// into the matmul's bias. Inputs: scale (K), and the product of scale and matrix (N), with which
    /// the kernel subtracts the mean's contribution from the sums.
    LayerNorm {
        /// Added to the variance.
        eps: f32,
    },
}

impl Prologue {
    /// Returns the number of inputs that the prologue adds.
    pub fn input_count(&self) -> usize {
        match self {
            Prologue::None => 0,
            Prologue::Concat => 1,
            Prologue::LayerNorm { .. } => 2,
        }
    }

    /// Returns the width of the multiplied rows for an x of this width.
    pub fn width(&self, inputs: &[&[usize]], width: usize) -> usize {
        match self {
            Prologue::Concat => width + inputs[0].last().copied().unwrap_or(0),
            _ => width,
        }
    }

    /// Checks the prologue's inputs for a product of x with a matrix of `columns`; returns the first mismatch, if any.
    pub fn mismatch(&self, inputs: &[&[usize]], x: &[usize], columns: usize) -> Option<String> {
        let leading = |shape: &[usize]| shape[..shape.len().saturating_sub(1)].to_vec();
        match self {
            Prologue::Concat if inputs[0].len() != x.len() || leading(inputs[0]) != leading(x) => {
                Some("all axes of the second operand except the last must match x".into())
            }
            Prologue::LayerNorm { .. } if x.last() != inputs[0].first() || inputs[1] != [columns] => {
                Some(format!("the layer norm needs a scale of the width of x and {columns} sums"))
            }
            _ => None,
        }
    }

    /// Computes row `index` of the left operand.
    pub fn row(&self, x: &View, inputs: &[View], index: usize) -> Vec<f64> {
        let to_f64 = |view: &View| -> Vec<f64> {
            let width = view.width();
            view.data[index * width..(index + 1) * width].iter().map(|&value| f64::from(value)).collect()
        };
        let mut row = to_f64(x);
        match self {
            Prologue::None => {}
            Prologue::Concat => row.extend(to_f64(&inputs[0])),
            Prologue::LayerNorm { eps } => {
                let count = row.len() as f64;
                let mean = row.iter().sum::<f64>() / count;
                let variance = row.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / count;
                let scale = 1.0 / (variance + f64::from(*eps)).sqrt();
                let scales = inputs[0].data.iter().map(|&weight| scale * f64::from(weight));
                row.iter_mut().zip(scales).for_each(|(value, scale)| *value = (*value - mean) * scale);
            }
        }
        row
    }

    /// Describes the prologue for printed plans, preceded by a space.
    pub fn details(&self) -> String {
        match self {
            Prologue::None => String::new(),
            Prologue::Concat => " concat".into(),
            Prologue::LayerNorm { eps } => format!(" layer_norm eps={eps:e}"),
        }
    }
}
