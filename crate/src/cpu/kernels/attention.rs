//! Attention.

use super::Operand;
use crate::num::{host_len, numel};
use crate::ops::{Attention, QkvSlice};
use crate::simd::{self, Heads};
use std::borrow::Cow;

/// Computes attention; None for inputs that do not fit.
pub(super) fn attention(op: &Attention, inputs: &[Operand], output: &mut [f32]) -> Option<()> {
    let slices = Attention::qkv_slices(inputs.len());
    let wide: Vec<Cow<'_, [f32]>> = inputs.iter().map(Operand::wide).collect();
    let width = inputs.first()?.width() / slices[0].of;
    let tokens = |slice: QkvSlice| {
        let shape = inputs[slice.input].shape;
        host_len(numel(&shape[1..shape.len() - 1]))
    };
    let heads = |QkvSlice { input, index, of }: QkvSlice| Heads {
        data: &wide[input],
        start: index * width,
        stride: of * width,
    };
    let [q, k, v] = slices;
    let attention = simd::Attention {
        q: heads(q),
        k: heads(k),
        v: heads(v),
        batch: inputs[0].shape[0],
        heads: op.heads,
        queries: tokens(q),
        keys: tokens(k),
        head_dim: width / op.heads,
        causal: op.causal,
    };
    attention.run(output);
    Some(())
}
