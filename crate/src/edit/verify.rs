//! Verification that a merged checkpoint is its base model with adapters merged in, tensor by tensor.

use super::baking::{BakeInput, read_checked};
use super::error::EditError;
use super::inputs::{EditInput, MergePart, Models};
use crate::adapters::{AdapterDelta, BakeError, BakedAdapter, BaseTensor, ModelFile, fold_part};
use crate::formats::{Dtype, FormatError, TensorInfo, widen::narrow};
use serde::Serialize;
use std::collections::{BTreeMap, HashSet};

/// Comparison of a merged checkpoint with its base model and the adapters.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Verification {
    /// Summary.
    pub verdict: MergeVerdict,
    /// Number of tensors that the adapters change.
    pub touched: usize,
    /// Of those, tensors that are bit-exact: base + Σ strength · change in f32, rounded once to the merged dtype.
    pub exact: usize,
    /// Of those, tensors that differ by rounding at most; see [`MergeVerdict::Rounded`].
    pub rounded: usize,
    /// Number of elements of these tensors.
    pub elements: u64,
    /// Of those, bit-exact elements.
    pub exact_elements: u64,
    /// Largest difference of an element, in ulps of the merged dtype.
    pub largest_ulps: u64,
    /// Largest ‖difference‖ / ‖change‖ of a tensor.
    pub largest_error: f64,
    /// The tensor with that difference, as the merged checkpoint calls it.
    pub worst: Option<String>,
    /// The multiple of the expected change that is closest to merged − base, by least squares; `None` if nothing
    /// changes.
    pub factor: Option<f64>,
    /// Number of the base model's other tensors.
    pub untouched: usize,
    /// Of those, tensors that are equal, after rounding to the merged dtype.
    pub equal: usize,
    /// Those that are not.
    pub changed: Vec<String>,
    /// Tensors of the base model that the merged checkpoint lacks.
    pub missing: Vec<String>,
    /// Tensors of the merged checkpoint that the base model lacks.
    pub added: Vec<String>,
}

/// Summary of a verification.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum MergeVerdict {
    /// Every tensor is bit-exact.
    Exact,
    /// Every touched tensor holds the change up to rounding: without elements that differ by at most one ulp, the
    /// difference is at most 1 % of the change. Programs that merge in f16 or in another order produce such files.
    Rounded,
    /// Some touched tensors do not hold the change.
    Different,
}

impl Verification {
    /// Returns whether the checkpoint holds the adapters at their strengths.
    pub fn holds(&self) -> bool {
        self.verdict != MergeVerdict::Different
    }
}

/// Compares `merged` with `base` and the adapters at the strengths of `parts`. Reads one tensor at a time.
pub async fn verify(
    merged: &EditInput<'_>,
    base: &EditInput<'_>,
    adapters: &[EditInput<'_>],
    parts: &[MergePart],
) -> Result<Verification, EditError> {
    let (models, originals) = (Models::open(merged).await?, Models::open(base).await?);
    if models.shapes.family != originals.shapes.family {
        let [a, b] = [&models, &originals].map(|model| model.shapes.family.label().to_owned());
        return Err(EditError::OtherFamily { file_a: merged.name.into(), a, file_b: base.name.into(), b });
    }
    let mut loras = Vec::new();
    for (input, part) in adapters.iter().zip(parts) {
        loras.push(read_checked(input, part, &originals.shapes, &mut Vec::new()).await?);
    }
    let loras: Vec<BakedAdapter> = loras.iter().map(BakeInput::baked).collect();
    let mut changes: BTreeMap<String, Vec<AdapterDelta>> = BTreeMap::new();
    for lora in &loras {
        for delta in &lora.adapter.deltas {
            changes.entry(delta.tensor()).or_default().push((lora, delta));
        }
    }
    let (merged_files, base_files) = (models.files(), originals.files());
    let pair = Pair {
        merged: Side { input: merged, models: &models, files: &merged_files },
        base: Side { input: base, models: &originals, files: &base_files },
    };
    let mut tally = Tally::default();
    for (name, changes) in &changes {
        match pair.touched(name, changes).await? {
            Some(proof) => tally.add(name, &proof),
            None => tally.missing.push(name.clone()),
        }
    }
    let mut names: Vec<&String> = originals.shapes.tensors.keys().filter(|name| !changes.contains_key(*name)).collect();
    names.sort();
    for name in names {
        tally.untouched(name.clone(), pair.is_equal(name).await?);
    }
    pair.other_tensors(&mut tally).await?;
    Ok(tally.verification(changes.len()))
}

/// A model and its opened files.
struct Side<'a> {
    input: &'a EditInput<'a>,
    models: &'a Models<'a>,
    files: &'a [ModelFile<'a>],
}

impl<'a> Side<'a> {
    /// Returns a layer's tensor by its full name.
    fn tensor(&self, name: &str) -> Option<BaseTensor<'_>> {
        BaseTensor::find(self.files, &self.models.shapes.tensors, name)
    }

    fn unreadable(&self, source: FormatError) -> EditError {
        EditError::Read { file: self.input.name.into(), source }
    }

    /// Returns the tensors that belong to no layer, by key; in a folder, with the network's name before the key.
    fn others(&self) -> BTreeMap<String, (&'a ModelFile<'a>, &'a TensorInfo)> {
        let places = self.models.shapes.tensors.values();
        let known: HashSet<(usize, &str)> = places.map(|(file, stored)| (*file, stored.key.as_str())).collect();
        let mut others = BTreeMap::new();
        for (index, file) in self.files.iter().enumerate() {
            let unknown = file.header.tensors.iter().filter(|tensor| !known.contains(&(index, tensor.name.as_str())));
            let name = |key: &str| file.component.map_or(key.to_owned(), |component| format!("{component}.{key}"));
            others.extend(unknown.map(|tensor| (name(&tensor.name), (file, tensor))));
        }
        others
    }
}

/// The merged checkpoint and its base model.
struct Pair<'a> {
    merged: Side<'a>,
    base: Side<'a>,
}

impl Pair<'_> {
    /// Compares a tensor that adapters change; `None` if the merged checkpoint lacks it or has it in another shape.
    async fn touched(&self, name: &str, changes: &[AdapterDelta<'_>]) -> Result<Option<Proof>, EditError> {
        let (Some(base), Some(merged)) = (self.base.tensor(name), self.merged.tensor(name)) else { return Ok(None) };
        let shape = base.shape();
        if merged.shape() != shape {
            return Ok(None);
        }
        let before = base.read().await.map_err(|source| self.base.unreadable(source))?;
        let wanted = fold_part(before.clone(), &shape, name, changes).await?;
        let found = merged.read().await.map_err(|source| self.merged.unreadable(source))?;
        let numbers = |source| EditError::from(BakeError::Numbers { tensor: name.into(), source });
        let stored = |elements: &[f32]| narrow(merged.dtype(), elements, name).map_err(numbers);
        Ok(Some(Proof::of(merged.dtype(), &before, &wanted, &found, &stored(&wanted)?, &stored(&found)?)))
    }

    /// Returns whether a layer's tensor is the same in both, in the merged dtype; `None` if the merged checkpoint lacks it.
    async fn is_equal(&self, name: &str) -> Result<Option<bool>, EditError> {
        let (Some(base), Some(merged)) = (self.base.tensor(name), self.merged.tensor(name)) else { return Ok(None) };
        if base.shape() != merged.shape() {
            return Ok(Some(false));
        }
        let before = base.read().await.map_err(|source| self.base.unreadable(source))?;
        let found = merged.read().await.map_err(|source| self.merged.unreadable(source))?;
        Ok(Some(same_elements(merged.dtype(), &before, &found)))
    }

    /// Compares the tensors that belong to no layer, such as those of a VAE.
    async fn other_tensors(&self, tally: &mut Tally) -> Result<(), EditError> {
        let (mut merged, base) = (self.merged.others(), self.base.others());
        for (name, (file, tensor)) in base {
            let Some((merged_file, found)) = merged.remove(&name) else {
                tally.untouched(name, None);
                continue;
            };
            let is_equal = if found.shape != tensor.shape {
                false
            } else if found.dtype == tensor.dtype {
                let bytes = tensor.read_bytes(file.source).await.map_err(|error| self.base.unreadable(error.into()))?;
                let read = found.read_bytes(merged_file.source).await;
                bytes == read.map_err(|error| self.merged.unreadable(error.into()))?
            } else {
                let before = tensor.read(file.source).await.map_err(|source| self.base.unreadable(source))?;
                let read = found.read(merged_file.source).await.map_err(|source| self.merged.unreadable(source))?;
                same_elements(found.dtype, &before, &read)
            };
            tally.untouched(name, Some(is_equal));
        }
        tally.added.extend(merged.into_keys());
        Ok(())
    }
}

/// Returns whether elements are the same after rounding to `dtype`.
fn same_elements(dtype: Dtype, before: &[f32], found: &[f32]) -> bool {
    let bits = |elements: &[f32]| elements.iter().map(|x| x.to_bits()).collect::<Vec<u32>>();
    match (narrow(dtype, before, ""), narrow(dtype, found, "")) {
        (Ok(before), Ok(found)) => before == found,
        _ => bits(before) == bits(found),
    }
}

/// Comparison of a touched tensor with what base and adapters give.
#[derive(Debug, PartialEq)]
struct Proof {
    elements: u64,
    exact: u64,
    largest_ulps: u64,
    /// ‖merged − expected‖².
    error: f64,
    /// Part of `error` of elements that differ by more than one ulp.
    beyond_rounding: f64,
    /// ‖expected − base‖².
    change: f64,
    /// ⟨merged − base, expected − base⟩.
    dot: f64,
}

impl Proof {
    /// Compares `found` with `wanted`; the last two are their bytes in the merged dtype.
    fn of(dtype: Dtype, before: &[f32], wanted: &[f32], found: &[f32], expected: &[u8], stored: &[u8]) -> Proof {
        let width = dtype.bitsize() / 8;
        let (mut proof, elements) = (Proof { elements: found.len() as u64, ..Proof::zero() }, expected.chunks(width));
        for (at, (expected, stored)) in elements.zip(stored.chunks(width)).enumerate() {
            let ulps = ordered(expected).abs_diff(ordered(stored));
            let [before, wanted, found] = [before[at], wanted[at], found[at]].map(f64::from);
            // An exact element holds the rounded sum; its difference from the sum in f32 is no error.
            let error = if ulps == 0 { 0.0 } else { (found - wanted).powi(2) };
            proof.exact += u64::from(ulps == 0);
            proof.largest_ulps = proof.largest_ulps.max(ulps);
            proof.error += error;
            proof.beyond_rounding += if ulps > 1 { error } else { 0.0 };
            proof.change += (wanted - before).powi(2);
            proof.dot += (found - before) * (wanted - before);
        }
        proof
    }

    fn zero() -> Proof {
        Proof { elements: 0, exact: 0, largest_ulps: 0, error: 0.0, beyond_rounding: 0.0, change: 0.0, dot: 0.0 }
    }

    /// Returns whether the tensor holds the change up to rounding.
    fn is_rounded(&self) -> bool {
        const TOLERANCE: f64 = 0.01;
        self.beyond_rounding <= TOLERANCE.powi(2) * self.change
    }

    /// Returns ‖merged − expected‖ / ‖change‖.
    fn relative_error(&self) -> f64 {
        if self.error == 0.0 { 0.0 } else { (self.error / self.change).sqrt() }
    }
}

/// Returns a little-endian float's position in the order of all floats of its type; both zeros are 0.
fn ordered(bytes: &[u8]) -> i64 {
    let bits = bytes.iter().rev().fold(0u64, |bits, &byte| bits << 8 | u64::from(byte));
    let sign = 1u64 << (8 * bytes.len() - 1);
    let magnitude = (bits & (sign - 1)).cast_signed();
    if bits & sign == 0 { magnitude } else { -magnitude }
}

/// Sums over tensors.
#[derive(Default)]
struct Tally {
    exact: usize,
    rounded: usize,
    elements: u64,
    exact_elements: u64,
    largest_ulps: u64,
    worst: Option<(f64, String)>,
    change: f64,
    dot: f64,
    untouched: usize,
    equal: usize,
    changed: Vec<String>,
    missing: Vec<String>,
    added: Vec<String>,
}

impl Tally {
    fn add(&mut self, name: &str, proof: &Proof) {
        self.exact += usize::from(proof.exact == proof.elements);
        self.rounded += usize::from(proof.exact < proof.elements && proof.is_rounded());
        self.elements += proof.elements;
        self.exact_elements += proof.exact;
        self.largest_ulps = self.largest_ulps.max(proof.largest_ulps);
        self.change += proof.change;
        self.dot += proof.dot;
        let error = proof.relative_error();
        if error > self.worst.as_ref().map_or(0.0, |(error, _)| *error) {
            self.worst = Some((error, name.to_owned()));
        }
    }

    fn untouched(&mut self, name: String, is_equal: Option<bool>) {
        self.untouched += 1;
        match is_equal {
            Some(true) => self.equal += 1,
            Some(false) => self.changed.push(name),
            None => self.missing.push(name),
        }
    }

    fn verification(self, touched: usize) -> Verification {
        let verdict = match self.exact {
            exact if exact == touched && self.equal == self.untouched => MergeVerdict::Exact,
            exact if exact + self.rounded == touched => MergeVerdict::Rounded,
            _ => MergeVerdict::Different,
        };
        let (largest_error, worst) = self.worst.unzip();
        Verification {
            verdict,
            touched,
            exact: self.exact,
            rounded: self.rounded,
            elements: self.elements,
            exact_elements: self.exact_elements,
            largest_ulps: self.largest_ulps,
            largest_error: largest_error.unwrap_or(0.0),
            worst,
            factor: (self.change > 0.0).then_some(self.dot / self.change),
            untouched: self.untouched,
            equal: self.equal,
            changed: self.changed,
            missing: self.missing,
            added: self.added,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_are_ordered_by_value() {
        let values = [-2.0f32, -1.0, -f32::MIN_POSITIVE, 0.0, f32::from_bits(1), 1.0, 1.0f32.next_up()];
        let places: Vec<i64> = values.iter().map(|x| ordered(&x.to_le_bytes())).collect();
        assert!(places.is_sorted(), "{places:?}");
        assert_eq!(ordered(&(-0.0f32).to_le_bytes()), 0);
        assert_eq!(places[6] - places[5], 1);
    }

    #[test]
    fn a_change_of_one_ulp_is_rounding_and_a_missing_change_is_not() {
        let (before, wanted) = ([1.0f32, 2.0], [1.5f32, 2.5]);
        let proof = |found: [f32; 2]| {
            let bytes = |elements: &[f32]| narrow(Dtype::F32, elements, "").expect("finite");
            Proof::of(Dtype::F32, &before, &wanted, &found, &bytes(&wanted), &bytes(&found))
        };
        let exact = proof(wanted);
        assert_eq!((exact.exact, exact.largest_ulps, exact.relative_error()), (2, 0, 0.0));
        let rounded = proof([1.5f32.next_up(), 2.5]);
        assert_eq!((rounded.exact, rounded.largest_ulps, rounded.is_rounded()), (1, 1, true));
        let absent = proof(before);
        assert!(!absent.is_rounded() && absent.relative_error() == 1.0 && absent.dot == 0.0);
    }
}
