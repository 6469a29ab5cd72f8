//! Multi-head scaled dot-product attention: softmax(Q Kᵀ / sqrt(d)) V per head (Vaswani et al. 2017).

use super::{Operation, ShapeError, View};
use crate::num::{numel, to_f32};
use serde::{Deserialize, Serialize};

/// Inputs: q (B, …, D), k (B, …, D), v (B, …, D); the middle axes are the tokens, and each head is
/// D / heads adjacent channels. With two inputs, the second is k and v concatenated (B, …, 2 D); a
/// single input is q, k and v concatenated (B, …, 3 D). Output: q's shape.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attention {
    /// Number of heads.
    pub heads: usize,
    /// Whether each query attends only to keys up to its own position (CLIP's text encoder).
    pub causal: bool,
}

/// Location of the queries, keys or values: an input and a range of its channels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QkvSlice {
    /// Index of the input.
    pub input: usize,
    /// Offset of the first channel, in units of the output's width.
    pub index: usize,
    /// Row width of the input, in units of the output's width.
    pub of: usize,
}

impl Attention {
    /// Returns the locations of q, k and v for this number of inputs.
    pub fn qkv_slices(inputs: usize) -> [QkvSlice; 3] {
        let part = |input, place, of| QkvSlice { input, index: place, of };
        match inputs {
            1 => [part(0, 0, 3), part(0, 1, 3), part(0, 2, 3)],
            2 => [part(0, 0, 1), part(1, 0, 2), part(1, 1, 2)],
            _ => [part(0, 0, 1), part(1, 0, 1), part(2, 0, 1)],
        }
    }
}

impl Operation for Attention {
    fn name(&self) -> &'static str {
        "attention"
    }

    fn shape(&self, inputs: &[&[usize]]) -> Result<Vec<usize>, ShapeError> {
        if !(1..=3).contains(&inputs.len()) || inputs.iter().any(|input| input.len() < 3) {
            return Err(self.shape_error(inputs, "expects q, k and v"));
        }
        let slice_shape = |QkvSlice { input, of, .. }: QkvSlice| {
            let mut shape = inputs[input].to_vec();
            let last = shape.len() - 1;
            if !shape[last].is_multiple_of(of) {
                return Err(self.shape_error(inputs, format!("the width of input {input} is not divisible by {of}")));
            }
            shape[last] /= of;
            Ok(shape)
        };
        let [q, k, v] = Attention::qkv_slices(inputs.len()).map(slice_shape);
        let (q, k, v) = (q?, k?, v?);
        if k != v || q[0] != k[0] || q.last() != k.last() {
            return Err(
                self.shape_error(inputs, "q and k must have the same batch size and width, k and v the same shape")
            );
        }
        let width = q[q.len() - 1];
        if self.heads == 0 || width % self.heads != 0 {
            return Err(self.shape_error(inputs, format!("width {width} is not divisible by {} heads", self.heads)));
        }
        if self.causal && q != k {
            return Err(self.shape_error(inputs, "causal attention needs equally many queries and keys"));
        }
        Ok(q)
    }

    fn run(&self, inputs: &[View], _scalars: &[f32], output: &mut [f32]) {
        let [q, k, v] = Attention::qkv_slices(inputs.len());
        let batch = inputs[0].shape[0];
        let width = inputs[0].width() / q.of;
        let tokens = |part: QkvSlice| inputs[part.input].data.len() / batch / width / part.of;
        let (queries, keys) = (tokens(q), tokens(k));
        let element = |part: QkvSlice, token: usize, channel: usize| {
            f64::from(inputs[part.input].data[(token * part.of + part.index) * width + channel])
        };
        let head_dim = width / self.heads;
        let scale = 1.0 / (head_dim as f64).sqrt();
        for b in 0..batch {
            for head in 0..self.heads {
                for query in 0..queries {
                    let (token, channel) = (b * queries + query, head * head_dim);
                    let key_count = if self.causal { query + 1 } else { keys };
                    let scores: Vec<f64> = (0..key_count)
                        .map(|key| {
                            let term = |i| element(q, token, channel + i) * element(k, b * keys + key, channel + i);
                            (0..head_dim).map(term).sum::<f64>() * scale
                        })
                        .collect();
                    let max = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                    let weights: Vec<f64> = scores.iter().map(|score| (score - max).exp()).collect();
                    let total: f64 = weights.iter().sum();
                    for i in 0..head_dim {
                        let term = |(key, weight): (usize, &f64)| weight * element(v, b * keys + key, channel + i);
                        let sum: f64 = weights.iter().enumerate().map(term).sum();
                        output[token * width + channel + i] = to_f32(sum / total);
                    }
                }
            }
        }
    }

    fn flops(&self, inputs: &[&[usize]], output: &[usize]) -> u64 {
        let keys = inputs[Attention::qkv_slices(inputs.len())[1].input];
        4 * numel(output) * numel(&keys[1..keys.len() - 1])
    }

    fn details(&self) -> String {
        format!("heads={}{}", self.heads, if self.causal { " causal" } else { "" })
    }
}
