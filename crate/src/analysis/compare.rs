//! Turns two adapters into what they have in common: the angle between their changes, layer by
//! layer, and one of them as the other made stronger, smaller or part of a sum.
//!
//! The inner product of two products is Σ (left₁ᵀ·left₂) ∘ (right₁·right₂ᵀ), so that ranks, names
//! and algorithms may differ and no change is formed.

use super::matrix::{Matrix, eigen};
use super::relation::{Relation, relation};
use super::spectrum::Spectrum;
use crate::adapters::{Adapter, Delta, Dense, Factorization, Numbers};
use crate::formats::{ByteSource, FormatError, Header};
use crate::num::numel;
use serde::Serialize;
use std::collections::{BTreeSet, HashMap};
use ts_rs::TS;

/// A file that is compared.
#[derive(Clone, Copy)]
pub struct ComparedFile<'a> {
    /// Its name, for messages.
    pub name: &'a str,
    /// Its bytes.
    pub source: &'a dyn ByteSource,
    /// What they hold.
    pub header: &'a Header,
    /// What it changes.
    pub adapter: &'a Adapter,
}

impl ComparedFile<'_> {
    /// Reads the factors of one of its deltas.
    pub(super) async fn read(&self, delta: &Delta) -> Result<Numbers, Unreadable> {
        let numbers = delta.read(self.source, self.header).await;
        numbers.map_err(|source| Unreadable { file: self.name.into(), source })
    }
}

/// One of several files that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("{file}: {source}")]
pub struct Unreadable {
    /// Which.
    pub file: String,
    /// Why not.
    pub source: FormatError,
}

/// Two files, compared.
#[derive(Debug, Clone, PartialEq, Serialize, TS)]
pub struct Comparison {
    /// What they are to each other.
    pub relation: Relation,
    /// Every tensor that either changes, in the first file's order.
    pub layers: Vec<LayerComparison>,
    /// Metadata keys with other values.
    pub metadata: Vec<MetadataDifference>,
}

/// Two files' changes of one tensor.
#[derive(Debug, Clone, Default, PartialEq, Serialize, TS)]
pub struct LayerComparison {
    /// The tensor: `unet.down_blocks.0….weight`.
    pub tensor: String,
    /// The first file's change, where it is a matrix in factors.
    pub a: Option<SideOfLayer>,
    /// The second's.
    pub b: Option<SideOfLayer>,
    /// Whether both have the same numbers, which is all that can be said of what is no matrix.
    pub identical: bool,
    /// Inner product over both norms: 1 the same direction, 0 nothing in common; none where one
    /// file does not change the layer or is zero there.
    pub cosine: Option<f64>,
}

/// One file's change of a tensor.
#[derive(Debug, Clone, PartialEq, Serialize, TS)]
pub struct SideOfLayer {
    /// Frobenius norm at strength 1.
    pub norm: f64,
    /// The most that its rank can be.
    pub rank: usize,
    /// Σσ² of as many of the largest singular values as the other's rank is.
    pub energy_at_other_rank: f64,
    /// Share of its energy that lies among the directions of the other; none where the other has so
    /// many that this says nothing.
    pub inside_other: Option<f64>,
}

/// A metadata key with other values.
#[derive(Debug, Clone, PartialEq, Serialize, TS)]
pub struct MetadataDifference {
    /// The key.
    pub key: String,
    /// The first file's value.
    pub a: Option<String>,
    /// The second's.
    pub b: Option<String>,
}

/// Compares two adapters of one family of models. Reads every factor once.
pub async fn compare(a: ComparedFile<'_>, b: ComparedFile<'_>) -> Result<Comparison, Unreadable> {
    let mut others: HashMap<String, &Delta> = b.adapter.deltas.iter().map(|delta| (delta.tensor(), delta)).collect();
    let mut layers = Vec::new();
    for delta in &a.adapter.deltas {
        let other = others.remove(&delta.tensor());
        let numbers = a.read(delta).await?;
        let other_numbers = match other {
            Some(other) => b.read(other).await?,
            None => Numbers::new(),
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
type Side<'a> = Option<(&'a Delta, &'a Numbers)>;

fn layer(a: Side, b: Side) -> LayerComparison {
    let tensor = a.or(b).map(|(delta, _)| delta.tensor()).unwrap_or_default();
    let form = |side: Side| side.and_then(|(delta, numbers)| Some((delta.change.form(numbers)?, delta.scale)));
    let (form_a, form_b) = (form(a), form(b));
    LayerComparison { tensor, identical: is_identical(a, b), ..compare_forms(form_a.as_ref(), form_b.as_ref()) }
}

/// Whether two deltas are of one algorithm and have the same numbers.
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

/// Compares two changes, each a form and its scale.
pub fn compare_forms(a: Option<&(Factorization, f32)>, b: Option<&(Factorization, f32)>) -> LayerComparison {
    let rank = |side: Option<&(Factorization, f32)>| side.map(|(form, _)| form.rank());
    let described = |side: Option<&(Factorization, f32)>, other: Option<usize>| {
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
    let (mut side_a, mut side_b) = (described(a, rank(b)), described(b, rank(a)));
    let mut cosine = None;
    if let (Some((form_a, scale_a)), Some((form_b, scale_b)), Some(a), Some(b)) = (a, b, &mut side_a, &mut side_b) {
        let sizes = a.norm * b.norm;
        if form_a.size() == form_b.size() && sizes > 0.0 && sizes.is_finite() {
            let (first, second) = (Factors::of(form_a), Factors::of(form_b));
            cosine = Some(first.dot(&second) * f64::from(*scale_a) * f64::from(*scale_b) / sizes);
            a.inside_other = first.share_in(&second);
            b.inside_other = second.share_in(&first);
        }
    }
    LayerComparison { a: side_a, b: side_b, cosine, ..LayerComparison::default() }
}

/// left (outputs, rank) and right (rank, columns) in f64.
struct Factors {
    left: Matrix,
    right: Matrix,
}

impl Factors {
    fn of(form: &Factorization) -> Factors {
        let wide = |dense: &Dense| Matrix::of(&dense.data, dense.columns);
        let (left, right) = form.pair();
        Factors { left: wide(&left), right: wide(&right) }
    }

    /// Inner product of the two matrices.
    fn dot(&self, other: &Factors) -> f64 {
        self.left.transposed_times(&other.left).dot(&self.right.times_transposed(&other.right))
    }

    /// Share of this matrix' energy that is left when its columns and rows are projected onto those
    /// of the other; none where the other spans so much that any matrix would keep a good part.
    fn share_in(&self, other: &Factors) -> Option<f64> {
        const TELLING: f64 = 0.25;
        let spanned = (other.left.columns as f64).powi(2) / numel(&[other.left.rows, other.right.columns]) as f64;
        if spanned > TELLING {
            return None;
        }
        let left = directions(&other.left.transposed()).times(&self.left);
        let right = self.right.times_transposed(&directions(&other.right));
        let inside = left.transposed_times(&left).dot(&right.times_transposed(&right));
        Some((inside / self.dot(self)).clamp(0.0, 1.0))
    }
}

/// Orthonormal rows that span those of a matrix, without what is the rounding of f16.
fn directions(matrix: &Matrix) -> Matrix {
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
        let numbers = |count: usize, seed: u32| {
            let mut state = seed;
            let mut next = || {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 8) as f32 / (1 << 23) as f32 - 1.0
            };
            (0..count).map(|_| next()).collect::<Vec<f32>>()
        };
        Factorization::product(numbers(rows * rank, seed), numbers(rank * columns, seed + 1), rank)
    }

    #[test]
    fn angles_and_shares_are_those_of_the_formed_matrices() {
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
