//! Tensor elements in their storage type: f32, f16 or bf16.

use crate::isa::vectorized;

/// Borrowed elements of a tensor. 16-bit elements are widened in blocks where kernels read them.
#[derive(Debug, Clone, Copy)]
pub enum Elements<'a> {
    /// f32.
    F32(&'a [f32]),
    /// Bits of f16.
    F16(&'a [u16]),
    /// Bits of bf16.
    Bf16(&'a [u16]),
}

impl<'a> Elements<'a> {
    /// Returns the number of elements.
    pub fn len(self) -> usize {
        match self {
            Elements::F32(data) => data.len(),
            Elements::F16(bits) | Elements::Bf16(bits) => bits.len(),
        }
    }

    /// Returns whether there are none.
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// Returns the f32 elements, or None if they are stored in 16 bits.
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
        }
    }
}

vectorized! {
    fn widen_f16(bits: &[u16], out: &mut [f32]) {
        // Exponents of f16 are biased by 15, those of f32 by 127.
        let rebias = f32::from_bits((127 + 127 - 15) << 23);
        for (out, &bits) in out.iter_mut().zip(bits) {
            let bits = u32::from(bits);
            let magnitude = (bits & 0x7fff) << 13;
            // A multiplication by 2^112 also normalizes subnormal numbers.
            let finite = (f32::from_bits(magnitude) * rebias).to_bits();
            let is_special = magnitude >= 0x7c00 << 13;
            let magnitude = if is_special { magnitude | 0x7f80_0000 } else { finite };
            *out = f32::from_bits(magnitude | (bits & 0x8000) << 16);
        }
    }
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
