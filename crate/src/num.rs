//! 64-bit counts of elements, bytes and operations on every target, and explicit numeric casts.
//!
//! `usize` has 32 bits on wasm32; the elements or bytes of one feature map, or the multiply-adds of a convolution,
//! need more. Every count computed from a shape goes through [`numel`] and stays a `u64`; [`host_len`] converts it
//! to a length for elements in host memory.
//! `clippy.toml` forbids `Iterator::product`; `tests/layers.rs` rejects casts that widen an already computed product.

/// Returns the number of elements of a tensor of this shape, saturating at `u64::MAX` (a file may claim more).
pub fn numel(shape: &[usize]) -> u64 {
    shape.iter().fold(1, |count: u64, &axis| count.saturating_mul(axis as u64))
}

/// Returns the length of a host-memory slice of `count` elements. A count beyond `usize` saturates at `usize::MAX`,
/// for which allocation fails and which no slice matches.
pub fn host_len(count: u64) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}

/// Rounds to the nearest `f32`; infinite on overflow.
#[expect(clippy::cast_possible_truncation, reason = "rounding is intended")]
pub fn to_f32(x: f64) -> f32 {
    x as f32
}

/// Truncates `x` to a count or an index: 0 for negative values and NaN, saturating at `usize::MAX`.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturation is intended")]
pub fn to_index(x: f64) -> usize {
    x as usize
}

/// Truncates `x` to a count of bytes or elements: 0 for negative values and NaN, saturating at `u64::MAX`.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturation is intended")]
pub fn to_count(x: f64) -> u64 {
    x as u64
}

/// Truncates `x` to an integer: 0 for NaN, saturating at the limits of `i64`.
#[expect(clippy::cast_possible_truncation, reason = "saturation is intended")]
pub fn to_whole(x: f64) -> i64 {
    x as i64
}

/// Returns the least common multiple of two positive counts.
pub fn lcm(a: usize, b: usize) -> usize {
    let (mut divisor, mut rest) = (a, b);
    while rest > 0 {
        (divisor, rest) = (rest, divisor % rest);
    }
    a / divisor.max(1) * b
}

/// Rounds to the nearest byte, ties to even: 0 for negative values and NaN, saturating at 255.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturation is intended")]
pub fn to_byte(x: f32) -> u8 {
    x.round_ties_even() as u8
}

/// Parses a number in JSON's notation: correctly rounded if it has up to 15 digits and lies between 1e-22 and 1e22. The
/// standard library's parser has tables for the others, which take 12 KB of a download.
pub fn parse_number(text: &str) -> Option<f64> {
    serde_json::from_str::<serde_json::Value>(text).ok()?.as_f64()
}

/// Returns the lower 32 bits.
#[expect(clippy::cast_possible_truncation, reason = "the upper 32 bits are dropped")]
pub fn low_word(x: u64) -> u32 {
    x as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_64_bit_on_32_bit_targets() {
        assert_eq!(numel(&[]), 1);
        assert_eq!(numel(&[3, 0, 5]), 0);
        assert_eq!(numel(&[1024, 1024, 512, 16]), 1 << 33);
        assert_eq!(numel(&[u32::MAX as usize; 3]), u64::MAX);
        assert_eq!(numel(&[u32::MAX as usize, u32::MAX as usize, 0]), 0);
        assert_eq!(host_len(7), 7);
        assert_eq!(host_len(u64::MAX), usize::MAX);
    }

    #[test]
    fn short_numbers_are_parsed_exactly() {
        for text in ["0.1", "-12.75", "1e-05", "16", "0.000123456789", "123456789012345", "1e22", "0.3"] {
            assert_eq!(parse_number(text), text.parse().ok(), "{text}");
        }
        assert_eq!(["", "None", "NaN", "[1]", "\"1\""].map(parse_number), [None; 5]);
    }

    #[test]
    fn casts_round_and_saturate() {
        assert_eq!(to_f32(0.1), 0.1f32);
        assert_eq!([-1.0, f64::NAN, 2.9, f64::INFINITY].map(to_index), [0, 0, 2, usize::MAX]);
        assert_eq!([-1.5, f64::NAN, 1e300].map(to_whole), [-1, 0, i64::MAX]);
        assert_eq!([-1.0, f32::NAN, 2.5, 3.5, 300.0].map(to_byte), [0, 0, 2, 4, 255]);
        assert_eq!(low_word(0x1_2345_6789), 0x2345_6789);
    }
}
