//! Turns a planned file into bytes: header, then tensor after tensor, with the hashes that belong
//! into the header.

use super::error::EditError;
use crate::analysis::{DataHashes, LEGACY_HASH, MODEL_HASH, SPEC_HASH};
use crate::formats::widen::{narrow, widen};
use crate::formats::{ByteSink, ByteSource, Dtype, FormatError, Header, TensorInfo};
use crate::num::numel;
use serde::Serialize;
use std::collections::BTreeMap;
use std::io;
use ts_rs::TS;

/// A tensor of the result.
#[derive(Debug, Clone, PartialEq)]
pub struct Slot {
    /// Its key.
    pub name: String,
    /// How its numbers are stored: F32, F16 or BF16 (any, for copies).
    pub dtype: Dtype,
    /// Outermost axis first.
    pub shape: Vec<usize>,
}

/// Where numbers come from.
#[derive(Debug, Clone, PartialEq)]
pub enum Origin {
    /// One tensor of one number.
    Number(f32),
    /// One tensor, byte by byte.
    Copy(TensorInfo),
    /// The tensors of layer number `.0`, made when their turn comes.
    Layer(usize),
}

/// Tensors that are made together.
#[derive(Debug, Clone, PartialEq)]
pub struct Piece {
    /// The tensors, of one number type.
    pub slots: Vec<Slot>,
    /// Where their numbers come from.
    pub origin: Origin,
}

/// A file that is to be written.
#[derive(Debug, Clone)]
pub struct Draft {
    pieces: Vec<Piece>,
    header: Header,
}

/// A tensor of which numbers became zero.
#[derive(Debug, Clone, PartialEq, Serialize, TS)]
pub struct Thinned {
    /// Its key.
    pub key: String,
    /// How many numbers became zero, of those that were not.
    pub share: f64,
}

/// What came of writing a file.
#[derive(Debug, Clone, PartialEq, Serialize, TS)]
pub struct Outcome {
    /// The result's size in bytes.
    #[ts(type = "number")]
    pub size: u64,
    /// Tensors in it.
    pub tensors: usize,
    /// Tensors of which numbers were too small for the number type.
    pub thinned: Vec<Thinned>,
    /// The file's first bytes, with the hashes. They take the place of as many bytes that were
    /// written before the data were known.
    #[serde(skip)]
    #[ts(skip)]
    pub head: Vec<u8>,
}

impl Draft {
    /// Plans a file of these pieces. Larger number types come first, so that every tensor starts at
    /// a multiple of its numbers' size, as the safetensors library has it. The metadata get places
    /// for the file's hashes.
    pub fn new(mut pieces: Vec<Piece>, mut metadata: BTreeMap<String, String>) -> Draft {
        let width = |piece: &Piece| piece.slots.first().map_or(0, |slot| slot.dtype.bitsize());
        pieces.sort_by_key(|piece| std::cmp::Reverse(width(piece)));
        metadata.insert(MODEL_HASH.into(), "0".repeat(64));
        metadata.insert(LEGACY_HASH.into(), "0".repeat(8));
        if let Some(value) = metadata.get_mut(SPEC_HASH) {
            *value = format!("0x{}", "0".repeat(64));
        }
        let mut at = 0;
        let slots = pieces.iter().flat_map(|piece| &piece.slots);
        let tensor = |slot: &Slot| {
            let start = at;
            at += byte_len(slot);
            TensorInfo { name: slot.name.clone(), dtype: slot.dtype, shape: slot.shape.clone(), bytes: start..at }
        };
        let tensors = slots.map(tensor).collect();
        Draft { header: Header::of(tensors, metadata), pieces }
    }

    /// The result's header; offsets count from the first tensor.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The result's size in bytes.
    pub fn size(&self) -> u64 {
        let data = self.header.tensors.last().map_or(0, |tensor| tensor.bytes.end);
        head(&self.header).len() as u64 + data
    }

    /// Writes the file. `make` gives the tensors of a layer in the order of their slots; `source`
    /// is where copies come from, with its name for messages.
    ///
    /// The first bytes of `out` have zeros for the hashes, which are known only at the end:
    /// [`Outcome::head`] is to be written over them.
    pub async fn write(
        &self,
        source: Option<(&str, &dyn ByteSource)>,
        mut make: impl AsyncFnMut(usize) -> Result<Vec<Vec<f32>>, EditError>,
        out: &mut dyn ByteSink,
    ) -> Result<Outcome, EditError> {
        let first = head(&self.header);
        out.write(&first).await?;
        let mut sink =
            Sink { out, hashes: DataHashes::new(&self.header), written: first.len() as u64, thinned: Vec::new() };
        for piece in &self.pieces {
            match &piece.origin {
                Origin::Number(number) => sink.numbers(&piece.slots, vec![vec![*number]]).await?,
                Origin::Copy(tensor) => sink.copy(tensor, source).await?,
                Origin::Layer(layer) => sink.numbers(&piece.slots, make(*layer).await?).await?,
            }
        }
        let mut header = self.header.clone();
        for (key, value) in sink.hashes.finish().values() {
            header.metadata.entry(key.into()).and_modify(|place| *place = value);
        }
        Ok(Outcome {
            size: sink.written,
            tensors: self.header.tensors.len(),
            thinned: sink.thinned,
            head: head(&header),
        })
    }
}

/// Bytes that a tensor's numbers take.
fn byte_len(slot: &Slot) -> u64 {
    let bits = u128::from(numel(&slot.shape)) * slot.dtype.bitsize() as u128;
    u64::try_from(bits.div_ceil(8)).unwrap_or(u64::MAX)
}

/// A header's bytes.
pub(super) fn head(header: &Header) -> Vec<u8> {
    let mut bytes = Vec::new();
    // Writing to memory does not fail.
    let _ = header.write(&mut bytes);
    bytes
}

/// The number type in which a tensor of another is written without loss, as far as there is one.
pub(super) fn writable(dtype: Dtype) -> Dtype {
    match dtype {
        Dtype::F16 | Dtype::BF16 | Dtype::F32 => dtype,
        Dtype::F8_E4M3 | Dtype::F8_E5M2 | Dtype::F8_E4M3FNUZ | Dtype::F8_E5M2FNUZ => Dtype::F16,
        _ => Dtype::F32,
    }
}

/// Whether a number is the same after it was stored.
pub(super) fn is_exact(number: f32, dtype: Dtype) -> bool {
    let stored = narrow(dtype, &[number], "").and_then(|bytes| widen(dtype, &bytes));
    stored.is_ok_and(|stored| stored[0] == number)
}

/// A file in the making.
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

    async fn numbers(&mut self, slots: &[Slot], tensors: Vec<Vec<f32>>) -> Result<(), EditError> {
        debug_assert_eq!(slots.len(), tensors.len());
        for (slot, numbers) in slots.iter().zip(tensors) {
            debug_assert_eq!(numel(&slot.shape), numbers.len() as u64, "{}", slot.name);
            let bytes = narrow(slot.dtype, &numbers, &slot.name).map_err(|error| match error {
                FormatError::Overflow { name, value, dtype } => EditError::Overflow { name, value, dtype },
                _ => EditError::NoType(slot.dtype),
            })?;
            self.thinned.extend(thinned(slot, &numbers, &bytes));
            self.put(&bytes).await?;
        }
        Ok(())
    }

    async fn copy(&mut self, tensor: &TensorInfo, source: Option<(&str, &dyn ByteSource)>) -> Result<(), EditError> {
        const BLOCK: u64 = 4 << 20;
        let Some((file, source)) = source else { return Ok(()) };
        let failed = |error: io::Error| EditError::Read { file: file.into(), source: error.into() };
        let mut at = tensor.bytes.start;
        while at < tensor.bytes.end {
            let end = (at + BLOCK).min(tensor.bytes.end);
            self.put(&source.read(at..end).await.map_err(failed)?).await?;
            at = end;
        }
        Ok(())
    }
}

/// How many of a tensor's numbers became zero when they were stored.
fn thinned(slot: &Slot, numbers: &[f32], bytes: &[u8]) -> Option<Thinned> {
    if slot.dtype != Dtype::F16 {
        return None;
    }
    let stored = bytes.as_chunks::<2>().0;
    let gone = numbers.iter().zip(stored).filter(|(x, bytes)| **x != 0.0 && u16::from_le_bytes(**bytes) & 0x7fff == 0);
    let (gone, all) = (gone.count(), numbers.iter().filter(|x| **x != 0.0).count());
    (gone > 0).then(|| Thinned { key: slot.name.clone(), share: gone as f64 / all as f64 })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sizes of files and places of tensors are 64 bits wide, whatever the machine's words are: a
    /// browser's have 32.
    #[test]
    fn sizes_beyond_4_gib_are_exact() {
        let slot = |name: &str, shape: &[usize]| Slot { name: name.into(), dtype: Dtype::F32, shape: shape.into() };
        // 3 GiB each, and one whose bits are more than 64 can count where words have 64.
        let large =
            slot("c", if cfg!(target_pointer_width = "64") { &[1 << 30, 1 << 30] } else { &[1 << 20, 1 << 20] });
        let large_bytes: u64 = numel(&large.shape) * 4;
        let slots = [slot("a", &[3 << 14, 1 << 14]), slot("b", &[3 << 14, 1 << 14]), large, slot("d", &[])];
        let pieces = slots.map(|slot| Piece { slots: vec![slot], origin: Origin::Layer(0) });
        let draft = Draft::new(pieces.into(), BTreeMap::new());
        let starts: Vec<u64> = draft.header().tensors.iter().map(|tensor| tensor.bytes.start).collect();
        assert_eq!(starts, [0, 3 << 30, 6 << 30, (6 << 30) + large_bytes]);
        assert_eq!(draft.size(), head(draft.header()).len() as u64 + (6 << 30) + large_bytes + 4);
    }
}
