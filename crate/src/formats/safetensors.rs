//! safetensors headers: parsing, validation and writing.
//!
//! The rules are those of the `safetensors` crate (huggingface/safetensors, `Metadata::validate`): it accepts every
//! header that is accepted here. One rule is stricter, as the format's specification requires: keys are unique. The
//! checks are reimplemented so that every failure has its own problem class and only the header is held in memory.

use super::tensor::{TensorInfo, check_shape};
use super::{ByteSource, Dtype, FormatError};
use crate::sentence::{Sentence, sentence};
use crate::sorting;
use serde::Deserialize;
use serde::de::{Deserializer, IntoDeserializer, MapAccess, Visitor, value::StrDeserializer};
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::io::{self, Write};

/// Maximum header length in the format, in bytes.
pub const MAX_HEADER_LEN: u64 = 100_000_000;

/// The header of a safetensors file.
#[derive(Debug, Clone, Default)]
pub struct Header {
    /// Tensors, ordered by their byte ranges.
    pub tensors: Vec<TensorInfo>,
    /// The `__metadata__` entries.
    pub metadata: BTreeMap<String, String>,
    by_name: HashMap<String, usize>,
}

impl Header {
    /// Reads and validates the header. Allocates no more than its length.
    pub async fn read(source: &dyn ByteSource) -> Result<Header, FormatError> {
        let file_len = source.len();
        if file_len < 8 {
            return Err(FormatError::Truncated(sentence!("detail.too_short", size = file_len).into()));
        }
        let prefix = source.read(0..8).await?;
        let header_len = u64::from_le_bytes(prefix.try_into().unwrap_or_default());
        if header_len > MAX_HEADER_LEN {
            return Err(FormatError::BadHeader(
                sentence!("detail.header_too_long", size = header_len, most = MAX_HEADER_LEN).into(),
            ));
        }
        if header_len > file_len - 8 {
            return Err(FormatError::Truncated(
                sentence!("detail.header_past_end", size = header_len, left = file_len - 8).into(),
            ));
        }
        Header::parse(&source.read(8..8 + header_len).await?, file_len)
    }

    /// Parses and validates the header text `json` of a file of `file_len` bytes.
    pub fn parse(json: &[u8], file_len: u64) -> Result<Header, FormatError> {
        let text = std::str::from_utf8(json)
            .map_err(|error| FormatError::BadHeader(sentence!("detail.not_utf8", error = error.to_string()).into()))?;
        let raw: RawHeader =
            serde_json::from_str(text).map_err(|error| FormatError::BadHeader(error.to_string().into()))?;
        let data_start = 8 + json.len() as u64;
        let mut tensors = Vec::with_capacity(raw.tensors.len());
        let mut by_name = HashMap::with_capacity(raw.tensors.len());
        for (name, tensor) in raw.tensors {
            if by_name.insert(name.clone(), 0).is_some() {
                return Err(FormatError::DuplicateKey(name));
            }
            tensors.push(tensor.check(name, data_start)?);
        }
        sorting::sort_by_key(&mut tensors, |tensor| (tensor.bytes.start, tensor.bytes.end));
        check_coverage(&tensors, data_start, file_len)?;
        for (index, tensor) in tensors.iter().enumerate() {
            by_name.insert(tensor.name.clone(), index);
        }
        Ok(Header { tensors, metadata: raw.metadata, by_name })
    }

    /// Returns the tensor with this key.
    pub fn get(&self, name: &str) -> Option<&TensorInfo> {
        self.tensors.get(*self.by_name.get(name)?)
    }

    /// Creates a header from tensors that are already validated.
    pub fn of(tensors: Vec<TensorInfo>, metadata: BTreeMap<String, String>) -> Header {
        let by_name = tensors.iter().enumerate().map(|(index, tensor)| (tensor.name.clone(), index)).collect();
        Header { tensors, metadata, by_name }
    }

    /// Writes the header length and the header for the same tensors in the same order and dtypes. The caller writes
    /// their bytes after it, without gaps.
    pub fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        let mut map = serde_json::Map::new();
        if !self.metadata.is_empty() {
            map.insert("__metadata__".into(), serde_json::json!(self.metadata));
        }
        let mut at = 0;
        for tensor in &self.tensors {
            let end = at + tensor.byte_len();
            let info = serde_json::json!({
                "dtype": tensor.dtype.to_string(), "shape": tensor.shape, "data_offsets": [at, end],
            });
            map.insert(tensor.name.clone(), info);
            at = end;
        }
        let mut text = serde_json::to_vec(&map)?;
        text.resize(text.len().next_multiple_of(8), b' ');
        out.write_all(&(text.len() as u64).to_le_bytes())?;
        out.write_all(&text)
    }
}

/// Checks that the sorted tensors start at the end of the header, are contiguous and end at the end of the file.
fn check_coverage(tensors: &[TensorInfo], data_start: u64, file_len: u64) -> Result<(), FormatError> {
    let mut at = data_start;
    for tensor in tensors {
        let (name, start) = (&tensor.name, tensor.bytes.start);
        if start < at {
            return Err(FormatError::BadOffsets(sentence!("detail.overlap", key = name, bytes = at - start).into()));
        }
        if start > at {
            return Err(FormatError::BadOffsets(sentence!("detail.gap", key = name, bytes = start - at).into()));
        }
        at = tensor.bytes.end;
    }
    if at < file_len {
        return Err(FormatError::BadOffsets(sentence!("detail.trailing", bytes = file_len - at).into()));
    }
    if let Some(first) = tensors.iter().find(|tensor| tensor.bytes.end > file_len) {
        let missing = 100.0 * (at - file_len) as f64 / (at - data_start) as f64;
        let (percent, key) = (missing.round(), &first.name);
        let detail = sentence!("detail.missing", percent = percent, key = key, size = file_len, expected = at);
        return Err(FormatError::Truncated(detail.into()));
    }
    Ok(())
}

/// The parsed JSON of a header, before validation.
#[derive(Default)]
struct RawHeader {
    metadata: BTreeMap<String, String>,
    tensors: Vec<(String, RawTensor)>,
}

/// An entry of the header. Numbers keep their JSON form, so that a negative or fractional one gets a specific message.
#[derive(Deserialize)]
struct RawTensor {
    dtype: String,
    shape: Vec<serde_json::Number>,
    data_offsets: (serde_json::Number, serde_json::Number),
}

impl<'de> Deserialize<'de> for RawHeader {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<RawHeader, D::Error> {
        struct Entries;
        impl<'de> Visitor<'de> for Entries {
            type Value = RawHeader;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("an object of tensors")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<RawHeader, A::Error> {
                let mut header = RawHeader::default();
                let mut has_metadata = false;
                while let Some(key) = map.next_key::<String>()? {
                    if key != "__metadata__" {
                        header.tensors.push((key, map.next_value()?));
                    } else if std::mem::replace(&mut has_metadata, true) {
                        return Err(serde::de::Error::duplicate_field("__metadata__"));
                    } else {
                        header.metadata = map.next_value::<Option<_>>()?.unwrap_or_default();
                    }
                }
                Ok(header)
            }
        }
        deserializer.deserialize_map(Entries)
    }
}

impl RawTensor {
    fn check(self, name: String, data_start: u64) -> Result<TensorInfo, FormatError> {
        let dtype_name: StrDeserializer<serde::de::value::Error> = self.dtype.as_str().into_deserializer();
        let Ok(dtype) = Dtype::deserialize(dtype_name) else {
            return Err(FormatError::BadDtype { name, dtype: self.dtype });
        };
        let bad_shape = |reason: Sentence| FormatError::BadShape { name: name.clone(), reason: reason.into() };
        let mut shape = Vec::with_capacity(self.shape.len());
        for axis in &self.shape {
            let size = axis.as_u64().and_then(|size| usize::try_from(size).ok());
            shape.push(size.ok_or_else(|| bad_shape(sentence!("detail.bad_axis", axis = axis.to_string())))?);
        }
        // At most u32::MAX elements.
        let bits = check_shape(&name, &shape)? * dtype.bitsize() as u64;
        let offset = |number: &serde_json::Number| {
            number
                .as_u64()
                .and_then(|offset| offset.checked_add(data_start))
                .ok_or_else(|| sentence!("detail.bad_offset", key = &name, offset = number.to_string()))
                .map_err(|detail| FormatError::BadOffsets(detail.into()))
        };
        let bytes = offset(&self.data_offsets.0)?..offset(&self.data_offsets.1)?;
        if bytes.end < bytes.start {
            return Err(FormatError::BadOffsets(sentence!("detail.reversed", key = &name).into()));
        }
        let (span, remainder) = (bytes.end - bytes.start, bits % 8);
        if remainder != 0 || span != bits / 8 {
            return Err(bad_shape(sentence!(
                "detail.span",
                shape = format!("{shape:?}"),
                dtype = dtype.to_string(),
                bytes = bits.div_ceil(8),
                span = span,
            )));
        }
        Ok(TensorInfo::contiguous(name, dtype, shape, bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(json: &str, data: usize) -> Vec<u8> {
        let mut bytes = (json.len() as u64).to_le_bytes().to_vec();
        bytes.extend(json.as_bytes());
        bytes.resize(bytes.len() + data, 0);
        bytes
    }

    fn check(json: &str, data: usize, class: &str) {
        let error = pollster::block_on(Header::read(&file(json, data))).expect_err(json);
        assert_eq!(error.class(), class, "{json}: {error}");
    }

    #[test]
    fn each_fault_has_its_problem_class() {
        check("", 0, "bad_header");
        check("[1]", 0, "bad_header");
        check("{} x", 0, "bad_header");
        check(
            r#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}"#,
            8,
            "duplicate_key",
        );
        check(r#"{"a":{"dtype":"F32","shape":[1.5],"data_offsets":[0,4]}}"#, 4, "bad_shape");
        check(r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}}"#, 4, "bad_shape");
        check(r#"{"a":{"dtype":"F4","shape":[1],"data_offsets":[0,1]}}"#, 1, "bad_shape");
        check(r#"{"a":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,0]}}"#, 0, "bad_shape");
        check(r#"{"a":{"dtype":"F32","shape":[0,4611686018427387904,4],"data_offsets":[0,0]}}"#, 0, "bad_shape");
        let ones = format!(r#"{{"a":{{"dtype":"F32","shape":{:?},"data_offsets":[0,4]}}}}"#, [1; 3002]);
        check(&ones, 4, "bad_shape");
        check(r#"{"a":{"dtype":"F31","shape":[1],"data_offsets":[0,4]}}"#, 4, "bad_dtype");
        check(r#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[-4,0]}}"#, 4, "bad_offsets");
        check(r#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[4,0]}}"#, 4, "bad_offsets");
        check(r#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}"#, 8, "bad_offsets");
        check(r#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#, 5, "bad_offsets");
        check(r#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#, 3, "truncated");
        check(r#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"__metadata__":{"a":1}}"#, 4, "bad_header");
    }

    #[test]
    fn a_written_header_reads_back_and_the_safetensors_crate_agrees() {
        let json = r#"{"__metadata__":{"format":"pt"},"b":{"dtype":"F16","shape":[2,1],"data_offsets":[4,8]},"a":{"dtype":"F32","shape":[],"data_offsets":[0,4]}}"#;
        let header = pollster::block_on(Header::read(&file(json, 8))).expect("a valid file");
        assert_eq!(header.tensors.iter().map(|tensor| &*tensor.name).collect::<Vec<_>>(), ["a", "b"]);
        let mut bytes = Vec::new();
        header.write(&mut bytes).expect("memory");
        assert_eq!(bytes.len() % 8, 0);
        bytes.extend([0, 0, 0x80, 0x3f, 0, 0x3c, 0, 0xc0]);
        let again = pollster::block_on(Header::read(&bytes)).expect("the written header");
        let b = again.get("b").expect("tensor b");
        assert_eq!(pollster::block_on(b.read(&bytes)).expect("numbers"), [1.0, -2.0]);
        let theirs = ::safetensors::SafeTensors::deserialize(&bytes).expect("a valid file for the crate");
        assert_eq!(theirs.tensor("b").expect("tensor b").shape(), [2, 1]);
    }
}
