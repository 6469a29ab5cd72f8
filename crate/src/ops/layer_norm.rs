//! Layer normalization over the last axis, with scale and shift (Ba et al. 2016).

use super::{Operation, ShapeError, View};
use crate::num::{numel, to_f32};
use serde::{Deserialize, Serialize};

/// Inputs: x (…, D), weight (D), bias (D). The variance is biased.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct LayerNorm {
    /// Added to the variance.
    pub eps: f32,
}

impl Operation for LayerNorm {
    fn name(&self) -> &'static str {
        "layer_norm"
    }

    fn shape(&self, inputs: &[&[usize]]) -> Result<Vec<usize>, ShapeError> {
        let &[x, weight, bias] = inputs else { return Err(self.shape_error(inputs, "expects x, weight and bias")) };
        let Some(&width) = x.last() else { return Err(self.shape_error(inputs, "x needs at least one axis")) };
        if weight != [width] || bias != [width] {
            return Err(self.shape_error(inputs, format!("weight and bias must have {width} elements")));
        }
        Ok(x.to_vec())
    }

    fn run(&self, inputs: &[View], _scalars: &[f32], output: &mut [f32]) {
        let (weight, bias) = (inputs[1].data, inputs[2].data);
        for (row, out) in inputs[0].rows().zip(output.chunks_exact_mut(inputs[0].width())) {
            let count = row.len() as f64;
            let mean = row.iter().map(|&v| f64::from(v)).sum::<f64>() / count;
            let variance = row.iter().map(|&v| (f64::from(v) - mean).powi(2)).sum::<f64>() / count;
            let scale = 1.0 / (variance + f64::from(self.eps)).sqrt();
            for (i, out) in out.iter_mut().enumerate() {
                *out = to_f32((f64::from(row[i]) - mean) * scale * f64::from(weight[i]) + f64::from(bias[i]));
            }
        }
    }

    fn flops(&self, _inputs: &[&[usize]], output: &[usize]) -> u64 {
        8 * numel(output)
    }

    fn details(&self) -> String {
        format!("eps={:e}", self.eps)
    }
}
