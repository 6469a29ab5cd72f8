//! Block-diagonal rotation of a matrix's rows or columns: orthogonal fine-tuning (OFT, Qiu et al. 2023) and its
//! butterfly form (BOFT, Liu et al. 2024), on the weight's side.

use super::scale::Axis;
use super::{Operation, ShapeError, View};
use crate::num::{numel, to_f32};
use serde::{Deserialize, Serialize};

/// output[line i of block d] = Σ over j of blocks[d, i, j] · x[line j of block d], where a line is a row or a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rotate {
    /// Whether the lines are rows or columns.
    #[serde(default = "rows")]
    pub axis: Axis,
    /// Order of the lines in the blocks: 0 for adjacent lines; otherwise a butterfly stage, which first makes
    /// lines `stride` apart within every 2·stride lines adjacent.
    pub stride: usize,
    /// Positions of a convolution's kernel, whose columns are (kernel, inputs) while the blocks' lines are
    /// (inputs, kernel); else 1.
    #[serde(default = "one")]
    pub area: usize,
}

fn rows() -> Axis {
    Axis::Rows
}

fn one() -> usize {
    1
}

impl Rotate {
    /// Returns the line of `x`, which has `count` lines, at this index of the blocks' order.
    pub fn line(&self, index: usize, count: usize) -> usize {
        let line = match self.stride {
            0 => index,
            stride => {
                let (chunk, offset) = (index / (2 * stride), index % (2 * stride));
                chunk * 2 * stride + offset % 2 * stride + offset / 2
            }
        };
        line % self.area * (count / self.area) + line / self.area
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
        let (lines, name) = if self.axis == Axis::Rows { (rows, "rows") } else { (columns, "columns") };
        if size != other || blocks * size != lines {
            return Err(
                self.shape_error(inputs, format!("{blocks} blocks of {size}x{other} do not cover {lines} {name}"))
            );
        }
        if self.stride > 0 && !lines.is_multiple_of(2 * self.stride) || !lines.is_multiple_of(self.area.max(1)) {
            let reason = format!(
                "{lines} {name} are not divisible by twice the stride of {} and the kernel's {} positions",
                self.stride, self.area
            );
            return Err(self.shape_error(inputs, reason));
        }
        Ok(vec![rows, columns])
    }

    fn run(&self, inputs: &[View], _scalars: &[f32], output: &mut [f32]) {
        let (blocks, x) = (inputs[0], inputs[1]);
        let (size, columns) = (blocks.width(), x.width());
        let rows = x.data.len() / columns.max(1);
        // Distances in memory from line to line, and from element to element of a line.
        let (lines, pitch, others, step) = match self.axis {
            Axis::Rows => (rows, columns, columns, 1),
            Axis::Columns => (columns, 1, rows, columns),
        };
        for (index, row) in blocks.rows().enumerate() {
            let block = index / size * size;
            let output_start = self.line(index, lines) * pitch;
            for at in (0..others).map(|other| other * step) {
                let sum: f64 = row
                    .iter()
                    .enumerate()
                    .map(|(j, &r)| f64::from(r) * f64::from(x.data[self.line(block + j, lines) * pitch + at]))
                    .sum();
                output[output_start + at] = to_f32(sum);
            }
        }
    }

    fn flops(&self, inputs: &[&[usize]], output: &[usize]) -> u64 {
        2 * numel(output) * inputs[0].last().copied().unwrap_or(1) as u64
    }

    fn details(&self) -> String {
        let mut parts = Vec::new();
        if self.axis == Axis::Columns {
            parts.push("columns".to_owned());
        }
        if self.stride > 0 {
            parts.push(format!("stride {}", self.stride));
        }
        if self.area > 1 {
            parts.push(format!("area {}", self.area));
        }
        parts.join(" ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn butterfly_stage_pairs_rows_at_its_stride() {
        let rotate = |stride, area| Rotate { axis: Axis::Rows, stride, area };
        let order = |rotate: Rotate| (0..8).map(move |index| rotate.line(index, 8)).collect::<Vec<_>>();
        assert_eq!(order(rotate(2, 1)), [0, 2, 1, 3, 4, 6, 5, 7]);
        assert_eq!(order(rotate(0, 1)), [0, 1, 2, 3, 4, 5, 6, 7]);
        // Two inputs of four positions each.
        assert_eq!(order(rotate(0, 4)), [0, 2, 4, 6, 1, 3, 5, 7]);
    }
}
