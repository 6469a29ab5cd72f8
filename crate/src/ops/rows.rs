//! Concatenation of row ranges of several feature maps: joins or re-splits strips.

use super::{Operation, ShapeError, View};
use serde::{Deserialize, Serialize};

/// Maximum number of inputs: with the output, within the storage-buffer bindings that every device supports.
pub const MAX_PARTS: usize = 6;

/// Rows `start..start + count` of each input (B, H, W, C), concatenated along H.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rows {
    /// (start, count) of each input.
    pub parts: Vec<(usize, usize)>,
}

impl Operation for Rows {
    fn name(&self) -> &'static str {
        "rows"
    }

    fn shape(&self, inputs: &[&[usize]]) -> Result<Vec<usize>, ShapeError> {
        if inputs.len() != self.parts.len() || !(1..=MAX_PARTS).contains(&inputs.len()) {
            return Err(
                self.shape_error(inputs, format!("expects 1 to {MAX_PARTS} feature maps and a row range of each"))
            );
        }
        let &[batch, _, width, channels] = inputs[0] else {
            return Err(self.shape_error(inputs, "feature maps must be (B, H, W, C)"));
        };
        for (input, &(start, count)) in inputs.iter().zip(&self.parts) {
            let is_valid =
                matches!(**input, [b, h, w, c] if [b, w, c] == [batch, width, channels] && start + count <= h);
            if !is_valid {
                return Err(self.shape_error(
                    inputs,
                    format!("rows {start}..{} are out of range or the maps differ in shape", start + count),
                ));
            }
        }
        Ok(vec![batch, self.parts.iter().map(|part| part.1).sum(), width, channels])
    }

    fn run(&self, inputs: &[View], _scalars: &[f32], output: &mut [f32]) {
        let &[batch, _, width, channels] = inputs[0].shape else { return };
        let row_len = width * channels;
        let mut output_start = 0;
        for item in 0..batch {
            for (input, &(start, count)) in inputs.iter().zip(&self.parts) {
                let input_start = (item * input.shape[1] + start) * row_len;
                output[output_start..output_start + count * row_len]
                    .copy_from_slice(&input.data[input_start..input_start + count * row_len]);
                output_start += count * row_len;
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
