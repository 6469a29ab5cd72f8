//! Matmuls and convolutions with their prologues and epilogues, and rotations of a matrix's lines.

use super::Operand;
use super::elementwise::activate;
use crate::linalg::transposed;
use crate::num::host_len;
use crate::ops::{Axis, Conv2d, Epilogue, Matmul, ProductOperands, Prologue, Rotate, leading};
use crate::simd::{self, Elements, Left, Matrix, Product, Windows};
use std::borrow::Cow;
use std::ops::Range;

/// Computes a matmul.
pub(super) fn matmul(op: &Matmul, inputs: &[Operand], output: &mut [f32]) -> Option<()> {
    let operands = op.operands(inputs)?;
    let &[rows_stored, columns_stored] = operands.weight.shape else { return None };
    let (depth, columns) = if op.transpose_b { (columns_stored, rows_stored) } else { (rows_stored, columns_stored) };
    let (x, width) = (operands.x.wide(), operands.x.width());
    let skip = operands.skip.map(|skip| skip.wide());
    let norm = LayerNormRows::new(op.prologue, &operands, &x);
    let left = |row: usize, start: usize, out: &mut [f32]| {
        let (first, second) = out.split_at_mut(out.len().min(width.saturating_sub(start)));
        if !first.is_empty() {
            let x = &x[row * width + start..][..first.len()];
            match &norm {
                Some(norm) => norm.apply(row, start, x, first),
                None => first.copy_from_slice(x),
            }
        }
        if let Some(skip) = &skip {
            let from = row * (depth - width) + start.saturating_sub(width);
            second.copy_from_slice(&skip[from..][..second.len()]);
        }
    };
    let matrix = Matrix::new(operands.weight.elements, depth, columns, op.transpose_b);
    let rows = host_len(leading(operands.x.shape));
    run(rows, &left, matrix, op.epilogue, &operands, output);
    Some(())
}

/// Computes a convolution.
pub(super) fn conv2d(op: &Conv2d, inputs: &[Operand], output: &mut [f32]) -> Option<()> {
    let operands = op.operands(inputs)?;
    let &[batch, height, width, channels] = operands.x.shape else { return None };
    let x = operands.x.wide();
    let upsampled = op.upsampled_size(height, width);
    let count = |length: usize| (length + 2 * op.padding + op.pad_end - op.kernel) / op.stride + 1;
    let windows = Windows {
        data: &x,
        size: (height, width),
        channels,
        upsampled,
        kernel: op.kernel,
        stride: op.stride,
        padding: op.padding,
        windows: (count(upsampled.0), count(upsampled.1)),
    };
    let &[filters, depth] = operands.weight.shape else { return None };
    let (out_height, out_width) = windows.windows;
    let rows = batch * out_height * out_width;
    // By the pixels of one item: its numbers do not depend on how many are computed together.
    let pays = simd::Winograd::pays(out_height * out_width, channels, filters) && !op.epilogue.geglu;
    if (op.kernel, op.stride) == (3, 1) && pays {
        let after = After::new(rows, filters, op.epilogue, &operands);
        let patches =
            Windows { kernel: 4, stride: 2, windows: (out_height.div_ceil(2), out_width.div_ceil(2)), ..windows };
        let (size, elements) = ((out_height, out_width), operands.weight.elements);
        let finish = after.finish();
        simd::Winograd { patches, batch, size, filters: elements, count: filters, finish: &finish }.run(output);
        return Some(());
    }
    let left = |window: usize, start: usize, out: &mut [f32]| windows.copy(window, start, out);
    let matrix = Matrix::new(operands.weight.elements, depth, filters, true);
    run(rows, &left, matrix, op.epilogue, &operands, output);
    Some(())
}

/// Runs a product with its epilogue.
fn run(
    rows: usize,
    left: &Left<'_>,
    matrix: Matrix<'_>,
    epilogue: Epilogue,
    operands: &ProductOperands<Operand<'_>>,
    output: &mut [f32],
) {
    let after = After::new(rows, matrix.columns, epilogue, operands);
    Product { rows, left, matrix, paired: epilogue.geglu, finish: &after.finish() }.run(output);
}

/// Layer norm of a matmul's rows, without its shift.
struct LayerNormRows<'a> {
    /// Mean and scale of each row.
    moments: Vec<(f32, f32)>,
    weight: Cow<'a, [f32]>,
}

impl<'a> LayerNormRows<'a> {
    fn new(prologue: Prologue, operands: &ProductOperands<Operand<'a>>, x: &[f32]) -> Option<LayerNormRows<'a>> {
        let (Prologue::LayerNorm { eps }, Some(norm)) = (prologue, operands.norm) else { return None };
        let rows = x.chunks_exact(operands.x.width());
        Some(LayerNormRows {
            moments: rows.map(|row| simd::row_moments(row, eps)).collect(),
            weight: norm.scale.wide(),
        })
    }

    fn apply(&self, row: usize, start: usize, x: &[f32], out: &mut [f32]) {
        let (mean, scale) = self.moments[row];
        simd::normalize(x, mean, scale, &self.weight[start..], out);
    }
}

/// What follows the sums: bias and epilogue.
struct After<'a> {
    epilogue: Epilogue,
    bias: Option<Cow<'a, [f32]>>,
    channel_bias: Option<Cow<'a, [f32]>>,
    /// Row width of the channel bias.
    channel_bias_width: usize,
    /// Rows of a batch item.
    item_rows: usize,
    residual: Option<Cow<'a, [f32]>>,
    /// Columns of the matrix.
    columns: usize,
}

impl<'a> After<'a> {
    fn new(rows: usize, columns: usize, epilogue: Epilogue, operands: &ProductOperands<Operand<'a>>) -> After<'a> {
        let wide = |operand: Option<Operand<'a>>| operand.map(|operand| operand.wide());
        After {
            epilogue,
            bias: wide(operands.bias),
            channel_bias: wide(operands.channel_bias),
            channel_bias_width: operands.channel_bias.map_or(1, |bias| bias.width()),
            item_rows: operands.channel_bias.map_or(rows, |bias| rows / bias.shape[0]).max(1),
            residual: wide(operands.residual),
            columns,
        }
    }

    fn finish(&self) -> impl Fn(usize, Range<usize>, &mut [f32], &mut [f32]) + Sync {
        |row, columns, sums, out| self.apply(row, columns, sums, out)
    }

    /// Computes output columns of a row from its sums.
    fn apply(&self, row: usize, columns: Range<usize>, sums: &mut [f32], out: &mut [f32]) {
        let (values, gates) = sums.split_at_mut(columns.len());
        let half = self.columns / 2;
        if let Some(bias) = &self.bias {
            simd::add(values, &bias[columns.clone()]);
            simd::add(gates, &bias[self.columns.min(half + columns.start)..]);
        }
        if let (Some(at), Some(bias)) = (self.epilogue.channel_bias, &self.channel_bias) {
            let bias = &bias[row / self.item_rows * self.channel_bias_width + at..][..self.columns];
            simd::add(values, &bias[columns.clone()]);
            simd::add(gates, &bias[self.columns.min(half + columns.start)..]);
        }
        if self.epilogue.geglu {
            simd::gelu_gate(values, gates);
        }
        if let Some(function) = self.epilogue.activation {
            activate(function, values);
        }
        if let Some(residual) = &self.residual {
            let width = self.epilogue.output_columns(self.columns);
            simd::add(values, &residual[row * width + columns.start..][..columns.len()]);
        }
        out.copy_from_slice(values);
    }
}

/// Rotates blocks of a matrix's rows or columns.
pub(super) fn rotate(op: &Rotate, inputs: &[Operand], output: &mut [f32]) -> Option<()> {
    let [blocks, x] = inputs else { return None };
    let &[count, size, _] = blocks.shape else { return None };
    let (blocks, x, columns) = (blocks.wide(), x.wide(), x.width());
    let rows = x.len() / columns;
    // Lines are rows here: those of the transposed matrix are its columns.
    let (lines, length) = if op.axis == Axis::Rows { (rows, columns) } else { (columns, rows) };
    let x = if op.axis == Axis::Rows { x } else { Cow::Owned(transposed(&x, columns)) };
    let mut rotated = vec![0.0; x.len()];
    let (mut gathered, mut product) = (vec![0.0; size * length], vec![0.0; size * length]);
    for (block, rotation) in blocks.chunks_exact(size * size).enumerate().take(count) {
        let line = |index: usize| op.line(block * size + index, lines) * length;
        for (index, out) in gathered.chunks_exact_mut(length).enumerate() {
            out.copy_from_slice(&x[line(index)..][..length]);
        }
        let left = |row: usize, start: usize, out: &mut [f32]| {
            out.copy_from_slice(&rotation[row * size + start..][..out.len()])
        };
        let matrix = Matrix::new(Elements::F32(&gathered), size, length, false);
        let finish = |_: usize, _: Range<usize>, sums: &mut [f32], out: &mut [f32]| out.copy_from_slice(sums);
        Product { rows: size, left: &left, matrix, paired: false, finish: &finish }.run(&mut product);
        for (index, values) in product.chunks_exact(length).enumerate() {
            rotated[line(index)..][..length].copy_from_slice(values);
        }
    }
    match op.axis {
        Axis::Rows => output.copy_from_slice(&rotated),
        Axis::Columns => output.copy_from_slice(&transposed(&rotated, rows)),
    }
    Some(())
}
