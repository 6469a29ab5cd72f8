//! Block-diagonal rotation of a matrix's rows: orthogonal fine-tuning (OFT, Qiu et al. 2023) and its
//! butterfly form (BOFT, Liu et al. 2024), on the weight's side.

use super::{Operation, ShapeError, View};
use crate::num::{numel, to_f32};
use serde::{Deserialize, Serialize};

/// output[row i of block d] = Σ over j of blocks[d, i, j] · x[row j of block d].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rotate {
    /// Row order of the blocks: 0 for adjacent rows; otherwise a butterfly stage, which first makes
    /// rows `stride` apart within every 2·stride rows adjacent.
    pub stride: usize,
}

impl Rotate {
    /// Returns the row of `x` at this index of the blocks' row order.
    pub fn row(&self, index: usize) -> usize {
        match self.stride {
            0 => index,
            stride => {
                let (chunk, offset) = (index / (2 * stride), index % (2 * stride));
                chunk * 2 * stride + offset % 2 * stride + offset / 2
            }
        }
    }
}

impl Operation for Rotate {
    fn name(&self) -> &'static str {
        "rotate"
    }

    fn shape(&self, inputs: &[&[usize]]) -> Result<Vec<usize>, ShapeError> {
        let &[&[blocks, size, other], &[rows, columns]] = inputs else {
            return Err(self.shape_error(inputs, "expects blocks (N, S, S) and a matrix"));
        };
        if size != other || blocks * size != rows {
            return Err(self.shape_error(inputs, format!("{blocks} blocks of {size}x{other} do not cover {rows} rows")));
        }
        if self.stride > 0 && !rows.is_multiple_of(2 * self.stride) {
            return Err(self
                .shape_error(inputs, format!("{rows} rows are not divisible by twice the stride of {}", self.stride)));
        }
        Ok(vec![rows, columns])
    }

    fn run(&self, inputs: &[View], _scalars: &[f32], output: &mut [f32]) {
        let (blocks, x) = (inputs[0], inputs[1]);
        let (size, columns) = (blocks.width(), x.width());
        for (index, row) in blocks.rows().enumerate() {
            let block = index / size * size;
            let output_start = self.row(index) * columns;
            for column in 0..columns {
                let sum: f64 = row
                    .iter()
                    .enumerate()
                    .map(|(j, &r)| f64::from(r) * f64::from(x.data[self.row(block + j) * columns + column]))
                    .sum();
                output[output_start + column] = to_f32(sum);
            }
        }
    }

    fn flops(&self, inputs: &[&[usize]], output: &[usize]) -> u64 {
        2 * numel(output) * inputs[0].last().copied().unwrap_or(1) as u64
    }

    fn details(&self) -> String {
        if self.stride == 0 { String::new() } else { format!("stride {}", self.stride) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn butterfly_stage_pairs_rows_at_its_stride() {
        let order: Vec<usize> = (0..8).map(|place| Rotate { stride: 2 }.row(place)).collect();
        assert_eq!(order, [0, 2, 1, 3, 4, 6, 5, 7]);
        assert_eq!(Rotate { stride: 0 }.row(5), 5);
    }
}
