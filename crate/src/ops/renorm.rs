//! Difference between a matrix and a modified one whose rows or columns are rescaled to given
//! magnitudes: DoRA (Liu et al. 2024).

use super::scale::Axis;
use super::{Operation, ShapeError, View};
use crate::num::{numel, to_f32};
use serde::{Deserialize, Serialize};

/// Lower bound of norms, so that a row of zeros stays zero.
const MIN_NORM: f64 = 1e-30;

/// output = magnitudes · y / ‖y‖ − x, with the norm of each row, or of all columns of each input channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Renorm {
    /// Axis that has one magnitude per index.
    pub axis: Axis,
}

impl Operation for Renorm {
    fn name(&self) -> &'static str {
        "renorm"
    }

    fn shape(&self, inputs: &[&[usize]]) -> Result<Vec<usize>, ShapeError> {
        let &[x @ &[rows, columns], y, &[count]] = inputs else {
            return Err(self.shape_error(inputs, "expects two matrices and a vector of magnitudes"));
        };
        if x != y {
            return Err(self.shape_error(inputs, "expects two matrices of the same shape"));
        }
        match self.axis.takes(rows, columns, count) {
            true => Ok(vec![rows, columns]),
            false => Err(self.shape_error(inputs, format!("{count} magnitudes do not match the {}", self.axis.name()))),
        }
    }

    fn run(&self, inputs: &[View], _scalars: &[f32], output: &mut [f32]) {
        let (x, y, magnitudes) = (inputs[0], inputs[1], inputs[2].data);
        let columns = x.width();
        let index = |at: usize| match self.axis {
            Axis::Rows => at / columns,
            Axis::Columns => at % columns % magnitudes.len(),
        };
        let mut squares = vec![0f64; magnitudes.len()];
        for (at, &value) in y.data.iter().enumerate() {
            squares[index(at)] += f64::from(value) * f64::from(value);
        }
        for (at, out) in output.iter_mut().enumerate() {
            let norm = squares[index(at)].sqrt().max(MIN_NORM);
            let magnitude = f64::from(magnitudes[index(at)]);
            *out = to_f32(magnitude * f64::from(y.data[at]) / norm - f64::from(x.data[at]));
        }
    }

    fn flops(&self, _inputs: &[&[usize]], output: &[usize]) -> u64 {
        5 * numel(output)
    }

    fn details(&self) -> String {
        self.axis.name().into()
    }
}
