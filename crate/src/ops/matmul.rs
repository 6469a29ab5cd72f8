//! Matrix multiplication, (…, K) x (K, N) -> (…, N): PyTorch's `linear` and `@`, and 1x1 convolutions on
//! channels-last feature maps.

use super::{Epilogue, Operation, ProductOperands, Prologue, ShapeError, View, leading, operand_indices};
use crate::num::{host_len, numel};
use serde::{Deserialize, Serialize};

/// `output[m, n]` = sum over k of `x[m, k] * matrix[k, n]` (`+ bias[n]`), followed by the epilogue; x is
/// computed by the prologue.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Matmul {
    /// Whether the matrix is (N, K), like the weight of a PyTorch linear layer, and not (K, N).
    pub transpose_b: bool,
    /// Whether a bias (N) is added to every row.
    pub bias: bool,
    /// Operations fused before the product.
    #[serde(default)]
    pub prologue: Prologue,
    /// Operations fused after the product.
    #[serde(default)]
    pub epilogue: Epilogue,
}

impl Matmul {
    /// Returns the index of each operand among the inputs.
    pub fn operand_indices(&self) -> ProductOperands<usize> {
        operand_indices(self.bias, self.prologue, self.epilogue)
    }

    /// Returns the inputs by name, or None if their number is wrong.
    pub fn operands<T: Copy>(&self, inputs: &[T]) -> Option<ProductOperands<T>> {
        self.operand_indices().select(inputs)
    }
}

impl Operation for Matmul {
    fn name(&self) -> &'static str {
        "matmul"
    }

    fn shape(&self, inputs: &[&[usize]]) -> Result<Vec<usize>, ShapeError> {
        let Some(operands) = self.operands(inputs) else {
            return Err(self.shape_error(inputs, "wrong number of inputs"));
        };
        let (&[.., inner], &[rows, columns]) = (operands.x, operands.weight) else {
            return Err(self.shape_error(inputs, "x needs at least one axis, the matrix two"));
        };
        let (k, n) = if self.transpose_b { (columns, rows) } else { (rows, columns) };
        if let Some(reason) = self.prologue.mismatch(&operands, n) {
            return Err(self.shape_error(inputs, reason));
        }
        let inner = inner + operands.skip.and_then(|skip| skip.last().copied()).unwrap_or(0);
        if inner != k {
            return Err(self.shape_error(inputs, format!("x has width {inner}, the matrix expects {k}")));
        }
        if operands.bias.is_some_and(|bias| bias != [n]) {
            return Err(self.shape_error(inputs, format!("the bias must have {n} elements")));
        }
        let mut shape = operands.x.to_vec();
        let last = shape.len() - 1;
        shape[last] = self.epilogue.output_columns(n);
        match self.epilogue.mismatch(&operands, &shape, n) {
            Some(reason) => Err(self.shape_error(inputs, reason)),
            None => Ok(shape),
        }
    }

    fn run(&self, inputs: &[View], _scalars: &[f32], output: &mut [f32]) {
        let Some(operands) = self.operands(inputs) else { return };
        let matrix = operands.weight;
        let rows = host_len(leading(operands.x.shape));
        let k = matrix.shape[usize::from(self.transpose_b)];
        let n = matrix.data.len() / k;
        let mut sums = vec![0.0; n];
        for (index, out) in output.chunks_exact_mut(self.epilogue.output_columns(n)).enumerate() {
            let row = self.prologue.row(&operands, index);
            for (column, sum) in sums.iter_mut().enumerate() {
                *sum = operands.bias.map_or(0.0, |bias| f64::from(bias.data[column]));
                for (i, &value) in row.iter().enumerate() {
                    let at = if self.transpose_b { column * k + i } else { i * n + column };
                    *sum += value * f64::from(matrix.data[at]);
                }
            }
            self.epilogue.apply(&operands, index, rows, &mut sums, out);
        }
    }

    fn flops(&self, inputs: &[&[usize]], _output: &[usize]) -> u64 {
        2 * leading(inputs[0]) * numel(inputs[1])
    }

    fn details(&self) -> String {
        let mut parts = Vec::new();
        if !self.transpose_b {
            parts.push("plain");
        }
        if self.bias {
            parts.push("bias");
        }
        let text = parts.join(" ") + &self.prologue.details() + &self.epilogue.details();
        text.trim_start().into()
    }
}
