//! Baking: writes a model with adapters folded in as one file.

use super::base::{ModelFile, Places, stored_part};
use super::delta::Delta;
use super::fold::{Folding, fold_on_cpu};
use super::read::Adapter;
use super::strengths::Strengths;
use crate::formats::{ByteSink, ByteSource, COPY_BLOCK, FormatError, Header, TensorInfo, widen::narrow};
use crate::linalg::transposed;
use crate::model::TensorLocation;
use crate::num::host_len;
use crate::plan::PlanError;
use crate::sentence::{Sentence, sentence};
use std::collections::{BTreeMap, HashMap};
use std::{fmt, io};

/// One adapter to fold in. Every delta's shape must fit (see [`Delta::fits`]).
#[derive(Clone, Copy)]
pub struct BakedAdapter<'a> {
    /// Name in error messages.
    pub name: &'a str,
    /// The file's bytes.
    pub source: &'a dyn ByteSource,
    /// The file's header.
    pub header: &'a Header,
    /// The changes that it makes.
    pub adapter: &'a Adapter,
    /// Strength.
    pub strength: f32,
    /// Multiplier of the strength per block.
    pub blocks: &'a Strengths,
}

/// Error from [`bake`].
#[derive(Debug)]
#[expect(missing_docs, reason = "the sentence of each variant says what its fields are")]
pub enum BakeError {
    /// Changed tensor that the model does not have.
    NoTensor(String),
    /// Delta that does not match its tensor.
    Fold { tensor: String, source: PlanError },
    /// Tensor of the model that cannot be read, or whose result does not fit its dtype.
    Numbers { tensor: String, source: FormatError },
    /// Adapter whose tensors cannot be read.
    Adapter { adapter: String, source: FormatError },
    /// Failure to write the result.
    Write(io::Error),
}

impl BakeError {
    /// Returns the sentence: what happened, why, and what to do.
    pub fn sentence(&self) -> Sentence {
        match self {
            BakeError::NoTensor(tensor) => sentence!("edit.no_tensor", tensor = tensor),
            BakeError::Fold { tensor, source } => sentence!("edit.fold", tensor = tensor, error = source.to_string()),
            BakeError::Numbers { tensor, source } => {
                sentence!("edit.base_tensor", tensor = tensor, problem = source.sentence())
            }
            BakeError::Adapter { adapter, source } => {
                sentence!("edit.file", file = adapter, problem = source.sentence())
            }
            BakeError::Write(error) => sentence!("edit.write", reason = error.to_string()),
        }
    }
}

impl fmt::Display for BakeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.sentence().clause())
    }
}

impl std::error::Error for BakeError {}

impl From<io::Error> for BakeError {
    fn from(error: io::Error) -> BakeError {
        BakeError::Write(error)
    }
}

/// Writes the model with every delta folded in, tensor by tensor, and returns the number of changed tensors: a fused
/// QKV matrix counts once. Computes in f32; dtypes, order, metadata and keys are those of the model, except that keys
/// from the files of a folder are prefixed with their network's name.
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
    let mut header = Vec::new();
    output_header(files).write(&mut header)?;
    out.write(&header).await?;
    for (index, file) in files.iter().enumerate() {
        for tensor in &file.header.tensors {
            match targets.get(&(index, tensor.name.as_str())) {
                Some(parts) => out.write(&fold_tensor(file, tensor, parts).await?).await?,
                None => copy_tensor(file, tensor, out).await?,
            }
        }
    }
    Ok(targets.len())
}

/// Returns the size of the result of [`bake`], in bytes.
pub fn baked_size(files: &[ModelFile]) -> u64 {
    let mut header = Vec::new();
    // Writing to memory does not fail.
    let _ = output_header(files).write(&mut header);
    let tensors = files.iter().flat_map(|file| &file.header.tensors);
    header.len() as u64 + tensors.map(TensorInfo::byte_len).sum::<u64>()
}

/// Deltas by file index and key, for each part of the stored tensor, in the order of the adapters.
type Targets<'a> = HashMap<(usize, &'a str), Vec<(&'a TensorLocation, Vec<AdapterDelta<'a>>)>>;

/// A delta and its adapter.
pub type AdapterDelta<'a> = (&'a BakedAdapter<'a>, &'a Delta);

/// Returns the header of the result: that of a single file, or all tensors of a folder with the networks' names.
fn output_header(files: &[ModelFile]) -> Header {
    if let [ModelFile { component: None, header, .. }] = files {
        return (*header).clone();
    }
    let tensors = files.iter().flat_map(|file| {
        let key = |tensor: &TensorInfo| match file.component {
            Some(component) => format!("{component}.{}", tensor.name),
            None => tensor.name.clone(),
        };
        file.header.tensors.iter().map(move |tensor| TensorInfo { name: key(tensor), ..tensor.clone() })
    });
    Header::of(tensors.collect(), BTreeMap::from([("format".into(), "pt".into())]))
}

/// Returns the bytes of a tensor with the changes of all its parts folded in.
async fn fold_tensor(
    file: &ModelFile<'_>,
    tensor: &TensorInfo,
    parts: &[(&TensorLocation, Vec<AdapterDelta<'_>>)],
) -> Result<Vec<u8>, BakeError> {
    let failed = |source| BakeError::Numbers { tensor: tensor.name.clone(), source };
    let mut numbers = tensor.read(file.source).await.map_err(failed)?;
    let columns = numbers.len() / tensor.shape.first().map_or(1, |&rows| rows.max(1));
    for (stored, changes) in parts {
        let part = stored_part(tensor, stored);
        let start = stored.qkv_index.map_or(0, |third| third * part.shape[0] * columns);
        let elements = &mut numbers[start..start + host_len(part.elements())];
        let base = if stored.transposed { transposed(elements, columns) } else { elements.to_vec() };
        let shape: Vec<usize> = match stored.transposed {
            true => part.shape.iter().rev().copied().collect(),
            false => part.shape,
        };
        let sum = fold_part(base, &shape, &tensor.name, changes).await?;
        let rows = elements.len() / columns.max(1);
        elements.copy_from_slice(&if stored.transposed { transposed(&sum, rows) } else { sum });
    }
    narrow(tensor.dtype, &numbers, &tensor.name).map_err(failed)
}

/// Folds the changes into `base`, of PyTorch shape `shape`; `name` is the tensor's, for error messages.
pub async fn fold_part(
    base: Vec<f32>,
    shape: &[usize],
    name: &str,
    changes: &[AdapterDelta<'_>],
) -> Result<Vec<f32>, BakeError> {
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

/// Copies an unchanged tensor in blocks.
async fn copy_tensor(file: &ModelFile<'_>, tensor: &TensorInfo, out: &mut dyn ByteSink) -> Result<(), BakeError> {
    let failed = |error: io::Error| BakeError::Numbers { tensor: tensor.name.clone(), source: error.into() };
    let mut blocks = tensor.blocks(file.source, COPY_BLOCK);
    while let Some(block) = blocks.next().await.map_err(failed)? {
        out.write(&block).await?;
    }
    Ok(())
}
