//! Turns a matrix into one whose rows or columns are multiplied by numbers of their own.

use super::{Operation, ShapeError, View};
use serde::{Deserialize, Serialize};

/// Which of a matrix's axes an operation goes along.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Axis {
    /// One number a row.
    Rows,
    /// One number a column; fewer numbers than columns repeat, as for the inputs of a
    /// convolution, whose columns are (kernel, kernel, inputs).
    Columns,
}

/// output[m, n] = x[m, n] · numbers[m], or · numbers[n modulo their count].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scale {
    /// What the numbers belong to.
    pub axis: Axis,
}

impl Axis {
    /// Whether `count` numbers belong to a matrix of this shape.
    pub fn takes(self, rows: usize, columns: usize, count: usize) -> bool {
        match self {
            Axis::Rows => count == rows,
            Axis::Columns => count > 0 && columns.is_multiple_of(count),
        }
    }

    /// As printed plans show it.
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
        let &[&[rows, columns], &[count]] = inputs else {
            return Err(self.shape_error(inputs, "takes a matrix and a list of numbers"));
        };
        match self.axis.takes(rows, columns, count) {
            true => Ok(vec![rows, columns]),
            false => Err(self.shape_error(inputs, format!("{count} numbers do not go over the {}", self.axis.name()))),
        }
    }

    fn run(&self, inputs: &[View], _scalars: &[f32], output: &mut [f32]) {
        let (x, numbers) = (inputs[0], inputs[1].data);
        let columns = x.width();
        for (at, (out, value)) in output.iter_mut().zip(x.data).enumerate() {
            let index = match self.axis {
                Axis::Rows => at / columns,
                Axis::Columns => at % columns % numbers.len(),
            };
            *out = value * numbers[index];
        }
    }

    fn details(&self) -> String {
        self.axis.name().into()
    }
}
