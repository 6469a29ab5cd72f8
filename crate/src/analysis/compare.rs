//! Comparison of two adapters: the angle between their changes, layer by layer, and whether one is a
//! rescaled, resized or merged version of the other.
//!
//! The inner product of two factorized changes is Σ (left₁ᵀ·left₂) ∘ (right₁·right₂ᵀ): ranks, keys and
//! algorithms may differ, and no change is materialized.

use super::matrix::{Matrix, eigen};
use super::relation::{Relation, relation};
use super::spectrum::Spectrum;
use crate::adapters::{Adapter, Delta, Dense, FactorData, Factorization};
use crate::formats::{ByteSource, FormatError, Header};
use crate::num::numel;
use serde::Serialize;
use std::collections::{BTreeSet, HashMap};
use ts_rs::TS;

/// An adapter file to compare.
#[derive(Clone, Copy)]
pub struct ComparedFile<'a> {
    /// File name, for error messages.
    pub name: &'a str,
    /// Content of the file.
    pub source: &'a dyn ByteSource,
    /// Its header.
    pub header: &'a Header,
    /// Its changes.
    pub adapter: &'a Adapter,
}

impl ComparedFile<'_> {
    /// Reads the factors of one of its deltas.
    pub(super) async fn read(&self, delta: &Delta) -> Result<FactorData, ReadError> {
        let factors = delta.read(self.source, self.header).await;
        factors.map_err(|source| ReadError { file: self.name.into(), source })
    }
}

/// Read error of one of several files.
#[derive(Debug, thiserror::Error)]
#[error("{file}: {source}")]
pub struct ReadError {
    /// File name.
    pub file: String,
    /// The cause.
    pub source: FormatError,
}

/// Comparison of two files.
#[derive(Debug, Clone, PartialEq, Serialize, TS)]
pub struct Comparison {
    /// Relation of the files.
    pub relation: Relation,
    /// Every tensor that either file changes, in the first file's order.
    pub layers: Vec<LayerComparison>,
    /// Metadata keys with different values.
    pub metadata: Vec<MetadataDifference>,
}

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

/// A metadata key with different values.
#[derive(Debug, Clone, PartialEq, Serialize, TS)]
pub struct MetadataDifference {
    /// The key.
    pub key: String,
    /// The first file's value.
    pub a: Option<String>,
    /// The second file's.
    pub b: Option<String>,
}

/// Compares two adapters of one base model family. Reads every factor once.
pub async fn compare(a: ComparedFile<'_>, b: ComparedFile<'_>) -> Result<Comparison, ReadError> {
    let mut others: HashMap<String, &Delta> = b.adapter.deltas.iter().map(|delta| (delta.tensor(), delta)).collect();
    let mut layers = Vec::new();
    for delta in &a.adapter.deltas {
        let other = others.remove(&delta.tensor());
        let numbers = a.read(delta).await?;
        let other_numbers = match other {
            Some(other) => b.read(other).await?,
            None => FactorData::new(),
        };
        layers.push(layer(Some((delta, &numbers)), other.map(|other| (other, &other_numbers))));
    }
    for delta in b.adapter.deltas.iter().filter(|delta| others.contains_key(&delta.tensor())) {
        layers.push(layer(None, Some((delta, &b.read(delta).await?))));
    }
    let keys: BTreeSet<&String> = a.header.metadata.keys().chain(b.header.metadata.keys()).collect();
    let value = |file: ComparedFile, key: &String| file.header.metadata.get(key).cloned();
    let metadata =
        keys.into_iter().map(|key| MetadataDifference { key: key.clone(), a: value(a, key), b: value(b, key) });
    let metadata = metadata.filter(|difference| difference.a != difference.b).collect();
    Ok(Comparison { relation: relation(&layers), layers, metadata })
}

/// A delta and its factors.
type Side<'a> = Option<(&'a Delta, &'a FactorData)>;

fn layer(a: Side, b: Side) -> LayerComparison {
    let tensor = a.or(b).map(|(delta, _)| delta.tensor()).unwrap_or_default();
    let factorize = |side: Side| side.and_then(|(delta, numbers)| Some((delta.change.form(numbers)?, delta.scale)));
    let (factors_a, factors_b) = (factorize(a), factorize(b));
    LayerComparison { tensor, identical: is_identical(a, b), ..compare_forms(factors_a.as_ref(), factors_b.as_ref()) }
}

/// Returns whether two deltas have the same algorithm, scale and factors.
fn is_identical(a: Side, b: Side) -> bool {
    let (Some((a, numbers_a)), Some((b, numbers_b))) = (a, b) else { return false };
    let (factors_a, factors_b) = (a.change.factors(), b.change.factors());
    let same = |(x, y): (&&crate::adapters::Factor, &&crate::adapters::Factor)| {
        numbers_a.get(&x.key).is_some() && numbers_a.get(&x.key) == numbers_b.get(&y.key)
    };
    a.change.algorithm() == b.change.algorithm()
        && a.scale == b.scale
        && factors_a.len() == factors_b.len()
        && factors_a.iter().zip(&factors_b).all(same)
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
        let widen = |dense: &Dense| Matrix::of(&dense.data, dense.columns);
        let (left, right) = form.pair();
        Factors { left: widen(&left), right: widen(&right) }
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
        let left = orthonormal_rows(&other.left.transposed()).times(&self.left);
        let right = self.right.times_transposed(&orthonormal_rows(&other.right));
        let inside = left.transposed_times(&left).dot(&right.times_transposed(&right));
        Some((inside / self.dot(self)).clamp(0.0, 1.0))
    }
}

/// Returns orthonormal rows that span those of a matrix, ignoring f16 rounding errors.
fn orthonormal_rows(matrix: &Matrix) -> Matrix {
    const MIN_NORM: f64 = 1e-3;
    let found = eigen(matrix.times_transposed(matrix));
    let largest = found.values.first().copied().unwrap_or(0.0);
    let kept = found.values.iter().take_while(|&&value| value > MIN_NORM * MIN_NORM * largest && value > 0.0).count();
    let mut rows = found.vectors.first_rows(kept).times(matrix);
    rows.scale_rows(found.values[..kept].iter().map(|value| 1.0 / value.sqrt()));
    rows
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
