//! Elementwise addition of two tensors, with limited broadcasting.

use super::{Operation, ShapeError, View};
use crate::num::{host_len, numel};
use serde::{Deserialize, Serialize};

/// Broadcasting of the second input over the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Broadcast {
    /// No broadcasting: both have the same shape.
    None,
    /// The second has no batch axis and is added to every batch item: position embeddings (T, D) on (B, T, D).
    Batch,
    /// The second is (B, C) and is added to every pixel: a time embedding on (B, H, W, C).
    Pixels,
}

/// x + y.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Add {
    /// Broadcasting of y.
    pub broadcast: Broadcast,
}

impl Add {
    /// Returns (period, inner): element i of x is added to element (i / period) * inner + i % inner of y.
    pub fn stride(&self, x: &[usize]) -> (u64, u64) {
        let len = numel(x);
        let item_len = len / x.first().copied().unwrap_or(1).max(1) as u64;
        match self.broadcast {
            Broadcast::None => (len, len),
            Broadcast::Batch => (len, item_len),
            Broadcast::Pixels => (item_len, x[x.len() - 1] as u64),
        }
    }
}

impl Operation for Add {
    fn name(&self) -> &'static str {
        "add"
    }

    fn shape(&self, inputs: &[&[usize]]) -> Result<Vec<usize>, ShapeError> {
        let &[x, y] = inputs else { return Err(self.shape_error(inputs, "expects two inputs")) };
        let matches = match self.broadcast {
            Broadcast::None => x == y,
            Broadcast::Batch => !x.is_empty() && &x[1..] == y,
            Broadcast::Pixels => x.len() >= 2 && [x[0], x[x.len() - 1]] == *y,
        };
        if matches {
            Ok(x.to_vec())
        } else {
            Err(self.shape_error(inputs, format!("the shapes do not match (broadcast: {:?})", self.broadcast)))
        }
    }

    fn run(&self, inputs: &[View], _scalars: &[f32], output: &mut [f32]) {
        let (period, inner) = self.stride(inputs[0].shape);
        let (period, inner) = (host_len(period), host_len(inner));
        for (i, out) in output.iter_mut().enumerate() {
            *out = inputs[0].data[i] + inputs[1].data[i / period * inner + i % inner];
        }
    }

    fn details(&self) -> String {
        match self.broadcast {
            Broadcast::None => "",
            Broadcast::Batch => "over batch",
            Broadcast::Pixels => "over pixels",
        }
        .into()
    }
}
