//! Turns a file of any readable kind into a safetensors file of the same tensors: a pickle without
//! its code, a GGUF without its wrapping, the adapter in an archive.

use super::draft::{Draft, Origin, Outcome, Piece, Slot};
use super::error::EditError;
use crate::formats::{Buffered, ByteSink, ByteSource, TensorInfo, read_header};
use serde::Serialize;
use ts_rs::TS;

/// What an export makes.
#[derive(Debug, Clone, Serialize, TS)]
pub struct ExportPreview {
    /// Tensors in the file, and in the result.
    pub tensors: usize,
    /// Bytes before.
    #[ts(type = "number")]
    pub size_before: u64,
    /// Bytes after.
    #[ts(type = "number")]
    pub size_after: u64,
}

/// An export that is planned.
pub struct Export<'a> {
    source: Buffered<'a>,
    draft: Draft,
    /// What it makes.
    pub preview: ExportPreview,
}

/// Plans an export. Reads the header.
pub async fn export<'a>(file: &str, source: &'a dyn ByteSource) -> Result<Export<'a>, EditError> {
    let source = Buffered::new(source);
    let header = read_header(&source).await.map_err(|source| EditError::Read { file: file.into(), source })?;
    if header.tensors.is_empty() {
        return Err(EditError::Nothing);
    }
    let piece = |tensor: &TensorInfo| {
        let slot = Slot { name: tensor.name.clone(), dtype: tensor.dtype, shape: tensor.shape.clone() };
        Piece { slots: vec![slot], origin: Origin::Copy(tensor.clone()) }
    };
    let mut metadata = header.metadata.clone();
    metadata.entry("format".into()).or_insert_with(|| "pt".into());
    let draft = Draft::new(header.tensors.iter().map(piece).collect(), metadata);
    let preview = ExportPreview { tensors: header.tensors.len(), size_before: source.len(), size_after: draft.size() };
    Ok(Export { source, draft, preview })
}

impl Export<'_> {
    /// Writes the result; see [`Draft::write`].
    pub async fn write(&self, out: &mut dyn ByteSink) -> Result<Outcome, EditError> {
        self.draft.write(Some(&self.source), async |_| Ok(Vec::new()), out).await
    }
}
