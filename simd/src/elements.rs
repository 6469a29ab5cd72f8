//! Tensor elements in their storage type: f32, f16, bf16, or integers in blocks with a scale.

use crate::isa::vectorized;

/// Borrowed elements of a tensor. Other elements than f32 are widened where kernels read them.
#[derive(Debug, Clone, Copy)]
pub enum Elements<'a> {
    /// f32.
    F32(&'a [f32]),
    /// Bits of f16.
    F16(&'a [u16]),
    /// Bits of bf16.
    Bf16(&'a [u16]),
    /// Superblocks of eight blocks of 32 elements: 8-bit integers, then an f16 scale for each block.
    Q8(&'a [u8]),
    /// The same with 4-bit integers, minus 8: a byte holds an element of the block's first half in its lower bits and one
    /// of the second half in its upper bits.
    Q4(&'a [u8]),
}

/// Elements of a block.
pub(crate) const BLOCK: usize = 32;
/// Blocks of a superblock.
pub(crate) const BLOCKS: usize = 8;

impl<'a> Elements<'a> {
    /// Returns the number of elements.
    pub fn len(self) -> usize {
        match self {
            Elements::F32(data) => data.len(),
            Elements::F16(bits) | Elements::Bf16(bits) => bits.len(),
            Elements::Q8(bytes) => bytes.len() / superblock_bytes(BLOCK) * BLOCKS * BLOCK,
            Elements::Q4(bytes) => bytes.len() / superblock_bytes(BLOCK / 2) * BLOCKS * BLOCK,
        }
    }

    /// Returns whether there are none.
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// Returns the f32 elements, or None if they are stored in another type.
    pub fn as_f32(self) -> Option<&'a [f32]> {
        match self {
            Elements::F32(data) => Some(data),
            _ => None,
        }
    }

    /// Converts the elements from index `start` on to f32, as many as `out` has.
    pub fn widen(self, start: usize, out: &mut [f32]) {
        let range = start..start + out.len();
        match self {
            Elements::F32(data) => out.copy_from_slice(&data[range]),
            Elements::F16(bits) => widen_f16(&bits[range], out),
            Elements::Bf16(bits) => {
                out.iter_mut().zip(&bits[range]).for_each(|(out, &bits)| *out = f32::from_bits(u32::from(bits) << 16));
            }
            Elements::Q8(bytes) => widen_q8(bytes, start, out),
            Elements::Q4(bytes) => widen_q4(bytes, start, out),
        }
    }
}

/// Returns the bytes of a superblock whose blocks have this many bytes of integers.
const fn superblock_bytes(quant_bytes: usize) -> usize {
    BLOCKS * (quant_bytes + 2)
}

vectorized! {
    fn widen_q8(bytes: &[u8], start: usize, out: &mut [f32]) {
        widen_blocks::<BLOCK>(bytes, start, out, |quants, at| f32::from(quants[at].cast_signed()));
    }
}

vectorized! {
    fn widen_q4(bytes: &[u8], start: usize, out: &mut [f32]) {
        const HALF: usize = BLOCK / 2;
        widen_blocks::<HALF>(bytes, start, out, |quants, at| {
            f32::from(if at < HALF { quants[at] & 15 } else { quants[at - HALF] >> 4 }) - 8.0
        });
    }
}

/// Converts elements from index `start` on; `decode` returns an integer of a block.
#[inline(always)]
fn widen_blocks<const QUANTS: usize>(
    bytes: &[u8],
    start: usize,
    out: &mut [f32],
    decode: impl Fn(&[u8; QUANTS], usize) -> f32,
) {
    let (mut at, mut rest) = (start, out);
    while !rest.is_empty() {
        let (block, first) = (at / BLOCK, at % BLOCK);
        let superblock = &bytes[block / BLOCKS * superblock_bytes(QUANTS)..][..superblock_bytes(QUANTS)];
        let (quants, scales) = superblock.split_at(BLOCKS * QUANTS);
        let scale = scales.as_chunks::<2>().0[block % BLOCKS];
        let scale = f16_to_f32(u16::from_le_bytes(scale));
        let quants = &quants.as_chunks::<QUANTS>().0[block % BLOCKS];
        let (part, others) = rest.split_at_mut(rest.len().min(BLOCK - first));
        match part.as_mut_array::<BLOCK>() {
            Some(part) => part.iter_mut().enumerate().for_each(|(at, out)| *out = scale * decode(quants, at)),
            None => part.iter_mut().zip(first..).for_each(|(out, at)| *out = scale * decode(quants, at)),
        }
        at += part.len();
        rest = others;
    }
}

vectorized! {
    fn widen_f16(bits: &[u16], out: &mut [f32]) {
        out.iter_mut().zip(bits).for_each(|(out, &bits)| *out = f16_to_f32(bits));
    }
}

#[inline(always)]
pub(crate) fn f16_to_f32(bits: u16) -> f32 {
    // Exponents of f16 are biased by 15, those of f32 by 127.
    let rebias = f32::from_bits((127 + 127 - 15) << 23);
    let bits = u32::from(bits);
    let magnitude = (bits & 0x7fff) << 13;
    // A multiplication by 2^112 also normalizes subnormal numbers.
    let finite = (f32::from_bits(magnitude) * rebias).to_bits();
    let is_special = magnitude >= 0x7c00 << 13;
    let magnitude = if is_special { magnitude | 0x7f80_0000 } else { finite };
    f32::from_bits(magnitude | (bits & 0x8000) << 16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_f16_is_widened_exactly() {
        let bits: Vec<u16> = (0..=u16::MAX).collect();
        let mut wide = vec![0.0; bits.len()];
        Elements::F16(&bits).widen(0, &mut wide);
        for (&bits, &wide) in bits.iter().zip(&wide) {
            let (exponent, fraction) = (i32::from(bits >> 10 & 31), f64::from(bits & 1023));
            let magnitude = match exponent {
                0 => fraction * 2f64.powi(-24),
                31 if fraction == 0.0 => f64::INFINITY,
                31 => f64::NAN,
                _ => (1024.0 + fraction) * 2f64.powi(exponent - 25),
            };
            let expected = if bits & 0x8000 == 0 { magnitude } else { -magnitude } as f32;
            assert!(
                wide == expected && wide.is_sign_negative() == expected.is_sign_negative()
                    || wide.is_nan() && expected.is_nan(),
                "{bits:04x}: {wide}"
            );
        }
    }

    #[test]
    fn bf16_is_the_upper_half_of_f32() {
        let mut wide = [0.0; 2];
        Elements::Bf16(&[0, 0x3f80, 0xc040]).widen(1, &mut wide);
        assert_eq!(wide, [1.0, -3.0]);
    }
}
