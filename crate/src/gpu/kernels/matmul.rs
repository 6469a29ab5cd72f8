//! Launch of matrix multiplication.

use super::epilogue::{EpilogueParams, ProductParams};
use super::product::Product;
use crate::gpu::kernel::{Binding, Launch, LaunchError, Style, to_u32};
use crate::gpu::kernels::Kernel;
use crate::gpu::params::params;
use crate::ops::{Matmul, ProductOperands, Storage, leading};

params! {
    /// Uniforms of matmul_unaligned.wgsl.
    UnalignedMatmulParams { rows: u32, columns: u32, inner: u32 }
}

/// Returns the launch of matmul.wgsl, matmul_untiled.wgsl or, for widths that are not multiples of 4,
/// matmul_unaligned.wgsl.
pub fn launch(op: &Matmul, inputs: &[&[usize]], stored: Storage, style: Style) -> Result<Launch, LaunchError> {
    let operands = op.operand_indices();
    let (x, matrix) = (inputs[operands.x], inputs[operands.weight]);
    let (rows, inner) = (leading(x), matrix[usize::from(op.transpose_b)]);
    let columns = matrix[usize::from(!op.transpose_b)];
    let item_rows = rows / x.first().copied().unwrap_or(1).max(1) as u64;
    let epilogue = EpilogueParams { kernel: Kernel::Matmul, inputs, operands, epilogue: op.epilogue, item_rows };
    let product = Product {
        untiled: Kernel::MatmulUntiled,
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
    let count = |n: usize| to_u32(Kernel::MatmulUnaligned, n);
    refuse_others(Kernel::MatmulUnaligned, &(op.prologue.details() + &op.epilogue.details()), stored)?;
    let (rows, columns, inner) = (to_u32(Kernel::MatmulUnaligned, rows)?, count(columns)?, count(inner)?);
    let groups = [columns.div_ceil(8 * 4), rows.div_ceil(4 * 8), 1];
    let mut launch = Launch::new(Kernel::MatmulUnaligned, 2, UnalignedMatmulParams { rows, columns, inner }, groups)
        .with("TRANSPOSE_B", op.transpose_b)
        .with("BIAS", op.bias)
        .with("STORAGE", stored.code());
    // Without a bias the matrix is bound instead, which the shader does not read through this binding.
    let ProductOperands { bias, weight, .. } = op.operand_indices();
    launch.bindings.insert(2, Binding::Input(bias.unwrap_or(weight)));
    Ok(launch)
}

/// Returns an error unless `fused`, the details of prologue and epilogue, is empty and weights are not quantized: kernels
/// for unaligned widths support none of these.
pub fn refuse_others(kernel: Kernel, fused: &str, stored: Storage) -> Result<(), LaunchError> {
    match (fused.is_empty(), stored.blocks()) {
        (true, None) => Ok(()),
        (true, Some(_)) => {
            Err(LaunchError { kernel: kernel.name(), reason: "does not support quantized weights".into() })
        }
        (false, _) => Err(LaunchError { kernel: kernel.name(), reason: format!("does not support{fused}") }),
    }
}
