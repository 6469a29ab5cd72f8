//! Operations fused into a matmul kernel before the product: concatenation with a second tensor, or
//! layer normalization.

use super::{ProductOperands, View};
use serde::{Deserialize, Serialize};

/// Computation of the left operand's rows. [`ProductOperands`] has the tensors that it reads besides x.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Prologue {
    /// x unchanged.
    #[default]
    None,
    /// Columns of x, followed by those of `skip`: a skip connection read in place.
    Concat,
    /// Layer norm of each row of x, (x − mean) / sqrt(variance + `eps`) · scale; its shift is folded
    /// into the matmul's bias. With the product of scale and matrix the kernel subtracts the mean's
    /// contribution from the sums.
    LayerNorm {
        /// Added to the variance.
        eps: f32,
    },
}

impl Prologue {
    /// Checks the prologue's tensors for a product of x with a matrix of `columns`; returns the first mismatch, if any.
    pub fn mismatch(&self, operands: &ProductOperands<&[usize]>, columns: usize) -> Option<String> {
        let leading = |shape: &[usize]| shape[..shape.len().saturating_sub(1)].to_vec();
        let x = operands.x;
        if operands.skip.is_some_and(|skip| skip.len() != x.len() || leading(skip) != leading(x)) {
            return Some("all axes of the second operand except the last must match x".into());
        }
        if operands.norm.is_some_and(|norm| x.last() != norm.scale.first() || norm.scale_sums != [columns]) {
            return Some(format!("the layer norm needs a scale of the width of x and {columns} sums"));
        }
        None
    }

    /// Computes row `index` of the left operand.
    pub fn row(&self, operands: &ProductOperands<View>, index: usize) -> Vec<f64> {
        let to_f64 = |view: &View| -> Vec<f64> {
            let width = view.width();
            view.data[index * width..(index + 1) * width].iter().map(|&value| f64::from(value)).collect()
        };
        let mut row = to_f64(&operands.x);
        if let Some(skip) = &operands.skip {
            row.extend(to_f64(skip));
        }
        if let (Prologue::LayerNorm { eps }, Some(norm)) = (self, &operands.norm) {
            let count = row.len() as f64;
            let mean = row.iter().sum::<f64>() / count;
            let variance = row.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / count;
            let scale = 1.0 / (variance + f64::from(*eps)).sqrt();
            let scales = norm.scale.data.iter().map(|&weight| scale * f64::from(weight));
            row.iter_mut().zip(scales).for_each(|(value, scale)| *value = (*value - mean) * scale);
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
