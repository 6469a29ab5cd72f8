//! Group normalization of a strip with the statistics of the whole feature map (see `moments`), optionally
//! followed by SiLU.

use super::unary::silu;
use super::{Operation, ShapeError, View};
use crate::num::{numel, to_f32};
use serde::{Deserialize, Serialize};

/// Inputs: x (B, H, W, C), moments (B, G, 3), weight (C), bias (C).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Normalize {
    /// Added to the variance.
    pub eps: f32,
    /// Whether SiLU follows.
    pub silu: bool,
}

impl Operation for Normalize {
    fn name(&self) -> &'static str {
        "normalize"
    }

    fn shape(&self, inputs: &[&[usize]]) -> Result<Vec<usize>, ShapeError> {
        match inputs {
            &[x @ &[batch, _, _, channels], &[items, groups, 3], &[weights], &[biases]]
                if items == batch
                    && groups > 0
                    && channels % groups == 0
                    && [weights, biases] == [channels, channels] =>
            {
                Ok(x.to_vec())
            }
            _ => Err(self.shape_error(inputs, "expects x (B, H, W, C), moments (B, G, 3), weight (C) and bias (C)")),
        }
    }

    fn run(&self, inputs: &[View], _scalars: &[f32], output: &mut [f32]) {
        let (x, moments, weight, bias) = (inputs[0], inputs[1], inputs[2].data, inputs[3].data);
        let (channels, groups) = (x.width(), moments.shape[1]);
        let item_len = x.data.len() / x.shape[0].max(1);
        for (i, out) in output.iter_mut().enumerate() {
            let channel = i % channels;
            let moments_start = (i / item_len * groups + channel * groups / channels) * 3;
            let [count, mean, squares] = [0, 1, 2].map(|k| f64::from(moments.data[moments_start + k]));
            let scale = 1.0 / (squares / count + f64::from(self.eps)).sqrt();
            let value = (f64::from(x.data[i]) - mean) * scale * f64::from(weight[channel]) + f64::from(bias[channel]);
            *out = if self.silu { silu(to_f32(value)) } else { to_f32(value) };
        }
    }

    fn flops(&self, _inputs: &[&[usize]], output: &[usize]) -> u64 {
        6 * numel(output)
    }

    fn details(&self) -> String {
        format!("eps={:e}{}", self.eps, if self.silu { " silu" } else { "" })
    }
}
