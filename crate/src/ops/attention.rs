//! Turns queries, keys and values into mixed values: softmax(Q Kᵀ / sqrt(d)) V, head by head
//! (Vaswani et al. 2017).

use super::{Operation, ShapeError, View};
use serde::{Deserialize, Serialize};

/// Inputs: q (B, …, D), k (B, …, D), v (B, …, D); the middle axes are the tokens, and a head is a
/// run of D / heads neighbouring channels. Output: q's shape.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attention {
    /// Number of heads.
    pub heads: usize,
    /// A query sees only the keys up to its own position (CLIP's text encoder).
    pub causal: bool,
}

impl Operation for Attention {
    fn name(&self) -> &'static str {
        "attention"
    }

    fn shape(&self, inputs: &[&[usize]]) -> Result<Vec<usize>, ShapeError> {
        let &[q, k, v] = inputs else { return Err(self.refuse(inputs, "needs q, k and v")) };
        if q.len() < 3 || k.len() < 3 || k != v || q[0] != k[0] || q.last() != k.last() {
            return Err(self.refuse(inputs, "q, k and v must share batch and width, k and v their shape"));
        }
        let width = q[q.len() - 1];
        if self.heads == 0 || width % self.heads != 0 {
            return Err(self.refuse(inputs, format!("width {width} does not divide into {} heads", self.heads)));
        }
        if self.causal && q != k {
            return Err(self.refuse(inputs, "causal attention needs as many queries as keys"));
        }
        Ok(q.to_vec())
    }

    fn run(&self, inputs: &[View], _scalars: &[f32], output: &mut [f32]) {
        let (q, k, v) = (inputs[0], inputs[1], inputs[2]);
        let (batch, width) = (q.shape[0], q.width());
        let (queries, keys) = (q.data.len() / batch / width, k.data.len() / batch / width);
        let size = width / self.heads;
        let scale = 1.0 / (size as f64).sqrt();
        for b in 0..batch {
            for head in 0..self.heads {
                for query in 0..queries {
                    let at = (b * queries + query) * width + head * size;
                    let seen = if self.causal { query + 1 } else { keys };
                    let key_at = |key: usize| (b * keys + key) * width + head * size;
                    let scores: Vec<f64> = (0..seen)
                        .map(|key| {
                            let from = key_at(key);
                            let dot: f64 =
                                (0..size).map(|i| f64::from(q.data[at + i]) * f64::from(k.data[from + i])).sum();
                            dot * scale
                        })
                        .collect();
                    let top = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                    let weights: Vec<f64> = scores.iter().map(|score| (score - top).exp()).collect();
                    let total: f64 = weights.iter().sum();
                    for i in 0..size {
                        let sum: f64 =
                            weights.iter().enumerate().map(|(key, w)| w * f64::from(v.data[key_at(key) + i])).sum();
                        output[at + i] = (sum / total) as f32;
                    }
                }
            }
        }
    }

    fn flops(&self, inputs: &[&[usize]], output: &[usize]) -> u64 {
        let keys: usize = inputs[1][1..inputs[1].len() - 1].iter().product();
        4 * (output.iter().product::<usize>() * keys) as u64
    }

    fn details(&self) -> String {
        format!("heads={}{}", self.heads, if self.causal { " causal" } else { "" })
    }
}
