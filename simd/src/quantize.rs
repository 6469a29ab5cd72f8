//! Quantization of blocks of 32 elements, as q8_0 and q4_0 of ggml define it.

use crate::elements::{BLOCK, BLOCKS};
use crate::isa::vectorized;

vectorized! {
    /// Quantizes eight blocks to 8-bit integers from -127 to 127; returns their scales, the largest magnitude / 127.
    pub fn quantize_q8(values: &[f32; BLOCKS * BLOCK], quants: &mut [u8; BLOCKS * BLOCK]) -> [f32; BLOCKS] {
        let (values, quants) = (values.as_chunks::<BLOCK>().0, quants.as_chunks_mut::<BLOCK>().0);
        let mut scales = [0.0; BLOCKS];
        for ((values, quants), scale) in values.iter().zip(quants).zip(&mut scales) {
            *scale = largest_magnitude(values) / 127.0;
            let inverse = inverse(*scale);
            for (quant, value) in quants.iter_mut().zip(values) {
                *quant = round(value * inverse);
            }
        }
        scales
    }
}

vectorized! {
    /// Quantizes eight blocks to 4-bit integers from 0 to 15, which stand for themselves minus 8: a byte holds an element
    /// of the block's first half in its lower bits and one of the second half in its upper bits. Returns their scales,
    /// the element of the largest magnitude / -8.
    pub fn quantize_q4(values: &[f32; BLOCKS * BLOCK], quants: &mut [u8; BLOCKS * BLOCK / 2]) -> [f32; BLOCKS] {
        const HALF: usize = BLOCK / 2;
        let (values, quants) = (values.as_chunks::<BLOCK>().0, quants.as_chunks_mut::<HALF>().0);
        let mut scales = [0.0; BLOCKS];
        for ((values, quants), scale) in values.iter().zip(quants).zip(&mut scales) {
            let largest = largest_magnitude(values);
            let first = values.iter().find(|value| value.abs().to_bits() == largest.to_bits() && largest != 0.0);
            *scale = first.unwrap_or(&0.0) / -8.0;
            let inverse = inverse(*scale);
            let (low, high) = values.split_at(HALF);
            for (quant, (low, high)) in quants.iter_mut().zip(low.iter().zip(high)) {
                *quant = to_u4(low * inverse + 8.5) | to_u4(high * inverse + 8.5) << 4;
            }
        }
        scales
    }
}

/// 1.5 · 2^23: a float of small magnitude that is added to it is rounded to an integer, ties to even, which its lowest bits
/// then are.
const ROUNDER: f32 = 12_582_912.0;

/// Returns the largest magnitude of a block, or NaN if there is one.
#[inline(always)]
fn largest_magnitude(block: &[f32; BLOCK]) -> f32 {
    // As integers, magnitudes are ordered as their floats are.
    let mut largest = 0;
    for value in block {
        largest = value.abs().to_bits().max(largest);
    }
    f32::from_bits(largest)
}

#[inline(always)]
fn inverse(scale: f32) -> f32 {
    if scale == 0.0 { 0.0 } else { 1.0 / scale }
}

/// Rounds a number of small magnitude to the nearest integer, halves away from zero; returns its lowest byte.
#[inline(always)]
fn round(value: f32) -> u8 {
    let even = value + ROUNDER - ROUNDER;
    let rest = value - even;
    let up = if rest == 0.5 && value > 0.0 { 1.0 } else { 0.0 };
    let down = if rest == -0.5 && value < 0.0 { 1.0 } else { 0.0 };
    lowest_byte(even + up - down)
}

/// Rounds a small positive number down, to at most 15.
#[inline(always)]
fn to_u4(value: f32) -> u8 {
    let nearest = value + ROUNDER - ROUNDER;
    let below = nearest - if nearest > value { 1.0 } else { 0.0 };
    lowest_byte(if below > 15.0 { 15.0 } else { below })
}

/// Returns the lowest byte of a whole number.
#[inline(always)]
fn lowest_byte(whole: f32) -> u8 {
    (whole + ROUNDER).to_bits().to_le_bytes()[0]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Multiples of a quarter up to 127, of both signs, so that the scale of each block is 1; and numbers beside halves.
    fn values() -> [f32; BLOCKS * BLOCK] {
        let beside = [0.5f32, 1.5, -0.5, 126.5].map(|half| [half.next_up(), half.next_down()]);
        let beside = beside.as_flattened();
        std::array::from_fn(|at| match (at % BLOCK, at / BLOCK) {
            (0, _) => 127.0,
            (at, 0) if at <= beside.len() => beside[at - 1],
            (at, block) => (at as f32 * 4.0 - block as f32) * if at % 2 == 0 { 0.25 } else { -1.0 },
        })
    }

    #[test]
    fn q8_rounds_halves_away_from_zero() {
        let values = values();
        let mut quants = [0; BLOCKS * BLOCK];
        assert_eq!(quantize_q8(&values, &mut quants), [1.0; BLOCKS]);
        for (value, quant) in values.iter().zip(quants) {
            assert_eq!(f32::from(quant.cast_signed()), value.round(), "{value}");
        }
    }

    #[test]
    fn q4_keeps_the_sign_of_the_first_largest_element() {
        let mut values = values().map(|value| value / 16.0);
        values[1] = -127.0 / 16.0;
        let mut quants = [0; BLOCKS * BLOCK / 2];
        let scales = quantize_q4(&values, &mut quants);
        assert_eq!(scales, [-127.0 / 128.0; BLOCKS]);
        for (at, value) in values.iter().enumerate() {
            let quant = quants[at / BLOCK * BLOCK / 2 + at % (BLOCK / 2)] >> (at % BLOCK / (BLOCK / 2) * 4) & 15;
            let wanted = (value * (1.0 / scales[0]) + 8.5).floor().min(15.0);
            assert_eq!(f32::from(quant), wanted, "{value}");
        }
    }

    #[test]
    fn a_number_that_is_none_is_not_hidden() {
        let mut values = values();
        values[40] = f32::NAN;
        assert!(quantize_q8(&values, &mut [0; BLOCKS * BLOCK])[1].is_nan());
        assert!(quantize_q4(&values, &mut [0; BLOCKS * BLOCK / 2])[1].is_nan());
    }
}
