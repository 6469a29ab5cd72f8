//! Multiplication of a matrix's rows or columns by a vector of factors.

use super::{Operation, ShapeError, View};
use serde::{Deserialize, Serialize};

/// Matrix axis that a vector applies to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Axis {
    /// One factor per row.
    Rows,
    /// One factor per column; a shorter vector repeats, as for the input channels of a convolution
    /// whose columns are (kernel, kernel, inputs).
    Columns,
}

/// `output[m, n] = x[m, n] · factors[m]`, or `x[m, n] · factors[n mod factors.len()]`; a vector is one row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scale {
    /// Axis of the factors.
    pub axis: Axis,
}

impl Axis {
    /// Returns whether a vector of `count` elements applies to a matrix of this shape.
    pub fn takes(self, rows: usize, columns: usize, count: usize) -> bool {
        match self {
            Axis::Rows => count == rows,
            Axis::Columns => count > 0 && columns.is_multiple_of(count),
        }
    }

    /// Returns the name used in printed plans.
    pub fn name(self) -> &'static str {
        match self {
            Axis::Rows => "rows",
            Axis::Columns => "columns",
        }
    }
}

impl Operation for Scale {
    fn name(&self) -> &'static str {
        "scale"
    }

    fn shape(&self, inputs: &[&[usize]]) -> Result<Vec<usize>, ShapeError> {
        let &[x, &[count]] = inputs else {
            return Err(self.shape_error(inputs, "expects a matrix and a vector of factors"));
        };
        let (rows, columns) = match *x {
            [rows, columns] => (rows, columns),
            [columns] => (1, columns),
            _ => return Err(self.shape_error(inputs, "expects a matrix or a vector")),
        };
        match self.axis.takes(rows, columns, count) {
            true => Ok(x.to_vec()),
            false => Err(self.shape_error(inputs, format!("{count} factors do not match the {}", self.axis.name()))),
        }
    }

    fn run(&self, inputs: &[View], _scalars: &[f32], output: &mut [f32]) {
        let (x, factors) = (inputs[0], inputs[1].data);
        let columns = x.width();
        for (at, (out, value)) in output.iter_mut().zip(x.data).enumerate() {
            let index = match self.axis {
                Axis::Rows => at / columns,
                Axis::Columns => at % columns % factors.len(),
            };
            *out = value * factors[index];
        }
    }

    fn details(&self) -> String {
        self.axis.name().into()
    }
}
