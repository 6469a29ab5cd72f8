//! Turns a matrix product into its launch.

use super::epilogue::EpilogueParams;
use super::product::Product;
use crate::gpu::kernel::{Binding, Launch, LaunchError, Style, to_u32};
use crate::ops::{Matmul, Storage, leading};

/// See matmul.wgsl, matmul_untiled.wgsl and, for widths that are no multiples of 4, matmul_unaligned.wgsl.
pub fn launch(op: &Matmul, inputs: &[&[usize]], stored: Storage, style: Style) -> Result<Launch, LaunchError> {
    let rows = leading(inputs[0]);
    let (columns, inner) = match (op.transpose_b, inputs[1]) {
        (true, &[columns, inner]) | (false, &[inner, columns]) => (columns, inner),
        _ => unreachable!("the shape rule has seen a matrix"),
    };
    let item_rows = rows / inputs[0].first().copied().unwrap_or(1).max(1) as u64;
    let ending = EpilogueParams {
        kernel: "matmul",
        inputs,
        bias: op.bias.then_some(2),
        epilogue: op.epilogue,
        epilogue_start: op.epilogue_start(),
        item_rows,
    };
    let product = Product {
        untiled: "matmul_untiled",
        size: (rows, columns, inner),
        batched: false,
        prologue: Some(op.prologue),
        epilogue: ending,
        stored,
    };
    match product.is_aligned() {
        true => Ok(product.launch(&[], style)?.with("TRANSPOSE_B", op.transpose_b)),
        false => unaligned(op, (rows, columns, inner), stored),
    }
}

fn unaligned(op: &Matmul, (rows, columns, inner): (u64, usize, usize), stored: Storage) -> Result<Launch, LaunchError> {
    let count = |n: usize| to_u32("matmul_unaligned", n);
    refuse_others("matmul_unaligned", &(op.prologue.details() + &op.epilogue.details()))?;
    let (rows, columns, inner) = (to_u32("matmul_unaligned", rows)?, count(columns)?, count(inner)?);
    let groups = [columns.div_ceil(8 * 4), rows.div_ceil(4 * 8), 1];
    let mut launch = Launch::new("matmul_unaligned", 2, vec![rows, columns, inner], groups)
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
