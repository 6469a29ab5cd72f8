//! Turns what is wrong with a file's bytes into a class and a sentence.

use std::io;

/// Why a file or one of its tensors cannot be read.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "each variant's message says what its fields are")]
pub enum FormatError {
    /// The storage behind the file failed.
    #[error("the file could not be read: {0}; check that it still exists and try again")]
    Io(#[from] io::Error),
    /// The file ends before its own description says so.
    #[error("the file is cut short: {0}; download it again")]
    Truncated(String),
    /// The header does not follow the format.
    #[error("the safetensors header is damaged: {0}; download the file again or ask who made it")]
    BadHeader(String),
    /// One name stands for two tensors.
    #[error(
        "the header names `{0}` twice, so it is not clear which tensor is meant; ask who made the file for a correct one"
    )]
    DuplicateKey(String),
    /// Tensors overlap, leave gaps or end elsewhere than the file.
    #[error("the tensors do not fill the file: {0}; the file is damaged or was made by a faulty program")]
    BadOffsets(String),
    /// A shape that no tensor can have, or that is not as large as its bytes.
    #[error("`{name}` has an impossible shape: {reason}; the file is damaged or was made by a faulty program")]
    BadShape { name: String, reason: String },
    /// A number type that the format does not know.
    #[error(
        "`{name}` is stored as `{dtype}`, which is not a safetensors number type; a newer program may be needed to read it"
    )]
    BadDtype { name: String, dtype: String },
    /// A GGUF head that breaks the format's rules.
    #[error("the GGUF head is damaged: {0}; download the file again or ask who made it")]
    BadGguf(String),
    /// Numbers in one of ggml's packed types.
    #[error("`{name}` is packed as {kind}, which cannot be unpacked here; convert the adapter with --outtype f16")]
    Packed { name: String, kind: String },
    /// A zip archive that breaks the format's rules.
    #[error("the zip archive is damaged: {0}; download the file again")]
    BadZip(String),
    /// A file that would unpack to far more than it is.
    #[error("the file would take far more memory than its size: {0}; do not use it")]
    ResourceBomb(String),
    /// A pickle that breaks the format's rules.
    #[error("the pickle is damaged: {0}; download the file again")]
    BadPickle(String),
    /// A pickle that stops before its end.
    #[error("the file is cut short: its pickle stops at byte {0}; download it again")]
    PickleEnds(usize),
    /// A pickle that names a function to run.
    #[error("the pickle would run `{0}` when it is opened the usual way; nothing was run here. Delete the file")]
    UnsafePickle(String),
    /// A pickle that names something that is neither known to be harmless nor to be dangerous.
    #[error(
        "the pickle names `{0}`, which has no place in an adapter; nothing was run here. Ask for a .safetensors file"
    )]
    UnknownGlobal(String),
    /// A number type that cannot be turned into f32 here.
    #[error("numbers stored as {0} cannot be used here; convert the file to F16, BF16 or F32")]
    NoNumbers(::safetensors::Dtype),
    /// Values that the base's number type cannot hold.
    #[error(
        "`{name}` reaches {value}, more than {dtype} can hold; bake at a lower strength or into a base stored as F32"
    )]
    Overflow { name: String, value: f32, dtype: ::safetensors::Dtype },
}

impl FormatError {
    /// Short name of the finding, as reports and the corpus spell it.
    pub fn class(&self) -> &'static str {
        match self {
            FormatError::Io(_) => "unreadable",
            FormatError::Truncated(_) => "truncated",
            FormatError::BadHeader(_) | FormatError::BadGguf(_) => "bad_header",
            FormatError::DuplicateKey(_) => "duplicate_key",
            FormatError::BadOffsets(_) => "bad_offsets",
            FormatError::BadShape { .. } => "bad_shape",
            FormatError::BadZip(_) => "bad_zip",
            FormatError::ResourceBomb(_) => "resource_bomb",
            FormatError::BadPickle(_) => "bad_pickle",
            FormatError::PickleEnds(_) => "truncated",
            FormatError::UnsafePickle(_) => "unsafe_pickle",
            FormatError::UnknownGlobal(_) => "unknown_global",
            FormatError::BadDtype { .. } | FormatError::NoNumbers(_) | FormatError::Packed { .. } => "bad_dtype",
            FormatError::Overflow { .. } => "overflow",
        }
    }
}
