//! Errors from reading files, each with a problem class and a sentence.

use super::pickle::global_name;
use crate::sentence::{Sentence, Value, sentence};
use std::error::Error;
use std::{fmt, io};

/// Error from reading a file or one of its tensors, or from converting a tensor.
#[derive(Debug)]
#[expect(missing_docs, reason = "the sentence of each variant says what its fields are")]
pub enum FormatError {
    /// I/O error of the underlying source.
    Io(io::Error),
    /// File that is shorter than its header declares.
    Truncated(Value),
    /// safetensors header that violates the format.
    BadHeader(Value),
    /// Key of two tensors.
    DuplicateKey(String),
    /// Tensors that overlap, leave gaps, or do not end at the end of the file.
    BadOffsets(Value),
    /// Shape that is impossible, or does not match the tensor's size in bytes.
    BadShape { name: String, reason: Value },
    /// Tensor without plain elements: quantized, sparse, on the meta device, ….
    UnsupportedTensor { name: String, kind: &'static str },
    /// dtype that the format does not define.
    BadDtype { name: String, dtype: String },
    /// GGUF header that violates the format.
    BadGguf(Value),
    /// Tensor with a quantized type of ggml or PyTorch.
    Quantized { name: String, kind: String },
    /// Zip archive that violates the format.
    BadZip(Value),
    /// File that would need far more memory than its size (decompression bomb).
    ResourceBomb(Value),
    /// Pickle that violates the format.
    BadPickle(Value),
    /// Pickle without a STOP opcode.
    PickleTruncated(usize),
    /// Pickle that imports a dangerous function.
    UnsafePickle(String),
    /// Pickle that imports a name known neither as harmless nor as dangerous.
    UnknownGlobal(String),
    /// dtype without a conversion to or from f32.
    UnsupportedDtype(::safetensors::Dtype),
    /// Value that overflows the base model's dtype.
    Overflow { name: String, value: f32, dtype: ::safetensors::Dtype },
}

impl FormatError {
    /// Returns the sentence in reports: what is wrong and what to do.
    pub fn sentence(&self) -> Sentence {
        match self {
            FormatError::Io(error) => sentence!("file.io", reason = error.to_string()),
            FormatError::Truncated(detail) => sentence!("file.truncated", detail = detail.clone()),
            FormatError::BadHeader(detail) => sentence!("file.bad_header", detail = detail.clone()),
            FormatError::DuplicateKey(key) => sentence!("file.duplicate_key", key = key),
            FormatError::BadOffsets(detail) => sentence!("file.bad_offsets", detail = detail.clone()),
            FormatError::BadShape { name, reason } => sentence!("file.bad_shape", key = name, detail = reason.clone()),
            FormatError::UnsupportedTensor { name, kind } => {
                sentence!("file.unsupported_tensor", key = name, kind = Value::phrase(kind))
            }
            FormatError::BadDtype { name, dtype } => sentence!("file.bad_dtype", key = name, dtype = dtype),
            FormatError::BadGguf(detail) => sentence!("file.bad_gguf", detail = detail.clone()),
            FormatError::Quantized { name, kind } => sentence!("file.quantized", key = name, kind = kind),
            FormatError::BadZip(detail) => sentence!("file.bad_zip", detail = detail.clone()),
            FormatError::ResourceBomb(detail) => sentence!("file.resource_bomb", detail = detail.clone()),
            FormatError::BadPickle(detail) => sentence!("file.bad_pickle", detail = detail.clone()),
            FormatError::PickleTruncated(at) => sentence!("file.pickle_truncated", at = *at),
            FormatError::UnsafePickle(name) => sentence!("file.unsafe_pickle", name = global_name(name)),
            FormatError::UnknownGlobal(name) => sentence!("file.unknown_global", name = name),
            FormatError::UnsupportedDtype(dtype) => sentence!("file.unsupported_dtype", dtype = dtype.to_string()),
            FormatError::Overflow { name, value, dtype } => {
                sentence!("file.overflow", key = name, value = *value, dtype = dtype.to_string())
            }
        }
    }

    /// Returns the problem class in reports and in the test corpus.
    pub fn class(&self) -> &'static str {
        match self {
            FormatError::Io(_) => "unreadable",
            FormatError::Truncated(_) => "truncated",
            FormatError::BadHeader(_) | FormatError::BadGguf(_) => "bad_header",
            FormatError::DuplicateKey(_) => "duplicate_key",
            FormatError::BadOffsets(_) => "bad_offsets",
            FormatError::BadShape { .. } => "bad_shape",
            FormatError::UnsupportedTensor { .. } => "unsupported_tensor",
            FormatError::BadZip(_) => "bad_zip",
            FormatError::ResourceBomb(_) => "resource_bomb",
            FormatError::BadPickle(_) => "bad_pickle",
            FormatError::PickleTruncated(_) => "truncated",
            FormatError::UnsafePickle(_) => "unsafe_pickle",
            FormatError::UnknownGlobal(_) => "unknown_global",
            FormatError::BadDtype { .. } | FormatError::UnsupportedDtype(_) | FormatError::Quantized { .. } => {
                "bad_dtype"
            }
            FormatError::Overflow { .. } => "overflow",
        }
    }
}

impl fmt::Display for FormatError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.sentence().clause())
    }
}

impl Error for FormatError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            FormatError::Io(error) => Some(error),
            _ => None,
        }
    }
}

impl From<io::Error> for FormatError {
    fn from(error: io::Error) -> FormatError {
        FormatError::Io(error)
    }
}
