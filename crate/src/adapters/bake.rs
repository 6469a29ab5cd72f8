//! Turns a model's files and adapters into one model file with the adapters folded in.

use super::base::{ModelFile, Places, stored_part};
use super::delta::Delta;
use super::fold::{Folding, fold_on_cpu};
use super::read::Adapter;
use super::strengths::Strengths;
use crate::formats::{ByteSink, ByteSource, FormatError, Header, TensorInfo, widen::narrow};
use crate::model::Stored;
use crate::model::stored::transposed;
use crate::num::host_len;
use crate::plan::PlanError;
use std::collections::{BTreeMap, HashMap};
use std::io;

/// One adapter to fold in. Every delta's shape must fit (see [`Delta::fits`]).
#[derive(Clone, Copy)]
pub struct BakedAdapter<'a> {
    /// Its name, for messages.
    pub name: &'a str,
    /// Its bytes.
    pub source: &'a dyn ByteSource,
    /// What they hold.
    pub header: &'a Header,
    /// What it changes.
    pub adapter: &'a Adapter,
    /// How strongly.
    pub strength: f32,
    /// What that is multiplied by in each block.
    pub blocks: &'a Strengths,
}

/// Why a model cannot be baked.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "each variant's message says what its fields are")]
pub enum BakeError {
    /// The model lacks a tensor that changes.
    #[error("the base model has no tensor `{0}`, which the adapter changes; use it with the model it was made for")]
    NoTensor(String),
    /// A delta does not fit its tensor.
    #[error("`{tensor}`: {source}")]
    Fold { tensor: String, source: PlanError },
    /// The model's numbers cannot be read, or not be stored in its number type.
    #[error("the base model's `{tensor}`: {source}")]
    Numbers { tensor: String, source: FormatError },
    /// An adapter's numbers cannot be read.
    #[error("{adapter}: {source}")]
    Adapter { adapter: String, source: FormatError },
    /// The result cannot be written.
    #[error("the result cannot be written: {0}; check that there is room")]
    Write(#[from] io::Error),
}

/// Writes the model with every delta folded in, tensor by tensor, and returns how many of its tensors
/// changed: a matrix of queries, keys and values counts once. Arithmetic is f32; number types, order
/// and metadata stay the model's, and names too, except that those of a folder's files get their
/// network's name before them.
pub async fn bake(
    files: &[ModelFile<'_>],
    places: &Places,
    adapters: &[BakedAdapter<'_>],
    out: &mut dyn ByteSink,
) -> Result<usize, BakeError> {
    let mut targets: Targets = HashMap::new();
    for adapter in adapters {
        for delta in &adapter.adapter.deltas {
            let name = delta.tensor();
            let (file, stored) = places.get(&name).ok_or(BakeError::NoTensor(name))?;
            let parts = targets.entry((*file, &stored.key)).or_default();
            match parts.iter_mut().find(|(known, _)| *known == stored) {
                Some((_, deltas)) => deltas.push((adapter, delta)),
                None => parts.push((stored, vec![(adapter, delta)])),
            }
        }
    }
    let mut first = Vec::new();
    head(files).write(&mut first)?;
    out.write(&first).await?;
    for (index, file) in files.iter().enumerate() {
        for tensor in &file.header.tensors {
            match targets.get(&(index, tensor.name.as_str())) {
                Some(parts) => out.write(&changed(file, tensor, parts).await?).await?,
                None => copy(file, tensor, out).await?,
            }
        }
    }
    Ok(targets.len())
}

/// Bytes that the result of [`bake`] takes.
pub fn baked_size(files: &[ModelFile]) -> u64 {
    let mut first = Vec::new();
    // Writing to memory does not fail.
    let _ = head(files).write(&mut first);
    let tensors = files.iter().flat_map(|file| &file.header.tensors);
    first.len() as u64 + tensors.map(|tensor| tensor.bytes.end - tensor.bytes.start).sum::<u64>()
}

/// The deltas on each part of the tensors in the model's files, in the order of the adapters.
type Targets<'a> = HashMap<(usize, &'a str), Vec<(&'a Stored, Vec<Change<'a>>)>>;

/// A delta with the adapter that it is from.
type Change<'a> = (&'a BakedAdapter<'a>, &'a Delta);

/// The header of the result: a single file's own, or all of a folder's with the networks' names.
fn head(files: &[ModelFile]) -> Header {
    if let [ModelFile { component: None, header, .. }] = files {
        return (*header).clone();
    }
    let tensors = files.iter().flat_map(|file| {
        let named = |tensor: &TensorInfo| match file.component {
            Some(component) => format!("{component}.{}", tensor.name),
            None => tensor.name.clone(),
        };
        file.header.tensors.iter().map(move |tensor| TensorInfo { name: named(tensor), ..tensor.clone() })
    });
    Header::of(tensors.collect(), BTreeMap::from([("format".into(), "pt".into())]))
}

/// The bytes of a tensor with the changes of all its parts.
async fn changed(
    file: &ModelFile<'_>,
    tensor: &TensorInfo,
    parts: &[(&Stored, Vec<Change<'_>>)],
) -> Result<Vec<u8>, BakeError> {
    let failed = |source| BakeError::Numbers { tensor: tensor.name.clone(), source };
    let mut numbers = tensor.read(file.source).await.map_err(failed)?;
    let row = numbers.len() / tensor.shape.first().map_or(1, |&rows| rows.max(1));
    for (stored, changes) in parts {
        let part = stored_part(tensor, stored);
        let start = stored.third.map_or(0, |third| third * part.shape[0] * row);
        let place = &mut numbers[start..start + host_len(part.elements())];
        let base = if stored.transposed { transposed(place, part.shape[0]) } else { place.to_vec() };
        let shape: Vec<usize> = match stored.transposed {
            true => part.shape.iter().rev().copied().collect(),
            false => part.shape,
        };
        let sum = folded(base, &shape, &tensor.name, changes).await?;
        place.copy_from_slice(&if stored.transposed { transposed(&sum, shape[0]) } else { sum });
    }
    narrow(tensor.dtype, &numbers, &tensor.name).map_err(failed)
}

/// A tensor of PyTorch's shape with changes folded in.
async fn folded(base: Vec<f32>, shape: &[usize], name: &str, changes: &[Change<'_>]) -> Result<Vec<f32>, BakeError> {
    let mut factors = Vec::new();
    for (adapter, delta) in changes {
        let numbers = delta.read(adapter.source, adapter.header).await;
        factors.push(numbers.map_err(|source| BakeError::Adapter { adapter: adapter.name.into(), source })?);
    }
    let mut foldings: Vec<Folding> = Vec::new();
    for ((adapter, delta), numbers) in changes.iter().zip(&factors) {
        foldings.push((*delta, numbers, adapter.strength * adapter.blocks.of(delta)));
    }
    fold_on_cpu(base, shape, &foldings).map_err(|source| BakeError::Fold { tensor: name.into(), source })
}

/// Copies a tensor that does not change, in blocks.
async fn copy(file: &ModelFile<'_>, tensor: &TensorInfo, out: &mut dyn ByteSink) -> Result<(), BakeError> {
    const BLOCK: u64 = 4 << 20;
    let mut at = tensor.bytes.start;
    while at < tensor.bytes.end {
        let end = (at + BLOCK).min(tensor.bytes.end);
        let failed = |error: io::Error| BakeError::Numbers { tensor: tensor.name.clone(), source: error.into() };
        out.write(&file.source.read(at..end).await.map_err(failed)?).await?;
        at = end;
    }
    Ok(())
}
