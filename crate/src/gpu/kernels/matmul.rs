//! Turns a matrix product into its launch.

use crate::gpu::kernel::{Binding, Launch, LaunchError, Style, number};
use crate::ops::{Matmul, Storage, leading};

/// Edge of the tile that one workgroup makes, in matmul.wgsl and conv2d.wgsl.
pub const TILE: u32 = 64;

/// See matmul.wgsl and matmul_direct.wgsl.
pub fn launch(
    op: &Matmul,
    inputs: &[&[usize]],
    output: &[usize],
    stored: Storage,
    style: Style,
) -> Result<Launch, LaunchError> {
    let count = |n| number("matmul", n);
    let (rows, inner) = (count(leading(inputs[0]))?, count(inputs[0][inputs[0].len() - 1])?);
    let columns = count(output[output.len() - 1])?;
    let (kernel, groups) = match style {
        Style::Tiled => ("matmul", [rows.div_ceil(TILE), columns.div_ceil(TILE), 1]),
        Style::Direct => ("matmul_direct", [columns.div_ceil(8 * 4), rows.div_ceil(4 * 8), 1]),
    };
    let mut launch = Launch::new(kernel, 2, vec![rows, columns, inner], groups)
        .with("TRANSPOSE_B", op.transpose_b)
        .with("BIAS", op.bias)
        .with("STORAGE", stored.code());
    // Without a bias the matrix stands in its place, and is not read.
    launch.bindings.insert(2, Binding::Input(if op.bias { 2 } else { 1 }));
    Ok(launch)
}
