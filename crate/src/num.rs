//! Counts of elements, bytes and operations, 64 bits wide on every target, and casts whose names say what they do.
//!
//! `usize` has 32 bits in a browser, where the elements of one feature map, its bytes, or the multiply-adds of a
//! convolution need more. Every count that is formed from a shape goes through [`numel`] and stays a `u64`;
//! [`host_len`] turns it into a length where the elements lie in this program's own memory.
//! `clippy.toml` forbids `Iterator::product`, and `tests/layers.rs` casts of a product that is already formed.

/// Elements of a tensor of this shape; `u64::MAX` where a file claims more than that.
pub fn numel(shape: &[usize]) -> u64 {
    shape.iter().fold(1, |count: u64, &axis| count.saturating_mul(axis as u64))
}

/// The length of a list of `count` elements in this program's memory. A count that no list can have becomes
/// `usize::MAX`, for which an allocation fails and no slice matches.
pub fn host_len(count: u64) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}

/// The nearest `f32`; infinite where there is none.
#[expect(clippy::cast_possible_truncation, reason = "rounding is meant")]
pub fn to_f32(x: f64) -> f32 {
    x as f32
}

/// `x` without its fraction as a count or an index: 0 for negative numbers and NaN, the largest index beyond it.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturating is meant")]
pub fn to_index(x: f64) -> usize {
    x as usize
}

/// `x` without its fraction as a whole number: 0 for NaN, the nearest number where there is none.
#[expect(clippy::cast_possible_truncation, reason = "saturating is meant")]
pub fn to_whole(x: f64) -> i64 {
    x as i64
}

/// The nearest byte, the even one of two: 0 for negative numbers and NaN, 255 beyond it.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturating is meant")]
pub fn to_byte(x: f32) -> u8 {
    x.round_ties_even() as u8
}

/// The lower 32 bits.
#[expect(clippy::cast_possible_truncation, reason = "the upper half is left out")]
pub fn low_word(x: u64) -> u32 {
    x as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_wider_than_the_browsers_words() {
        assert_eq!(numel(&[]), 1);
        assert_eq!(numel(&[3, 0, 5]), 0);
        assert_eq!(numel(&[1024, 1024, 512, 16]), 1 << 33);
        assert_eq!(numel(&[u32::MAX as usize; 3]), u64::MAX);
        assert_eq!(numel(&[u32::MAX as usize, u32::MAX as usize, 0]), 0);
        assert_eq!(host_len(7), 7);
        assert_eq!(host_len(u64::MAX), usize::MAX);
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
