//! ggml's quantized tensors: blocks of 32 or 256 elements with scales of their own, as in GGUF files.
//!
//! Layouts of llama.cpp's ggml-common.h; the values are those of `gguf.quants.dequantize` of its Python package.

use crate::num::host_len;
use half::f16;

/// Elements of a block of the "K" types.
const SUPER: usize = 256;

/// Type of a quantized tensor's blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "ggml's names")]
pub enum BlockType {
    Q4_0,
    Q4_1,
    Q5_0,
    Q5_1,
    Q8_0,
    Q2K,
    Q3K,
    Q4K,
    Q5K,
    Q6K,
}

impl BlockType {
    /// Returns the block type with this ggml type id.
    pub fn of(id: u32) -> Option<BlockType> {
        Some(match id {
            2 => BlockType::Q4_0,
            3 => BlockType::Q4_1,
            6 => BlockType::Q5_0,
            7 => BlockType::Q5_1,
            8 => BlockType::Q8_0,
            10 => BlockType::Q2K,
            11 => BlockType::Q3K,
            12 => BlockType::Q4K,
            13 => BlockType::Q5K,
            14 => BlockType::Q6K,
            _ => return None,
        })
    }

    /// Returns the number of elements of a block.
    pub fn elements(self) -> u64 {
        match self {
            BlockType::Q4_0 | BlockType::Q4_1 | BlockType::Q5_0 | BlockType::Q5_1 | BlockType::Q8_0 => 32,
            _ => SUPER as u64,
        }
    }

    /// Returns the number of bytes of a block.
    pub fn bytes(self) -> u64 {
        self.len() as u64
    }

    fn len(self) -> usize {
        match self {
            BlockType::Q4_0 => 18,
            BlockType::Q4_1 => 20,
            BlockType::Q5_0 => 22,
            BlockType::Q5_1 => 24,
            BlockType::Q8_0 => 34,
            BlockType::Q2K => 84,
            BlockType::Q3K => 110,
            BlockType::Q4K => 144,
            BlockType::Q5K => 176,
            BlockType::Q6K => 210,
        }
    }

    /// Converts whole blocks to f32.
    pub fn decode(self, bytes: &[u8]) -> Vec<f32> {
        let blocks = bytes.chunks_exact(self.len());
        let mut out = Vec::with_capacity(host_len(blocks.len() as u64 * self.elements()));
        for block in blocks {
            match self {
                BlockType::Q4_0 => q4(block, 2, &mut out, |q, [d, _]| d * (q - 8.0)),
                BlockType::Q4_1 => q4(block, 4, &mut out, |q, [d, m]| d * q + m),
                BlockType::Q5_0 => q5(block, 2, &mut out, |q, [d, _]| d * (q - 16.0)),
                BlockType::Q5_1 => q5(block, 4, &mut out, |q, [d, m]| d * q + m),
                BlockType::Q8_0 => out.extend(block[2..].iter().map(|&q| f32::from(q as i8) * half_at(block, 0))),
                BlockType::Q2K => q2_k(block, &mut out),
                BlockType::Q3K => q3_k(block, &mut out),
                BlockType::Q4K => q4_k(block, &mut out),
                BlockType::Q5K => q5_k(block, &mut out),
                BlockType::Q6K => q6_k(block, &mut out),
            }
        }
        out
    }
}

/// Returns the f16 at a byte.
fn half_at(bytes: &[u8], at: usize) -> f32 {
    f16::from_le_bytes([bytes[at], bytes[at + 1]]).to_f32()
}

/// Returns the scale and, if the block has one, the minimum of 32 elements.
fn scale_and_minimum(block: &[u8], head: usize) -> [f32; 2] {
    [half_at(block, 0), if head > 2 { half_at(block, 2) } else { 0.0 }]
}

/// Decodes 32 elements of 4 bits after `head` bytes: the lower halves of 16 bytes, then the upper ones.
fn q4(block: &[u8], head: usize, out: &mut Vec<f32>, value: impl Fn(f32, [f32; 2]) -> f32) {
    let scales = scale_and_minimum(block, head);
    for shift in [0, 4] {
        out.extend(block[head..].iter().map(|q| value(f32::from(q >> shift & 15), scales)));
    }
}

/// Decodes 32 elements of 5 bits, whose fifth bits are in four bytes after the first `head`.
fn q5(block: &[u8], head: usize, out: &mut Vec<f32>, value: impl Fn(f32, [f32; 2]) -> f32) {
    let scales = scale_and_minimum(block, head);
    let (high, low) = block[head..].split_at(4);
    for index in 0..32 {
        let fifth = high[index / 8] >> (index % 8) & 1;
        let q = low[index % 16] >> (index / 16 * 4) & 15 | fifth << 4;
        out.push(value(f32::from(q), scales));
    }
}

fn q2_k(block: &[u8], out: &mut Vec<f32>) {
    let (scales, rest) = block.split_at(SUPER / 16);
    let (quants, head) = rest.split_at(SUPER / 4);
    let (d, minimum) = (half_at(head, 0), half_at(head, 2));
    for index in 0..SUPER {
        let scale = scales[index / 16];
        let q = quants[index / 128 * 32 + index % 32] >> (index / 32 % 4 * 2) & 3;
        out.push(d * f32::from(scale & 15) * f32::from(q) - minimum * f32::from(scale >> 4));
    }
}

fn q3_k(block: &[u8], out: &mut Vec<f32>) {
    let (high, rest) = block.split_at(SUPER / 8);
    let (quants, rest) = rest.split_at(SUPER / 4);
    let (scales, d) = rest.split_at(12);
    let d = half_at(d, 0);
    for index in 0..SUPER {
        // Six bits per scale: four in the first eight bytes, two in the last four.
        let group = index / 16;
        let low = scales[group % 8] >> (group / 8 * 4) & 15;
        let scale = i16::from(low | (scales[8 + group % 4] >> (group / 4 * 2) & 3) << 4) - 32;
        let third = high[index % 32] >> (index / 32) & 1;
        let q = i16::from(quants[index / 128 * 32 + index % 32] >> (index / 32 % 4 * 2) & 3) - 4 * i16::from(1 - third);
        out.push(d * f32::from(scale) * f32::from(q));
    }
}

/// Returns the six-bit scale and minimum of a group of 32 elements from the 12 bytes of Q4_K and Q5_K.
fn packed_scale(scales: &[u8], group: usize) -> [f32; 2] {
    let (low, shared) = (group % 4, scales[8 + group % 4]);
    let [scale, minimum] = match group < 4 {
        true => [scales[low] & 63, scales[4 + low] & 63],
        false => [shared & 15 | scales[low] >> 2 & 48, shared >> 4 | scales[4 + low] >> 2 & 48],
    };
    [scale, minimum].map(f32::from)
}

fn q4_k(block: &[u8], out: &mut Vec<f32>) {
    let (d, minimum, scales, quants) = (half_at(block, 0), half_at(block, 2), &block[4..16], &block[16..]);
    for index in 0..SUPER {
        let [scale, offset] = packed_scale(scales, index / 32);
        let q = quants[index / 64 * 32 + index % 32] >> (index / 32 % 2 * 4) & 15;
        out.push(d * scale * f32::from(q) - minimum * offset);
    }
}

fn q5_k(block: &[u8], out: &mut Vec<f32>) {
    let (d, minimum, scales) = (half_at(block, 0), half_at(block, 2), &block[4..16]);
    let (high, quants) = block[16..].split_at(SUPER / 8);
    for index in 0..SUPER {
        let [scale, offset] = packed_scale(scales, index / 32);
        let low = quants[index / 64 * 32 + index % 32] >> (index / 32 % 2 * 4) & 15;
        let q = low | (high[index % 32] >> (index / 32) & 1) << 4;
        out.push(d * scale * f32::from(q) - minimum * offset);
    }
}

fn q6_k(block: &[u8], out: &mut Vec<f32>) {
    let (low, rest) = block.split_at(SUPER / 2);
    let (high, rest) = rest.split_at(SUPER / 4);
    let (scales, d) = rest.split_at(SUPER / 16);
    let d = half_at(d, 0);
    for index in 0..SUPER {
        let q = low[index / 128 * 64 + index % 64] >> (index / 64 % 2 * 4) & 15;
        let q = q | (high[index / 128 * 32 + index % 32] >> (index / 32 % 4 * 2) & 3) << 4;
        out.push(d * f32::from(scales[index / 16] as i8) * (f32::from(q) - 32.0));
    }
}
