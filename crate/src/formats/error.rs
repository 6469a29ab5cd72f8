//! Errors from reading files, each with a problem class and a message.

use std::io;

/// Error from reading a file or one of its tensors, or from converting a tensor.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "each variant's message says what its fields are")]
pub enum FormatError {
    /// I/O error of the underlying source.
    #[error("the file could not be read: {0}; check that it still exists and try again")]
    Io(#[from] io::Error),
    /// File that is shorter than its header declares.
    #[error("the file is truncated: {0}; download it again")]
    Truncated(String),
    /// safetensors header that violates the format.
    #[error("the safetensors header is invalid: {0}; download the file again or contact its author")]
    BadHeader(String),
    /// Key of two tensors.
    #[error("the file lists the key `{0}` twice, so the tensor is ambiguous; ask the file's author for a fixed one")]
    DuplicateKey(String),
    /// Tensors that overlap, leave gaps, or do not end at the end of the file.
    #[error("the tensor offsets are invalid: {0}; the file is corrupted or was written by a faulty program")]
    BadOffsets(String),
    /// Shape that is impossible, or does not match the tensor's size in bytes.
    #[error("`{name}` has an invalid shape: {reason}; the file is corrupted or was written by a faulty program")]
    BadShape { name: String, reason: String },
    /// Tensor without plain elements: quantized, sparse, on the meta device, ….
    #[error("`{name}` is a {kind} tensor, which is not supported; save it again as a plain, dense tensor")]
    UnsupportedTensor { name: String, kind: &'static str },
    /// dtype that the format does not define.
    #[error("`{name}` has the unknown dtype `{dtype}`; a newer version of this program may support it")]
    BadDtype { name: String, dtype: String },
    /// GGUF header that violates the format.
    #[error("the GGUF header is invalid: {0}; download the file again or contact its author")]
    BadGguf(String),
    /// Tensor with a quantized type of ggml or PyTorch.
    #[error(
        "`{name}` is quantized as {kind}, which is not supported; save the adapter as F16 (llama.cpp: --outtype f16)"
    )]
    Quantized { name: String, kind: String },
    /// Zip archive that violates the format.
    #[error("the zip archive is invalid: {0}; download the file again")]
    BadZip(String),
    /// File that would need far more memory than its size (decompression bomb).
    #[error("the file would need far more memory than its size: {0}; do not use it")]
    ResourceBomb(String),
    /// Pickle that violates the format.
    #[error("the pickle is invalid: {0}; download the file again")]
    BadPickle(String),
    /// Pickle without a STOP opcode.
    #[error("the file is truncated: its pickle ends at byte {0}; download it again")]
    PickleTruncated(usize),
    /// Pickle that imports a dangerous function.
    #[error("loading the pickle would run `{0}`; nothing was run here. Delete the file")]
    UnsafePickle(String),
    /// Pickle that imports a name known neither as harmless nor as dangerous.
    #[error("the pickle imports `{0}`, which adapters do not need; nothing was run here. Ask for a .safetensors file")]
    UnknownGlobal(String),
    /// dtype without a conversion to or from f32.
    #[error("tensors of dtype {0} are not supported here; convert the file to F16, BF16 or F32")]
    UnsupportedDtype(::safetensors::Dtype),
    /// Value that overflows the base model's dtype.
    #[error("`{name}` contains {value}, which overflows {dtype}; bake at a lower strength or into an F32 base model")]
    Overflow { name: String, value: f32, dtype: ::safetensors::Dtype },
}

impl FormatError {
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
