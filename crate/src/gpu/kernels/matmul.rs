//! Launch of matrix multiplication.

use super::epilogue::{EpilogueParams, ProductParams};
use super::product::Product;
use crate::gpu::kernel::{Binding, Launch, LaunchError, Style, to_u32};
use crate::gpu::params::params;
use crate::ops::{Matmul, Storage, leading};

params! {
    /// Uniforms of matmul_unaligned.wgsl.
    UnalignedMatmulParams { rows: u32, columns: u32, inner: u32 }
}

/// Returns the launch of matmul.wgsl, matmul_untiled.wgsl or, for widths that are not multiples of 4,
/// matmul_unaligned.wgsl.
pub fn launch(op: &Matmul, inputs: &[&[usize]], stored: Storage, style: Style) -> Result<Launch, LaunchError> {
    let rows = leading(inputs[0]);
    let (columns, inner) = match (op.transpose_b, inputs[1]) {
        (true, &[columns, inner]) | (false, &[inner, columns]) => (columns, inner),
        _ => unreachable!("the shape check requires a matrix"),
    };
    let item_rows = rows / inputs[0].first().copied().unwrap_or(1).max(1) as u64;
    let epilogue = EpilogueParams {
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
        epilogue,
        stored,
    };
    match product.is_aligned() {
        true => Ok(product.launch(ProductParams::default(), style)?.with("TRANSPOSE_B", op.transpose_b)),
        false => unaligned(op, (rows, columns, inner), stored),
    }
}

fn unaligned(op: &Matmul, (rows, columns, inner): (u64, usize, usize), stored: Storage) -> Result<Launch, LaunchError> {
    let count = |n: usize| to_u32("matmul_unaligned", n);
    refuse_others("matmul_unaligned", &(op.prologue.details() + &op.epilogue.details()))?;
    let (rows, columns, inner) = (to_u32("matmul_unaligned", rows)?, count(columns)?, count(inner)?);
    let groups = [columns.div_ceil(8 * 4), rows.div_ceil(4 * 8), 1];
    let mut launch = Launch::new("matmul_unaligned", 2, UnalignedMatmulParams { rows, columns, inner }, groups)
        .with("TRANSPOSE_B", op.transpose_b)
        .with("BIAS", op.bias)
        .with("STORAGE", stored.code());
    // Without a bias the matrix is bound instead, which the shader does not read through this binding.
    launch.bindings.insert(2, Binding::Input(if op.bias { 2 } else { 1 }));
    Ok(launch)
}

/// Returns an error unless `fused`, the details of prologue and epilogue, is empty: kernels for unaligned widths have
/// neither.
pub fn refuse_others(kernel: &'static str, fused: &str) -> Result<(), LaunchError> {
    match fused.is_empty() {
        true => Ok(()),
        false => Err(LaunchError { kernel, reason: format!("does not support{fused}") }),
    }
}
