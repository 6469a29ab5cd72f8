//! Export of any readable file as safetensors with the same tensors: a pickle without its code, a
//! GGUF, an adapter in an archive.

use super::draft::{Draft, Origin, Outcome, TensorGroup, TensorSpec};
use super::error::EditError;
use super::peft::carried;
use crate::adapters::{ConfigSource, METADATA_KEY, PeftConfigs, group};
use crate::analysis::detect;
use crate::formats::{Buffered, ByteSink, ByteSource, Header, TensorInfo, read_header};
use serde::Serialize;
use ts_rs::TS;

/// Size of an exported file.
#[derive(Debug, Clone, Serialize, TS)]
pub struct ExportPreview {
    /// Number of tensors, in the file and in the result.
    pub tensors: usize,
    /// Size in bytes before.
    #[ts(type = "number")]
    pub size_before: u64,
    /// Size in bytes after.
    #[ts(type = "number")]
    pub size_after: u64,
}

/// A planned export.
pub struct Export<'a> {
    file: String,
    source: Buffered<'a>,
    draft: Draft,
    /// Size of the result.
    pub preview: ExportPreview,
}

/// Plans an export. Reads the header. `sidecar` is the text of the adapter_config.json next to the
/// file; its scale settings are copied to the result's header.
pub async fn export<'a>(
    file: &str,
    source: &'a dyn ByteSource,
    sidecar: Option<&str>,
) -> Result<Export<'a>, EditError> {
    let source = Buffered::new(source);
    let header = read_header(&source).await.map_err(|source| EditError::Read { file: file.into(), source })?;
    if header.tensors.is_empty() {
        return Err(EditError::Nothing);
    }
    let piece = |tensor: &TensorInfo| {
        let slot = TensorSpec { name: tensor.name.clone(), dtype: tensor.dtype, shape: tensor.shape.clone() };
        TensorGroup { slots: vec![slot], origin: Origin::Copy(tensor.clone()) }
    };
    let mut metadata = header.metadata.clone();
    metadata.entry("format".into()).or_insert_with(|| "pt".into());
    let configs =
        PeftConfigs::resolve(&header, sidecar).map_err(|source| EditError::BadConfig { file: file.into(), source })?;
    if let Some(sidecar) = sidecar.filter(|_| configs.place() == Some(ConfigSource::Sidecar)) {
        let (groups, _) = group(&header);
        if groups.iter().any(|group| group.peft) {
            let matches = detect(&groups, &header.metadata, None).found;
            let components = matches.iter().flatten().map(|found| found.component).collect();
            metadata.insert(METADATA_KEY.into(), carried(sidecar, &components));
        }
    }
    let draft = Draft::new(header.tensors.iter().map(piece).collect(), metadata);
    let preview = ExportPreview { tensors: header.tensors.len(), size_before: source.len(), size_after: draft.size() };
    Ok(Export { file: file.into(), source, draft, preview })
}

impl Export<'_> {
    /// Returns the header of the result.
    pub fn header(&self) -> &Header {
        self.draft.header()
    }

    /// Writes the result; see [`Draft::write`].
    pub async fn write(&self, out: &mut dyn ByteSink) -> Result<Outcome, EditError> {
        self.draft.write(Some((&self.file, &self.source)), async |_| Ok(Vec::new()), out).await
    }
}
