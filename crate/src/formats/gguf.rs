//! GGUF headers: metadata and the list of tensors.
//!
//! ggml's docs/gguf.md, versions 2 and 3, little-endian. llama.cpp stores LoRA adapters in this format
//! (`general.type` is `adapter`); all other files are models, or networks of one.

use super::tensor::check_shape;
use super::{ByteSource, Dtype, FormatError, Header, TensorInfo};
use crate::num::numel;
use crate::sentence::sentence;
use crate::simd::BlockType;
use crate::sorting;
use std::collections::{BTreeMap, HashMap, HashSet};

/// Maximum header length, in bytes: vocabularies of full models take several megabytes.
const MAX_HEADER_LEN: u64 = 64 << 20;

/// Maximum number of axes of a tensor.
const MAX_AXES: u32 = 4;

/// Key prefix of the shapes of tensors that were reshaped to rows of whole blocks, as ComfyUI-GGUF's converter does.
const ORIGINAL_SHAPE: &str = "comfy.gguf.orig_shape.";

/// The header of a GGUF file.
#[derive(Debug, Clone)]
pub struct Gguf {
    /// Metadata: scalars and strings as text, arrays as their length.
    pub metadata: BTreeMap<String, String>,
    /// Tensors, in file order.
    pub tensors: Vec<GgufTensor>,
    /// Original shapes of reshaped tensors, by name.
    original_shapes: HashMap<String, Vec<usize>>,
}

/// A tensor of a GGUF file.
#[derive(Debug, Clone, PartialEq)]
pub struct GgufTensor {
    /// Name; in an adapter, `blk.0.attn_q.weight.lora_a`.
    pub name: String,
    /// Shape, outermost axis first as in PyTorch.
    pub shape: Vec<usize>,
    /// ggml type id.
    kind: u32,
    /// Offset of its bytes from the start of the data.
    offset: u64,
}

impl GgufTensor {
    /// Returns the name of its ggml type.
    pub fn type_name(&self) -> String {
        const NAMES: [(u32, &str); 19] = [
            (0, "F32"),
            (1, "F16"),
            (2, "Q4_0"),
            (3, "Q4_1"),
            (6, "Q5_0"),
            (7, "Q5_1"),
            (8, "Q8_0"),
            (9, "Q8_1"),
            (10, "Q2_K"),
            (11, "Q3_K"),
            (12, "Q4_K"),
            (13, "Q5_K"),
            (14, "Q6_K"),
            (15, "Q8_K"),
            (24, "I8"),
            (25, "I16"),
            (26, "I32"),
            (28, "F64"),
            (30, "BF16"),
        ];
        let name = NAMES.iter().find(|(kind, _)| *kind == self.kind);
        name.map_or_else(|| format!("type {}", self.kind), |(_, name)| (*name).into())
    }

    /// Returns the equivalent dtype, or `None` for quantized types.
    fn dtype(&self) -> Option<Dtype> {
        Some(match self.kind {
            0 => Dtype::F32,
            1 => Dtype::F16,
            24 => Dtype::I8,
            25 => Dtype::I16,
            26 => Dtype::I32,
            28 => Dtype::F64,
            30 => Dtype::BF16,
            _ => return None,
        })
    }
}

impl Gguf {
    /// Returns whether it is a LoRA adapter.
    pub fn is_adapter(&self) -> bool {
        let has = |key: &str, text: &str| self.metadata.get(key).is_some_and(|value| value == text);
        has("general.type", "adapter") || self.tensors.iter().any(|tensor| tensor.name.ends_with(".lora_a"))
    }

    /// Returns the shape of a tensor before it was reshaped, else its shape.
    fn original_shape<'a>(&'a self, tensor: &'a GgufTensor) -> &'a [usize] {
        let original = self.original_shapes.get(&tensor.name);
        original.filter(|shape| numel(shape) == numel(&tensor.shape)).unwrap_or(&tensor.shape)
    }
}

/// Reads the header.
pub async fn read(source: &dyn ByteSource) -> Result<Gguf, FormatError> {
    Ok(parse(source).await?.0)
}

/// Reads the tensors with their byte ranges. Quantized adapters are refused: reports and edits know no such dtype.
pub async fn read_header(source: &dyn ByteSource) -> Result<Header, FormatError> {
    let (gguf, data_start) = parse(source).await?;
    let mut tensors = Vec::with_capacity(gguf.tensors.len());
    for tensor in &gguf.tensors {
        let unknown = || FormatError::Quantized { name: tensor.name.clone(), kind: tensor.type_name() };
        let count = check_shape(&tensor.name, &tensor.shape)?;
        let blocks = BlockType::of(tensor.kind).filter(|_| !gguf.is_adapter());
        let columns = tensor.shape.last().map_or(1, |&columns| columns as u64);
        let len = match (tensor.dtype(), blocks) {
            (Some(dtype), _) => count.checked_mul(dtype.bitsize() as u64 / 8),
            // A row consists of whole blocks.
            (None, Some(blocks)) if columns.is_multiple_of(blocks.elements()) => {
                (count / blocks.elements()).checked_mul(blocks.bytes())
            }
            _ => return Err(unknown()),
        };
        let start = data_start.checked_add(tensor.offset);
        let bytes = start.zip(len).and_then(|(start, len)| Some(start..start.checked_add(len)?));
        let bytes = bytes.filter(|bytes| bytes.end <= source.len()).ok_or_else(|| {
            FormatError::Truncated(sentence!("detail.past_file", key = &tensor.name, size = source.len()).into())
        })?;
        let (name, shape) = (tensor.name.clone(), gguf.original_shape(tensor).to_vec());
        tensors.push(match (tensor.dtype(), blocks) {
            (Some(dtype), _) => TensorInfo::contiguous(name, dtype, shape, bytes),
            (None, Some(blocks)) => TensorInfo::quantized(name, blocks, shape, bytes),
            (None, None) => return Err(unknown()),
        });
    }
    sorting::sort_by_key(&mut tensors, |tensor| tensor.bytes.start);
    Ok(Header::of(tensors, gguf.metadata))
}

/// Parses the header and returns it with the offset of the data. Reads more of the file only while the header
/// continues.
async fn parse(source: &dyn ByteSource) -> Result<(Gguf, u64), FormatError> {
    let mut window = 1 << 20;
    loop {
        let end = source.len().min(window);
        let bytes = source.read(0..end).await?;
        match (Reader { rest: &bytes }).header(bytes.len()) {
            Err(FormatError::Truncated(_)) if end < source.len().min(MAX_HEADER_LEN) => window *= 8,
            other => return other,
        }
    }
}

/// Sequential reader of little-endian fields.
struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn take(&mut self, len: u64) -> Result<&'a [u8], FormatError> {
        let truncated = || FormatError::Truncated(sentence!("detail.gguf_entry").into());
        let len = usize::try_from(len).map_err(|_| truncated())?;
        let (head, rest) = self.rest.split_at_checked(len).ok_or_else(truncated)?;
        self.rest = rest;
        Ok(head)
    }

    fn bytes<const N: usize>(&mut self) -> Result<[u8; N], FormatError> {
        Ok(self.take(N as u64)?.try_into().unwrap_or([0; N]))
    }

    fn u32(&mut self) -> Result<u32, FormatError> {
        Ok(u32::from_le_bytes(self.bytes()?))
    }

    fn u64(&mut self) -> Result<u64, FormatError> {
        Ok(u64::from_le_bytes(self.bytes()?))
    }

    fn text(&mut self) -> Result<String, FormatError> {
        let len = self.u64()?;
        Ok(String::from_utf8_lossy(self.take(len)?).into_owned())
    }

    fn header(mut self, len: usize) -> Result<(Gguf, u64), FormatError> {
        self.take(4)?;
        let version = self.u32()?;
        if !(2..=3).contains(&version) {
            return Err(FormatError::BadGguf(sentence!("detail.gguf_version", version = u64::from(version)).into()));
        }
        let (tensor_count, entries) = (self.u64()?, self.u64()?);
        let mut metadata = BTreeMap::new();
        let mut original_shapes = HashMap::new();
        for _ in 0..entries {
            let key = self.text()?;
            let kind = self.u32()?;
            if let Some(shape) = key.strip_prefix(ORIGINAL_SHAPE).and_then(|_| Reader { rest: self.rest }.shape(kind)) {
                original_shapes.insert(key[ORIGINAL_SHAPE.len()..].to_owned(), shape);
            }
            let value = self.value(kind)?;
            metadata.insert(key, value);
        }
        let mut tensors = Vec::new();
        let mut names = HashSet::new();
        for _ in 0..tensor_count {
            let tensor = self.tensor()?;
            if tensor.name.is_empty() || !names.insert(tensor.name.clone()) {
                return Err(FormatError::BadGguf(sentence!("detail.gguf_name", key = &tensor.name).into()));
            }
            tensors.push(tensor);
        }
        let alignment = metadata.get("general.alignment").and_then(|text| text.parse::<u64>().ok()).unwrap_or(32);
        let header_end = (len - self.rest.len()) as u64;
        let data_start = header_end.checked_next_multiple_of(alignment.clamp(1, 1 << 20));
        Ok((Gguf { metadata, tensors, original_shapes }, data_start.unwrap_or(header_end)))
    }

    /// Reads a metadata value of this type as a shape: an array of 32-bit integers.
    fn shape(mut self, kind: u32) -> Option<Vec<usize>> {
        let (element, count) = (self.u32().ok()?, self.u64().ok()?);
        if kind != 9 || !matches!(element, 4 | 5) || count > 8 {
            return None;
        }
        (0..count).map(|_| Some(self.u32().ok()? as usize)).collect()
    }

    /// Reads a metadata value of this type as text.
    fn value(&mut self, kind: u32) -> Result<String, FormatError> {
        Ok(match kind {
            0 => self.bytes::<1>()?[0].to_string(),
            1 => i8::from_le_bytes(self.bytes()?).to_string(),
            2 => u16::from_le_bytes(self.bytes()?).to_string(),
            3 => i16::from_le_bytes(self.bytes()?).to_string(),
            4 => self.u32()?.to_string(),
            5 => i32::from_le_bytes(self.bytes()?).to_string(),
            6 => f32::from_le_bytes(self.bytes()?).to_string(),
            7 => (self.bytes::<1>()?[0] != 0).to_string(),
            8 => self.text()?,
            9 => {
                let (kind, count) = (self.u32()?, self.u64()?);
                self.skip(kind, count)?;
                format!("({count} values)")
            }
            10 => self.u64()?.to_string(),
            11 => i64::from_le_bytes(self.bytes()?).to_string(),
            12 => f64::from_le_bytes(self.bytes()?).to_string(),
            other => return Err(FormatError::BadGguf(sentence!("detail.gguf_value", kind = u64::from(other)).into())),
        })
    }

    /// Skips an array.
    fn skip(&mut self, kind: u32, count: u64) -> Result<(), FormatError> {
        let width = match kind {
            0 | 1 | 7 => 1,
            2 | 3 => 2,
            4..=6 => 4,
            10..=12 => 8,
            8 => {
                for _ in 0..count {
                    let len = self.u64()?;
                    self.take(len)?;
                }
                return Ok(());
            }
            other => return Err(FormatError::BadGguf(sentence!("detail.gguf_array", kind = u64::from(other)).into())),
        };
        self.take(count.saturating_mul(width)).map(|_| ())
    }

    fn tensor(&mut self) -> Result<GgufTensor, FormatError> {
        let name = self.text()?;
        let axes = self.u32()?;
        if axes > MAX_AXES {
            let (axes, most) = (u64::from(axes), u64::from(MAX_AXES));
            return Err(FormatError::BadGguf(
                sentence!("detail.tensor_axes", key = &name, axes = axes, most = most).into(),
            ));
        }
        let mut shape = Vec::new();
        for _ in 0..axes {
            let axis = self.u64()?;
            let axis = usize::try_from(axis).map_err(|_| FormatError::BadShape {
                name: name.clone(),
                reason: sentence!("detail.bad_axis", axis = axis.to_string()).into(),
            })?;
            shape.push(axis);
        }
        shape.reverse();
        Ok(GgufTensor { name, shape, kind: self.u32()?, offset: self.u64()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(bytes: &mut Vec<u8>, text: &str) {
        bytes.extend((text.len() as u64).to_le_bytes());
        bytes.extend(text.as_bytes());
    }

    /// Builds an adapter for one layer: 2 inputs, rank 1, 3 outputs, alpha 8.
    fn adapter() -> Vec<u8> {
        adapter_of(2, 0)
    }

    /// Builds an adapter with so many inputs and this ggml type of lora_a.
    fn adapter_of(inputs: u64, kind: u32) -> Vec<u8> {
        let mut bytes = b"GGUF\x03\0\0\0".to_vec();
        bytes.extend(2u64.to_le_bytes());
        bytes.extend(3u64.to_le_bytes());
        text(&mut bytes, "general.type");
        bytes.extend(8u32.to_le_bytes());
        text(&mut bytes, "adapter");
        text(&mut bytes, "adapter.lora.alpha");
        bytes.extend(6u32.to_le_bytes());
        bytes.extend(8f32.to_le_bytes());
        text(&mut bytes, "tokens");
        bytes.extend(9u32.to_le_bytes());
        bytes.extend(8u32.to_le_bytes());
        bytes.extend(2u64.to_le_bytes());
        text(&mut bytes, "a");
        text(&mut bytes, "bc");
        for (name, axes, offset, kind) in
            [("blk.0.attn_q.weight.lora_a", [inputs, 1], 0u64, kind), ("blk.0.attn_q.weight.lora_b", [1, 3], 32, 0)]
        {
            text(&mut bytes, name);
            bytes.extend(2u32.to_le_bytes());
            axes.iter().for_each(|axis| bytes.extend(axis.to_le_bytes()));
            bytes.extend(kind.to_le_bytes());
            bytes.extend(offset.to_le_bytes());
        }
        bytes.resize(bytes.len().next_multiple_of(32), 0);
        for value in [1f32, 2., 0., 0., 0., 0., 0., 0., 3., 4., 5.] {
            bytes.extend(value.to_le_bytes());
        }
        bytes
    }

    #[test]
    fn an_adapter_is_read_with_its_metadata_and_tensors() {
        let bytes = adapter();
        let gguf = pollster::block_on(read(&bytes)).expect("a GGUF file");
        assert!(gguf.is_adapter());
        assert_eq!(gguf.metadata["adapter.lora.alpha"], "8");
        assert_eq!(gguf.metadata["tokens"], "(2 values)");
        let header = pollster::block_on(read_header(&bytes)).expect("a GGUF file");
        let b = header.get("blk.0.attn_q.weight.lora_b").expect("lora_b");
        assert_eq!(
            (b.shape.as_slice(), pollster::block_on(b.read(&bytes)).expect("numbers")),
            (&[3, 1][..], vec![3., 4., 5.])
        );
    }

    #[test]
    fn a_quantized_adapter_is_refused() {
        let mut bytes = adapter_of(32, 8);
        bytes.resize(bytes.len() + 64, 0);
        let error = pollster::block_on(read_header(&bytes)).expect_err("a refusal");
        assert!(matches!(&error, FormatError::Quantized { kind, .. } if kind == "Q8_0"), "{error:?}");
    }

    #[test]
    fn every_truncation_is_an_error() {
        let bytes = adapter();
        for len in 4..bytes.len() {
            let truncated = bytes[..len].to_vec();
            assert!(pollster::block_on(read_header(&truncated)).is_err(), "{len} of {} bytes", bytes.len());
        }
    }
}
