//! Weights in blocks: 32 consecutive elements with a common f16 scale, as q8_0 and q4_0 of ggml define them.
//!
//! In memory, eight blocks are a superblock: their quants in order, then their scales. A superblock is a whole number of
//! vec4s, so that tensors of whole superblocks are contiguous when they are concatenated.

use crate::simd::{quantize_q4, quantize_q8};
use half::f16;

/// Elements of a block.
pub const BLOCK: usize = 32;
/// Elements of a superblock.
pub const SUPERBLOCK: usize = 8 * BLOCK;
/// Bytes of a superblock's scales.
const SCALES: usize = 2 * SUPERBLOCK / BLOCK;

/// Type of the quants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blocks {
    /// 8-bit integers from -127 to 127 times the scale, which is the largest magnitude / 127.
    Q8,
    /// 4-bit integers from 0 to 15, minus 8, times the scale, which is the element of the largest magnitude / -8. A byte
    /// holds element i of the block's first half in its lower bits and of the second half in its upper bits.
    Q4,
}

impl Blocks {
    /// Returns the bytes of a superblock.
    pub fn superblock_bytes(self) -> usize {
        8 * self.quant_bytes() + SCALES
    }

    /// Returns the bytes of a block's quants.
    fn quant_bytes(self) -> usize {
        match self {
            Blocks::Q8 => BLOCK,
            Blocks::Q4 => BLOCK / 2,
        }
    }

    /// Quantizes elements; they are padded with zeros to whole superblocks.
    pub fn pack(self, values: &[f32]) -> Vec<u8> {
        let mut bytes = vec![0; values.len().div_ceil(SUPERBLOCK) * self.superblock_bytes()];
        let (whole, rest) = values.as_chunks::<SUPERBLOCK>();
        let mut last = [0.0; SUPERBLOCK];
        last[..rest.len()].copy_from_slice(rest);
        for (values, bytes) in whole.iter().chain([&last]).zip(bytes.chunks_exact_mut(self.superblock_bytes())) {
            match self {
                Blocks::Q8 => fill(values, bytes, quantize_q8),
                Blocks::Q4 => fill(values, bytes, quantize_q4),
            }
        }
        bytes
    }

    /// Returns the first `len` elements of superblocks.
    pub fn unpack(self, bytes: &[u8], len: usize) -> Vec<f32> {
        let mut values = Vec::with_capacity(len.next_multiple_of(SUPERBLOCK));
        for superblock in bytes.chunks_exact(self.superblock_bytes()) {
            let (quants, scales) = superblock.split_at(8 * self.quant_bytes());
            for (quants, &scale) in quants.chunks_exact(self.quant_bytes()).zip(scales.as_chunks::<2>().0) {
                values.extend(self.dequantize(quants, f16::from_le_bytes(scale).to_f32()));
            }
        }
        values.truncate(len);
        values
    }

    /// Returns the elements of a block.
    fn dequantize(self, quants: &[u8], scale: f32) -> [f32; BLOCK] {
        let half = BLOCK / 2;
        std::array::from_fn(|at| match self {
            Blocks::Q8 => scale * f32::from(i8::from_le_bytes([quants[at]])),
            Blocks::Q4 if at < half => scale * (f32::from(quants[at] & 15) - 8.0),
            Blocks::Q4 => scale * (f32::from(quants[at - half] >> 4) - 8.0),
        })
    }
}

/// Writes the quants of a superblock and then its scales.
fn fill<const QUANTS: usize>(
    values: &[f32; SUPERBLOCK],
    bytes: &mut [u8],
    quantize: impl Fn(&[f32; SUPERBLOCK], &mut [u8; QUANTS]) -> [f32; 8],
) {
    if let Some((quants, scales)) = bytes.split_first_chunk_mut() {
        let found = quantize(values, quants).map(|scale| f16::from_f32(scale).to_le_bytes());
        scales.as_chunks_mut().0.copy_from_slice(&found);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantizing_again_gives_the_same_values() {
        let values: Vec<f32> = (0..300).map(|at| ((at * 37 % 101) as f32 - 50.0) * 1.3e-3).collect();
        for blocks in [Blocks::Q8, Blocks::Q4] {
            let bytes = blocks.pack(&values);
            assert_eq!(bytes.len(), 2 * blocks.superblock_bytes());
            let once = blocks.unpack(&bytes, values.len());
            assert_eq!(blocks.pack(&once), bytes, "{blocks:?}");
            assert!(once != values, "{blocks:?}");
        }
    }
}
