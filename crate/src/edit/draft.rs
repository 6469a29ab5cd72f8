//! Safetensors writer for planned files: header, then tensor after tensor, with the hashes of the
//! data in the header.

use super::error::EditError;
use crate::analysis::{DataHashes, LEGACY_HASH, MODEL_HASH, SPEC_HASH};
use crate::formats::widen::{narrow, widen};
use crate::formats::{ByteSink, ByteSource, COPY_BLOCK, Dtype, FormatError, Header, TensorInfo};
use crate::num::numel;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use ts_rs::TS;

/// A tensor of the result: key, dtype and shape.
#[derive(Debug, Clone, PartialEq)]
pub struct TensorSpec {
    /// Key.
    pub name: String,
    /// F32, F16 or BF16; any dtype for copies.
    pub dtype: Dtype,
    /// Shape, outermost axis first.
    pub shape: Vec<usize>,
}

/// Source of a tensor's data.
#[derive(Debug, Clone, PartialEq)]
pub enum Origin {
    /// A scalar tensor with this value.
    Number(f32),
    /// A copy of a source tensor's bytes.
    Copy(TensorInfo),
    /// The tensors of layer number `.0`, computed when they are written.
    Layer(usize),
}

/// Tensors that are computed together.
#[derive(Debug, Clone, PartialEq)]
pub struct TensorGroup {
    /// The tensors, all of one dtype.
    pub slots: Vec<TensorSpec>,
    /// Source of their data.
    pub origin: Origin,
}

/// The plan of a file: its whole header and the source of each tensor.
#[derive(Debug, Clone)]
pub struct Draft {
    pieces: Vec<TensorGroup>,
    header: Header,
}

/// A tensor with elements that underflowed to zero.
#[derive(Debug, Clone, PartialEq, Serialize, TS)]
pub struct Thinned {
    /// Key.
    pub key: String,
    /// Share of the nonzero elements that became zero.
    pub share: f64,
}

/// The outcome of writing a file.
#[derive(Debug, Clone, PartialEq, Serialize, TS)]
pub struct Outcome {
    /// Size of the result in bytes.
    #[ts(type = "number")]
    pub size: u64,
    /// Number of tensors.
    pub tensors: usize,
    /// Tensors with elements that were too small for the dtype.
    pub thinned: Vec<Thinned>,
    /// The header bytes with the final hashes. They replace the bytes written first, which have the
    /// same length, since the hashes are known only after the data was written.
    #[serde(skip)]
    #[ts(skip)]
    pub head: Vec<u8>,
}

impl Draft {
    /// Plans a file of these pieces. Tensors are sorted by decreasing element size so that each one is
    /// aligned to its element size, as in the safetensors library. The metadata gets placeholders for
    /// the file's hashes.
    pub fn new(mut pieces: Vec<TensorGroup>, mut metadata: BTreeMap<String, String>) -> Draft {
        let width = |piece: &TensorGroup| piece.slots.first().map_or(0, |slot| slot.dtype.bitsize());
        pieces.sort_by_key(|piece| std::cmp::Reverse(width(piece)));
        metadata.insert(MODEL_HASH.into(), "0".repeat(64));
        metadata.insert(LEGACY_HASH.into(), "0".repeat(8));
        if let Some(value) = metadata.get_mut(SPEC_HASH) {
            *value = format!("0x{}", "0".repeat(64));
        }
        let mut at = 0;
        let slots = pieces.iter().flat_map(|piece| &piece.slots);
        let tensor = |slot: &TensorSpec| {
            let start = at;
            at += byte_len(slot);
            TensorInfo::contiguous(slot.name.clone(), slot.dtype, slot.shape.clone(), start..at)
        };
        let tensors: Vec<TensorInfo> = slots.map(tensor).collect();
        // A key that is there twice would be one tensor of the header, and leave a gap in the data.
        let names: BTreeSet<&String> = tensors.iter().map(|tensor| &tensor.name).collect();
        debug_assert_eq!(names.len(), tensors.len());
        Draft { header: Header::of(tensors, metadata), pieces }
    }

    /// Returns the result's header; offsets are relative to the first tensor.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// Returns the size of the result in bytes.
    pub fn size(&self) -> u64 {
        let data = self.header.tensors.last().map_or(0, |tensor| tensor.bytes.end);
        head(&self.header).len() as u64 + data
    }

    /// Writes the file. `make` returns the tensors of a layer in the order of their slots; `source` is
    /// the file that tensors are copied from, with its name for messages.
    ///
    /// The header is written with zeros in place of the hashes, which are known only at the end; the
    /// caller then overwrites the start of the file with [`Outcome::head`].
    pub async fn write(
        &self,
        source: Option<(&str, &dyn ByteSource)>,
        mut make: impl AsyncFnMut(usize) -> Result<Vec<Vec<f32>>, EditError>,
        out: &mut dyn ByteSink,
    ) -> Result<Outcome, EditError> {
        let placeholder = head(&self.header);
        out.write(&placeholder).await?;
        let mut sink =
            Sink { out, hashes: DataHashes::new(&self.header), written: placeholder.len() as u64, thinned: Vec::new() };
        for piece in &self.pieces {
            match &piece.origin {
                Origin::Number(value) => sink.write_tensors(&piece.slots, vec![vec![*value]]).await?,
                Origin::Copy(tensor) => sink.copy(tensor, source).await?,
                Origin::Layer(layer) => sink.write_tensors(&piece.slots, make(*layer).await?).await?,
            }
        }
        let mut header = self.header.clone();
        for (key, value) in sink.hashes.finish().values() {
            header.metadata.entry(key.into()).and_modify(|entry| *entry = value);
        }
        Ok(Outcome {
            size: sink.written,
            tensors: self.header.tensors.len(),
            thinned: sink.thinned,
            head: head(&header),
        })
    }
}

/// Returns the size of a tensor's data in bytes.
fn byte_len(slot: &TensorSpec) -> u64 {
    let bits = u128::from(numel(&slot.shape)) * slot.dtype.bitsize() as u128;
    u64::try_from(bits.div_ceil(8)).unwrap_or(u64::MAX)
}

/// Returns the bytes of a header, with its length prefix.
pub(super) fn head(header: &Header) -> Vec<u8> {
    let mut bytes = Vec::new();
    // Writing to a Vec cannot fail.
    let _ = header.write(&mut bytes);
    bytes
}

/// Returns the writable dtype that holds values of `dtype` exactly; F32 if there is none.
pub(super) fn writable(dtype: Dtype) -> Dtype {
    match dtype {
        Dtype::F16 | Dtype::BF16 | Dtype::F32 => dtype,
        Dtype::F8_E4M3 | Dtype::F8_E5M2 | Dtype::F8_E4M3FNUZ | Dtype::F8_E5M2FNUZ => Dtype::F16,
        _ => Dtype::F32,
    }
}

/// Returns whether a value survives a round trip through `dtype`.
pub(super) fn is_exact(value: f32, dtype: Dtype) -> bool {
    let stored = narrow(dtype, &[value], "").and_then(|bytes| widen(dtype, &bytes));
    stored.is_ok_and(|stored| stored[0] == value)
}

/// The file being written: hashes the data and counts its bytes.
struct Sink<'a> {
    out: &'a mut dyn ByteSink,
    hashes: DataHashes,
    written: u64,
    thinned: Vec<Thinned>,
}

impl Sink<'_> {
    async fn put(&mut self, bytes: &[u8]) -> Result<(), EditError> {
        self.hashes.take(bytes);
        self.written += bytes.len() as u64;
        Ok(self.out.write(bytes).await?)
    }

    async fn write_tensors(&mut self, slots: &[TensorSpec], tensors: Vec<Vec<f32>>) -> Result<(), EditError> {
        debug_assert_eq!(slots.len(), tensors.len());
        for (slot, data) in slots.iter().zip(tensors) {
            debug_assert_eq!(numel(&slot.shape), data.len() as u64, "{}", slot.name);
            let bytes = narrow(slot.dtype, &data, &slot.name).map_err(|error| match error {
                FormatError::Overflow { name, value, dtype } => EditError::Overflow { name, value, dtype },
                _ => EditError::NoType(slot.dtype),
            })?;
            self.thinned.extend(underflowed(slot, &data, &bytes));
            self.put(&bytes).await?;
        }
        Ok(())
    }

    async fn copy(&mut self, tensor: &TensorInfo, source: Option<(&str, &dyn ByteSource)>) -> Result<(), EditError> {
        let Some((file, source)) = source else { return Ok(()) };
        let failed = |error: io::Error| EditError::Read { file: file.into(), source: error.into() };
        let mut blocks = tensor.blocks(source, COPY_BLOCK);
        while let Some(block) = blocks.next().await.map_err(failed)? {
            self.put(&block).await?;
        }
        Ok(())
    }
}

/// Returns the share of a tensor's nonzero elements that became zero in f16, if any did.
fn underflowed(slot: &TensorSpec, data: &[f32], bytes: &[u8]) -> Option<Thinned> {
    if slot.dtype != Dtype::F16 {
        return None;
    }
    let stored = bytes.as_chunks::<2>().0;
    let zeroed = data.iter().zip(stored).filter(|(x, bytes)| **x != 0.0 && u16::from_le_bytes(**bytes) & 0x7fff == 0);
    let (zeroed, nonzero) = (zeroed.count(), data.iter().filter(|x| **x != 0.0).count());
    (zeroed > 0).then(|| Thinned { key: slot.name.clone(), share: zeroed as f64 / nonzero as f64 })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// File sizes and tensor offsets are 64 bits wide on every target, including wasm32 with its 32-bit
    /// `usize`.
    #[test]
    fn sizes_beyond_4_gib_are_exact() {
        let slot =
            |name: &str, shape: &[usize]| TensorSpec { name: name.into(), dtype: Dtype::F32, shape: shape.into() };
        // 3 GiB each, and one whose size in bits overflows u64 on 64-bit targets.
        let large =
            slot("c", if cfg!(target_pointer_width = "64") { &[1 << 30, 1 << 30] } else { &[1 << 20, 1 << 20] });
        let large_bytes: u64 = numel(&large.shape) * 4;
        let slots = [slot("a", &[3 << 14, 1 << 14]), slot("b", &[3 << 14, 1 << 14]), large, slot("d", &[])];
        let pieces = slots.map(|slot| TensorGroup { slots: vec![slot], origin: Origin::Layer(0) });
        let draft = Draft::new(pieces.into(), BTreeMap::new());
        let starts: Vec<u64> = draft.header().tensors.iter().map(|tensor| tensor.bytes.start).collect();
        assert_eq!(starts, [0, 3 << 30, 6 << 30, (6 << 30) + large_bytes]);
        assert_eq!(draft.size(), head(draft.header()).len() as u64 + (6 << 30) + large_bytes + 4);
    }
}
