//! Contractions with the cores of Tucker decompositions.

/// Maximum number of elements computed from factors whose sizes are not checked against a base model: many times
/// what any published layer needs.
pub(super) const MAX_DENSE_LEN: usize = 1 << 24;

/// Contracts `core` (rank, inner, kernel) with `down` (inner, inputs) to (rank, inputs, kernel):
/// Σ over n of core[m, n, k] · down[n, i]. Returns `None` above [`MAX_DENSE_LEN`] elements.
pub(super) fn contracted(core: &[f32], down: &[f32], inner: usize, inputs: usize, kernel: usize) -> Option<Vec<f32>> {
    let rank = core.len() / (inner * kernel).max(1);
    let count = rank.checked_mul(inputs)?.checked_mul(kernel).filter(|&count| count <= MAX_DENSE_LEN)?;
    let mut out = vec![0.0; count];
    for (at, sum) in out.iter_mut().enumerate() {
        let (m, i, k) = (at / (inputs * kernel), at / kernel % inputs, at % kernel);
        *sum = (0..inner).map(|n| core[(m * inner + n) * kernel + k] * down[n * inputs + i]).sum();
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_core_of_ones_sums_over_the_inner_axis() {
        let down = [0.5, -1.0, 1.5, 2.0, -0.25, 3.0];
        let out = contracted(&[1.0; 2 * 2 * 4], &down, 2, 3, 4).expect("a small product");
        assert_eq!(contracted(&[1.0; 8192], &[1.0; 8192], 1, 8192, 1), None);
        assert!(out.chunks_exact(4).enumerate().all(|(at, k)| k == [down[at % 3] + down[3 + at % 3]; 4]));
    }
}
