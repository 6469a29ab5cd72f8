//! Turns a matrix and its changed form into the difference that remains when every row or column
//! of the changed form is brought to a given length: DoRA (Liu et al. 2024).

use super::scale::Axis;
use super::{Operation, ShapeError, View};
use crate::num::{numel, to_f32};
use serde::{Deserialize, Serialize};

/// Norms count as at least this, so that a row of zeros stays one.
const MIN_NORM: f64 = 1e-30;

/// output = lengths · y / ‖y‖ − x, the norm over each row, or over all of each input column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Renorm {
    /// What has a length.
    pub axis: Axis,
}

impl Operation for Renorm {
    fn name(&self) -> &'static str {
        "renorm"
    }

    fn shape(&self, inputs: &[&[usize]]) -> Result<Vec<usize>, ShapeError> {
        let &[x @ &[rows, columns], y, &[count]] = inputs else {
            return Err(self.shape_error(inputs, "takes two matrices and a list of lengths"));
        };
        if x != y {
            return Err(self.shape_error(inputs, "takes two matrices of one shape"));
        }
        match self.axis.takes(rows, columns, count) {
            true => Ok(vec![rows, columns]),
            false => Err(self.shape_error(inputs, format!("{count} lengths do not go over the {}", self.axis.name()))),
        }
    }

    fn run(&self, inputs: &[View], _scalars: &[f32], output: &mut [f32]) {
        let (x, y, lengths) = (inputs[0], inputs[1], inputs[2].data);
        let columns = x.width();
        let index = |at: usize| match self.axis {
            Axis::Rows => at / columns,
            Axis::Columns => at % columns % lengths.len(),
        };
        let mut squares = vec![0f64; lengths.len()];
        for (at, &value) in y.data.iter().enumerate() {
            squares[index(at)] += f64::from(value) * f64::from(value);
        }
        for (at, out) in output.iter_mut().enumerate() {
            let norm = squares[index(at)].sqrt().max(MIN_NORM);
            let length = f64::from(lengths[index(at)]);
            *out = to_f32(length * f64::from(y.data[at]) / norm - f64::from(x.data[at]));
        }
    }

    fn flops(&self, _inputs: &[&[usize]], output: &[usize]) -> u64 {
        5 * numel(output)
    }

    fn details(&self) -> String {
        self.axis.name().into()
    }
}
