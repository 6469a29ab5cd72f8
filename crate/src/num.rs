//! Counts of elements, bytes and operations: 64 bits wide on every target.
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
}
