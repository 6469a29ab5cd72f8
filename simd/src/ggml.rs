//! ggml's quantized tensors: blocks of 32 or 256 elements with scales of their own, as in GGUF files.
//!
//! Layouts of llama.cpp's ggml-common.h; the values are those of `gguf.quants.dequantize` of its Python package.

use crate::elements::{BLOCK, f16_to_f32};
use crate::isa::vectorized;

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
        self.len() as u64
    }

    fn len(self) -> usize {
        match self {
            BlockType::Q4_0 | BlockType::Q4_1 | BlockType::Q5_0 | BlockType::Q5_1 | BlockType::Q8_0 => BLOCK,
            _ => SUPER,
        }
    }

    /// Returns the number of bytes of a block.
    pub fn bytes(self) -> u64 {
        self.byte_len() as u64
    }

    fn byte_len(self) -> usize {
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
        let mut out = vec![0.0; bytes.len() / self.byte_len() * self.len()];
        decode(self, bytes, &mut out);
        out
    }
}

vectorized! {
    fn decode(blocks: BlockType, bytes: &[u8], out: &mut [f32]) {
        match blocks {
            BlockType::Q4_0 => each::<18, BLOCK>(bytes, out, |block, out| q4(block, 2, out, |q, [d, _]| d * (q - 8.0))),
            BlockType::Q4_1 => each::<20, BLOCK>(bytes, out, |block, out| q4(block, 4, out, |q, [d, m]| d * q + m)),
            BlockType::Q5_0 => each::<22, BLOCK>(bytes, out, |block, out| q5(block, 2, out, |q, [d, _]| d * (q - 16.0))),
            BlockType::Q5_1 => each::<24, BLOCK>(bytes, out, |block, out| q5(block, 4, out, |q, [d, m]| d * q + m)),
            BlockType::Q8_0 => each::<34, BLOCK>(bytes, out, |block, out| {
                let scale = half_at(block, 0);
                for (out, q) in out.iter_mut().zip(&block[2..]) {
                    *out = f32::from(q.cast_signed()) * scale;
                }
            }),
            BlockType::Q2K => each::<84, SUPER>(bytes, out, q2_k),
            BlockType::Q3K => each::<110, SUPER>(bytes, out, q3_k),
            BlockType::Q4K => each::<144, SUPER>(bytes, out, q4_k),
            BlockType::Q5K => each::<176, SUPER>(bytes, out, q5_k),
            BlockType::Q6K => each::<210, SUPER>(bytes, out, q6_k),
        }
    }
}

/// Decodes blocks of `BYTES` bytes, `COUNT` elements each.
#[inline(always)]
fn each<const BYTES: usize, const COUNT: usize>(
    bytes: &[u8],
    out: &mut [f32],
    decode: impl Fn(&[u8; BYTES], &mut [f32; COUNT]),
) {
    let (blocks, out) = (bytes.as_chunks::<BYTES>().0, out.as_chunks_mut::<COUNT>().0);
    for (block, out) in blocks.iter().zip(out) {
        decode(block, out);
    }
}

/// Returns the f16 at a byte.
#[inline(always)]
fn half_at(bytes: &[u8], at: usize) -> f32 {
    f16_to_f32(u16::from_le_bytes([bytes[at], bytes[at + 1]]))
}

/// Returns the scale and, if the block has one, the minimum of 32 elements.
#[inline(always)]
fn scale_and_minimum(block: &[u8], head: usize) -> [f32; 2] {
    [half_at(block, 0), if head > 2 { half_at(block, 2) } else { 0.0 }]
}

/// Decodes 32 elements of 4 bits after `head` bytes: the lower halves of 16 bytes, then the upper ones.
#[inline(always)]
fn q4(block: &[u8], head: usize, out: &mut [f32; BLOCK], value: impl Fn(f32, [f32; 2]) -> f32) {
    let scales = scale_and_minimum(block, head);
    let (low, high) = out.split_at_mut(BLOCK / 2);
    for ((low, high), q) in low.iter_mut().zip(high).zip(&block[head..]) {
        *low = value(f32::from(q & 15), scales);
        *high = value(f32::from(q >> 4), scales);
    }
}

/// Decodes 32 elements of 5 bits, whose fifth bits are in four bytes after the first `head`.
#[inline(always)]
fn q5(block: &[u8], head: usize, out: &mut [f32; BLOCK], value: impl Fn(f32, [f32; 2]) -> f32) {
    let scales = scale_and_minimum(block, head);
    let (high, low) = block[head..].split_at(4);
    let high = u32::from_le_bytes([high[0], high[1], high[2], high[3]]);
    let (lower, upper) = out.split_at_mut(BLOCK / 2);
    for (at, ((lower, upper), low)) in lower.iter_mut().zip(upper).zip(low).enumerate() {
        let fifth = |at: usize| if high >> at & 1 == 1 { 16.0 } else { 0.0 };
        *lower = value(f32::from(low & 15) + fifth(at), scales);
        *upper = value(f32::from(low >> 4) + fifth(at + BLOCK / 2), scales);
    }
}

/// Returns the elements of a block's eight parts of 32.
#[inline(always)]
fn parts(out: &mut [f32; SUPER]) -> impl Iterator<Item = (usize, &mut [f32; BLOCK])> {
    out.as_chunks_mut::<BLOCK>().0.iter_mut().enumerate()
}

#[inline(always)]
fn q2_k(block: &[u8; 84], out: &mut [f32; SUPER]) {
    let (scales, rest) = block.split_at(SUPER / 16);
    let (quants, head) = rest.split_at(SUPER / 4);
    let (d, minimum) = (half_at(head, 0), half_at(head, 2));
    for (part, out) in parts(out) {
        let quants = &quants[part / 4 * 32..][..32];
        for (half, out) in out.chunks_exact_mut(16).enumerate() {
            let scale = scales[2 * part + half];
            let (scale, offset) = (d * f32::from(scale & 15), minimum * f32::from(scale >> 4));
            for (out, quant) in out.iter_mut().zip(&quants[16 * half..]) {
                *out = scale * f32::from(quant >> (part % 4 * 2) & 3) - offset;
            }
        }
    }
}

#[inline(always)]
fn q3_k(block: &[u8; 110], out: &mut [f32; SUPER]) {
    let (high, rest) = block.split_at(SUPER / 8);
    let (quants, rest) = rest.split_at(SUPER / 4);
    let (scales, d) = rest.split_at(12);
    let d = half_at(d, 0);
    for (part, out) in parts(out) {
        let quants = &quants[part / 4 * 32..][..32];
        for (half, out) in out.chunks_exact_mut(16).enumerate() {
            // Six bits per scale: four in the first eight bytes, two in the last four.
            let group = 2 * part + half;
            let low = scales[group % 8] >> (group / 8 * 4) & 15;
            let scale = i16::from(low | (scales[8 + group % 4] >> (group / 4 * 2) & 3) << 4) - 32;
            let scale = d * f32::from(scale);
            for (out, (quant, high)) in out.iter_mut().zip(quants[16 * half..].iter().zip(&high[16 * half..])) {
                let third = if high >> part & 1 == 1 { 0 } else { 4 };
                *out = scale * f32::from(i16::from(quant >> (part % 4 * 2) & 3) - third);
            }
        }
    }
}

/// Returns the six-bit scale and minimum of a group of 32 elements from the 12 bytes of Q4_K and Q5_K.
#[inline(always)]
fn packed_scale(scales: &[u8], group: usize) -> [f32; 2] {
    let (low, shared) = (group % 4, scales[8 + group % 4]);
    let [scale, minimum] = match group < 4 {
        true => [scales[low] & 63, scales[4 + low] & 63],
        false => [shared & 15 | scales[low] >> 2 & 48, shared >> 4 | scales[4 + low] >> 2 & 48],
    };
    [scale, minimum].map(f32::from)
}

#[inline(always)]
fn q4_k(block: &[u8; 144], out: &mut [f32; SUPER]) {
    let (d, minimum, scales, quants) = (half_at(block, 0), half_at(block, 2), &block[4..16], &block[16..]);
    for (part, out) in parts(out) {
        let [scale, offset] = packed_scale(scales, part);
        let (scale, offset) = (d * scale, minimum * offset);
        for (out, quant) in out.iter_mut().zip(&quants[part / 2 * 32..]) {
            *out = scale * f32::from(quant >> (part % 2 * 4) & 15) - offset;
        }
    }
}

#[inline(always)]
fn q5_k(block: &[u8; 176], out: &mut [f32; SUPER]) {
    let (d, minimum, scales) = (half_at(block, 0), half_at(block, 2), &block[4..16]);
    let (high, quants) = block[16..].split_at(SUPER / 8);
    for (part, out) in parts(out) {
        let [scale, offset] = packed_scale(scales, part);
        let (scale, offset) = (d * scale, minimum * offset);
        for (out, (quant, high)) in out.iter_mut().zip(quants[part / 2 * 32..].iter().zip(high)) {
            let fifth = if high >> part & 1 == 1 { 16 } else { 0 };
            *out = scale * f32::from(quant >> (part % 2 * 4) & 15 | fifth) - offset;
        }
    }
}

#[inline(always)]
fn q6_k(block: &[u8; 210], out: &mut [f32; SUPER]) {
    let (low, rest) = block.split_at(SUPER / 2);
    let (high, rest) = rest.split_at(SUPER / 4);
    let (scales, d) = rest.split_at(SUPER / 16);
    let d = half_at(d, 0);
    for (part, out) in parts(out) {
        let low = &low[part / 4 * 64 + part % 2 * 32..][..32];
        let high = &high[part / 4 * 32..][..32];
        for (half, out) in out.chunks_exact_mut(16).enumerate() {
            let scale = d * f32::from(scales[2 * part + half].cast_signed());
            for (out, (low, high)) in out.iter_mut().zip(low[16 * half..].iter().zip(&high[16 * half..])) {
                let q = low >> (part / 2 % 2 * 4) & 15 | (high >> (part % 4 * 2) & 3) << 4;
                *out = scale * (f32::from(q) - 32.0);
            }
        }
    }
}
