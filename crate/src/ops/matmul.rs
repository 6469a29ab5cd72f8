//! Matrix multiplication, (…, K) x (K, N) -> (…, N): PyTorch's `linear` and `@`, and 1x1 convolutions on
//! channels-last feature maps.

use super::{Epilogue, Operation, Prologue, ShapeError, View, leading};
use crate::num::{host_len, numel};
use serde::{Deserialize, Serialize};

/// output[m, n] = sum over k of x[m, k] * matrix[k, n] (+ bias[n]), followed by the epilogue; x is
/// computed by the prologue.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Matmul {
    /// Whether the matrix is (N, K), like the weight of a PyTorch linear layer, and not (K, N).
    pub transpose_b: bool,
    /// Whether a third input (N) is added to every row.
    pub bias: bool,
    /// Operations fused before the product; their inputs come after the bias.
    #[serde(default)]
    pub prologue: Prologue,
    /// Operations fused after the product; their inputs come last.
    #[serde(default)]
    pub epilogue: Epilogue,
}

impl Matmul {
    /// Returns the index of the prologue's first input.
    pub fn prologue_start(&self) -> usize {
        2 + usize::from(self.bias)
    }

    /// Returns the index of the epilogue's first input.
    pub fn epilogue_start(&self) -> usize {
        self.prologue_start() + self.prologue.input_count()
    }
}

impl Operation for Matmul {
    fn name(&self) -> &'static str {
        "matmul"
    }

    fn shape(&self, inputs: &[&[usize]]) -> Result<Vec<usize>, ShapeError> {
        if inputs.len() != self.epilogue_start() + self.epilogue.input_count() {
            return Err(self.shape_error(inputs, "wrong number of inputs"));
        }
        let (x, matrix) = (inputs[0], inputs[1]);
        let (&[.., inner], &[rows, columns]) = (x, matrix) else {
            return Err(self.shape_error(inputs, "x needs at least one axis, the matrix two"));
        };
        let (k, n) = if self.transpose_b { (columns, rows) } else { (rows, columns) };
        let prologue_inputs = &inputs[self.prologue_start()..self.epilogue_start()];
        if let Some(reason) = self.prologue.mismatch(prologue_inputs, x, n) {
            return Err(self.shape_error(inputs, reason));
        }
        let inner = self.prologue.width(prologue_inputs, inner);
        if inner != k {
            return Err(self.shape_error(inputs, format!("x has width {inner}, the matrix expects {k}")));
        }
        if self.bias && inputs[2] != [n] {
            return Err(self.shape_error(inputs, format!("the bias must have {n} elements")));
        }
        let mut shape = x.to_vec();
        shape[x.len() - 1] = self.epilogue.output_columns(n);
        match self.epilogue.mismatch(&inputs[self.epilogue_start()..], &shape, n) {
            Some(reason) => Err(self.shape_error(inputs, reason)),
            None => Ok(shape),
        }
    }

    fn run(&self, inputs: &[View], _scalars: &[f32], output: &mut [f32]) {
        let (x, matrix) = (inputs[0], inputs[1]);
        let prologue_inputs = &inputs[self.prologue_start()..self.epilogue_start()];
        let rows = host_len(leading(x.shape));
        let k = matrix.shape[usize::from(self.transpose_b)];
        let n = matrix.data.len() / k;
        let mut sums = vec![0.0; n];
        for (index, out) in output.chunks_exact_mut(self.epilogue.output_columns(n)).enumerate() {
            let row = self.prologue.row(&x, prologue_inputs, index);
            for (column, sum) in sums.iter_mut().enumerate() {
                *sum = if self.bias { f64::from(inputs[2].data[column]) } else { 0.0 };
                for (i, &value) in row.iter().enumerate() {
                    let at = if self.transpose_b { column * k + i } else { i * n + column };
                    *sum += value * f64::from(matrix.data[at]);
                }
            }
            self.epilogue.apply(&inputs[self.epilogue_start()..], index, rows, &mut sums, out);
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
