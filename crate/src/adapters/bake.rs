//! Turns a model's files and adapters into one model file with the adapters folded in.

use super::delta::Delta;
use super::fold::{Folding, fold_on_cpu};
use super::read::Adapter;
use super::strengths::Strengths;
use crate::formats::{ByteSink, ByteSource, FormatError, Header, TensorInfo, widen::narrow};
use crate::model::Component;
use crate::plan::PlanError;
use std::collections::{BTreeMap, HashMap};
use std::io;

/// One file of the model.
#[derive(Clone, Copy)]
pub struct ModelFile<'a> {
    /// The network whose own file this is; none for a single-file model.
    pub component: Option<Component>,
    /// Its bytes.
    pub source: &'a dyn ByteSource,
    /// What they hold.
    pub header: &'a Header,
}

/// One adapter to fold in. Every delta's shape must fit (see [`Delta::fits`]).
#[derive(Clone, Copy)]
pub struct BakedAdapter<'a> {
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
pub enum BakeError {
    /// The model lacks a tensor that changes.
    #[error("the base model has no tensor `{0}`, which the adapter changes; use it with the model it was made for")]
    NoTensor(String),
    /// A delta does not fit its tensor.
    #[error("`{tensor}`: {source}")]
    Fold { tensor: String, source: PlanError },
    /// Numbers cannot be read, or not be stored in the model's number type.
    #[error("`{tensor}`: {source}")]
    Numbers { tensor: String, source: FormatError },
    /// The result cannot be written.
    #[error("the result cannot be written: {0}; check that there is room")]
    Write(#[from] io::Error),
}

/// Writes the model with every delta folded in, tensor by tensor, and returns how many tensors
/// changed. Arithmetic is f32; number types, order and metadata stay the model's, and names too,
/// except that those of a folder's files get their network's name before them.
///
/// `places` tells where each tensor is: full name (`unet.conv_in.weight`) to the index of its file
/// and its name there.
pub async fn bake(
    files: &[ModelFile<'_>],
    places: &HashMap<String, (usize, String)>,
    adapters: &[BakedAdapter<'_>],
    out: &mut dyn ByteSink,
) -> Result<usize, BakeError> {
    let mut targets: Targets = HashMap::new();
    for adapter in adapters {
        for delta in &adapter.adapter.deltas {
            let name = delta.tensor();
            let (file, place) = places.get(&name).ok_or(BakeError::NoTensor(name))?;
            targets.entry((*file, place)).or_default().push((adapter, delta));
        }
    }
    let mut first = Vec::new();
    head(files).write(&mut first)?;
    out.write(&first).await?;
    for (index, file) in files.iter().enumerate() {
        for tensor in &file.header.tensors {
            match targets.get(&(index, tensor.name.as_str())) {
                Some(deltas) => out.write(&folded(file, tensor, deltas).await?).await?,
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

/// The deltas of each tensor of the model's files, in the order of the adapters.
type Targets<'a> = HashMap<(usize, &'a str), Vec<(&'a BakedAdapter<'a>, &'a Delta)>>;

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

async fn folded(
    file: &ModelFile<'_>,
    tensor: &TensorInfo,
    deltas: &[(&BakedAdapter<'_>, &Delta)],
) -> Result<Vec<u8>, BakeError> {
    let failed = |source| BakeError::Numbers { tensor: tensor.name.clone(), source };
    let base = tensor.read(file.source).await.map_err(failed)?;
    let mut factors = Vec::new();
    for (adapter, delta) in deltas {
        factors.push(delta.read(adapter.source, adapter.header).await.map_err(failed)?);
    }
    let mut foldings: Vec<Folding> = Vec::new();
    for ((adapter, delta), numbers) in deltas.iter().zip(&factors) {
        foldings.push((*delta, numbers, adapter.strength * adapter.blocks.of(delta)));
    }
    let numbers = fold_on_cpu(base, &tensor.shape, &foldings)
        .map_err(|source| BakeError::Fold { tensor: tensor.name.clone(), source })?;
    narrow(tensor.dtype, &numbers, &tensor.name).map_err(failed)
}

/// Copies a tensor that does not change, in blocks.
async fn copy(file: &ModelFile<'_>, tensor: &TensorInfo, out: &mut dyn ByteSink) -> io::Result<()> {
    const BLOCK: u64 = 4 << 20;
    let mut at = tensor.bytes.start;
    while at < tensor.bytes.end {
        let end = (at + BLOCK).min(tensor.bytes.end);
        out.write(&file.source.read(at..end).await?).await?;
        at = end;
    }
    Ok(())
}
