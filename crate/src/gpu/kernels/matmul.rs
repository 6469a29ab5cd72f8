//! Turns a matrix product into its launch.

use super::after::Ending;
use super::product::Product;
use crate::gpu::kernel::{Binding, Launch, LaunchError, Style, number};
use crate::ops::{Matmul, Storage, leading};

/// See matmul.wgsl, matmul_direct.wgsl and, for widths that are no multiples of 4, matmul_odd.wgsl.
pub fn launch(op: &Matmul, inputs: &[&[usize]], stored: Storage, style: Style) -> Result<Launch, LaunchError> {
    let rows = leading(inputs[0]);
    let (columns, inner) = match (op.transpose_b, inputs[1]) {
        (true, &[columns, inner]) | (false, &[inner, columns]) => (columns, inner),
        _ => unreachable!("the shape rule has seen a matrix"),
    };
    let item_rows = rows / inputs[0].first().copied().unwrap_or(1).max(1) as u64;
    let ending = Ending {
        kernel: "matmul",
        inputs,
        bias: op.bias.then_some(2),
        after: op.after,
        after_at: op.after_at(),
        item_rows,
    };
    let product = Product {
        direct: "matmul_direct",
        size: (rows, columns, inner),
        batched: false,
        before: Some(op.before),
        ending,
        stored,
    };
    match product.is_aligned() {
        true => Ok(product.launch(&[], style)?.with("TRANSPOSE_B", op.transpose_b)),
        false => odd(op, (rows, columns, inner), stored),
    }
}

fn odd(op: &Matmul, (rows, columns, inner): (u64, usize, usize), stored: Storage) -> Result<Launch, LaunchError> {
    let count = |n: usize| number("matmul_odd", n);
    refuse_others("matmul_odd", &(op.before.details() + &op.after.details()))?;
    let (rows, columns, inner) = (number("matmul_odd", rows)?, count(columns)?, count(inner)?);
    let groups = [columns.div_ceil(8 * 4), rows.div_ceil(4 * 8), 1];
    let mut launch = Launch::new("matmul_odd", 2, vec![rows, columns, inner], groups)
        .with("TRANSPOSE_B", op.transpose_b)
        .with("BIAS", op.bias)
        .with("STORAGE", stored.code());
    // Without a bias the matrix stands in its place, and is not read.
    launch.bindings.insert(2, Binding::Input(if op.bias { 2 } else { 1 }));
    Ok(launch)
}

/// Kernels for odd widths store sums of x as they are; `others` are the words of what else is asked.
pub fn refuse_others(kernel: &'static str, others: &str) -> Result<(), LaunchError> {
    match others.is_empty() {
        true => Ok(()),
        false => Err(LaunchError { kernel, reason: format!("has no{others}") }),
    }
}
