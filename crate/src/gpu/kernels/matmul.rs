//! Turns a matrix product into its launch.

use super::product::Product;
use crate::gpu::kernel::{Binding, Launch, LaunchError, Style, number};
use crate::ops::{After, Matmul, Storage, leading};

/// See matmul.wgsl, matmul_direct.wgsl and, for widths that are no multiples of 4, matmul_odd.wgsl.
pub fn launch(op: &Matmul, inputs: &[&[usize]], stored: Storage, style: Style) -> Result<Launch, LaunchError> {
    let (rows, inner) = (leading(inputs[0]), inputs[0][inputs[0].len() - 1]);
    let columns = inputs[1].iter().product::<usize>() / inner.max(1);
    let product = Product {
        tiled: "matmul",
        direct: "matmul_direct",
        size: (rows, columns, inner),
        item_rows: rows / inputs[0].first().copied().unwrap_or(1).max(1),
        bias: op.bias,
        after: op.after,
        inputs,
        stored,
    };
    match product.is_aligned() {
        true => Ok(product.launch(&[], style)?.with("TRANSPOSE_B", op.transpose_b)),
        false => odd(op, (rows, columns, inner), stored),
    }
}

fn odd(op: &Matmul, (rows, columns, inner): (usize, usize, usize), stored: Storage) -> Result<Launch, LaunchError> {
    let count = |n| number("matmul_odd", n);
    refuse_after("matmul_odd", op.after)?;
    let (rows, columns, inner) = (count(rows)?, count(columns)?, count(inner)?);
    let groups = [columns.div_ceil(8 * 4), rows.div_ceil(4 * 8), 1];
    let mut launch = Launch::new("matmul_odd", 2, vec![rows, columns, inner], groups)
        .with("TRANSPOSE_B", op.transpose_b)
        .with("BIAS", op.bias)
        .with("STORAGE", stored.code());
    // Without a bias the matrix stands in its place, and is not read.
    launch.bindings.insert(2, Binding::Input(if op.bias { 2 } else { 1 }));
    Ok(launch)
}

/// Kernels for odd widths store sums as they are.
pub fn refuse_after(kernel: &'static str, after: After) -> Result<(), LaunchError> {
    match after == After::default() {
        true => Ok(()),
        false => Err(LaunchError { kernel, reason: format!("has no{}", after.details()) }),
    }
}
