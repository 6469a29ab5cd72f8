//! Turns a matrix into one whose rows are mixed in small blocks: the weight side of orthogonal
//! fine-tuning (Qiu et al. 2023) and of its butterfly form (Liu et al. 2024).

use super::{Operation, ShapeError, View};
use crate::num::{numel, to_f32};
use serde::{Deserialize, Serialize};

/// output[row i of block d] = Σ over j of blocks[d, i, j] · x[row j of block d].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rotate {
    /// Which rows make a block: 0 for neighbours; else, in every 2·stride rows, the rows at
    /// distance `stride` become neighbours first (a stage of a butterfly).
    pub stride: usize,
}

impl Rotate {
    /// The row of `x` that stands at `place` in the order of the blocks.
    pub fn row(&self, place: usize) -> usize {
        match self.stride {
            0 => place,
            stride => {
                let (chunk, inside) = (place / (2 * stride), place % (2 * stride));
                chunk * 2 * stride + inside % 2 * stride + inside / 2
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
            return Err(self.shape_error(inputs, "takes blocks (N, S, S) and a matrix"));
        };
        if size != other || blocks * size != rows {
            return Err(self.shape_error(inputs, format!("{blocks} blocks of {size}x{other} do not cover {rows} rows")));
        }
        if self.stride > 0 && !rows.is_multiple_of(2 * self.stride) {
            return Err(
                self.shape_error(inputs, format!("{rows} rows do not divide into pairs at distance {}", self.stride))
            );
        }
        Ok(vec![rows, columns])
    }

    fn run(&self, inputs: &[View], _scalars: &[f32], output: &mut [f32]) {
        let (blocks, x) = (inputs[0], inputs[1]);
        let (size, columns) = (blocks.width(), x.width());
        for (at, row) in blocks.rows().enumerate() {
            let block = at / size * size;
            let to = self.row(at) * columns;
            for column in 0..columns {
                let sum: f64 = row
                    .iter()
                    .enumerate()
                    .map(|(j, &r)| f64::from(r) * f64::from(x.data[self.row(block + j) * columns + column]))
                    .sum();
                output[to + column] = to_f32(sum);
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
    fn a_butterfly_pairs_rows_at_a_distance() {
        let order: Vec<usize> = (0..8).map(|place| Rotate { stride: 2 }.row(place)).collect();
        assert_eq!(order, [0, 2, 1, 3, 4, 6, 5, 7]);
        assert_eq!(Rotate { stride: 0 }.row(5), 5);
    }
}
