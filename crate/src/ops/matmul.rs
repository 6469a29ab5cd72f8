//! Turns (…, K) and a matrix into (…, N): PyTorch's `linear`, `@`, and a 1x1 convolution on
//! channels-last maps.

use super::{Operation, ShapeError, View, leading};
use serde::{Deserialize, Serialize};

/// output[m, n] = sum over k of x[m, k] * matrix[k, n] (+ bias[n]).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Matmul {
    /// The matrix is stored (N, K), as PyTorch stores a linear layer's weight; else (K, N).
    pub transpose_b: bool,
    /// A third input (N) is added to every row.
    pub bias: bool,
}

impl Operation for Matmul {
    fn name(&self) -> &'static str {
        "matmul"
    }

    fn shape(&self, inputs: &[&[usize]]) -> Result<Vec<usize>, ShapeError> {
        let (x, matrix) = match (self.bias, inputs) {
            (false, [x, matrix]) => (x, matrix),
            (true, [x, matrix, _]) => (x, matrix),
            _ => return Err(self.refuse(inputs, "wrong number of inputs")),
        };
        let (&[.., inner], &[rows, columns]) = (*x, *matrix) else {
            return Err(self.refuse(inputs, "x needs an axis and the matrix two"));
        };
        let (k, n) = if self.transpose_b { (columns, rows) } else { (rows, columns) };
        if inner != k {
            return Err(self.refuse(inputs, format!("x is {inner} wide, the matrix takes {k}")));
        }
        if self.bias && inputs[2] != [n] {
            return Err(self.refuse(inputs, format!("the bias must have {n} numbers")));
        }
        let mut shape = x.to_vec();
        shape[x.len() - 1] = n;
        Ok(shape)
    }

    fn run(&self, inputs: &[View], _scalars: &[f32], output: &mut [f32]) {
        let (x, matrix) = (inputs[0], inputs[1]);
        let (k, n) = (x.width(), output.len() / leading(x.shape));
        for (row, out) in x.rows().zip(output.chunks_exact_mut(n)) {
            for (column, out) in out.iter_mut().enumerate() {
                let mut sum = if self.bias { f64::from(inputs[2].data[column]) } else { 0.0 };
                for (i, &value) in row.iter().enumerate() {
                    let at = if self.transpose_b { column * k + i } else { i * n + column };
                    sum += f64::from(value) * f64::from(matrix.data[at]);
                }
                *out = sum as f32;
            }
        }
    }

    fn flops(&self, inputs: &[&[usize]], output: &[usize]) -> u64 {
        let inner = inputs[0].last().copied().unwrap_or(1);
        2 * (output.iter().product::<usize>() * inner) as u64
    }

    fn details(&self) -> String {
        let mut parts = Vec::new();
        if !self.transpose_b {
            parts.push("plain");
        }
        if self.bias {
            parts.push("bias");
        }
        parts.join(" ")
    }
}
