//! Turns the inputs of a matrix product into its rows: as they are, two tensors side by side, or
//! with mean 0 and variance 1, in the product's own kernel.

use super::View;
use serde::{Deserialize, Serialize};

/// What the rows of a product are made of. Its inputs come after the product's matrix and bias.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Prologue {
    /// x as it is.
    #[default]
    None,
    /// x's columns, then those of a second input: a skip connection read in place.
    Concat,
    /// Each row of x minus its mean, divided by the root of its variance plus `eps`, times a scale:
    /// a layer norm, whose shift is part of the product's bias. Inputs: scale (K), and the scale's
    /// own product with the matrix (N), from which a kernel takes the mean's part of a sum.
    LayerNorm {
        /// Added to the variance.
        eps: f32,
    },
}

impl Prologue {
    /// Inputs that it reads.
    pub fn inputs(&self) -> usize {
        match self {
            Prologue::None => 0,
            Prologue::Concat => 1,
            Prologue::LayerNorm { .. } => 2,
        }
    }

    /// Width of the rows that are multiplied, of an x that is `width` wide.
    pub fn width(&self, inputs: &[&[usize]], width: usize) -> usize {
        match self {
            Prologue::Concat => width + inputs[0].last().copied().unwrap_or(0),
            _ => width,
        }
    }

    /// What does not fit, for a product of x with a matrix of `columns`; `inputs` are those of its own.
    pub fn mismatch(&self, inputs: &[&[usize]], x: &[usize], columns: usize) -> Option<String> {
        let rows = |shape: &[usize]| shape[..shape.len().saturating_sub(1)].to_vec();
        match self {
            Prologue::Concat if inputs[0].len() != x.len() || rows(inputs[0]) != rows(x) => {
                Some("all axes but the last of what stands beside x must be x's".into())
            }
            Prologue::LayerNorm { .. } if x.last() != inputs[0].first() || inputs[1] != [columns] => {
                Some(format!("a norm needs a scale as wide as x and {columns} sums"))
            }
            _ => None,
        }
    }

    /// One row as it is multiplied.
    pub fn row(&self, x: &View, inputs: &[View], index: usize) -> Vec<f64> {
        let wide = |view: &View| -> Vec<f64> {
            let width = view.width();
            view.data[index * width..(index + 1) * width].iter().map(|&value| f64::from(value)).collect()
        };
        let mut row = wide(x);
        match self {
            Prologue::None => {}
            Prologue::Concat => row.extend(wide(&inputs[0])),
            Prologue::LayerNorm { eps } => {
                let count = row.len() as f64;
                let mean = row.iter().sum::<f64>() / count;
                let variance = row.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / count;
                let scale = 1.0 / (variance + f64::from(*eps)).sqrt();
                let scales = inputs[0].data.iter().map(|&own| scale * f64::from(own));
                row.iter_mut().zip(scales).for_each(|(value, scale)| *value = (*value - mean) * scale);
            }
        }
        row
    }

    /// The words of it, each after a blank.
    pub fn details(&self) -> String {
        match self {
            Prologue::None => String::new(),
            Prologue::Concat => " beside".into(),
            Prologue::LayerNorm { eps } => format!(" normed eps={eps:e}"),
        }
    }
}
