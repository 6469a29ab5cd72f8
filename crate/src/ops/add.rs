//! Turns two tensors into their sum.

use super::{Operation, ShapeError, View};
use crate::num::{host_len, numel};
use serde::{Deserialize, Serialize};

/// How the second input is spread over the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Broadcast {
    /// Both have one shape.
    None,
    /// The second lacks the batch axis and is the same for every item: positions (T, D) on (B, T, D).
    Batch,
    /// The second is (B, C) and is the same for every pixel: a time embedding on (B, H, W, C).
    Pixels,
}

/// x + y.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Add {
    /// How y is spread.
    pub broadcast: Broadcast,
}

impl Add {
    /// (period, inner): element i of x meets element (i / period) * inner + i % inner of y.
    pub fn stride(&self, x: &[usize]) -> (u64, u64) {
        let all = numel(x);
        let item = all / x.first().copied().unwrap_or(1).max(1) as u64;
        match self.broadcast {
            Broadcast::None => (all, all),
            Broadcast::Batch => (all, item),
            Broadcast::Pixels => (item, x[x.len() - 1] as u64),
        }
    }
}

impl Operation for Add {
    fn name(&self) -> &'static str {
        "add"
    }

    fn shape(&self, inputs: &[&[usize]]) -> Result<Vec<usize>, ShapeError> {
        let &[x, y] = inputs else { return Err(self.shape_error(inputs, "takes two inputs")) };
        let fits = match self.broadcast {
            Broadcast::None => x == y,
            Broadcast::Batch => !x.is_empty() && &x[1..] == y,
            Broadcast::Pixels => x.len() >= 2 && [x[0], x[x.len() - 1]] == *y,
        };
        if fits {
            Ok(x.to_vec())
        } else {
            Err(self.shape_error(inputs, format!("the shapes do not fit ({:?})", self.broadcast)))
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
