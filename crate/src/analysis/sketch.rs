//! Signatures: 64 numbers by whose cosine copies of an adapter, and merges with it, are found among many files.
//!
//! A signature is a linear sketch of all changes (tensor sketch, Pham and Pagh 2013): every row and every column of a
//! change falls into one of eight buckets with a random sign, both decided by the layer's name and the index, and the 8 x 8
//! sums of all layers are added and scaled to length 1. The cosine of two signatures therefore estimates that of the
//! changes themselves, with a standard deviation of at most 1/8. Factors are bucketed one by one, so that no change is
//! multiplied out.

use super::compare::{ComparedFile, ReadError};
use crate::adapters::Delta;
use crate::linalg::{Dense, Factorization};
use crate::num::to_f32;
use serde::{Deserialize, Serialize};
use ts_rs::TS;

/// [`Signature::version`].
const VERSION: u32 = 1;

/// Number of buckets of rows, and of columns.
const BUCKETS: usize = 8;

/// A unit vector of 64 numbers that identifies the changes of an adapter, whatever its rank, strength, key format and
/// dtype.
#[derive(Debug, Clone, PartialEq, Serialize, TS)]
pub struct Signature {
    /// Version of the numbers: only signatures of one version can be compared.
    pub version: u32,
    /// The numbers; their squares sum to 1.
    pub values: Vec<f32>,
}

impl Signature {
    /// Returns the cosine of two signatures: 1 for copies at any strength, about 0 for unrelated adapters; 0 if their
    /// versions differ.
    pub fn cosine(&self, other: &Signature) -> f64 {
        if self.version != other.version {
            return 0.0;
        }
        self.values.iter().zip(&other.values).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
    }
}

/// Computes the signature of an adapter, without the rest of its report. `None` if all its changes depend on the base model.
pub async fn signature(file: ComparedFile<'_>) -> Result<Option<Signature>, ReadError> {
    let mut sum = Sketch::default();
    for delta in &file.adapter.deltas {
        let factors = file.read(delta).await?;
        delta.change.form(&factors).iter().for_each(|form| sum.merge(&Sketch::of(delta, form)));
    }
    Ok(sum.signature())
}

/// Sums of the buckets of a change, or of several.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Sketch(Vec<f64>);

impl Default for Sketch {
    fn default() -> Sketch {
        Sketch(vec![0.0; BUCKETS * BUCKETS])
    }
}

impl Sketch {
    /// Computes the sketch of a delta whose change has this form.
    pub fn of(delta: &Delta, form: &Factorization) -> Sketch {
        Sketch::of_form(&delta.tensor(), form, f64::from(delta.scale))
    }

    fn of_form(tensor: &str, form: &Factorization, scale: f64) -> Sketch {
        let (rows, columns) = form.size();
        let buckets = |axis: &str, count: usize| Bucket::list(&format!("{tensor} {axis}"), count);
        let mut sketch = Sketch::default();
        sketch.add(form, &buckets("rows", rows), &buckets("columns", columns), scale);
        sketch
    }

    /// Adds another change's.
    pub fn merge(&mut self, other: &Sketch) {
        self.0.iter_mut().zip(&other.0).for_each(|(sum, value)| *sum += value);
    }

    /// Returns the signature; `None` if there is no change, or values that are not finite.
    pub fn signature(&self) -> Option<Signature> {
        let norm = self.0.iter().map(|value| value * value).sum::<f64>().sqrt();
        let values = || self.0.iter().map(|value| to_f32(value / norm)).collect();
        (norm > 0.0 && norm.is_finite()).then(|| Signature { version: VERSION, values: values() })
    }

    /// Adds `scale` times a matrix with these buckets of its rows and columns.
    fn add(&mut self, form: &Factorization, rows: &[Bucket], columns: &[Bucket], scale: f64) {
        match form {
            Factorization::Whole(whole) => {
                for (row, line) in rows.iter().zip(lines(whole)) {
                    for (column, value) in columns.iter().zip(line) {
                        self.0[row.index * BUCKETS + column.index] +=
                            scale * row.sign * column.sign * f64::from(*value);
                    }
                }
            }
            Factorization::Product(left, right) => {
                let rank = left.columns;
                let mut first = vec![0.0; BUCKETS * rank];
                for (row, line) in rows.iter().zip(lines(left)) {
                    let sums = &mut first[row.index * rank..][..rank];
                    sums.iter_mut().zip(line).for_each(|(sum, value)| *sum += row.sign * f64::from(*value));
                }
                for (at, line) in lines(right).enumerate() {
                    let mut second = [0.0; BUCKETS];
                    for (column, value) in columns.iter().zip(line) {
                        second[column.index] += column.sign * f64::from(*value);
                    }
                    for (index, sum) in self.0.iter_mut().enumerate() {
                        *sum += scale * first[index / BUCKETS * rank + at] * second[index % BUCKETS];
                    }
                }
            }
            Factorization::Kronecker(first, second) => {
                let (first, (height, width)) = (first.matrix(), second.size());
                for (rows, line) in rows.chunks(height.max(1)).zip(lines(&first)) {
                    for (columns, value) in columns.chunks(width.max(1)).zip(line) {
                        self.add(second, rows, columns, scale * f64::from(*value));
                    }
                }
            }
        }
    }
}

/// Returns the rows of a matrix.
fn lines(matrix: &Dense) -> impl Iterator<Item = &[f32]> {
    matrix.data.chunks(matrix.columns.max(1))
}

/// Where a row or a column is added.
struct Bucket {
    index: usize,
    sign: f64,
}

impl Bucket {
    /// Returns the buckets of `count` rows or columns: bits of SplitMix64 from the FNV-1a hash of `name`.
    fn list(name: &str, count: usize) -> Vec<Bucket> {
        let fnv = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        let mut state = name.bytes().fold(0xcbf2_9ce4_8422_2325, fnv);
        let next = || {
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            Bucket::of((mixed ^ (mixed >> 31)).to_be_bytes()[0])
        };
        std::iter::repeat_with(next).take(count).collect()
    }

    /// Returns the bucket of a random byte.
    fn of(byte: u8) -> Bucket {
        Bucket { index: usize::from(byte) % BUCKETS, sign: if byte < 128 { 1.0 } else { -1.0 } }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn random(rows: usize, columns: usize, seed: &str) -> Dense {
        let bytes = Bucket::list(seed, rows * columns * 2);
        let value = |pair: &[Bucket]| (pair[0].sign * pair[0].index as f64 + pair[1].index as f64) as f32 / 8.0;
        Dense::new(bytes.chunks(2).map(value).collect(), columns)
    }

    fn sketch(form: &Factorization, scale: f64) -> Sketch {
        Sketch::of_form("unet.mid_block.weight", form, scale)
    }

    #[test]
    fn every_form_of_a_matrix_has_the_sketch_of_the_whole_matrix() {
        let whole = |rows, columns, seed| Box::new(Factorization::Whole(random(rows, columns, seed)));
        let product = |rows, columns, seed| {
            Box::new(Factorization::Product(random(rows, 3, seed), random(3, columns, &format!("{seed}'"))))
        };
        let check = |form: &Factorization| {
            let (a, b) = (sketch(form, 0.5), sketch(&Factorization::Whole(form.matrix()), 0.5));
            assert!(a.0.iter().zip(&b.0).all(|(a, b)| (a - b).abs() < 1e-3), "{a:?} {b:?}");
        };
        check(&product(20, 30, "a"));
        check(&Factorization::Kronecker(whole(4, 3, "b"), whole(5, 7, "c")));
        check(&Factorization::Kronecker(whole(4, 3, "b"), product(5, 7, "c")));
        check(&Factorization::Kronecker(product(4, 6, "b"), product(5, 7, "c")));
    }

    #[test]
    fn strength_only_changes_the_sign_and_names_change_everything() {
        let form = Factorization::Product(random(40, 4, "left"), random(4, 50, "right"));
        let signature = |scale| sketch(&form, scale).signature().expect("a change");
        assert!((signature(1.0).cosine(&signature(0.25)) - 1.0).abs() < 1e-6);
        assert!((signature(1.0).cosine(&signature(-2.0)) + 1.0).abs() < 1e-6);
        let other = Sketch::of_form("unet.conv_in.weight", &form, 1.0).signature().expect("a change");
        assert!(signature(1.0).cosine(&other).abs() < 0.6);
    }

    #[test]
    fn nothing_and_invalid_values_have_no_signature() {
        let form = |value: f32| Factorization::Whole(Dense::new(vec![value; 4], 2));
        assert_eq!(sketch(&form(0.0), 1.0).signature(), None);
        assert_eq!(sketch(&form(f32::NAN), 1.0).signature(), None);
        assert_eq!(Sketch::default().signature(), None);
    }

    /// These numbers are stored by users: another result needs another version.
    #[test]
    fn the_numbers_of_version_1_are_these() {
        let form = Factorization::Product(Dense::new(vec![1.0, 2.0, 3.0], 1), Dense::new(vec![1.0, -1.0], 2));
        let values = sketch(&form, 1.0).signature().expect("a change").values;
        let found: Vec<(usize, f32)> = values.into_iter().enumerate().filter(|(_, value)| *value != 0.0).collect();
        assert_eq!(found, [(16, 0.5), (21, -0.5), (24, -0.5), (29, 0.5)]);
    }
}
