//! The inputs of a matmul or convolution with its prologue and epilogue.

use super::{Epilogue, NormOperands, ProductOperands, Prologue};

/// Returns the index of each operand among the inputs of a matmul or convolution.
pub fn operand_indices(bias: bool, prologue: Prologue, epilogue: Epilogue) -> ProductOperands<usize> {
    let mut count = 2;
    let mut next = |is_present: bool| {
        is_present.then(|| {
            count += 1;
            count - 1
        })
    };
    let bias = next(bias);
    let skip = next(prologue == Prologue::Concat);
    let is_normed = matches!(prologue, Prologue::LayerNorm { .. });
    let norm = next(is_normed).zip(next(is_normed)).map(|(scale, scale_sums)| NormOperands { scale, scale_sums });
    let channel_bias = next(epilogue.channel_bias.is_some());
    let residual = next(epilogue.residual);
    ProductOperands { x: 0, weight: 1, bias, skip, norm, channel_bias, residual }
}
