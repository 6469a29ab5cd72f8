//! Turns rows of several maps into one map: strips of a map put together, or cut anew.

use super::{Operation, ShapeError, View};
use serde::{Deserialize, Serialize};

/// Most maps that rows are taken from: with the output, bindings that every device has.
pub const MAX_PARTS: usize = 6;

/// Rows `start..start + count` of each map (B, H, W, C), one part below the other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rows {
    /// (start, count) in each input.
    pub parts: Vec<(usize, usize)>,
}

impl Operation for Rows {
    fn name(&self) -> &'static str {
        "rows"
    }

    fn shape(&self, inputs: &[&[usize]]) -> Result<Vec<usize>, ShapeError> {
        if inputs.len() != self.parts.len() || !(1..=MAX_PARTS).contains(&inputs.len()) {
            return Err(self.shape_error(inputs, format!("takes 1 to {MAX_PARTS} maps and a part of each")));
        }
        let &[batch, _, width, channels] = inputs[0] else {
            return Err(self.shape_error(inputs, "maps must be (B, H, W, C)"));
        };
        for (input, &(start, count)) in inputs.iter().zip(&self.parts) {
            let fits = matches!(**input, [b, h, w, c] if [b, w, c] == [batch, width, channels] && start + count <= h);
            if !fits {
                return Err(self.shape_error(inputs, format!("rows {start}..{} are not in each map", start + count)));
            }
        }
        Ok(vec![batch, self.parts.iter().map(|part| part.1).sum(), width, channels])
    }

    fn run(&self, inputs: &[View], _scalars: &[f32], output: &mut [f32]) {
        let &[batch, _, width, channels] = inputs[0].shape else { return };
        let row = width * channels;
        let mut at = 0;
        for item in 0..batch {
            for (input, &(start, count)) in inputs.iter().zip(&self.parts) {
                let from = (item * input.shape[1] + start) * row;
                output[at..at + count * row].copy_from_slice(&input.data[from..from + count * row]);
                at += count * row;
            }
        }
    }

    fn flops(&self, _inputs: &[&[usize]], _output: &[usize]) -> u64 {
        0
    }

    fn details(&self) -> String {
        let parts = self.parts.iter().map(|(start, count)| format!("{start}..{}", start + count));
        parts.collect::<Vec<_>>().join(" ")
    }
}
