//! Elementwise operations.

use super::Operand;
use crate::ops::{Activation, Add, Axpy, Broadcast, Unary};
use crate::simd::{self, for_each_chunk};

/// Elements that a thread computes at once.
const BLOCK: usize = 4096;

/// Calls `compute` with the index of the first element and the elements of each part of `output`.
fn in_parts(output: &mut [f32], compute: &(dyn Fn(usize, &mut [f32]) + Sync)) {
    let work = output.len() as u64;
    let whole = output.len() / BLOCK * BLOCK;
    let (blocks, rest) = output.split_at_mut(whole);
    for_each_chunk(blocks, BLOCK, work, &|first, part| compute(first * BLOCK, part));
    compute(whole, rest);
}

/// Applies an activation function.
pub(super) fn activate(function: Activation, values: &mut [f32]) {
    match function {
        Activation::Silu => simd::silu(values),
        Activation::Gelu => simd::gelu(values),
        Activation::QuickGelu => simd::quick_gelu(values),
        Activation::LeakyRelu => simd::leaky_relu(values),
    }
}

/// Computes an activation function of each element.
pub(super) fn unary(op: &Unary, inputs: &[Operand], output: &mut [f32]) -> Option<()> {
    let x = inputs.first()?.elements;
    in_parts(output, &|first, out| {
        x.widen(first, out);
        activate(op.function, out);
    });
    Some(())
}

/// Converts 16-bit elements to f32.
pub(super) fn widen(inputs: &[Operand], output: &mut [f32]) -> Option<()> {
    let x = inputs.first()?.elements;
    in_parts(output, &|first, out| x.widen(first, out));
    Some(())
}

/// Adds tensors of the same shape; None for others.
pub(super) fn add(op: &Add, inputs: &[Operand], output: &mut [f32]) -> Option<()> {
    let [x, y] = inputs else { return None };
    let y = y.elements.as_f32().filter(|_| op.broadcast == Broadcast::None)?;
    in_parts(output, &|first, out| {
        x.elements.widen(first, out);
        simd::add(out, &y[first..]);
    });
    Some(())
}

/// Computes x + α · y, or x exactly if α is 0; None for 16-bit elements.
pub(super) fn axpy(op: &Axpy, inputs: &[Operand], scalars: &[f32], output: &mut [f32]) -> Option<()> {
    let [x, y] = inputs else { return None };
    let (x, y) = (x.elements.as_f32()?, y.elements.as_f32()?);
    let alpha = op.alpha(scalars);
    in_parts(output, &|first, out| {
        let range = first..first + out.len();
        match alpha {
            0.0 => out.copy_from_slice(&x[range]),
            _ => simd::axpy(&x[range.clone()], alpha, &y[range], out),
        }
    });
    Some(())
}

/// Multiplies the first half of each row by GELU of the second.
pub(super) fn geglu(inputs: &[Operand], output: &mut [f32]) -> Option<()> {
    let x = inputs.first()?;
    let half = x.width() / 2;
    let data = x.elements.as_f32()?;
    let work = output.len() as u64 * 4;
    for_each_chunk(output, half, work, &|first, out| {
        for (row, out) in data[first * 2 * half..].chunks_exact(2 * half).zip(out.chunks_exact_mut(half)) {
            out.copy_from_slice(&row[..half]);
            simd::gelu_gate(out, &row[half..]);
        }
    });
    Some(())
}
