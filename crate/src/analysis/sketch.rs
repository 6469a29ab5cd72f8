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
use crate::num::{numel, to_f32};
use serde::{Deserialize, Serialize};
use ts_rs::TS;

/// [`Signature::version`].
const VERSION: u32 = 1;

/// Number of buckets of rows, and of columns.
const BUCKETS: usize = 8;

/// Largest number of rows and columns of a layer: far above any model's. Small factors can claim billions; such a file has
/// no signature.
const LARGEST: usize = 1 << 22;

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
        if rows.saturating_add(columns) > LARGEST {
            return Sketch(vec![f64::NAN; BUCKETS * BUCKETS]);
        }
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
        let Factorization::Kronecker(first, second) = form else {
            for (row, sums) in rows.iter().zip(by_columns(form, columns)) {
                sums.iter().enumerate().for_each(|(at, sum)| self.0[row.place(at)] += scale * row.sign() * sum);
            }
            return;
        };
        // A sum over the blocks of rows and columns, of which one is bucketed once for each block of the other.
        let (first, (height, width)) = (first.matrix(), second.size());
        let (lines, line) = (first.data.len() / first.columns.max(1), first.columns);
        let cost = |across: usize, along: usize, own: usize, other: usize| {
            numel(&[across, own, other]) + numel(&[BUCKETS, along, across, own])
        };
        if cost(line, lines, height, width) <= cost(lines, line, width, height) {
            for (at, columns) in columns.chunks(width.max(1)).enumerate() {
                let sums = by_columns(second, columns);
                for (block, rows) in rows.chunks(height.max(1)).enumerate() {
                    let scale = scale * f64::from(first.data[block * line + at]);
                    for (row, sums) in rows.iter().zip(&sums) {
                        sums.iter().enumerate().for_each(|(at, sum)| self.0[row.place(at)] += scale * row.sign() * sum);
                    }
                }
            }
        } else {
            for (block, rows) in rows.chunks(height.max(1)).enumerate() {
                let sums = by_rows(second, rows);
                for (at, columns) in columns.chunks(width.max(1)).enumerate() {
                    let scale = scale * f64::from(first.data[block * line + at]);
                    for (column, sums) in columns.iter().zip(&sums) {
                        let place = |row: usize| row * BUCKETS + usize::from(column.index);
                        sums.iter().enumerate().for_each(|(at, sum)| self.0[place(at)] += scale * column.sign() * sum);
                    }
                }
            }
        }
    }
}

/// Sums of one row's or one column's elements by bucket.
type Sums = [f64; BUCKETS];

/// Returns each row's sums by the buckets of the columns.
fn by_columns(form: &Factorization, columns: &[Bucket]) -> Vec<Sums> {
    let of_line = |line: &[f32]| {
        let mut sums = Sums::default();
        let pairs = columns.iter().zip(line);
        pairs.for_each(|(column, value)| sums[usize::from(column.index)] += column.sign() * f64::from(*value));
        sums
    };
    match form {
        Factorization::Whole(whole) => lines(whole).map(of_line).collect(),
        Factorization::Product(left, right) => {
            let inner: Vec<Sums> = lines(right).map(of_line).collect();
            lines(left).map(|line| weighted(line, &inner)).collect()
        }
        Factorization::Kronecker(..) | Factorization::Rows(..) => lines(&form.matrix()).map(of_line).collect(),
    }
}

/// Returns each column's sums by the buckets of the rows.
fn by_rows(form: &Factorization, rows: &[Bucket]) -> Vec<Sums> {
    let of_lines = |matrix: &Dense| {
        let mut all = vec![Sums::default(); matrix.columns];
        for (row, line) in rows.iter().zip(lines(matrix)) {
            let pairs = all.iter_mut().zip(line);
            pairs.for_each(|(sums, value)| sums[usize::from(row.index)] += row.sign() * f64::from(*value));
        }
        all
    };
    match form {
        Factorization::Whole(whole) => of_lines(whole),
        Factorization::Product(left, right) => {
            let inner = of_lines(left);
            let column = |at: usize| lines(right).map(|line| line[at]).collect::<Vec<f32>>();
            (0..right.columns).map(|at| weighted(&column(at), &inner)).collect()
        }
        Factorization::Kronecker(..) | Factorization::Rows(..) => of_lines(&form.matrix()),
    }
}

/// Returns the sum of these sums, each times its weight.
fn weighted(weights: &[f32], all: &[Sums]) -> Sums {
    let mut sum = Sums::default();
    for (weight, sums) in weights.iter().zip(all) {
        sum.iter_mut().zip(sums).for_each(|(sum, value)| *sum += f64::from(*weight) * value);
    }
    sum
}

/// Returns the rows of a matrix.
fn lines(matrix: &Dense) -> impl Iterator<Item = &[f32]> {
    matrix.data.chunks(matrix.columns.max(1))
}

/// Where a row or a column is added.
struct Bucket {
    index: u8,
    is_negative: bool,
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
        Bucket { index: byte & 7, is_negative: byte >= 128 }
    }

    fn sign(&self) -> f64 {
        if self.is_negative { -1.0 } else { 1.0 }
    }

    /// Returns the place of this row's sum of a bucket of columns.
    fn place(&self, column: usize) -> usize {
        usize::from(self.index) * BUCKETS + column
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn random(rows: usize, columns: usize, seed: &str) -> Dense {
        let bytes = Bucket::list(seed, rows * columns * 2);
        let value =
            |pair: &[Bucket]| (pair[0].sign() * f64::from(pair[0].index) + f64::from(pair[1].index)) as f32 / 8.0;
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
        check(&Factorization::Kronecker(whole(1, 30, "b"), whole(20, 1, "c")));
        check(&Factorization::Kronecker(whole(1, 30, "b"), product(20, 2, "c")));
        check(&Factorization::Kronecker(whole(30, 1, "b"), product(1, 20, "c")));
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
        let long = |rows, columns| Box::new(Factorization::Whole(Dense::new(vec![1.0; rows * columns], columns)));
        assert_eq!(sketch(&Factorization::Kronecker(long(4096, 1), long(4096, 1)), 1.0).signature(), None);
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
