//! Comparison of two changes of one tensor: their angle, and how much of each lies within the other's subspace.
//!
//! The inner product of two factorized changes is Σ (left₁ᵀ·left₂) ∘ (right₁·right₂ᵀ): ranks, keys and
//! algorithms may differ, and no change is materialized.

use super::spectrum::Spectrum;
use crate::linalg::{Factorization, Matrix, orthonormal_basis};
use crate::num::numel;
use serde::Serialize;
use ts_rs::TS;

/// Two files' changes of one tensor.
#[derive(Debug, Clone, Default, PartialEq, Serialize, TS)]
pub struct LayerComparison {
    /// Changed tensor: `unet.down_blocks.0….weight`.
    pub tensor: String,
    /// The first file's change; null if it has none or the change is not a factorized matrix.
    pub a: Option<SideOfLayer>,
    /// The second file's.
    pub b: Option<SideOfLayer>,
    /// Whether both have equal tensors, the only comparison of changes that are not matrices.
    pub identical: bool,
    /// Cosine similarity of the changes; null if one file does not change the layer or its change is
    /// zero.
    pub cosine: Option<f64>,
}

/// One file's change of a tensor.
#[derive(Debug, Clone, PartialEq, Serialize, TS)]
pub struct SideOfLayer {
    /// Frobenius norm of the change at strength 1.
    pub norm: f64,
    /// Largest possible rank.
    pub rank: usize,
    /// Σσ² of the largest singular values, as many as the other's rank.
    pub energy_at_other_rank: f64,
    /// Fraction of its energy within the subspace of the other; null if that is too large to be
    /// meaningful.
    pub inside_other: Option<f64>,
}

/// Compares two changes, each a factorization and its scale.
pub fn compare_forms(a: Option<&(Factorization, f32)>, b: Option<&(Factorization, f32)>) -> LayerComparison {
    let rank = |side: Option<&(Factorization, f32)>| side.map(|(form, _)| form.rank());
    let describe = |side: Option<&(Factorization, f32)>, other: Option<usize>| {
        let (form, scale) = side?;
        let spectrum = Spectrum::of(form, f64::from(*scale));
        let energy = spectrum.values.iter().take(other.unwrap_or(0)).map(|value| value * value).sum();
        Some(SideOfLayer {
            norm: spectrum.frobenius(),
            rank: form.rank(),
            energy_at_other_rank: energy,
            inside_other: None,
        })
    };
    let (mut side_a, mut side_b) = (describe(a, rank(b)), describe(b, rank(a)));
    let mut cosine = None;
    if let (Some((form_a, scale_a)), Some((form_b, scale_b)), Some(a), Some(b)) = (a, b, &mut side_a, &mut side_b) {
        let norms = a.norm * b.norm;
        if form_a.size() == form_b.size() && norms > 0.0 && norms.is_finite() {
            let (first, second) = (Factors::of(form_a), Factors::of(form_b));
            cosine = Some(first.dot(&second) * f64::from(*scale_a) * f64::from(*scale_b) / norms);
            a.inside_other = first.share_in(&second);
            b.inside_other = second.share_in(&first);
        }
    }
    LayerComparison { a: side_a, b: side_b, cosine, ..LayerComparison::default() }
}

/// Factors left (outputs, rank) and right (rank, columns) in f64.
struct Factors {
    left: Matrix,
    right: Matrix,
}

impl Factors {
    fn of(form: &Factorization) -> Factors {
        let (left, right) = form.pair();
        Factors { left: Matrix::from(&left), right: Matrix::from(&right) }
    }

    /// Returns the inner product of the two matrices.
    fn dot(&self, other: &Factors) -> f64 {
        self.left.transposed_times(&other.left).dot(&self.right.times_transposed(&other.right))
    }

    /// Returns the fraction of this matrix's energy that remains when its columns and rows are projected
    /// onto the other's; `None` if the other spans so much that any matrix would keep much of it.
    fn share_in(&self, other: &Factors) -> Option<f64> {
        const MAX_SPANNED: f64 = 0.25;
        let spanned = (other.left.columns as f64).powi(2) / numel(&[other.left.rows, other.right.columns]) as f64;
        if spanned > MAX_SPANNED {
            return None;
        }
        let left = orthonormal_basis(&other.left.transposed()).times(&self.left);
        let right = self.right.times_transposed(&orthonormal_basis(&other.right));
        let inside = left.transposed_times(&left).dot(&right.times_transposed(&right));
        Some((inside / self.dot(self)).clamp(0.0, 1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn product(rows: usize, rank: usize, columns: usize, seed: u32) -> Factorization {
        let random = |count: usize, seed: u32| {
            let mut state = seed;
            let mut next = || {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 8) as f32 / (1 << 23) as f32 - 1.0
            };
            (0..count).map(|_| next()).collect::<Vec<f32>>()
        };
        Factorization::product(random(rows * rank, seed), random(rank * columns, seed + 1), rank)
    }

    #[test]
    fn cosines_and_shares_match_the_dense_matrices() {
        let (a, b) = (product(20, 2, 30, 7), product(20, 3, 30, 11));
        let row = compare_forms(Some(&(a.clone(), 2.0)), Some(&(b.clone(), -0.5)));
        let (whole_a, whole_b) = (a.matrix().data, b.matrix().data);
        let dot = |x: &[f32], y: &[f32]| x.iter().zip(y).map(|(x, y)| f64::from(x * y)).sum::<f64>();
        let cosine = -dot(&whole_a, &whole_b) / (dot(&whole_a, &whole_a) * dot(&whole_b, &whole_b)).sqrt();
        assert!((row.cosine.expect("a cosine") - cosine).abs() < 1e-5, "{row:?} {cosine}");
        let side = row.a.expect("the first");
        assert!((side.norm - 2.0 * dot(&whole_a, &whole_a).sqrt()).abs() < 1e-4);
        assert!(side.inside_other.expect("a share") < 0.2);
        let whole = compare_forms(Some(&(Factorization::Whole(a.matrix()), 1.0)), Some(&(a, 1.0)));
        assert!((whole.cosine.expect("a cosine") - 1.0).abs() < 1e-6);
        assert_eq!(whole.b.and_then(|side| side.inside_other), None, "everything lies in a full matrix");
        assert!((whole.a.and_then(|side| side.inside_other).expect("a share") - 1.0).abs() < 1e-6);
    }
}
