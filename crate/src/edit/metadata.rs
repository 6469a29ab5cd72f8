//! Metadata edits of a safetensors file: a new header, followed by a copy of the tensor data.

use super::draft::{Outcome, head};
use super::error::EditError;
use crate::analysis::{DataHashes, HeaderHashes, SPEC_HASH};
use crate::formats::{ByteSink, ByteSource, COPY_BLOCK, Content, FormatError, Header, blocks, sniff};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io;
use ts_rs::TS;

/// Options of a metadata edit.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, TS)]
#[serde(default)]
pub struct MetadataEdit {
    /// Keys to set, with their values.
    pub set: Vec<(String, String)>,
    /// Keys to remove; a trailing `*` matches any suffix.
    pub remove: Vec<String>,
    /// Whether to remove private data: paths, datasets, comments, session ids.
    pub strip_private: bool,
    /// Whether to fix the hashes, or add missing ones.
    pub repair_hashes: bool,
}

/// The changes that a metadata edit makes.
#[derive(Debug, Clone, Default, Serialize, TS)]
pub struct MetadataPreview {
    /// Keys whose values change, sorted.
    pub changes: Vec<MetadataChange>,
    /// The metadata of the result.
    pub metadata: BTreeMap<String, String>,
    /// Size in bytes before.
    #[ts(type = "number")]
    pub size_before: u64,
    /// Size in bytes after.
    #[ts(type = "number")]
    pub size_after: u64,
}

/// A metadata key whose value changes.
#[derive(Debug, Clone, PartialEq, Serialize, TS)]
pub struct MetadataChange {
    /// The key.
    pub key: String,
    /// Value before; absent for a new key.
    pub before: Option<String>,
    /// Value after; absent for a removed key.
    pub after: Option<String>,
}

/// A planned metadata edit.
pub struct MetadataRewrite<'a> {
    source: &'a dyn ByteSource,
    file: String,
    header: Header,
    data_start: u64,
    /// The changes.
    pub preview: MetadataPreview,
}

/// Keys with personal or machine data. A trailing `*` matches any suffix.
const PRIVATE: &[&str] = &[
    "ss_dataset_dirs",
    "ss_reg_dataset_dirs",
    "ss_datasets",
    "ss_output_name",
    "ss_training_comment",
    "ss_session_id",
    "ss_training_started_at",
    "ss_training_finished_at",
    "ss_sd_model_name",
    "ss_vae_name",
    "ss_tag_frequency",
    "ss_bucket_info",
    "ss_sd_scripts_commit_hash",
    "ss_caption_dropout_*",
    "ss_wandb*",
    "ss_huggingface*",
    "ss_sd_model_path",
    "ss_vae_path",
    "ss_config_file",
    "ot_config",
    "ot_revision",
    "ot_branch",
    "training_info",
    "workflow",
    "prompt",
    "training_config",
];

/// Plans a metadata edit. Reads the header, and the tensor data only if hashes are to be fixed.
pub async fn edit_metadata<'a>(
    file: &str,
    source: &'a dyn ByteSource,
    edit: &MetadataEdit,
) -> Result<MetadataRewrite<'a>, EditError> {
    let failed = |source| EditError::Read { file: file.into(), source };
    let io = |error: io::Error| failed(FormatError::from(error));
    let prefix = source.read(0..source.len().min(sniff::SNIFF_LEN as u64)).await.map_err(io)?;
    let content = sniff::sniff(&prefix);
    if content != Content::Safetensors {
        let convertible = matches!(content, Content::Pickle | Content::Zip | Content::Gguf);
        return Err(EditError::NoHeader { file: file.into(), convertible });
    }
    let mut header = Header::read(source).await.map_err(failed)?;
    let length = source.read(0..8).await.map_err(io)?;
    let data_start = 8 + u64::from_le_bytes(length.try_into().unwrap_or_default());
    let before = header.metadata.clone();
    apply(&mut header.metadata, edit)?;
    if edit.repair_hashes {
        let hashes = data_hashes(source, &header, data_start).await.map_err(failed)?;
        repair(&mut header.metadata, &hashes);
    }
    let preview = MetadataPreview {
        changes: changes(&before, &header.metadata),
        metadata: header.metadata.clone(),
        size_before: source.len(),
        size_after: head(&header).len() as u64 + source.len() - data_start,
    };
    Ok(MetadataRewrite { source, file: file.into(), header, data_start, preview })
}

impl MetadataRewrite<'_> {
    /// Returns the header of the result.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// Writes the file: the new header, then all bytes that follow the old one.
    pub async fn write(&self, out: &mut dyn ByteSink) -> Result<Outcome, EditError> {
        let failed = |error: io::Error| EditError::Read { file: self.file.clone(), source: error.into() };
        out.write(&head(&self.header)).await?;
        for block in blocks(self.data_start..self.source.len(), COPY_BLOCK) {
            out.write(&self.source.read(block).await.map_err(failed)?).await?;
        }
        let (size, tensors) = (self.preview.size_after, self.header.tensors.len());
        Ok(Outcome { size, tensors, thinned: Vec::new(), head: Vec::new() })
    }
}

fn apply(metadata: &mut BTreeMap<String, String>, edit: &MetadataEdit) -> Result<(), EditError> {
    let matches = |pattern: &str, key: &str| match pattern.strip_suffix('*') {
        Some(prefix) => key.starts_with(prefix),
        None => key == pattern,
    };
    metadata.retain(|key, _| {
        let removed = edit.remove.iter().any(|pattern| matches(pattern, key));
        let private = edit.strip_private && PRIVATE.iter().any(|pattern| matches(pattern, key));
        !removed && !private
    });
    for (key, value) in &edit.set {
        if key.is_empty() || key == "__metadata__" {
            return Err(EditError::BadKey(key.clone()));
        }
        metadata.insert(key.clone(), value.clone());
    }
    Ok(())
}

async fn data_hashes(source: &dyn ByteSource, header: &Header, start: u64) -> Result<HeaderHashes, FormatError> {
    let mut hashes = DataHashes::new(header);
    for block in blocks(start..source.len(), COPY_BLOCK) {
        hashes.take(&source.read(block).await?);
    }
    Ok(hashes.finish())
}

/// Sets the hashes that A1111 reads, and modelspec's if the file has one.
fn repair(metadata: &mut BTreeMap<String, String>, hashes: &HeaderHashes) {
    for (key, value) in hashes.values() {
        if key != SPEC_HASH || metadata.contains_key(SPEC_HASH) {
            metadata.insert(key.into(), value);
        }
    }
}

fn changes(before: &BTreeMap<String, String>, after: &BTreeMap<String, String>) -> Vec<MetadataChange> {
    let keys: std::collections::BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    let change = |key: &String| MetadataChange {
        key: key.clone(),
        before: before.get(key).cloned(),
        after: after.get(key).cloned(),
    };
    keys.into_iter().map(change).filter(|change| change.before != change.after).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_set_removed_and_stripped() {
        let pairs =
            [("ss_tag_frequency", "{}"), ("ss_steps", "3"), ("modelspec.title", "a"), ("x.1", "1"), ("x.2", "2")];
        let before: BTreeMap<String, String> = pairs.map(|(key, value)| (key.into(), value.into())).into();
        let mut after = before.clone();
        let edit = MetadataEdit {
            set: vec![("modelspec.title".into(), "b".into()), ("new".into(), "1".into())],
            remove: vec!["x.*".into()],
            strip_private: true,
            repair_hashes: false,
        };
        apply(&mut after, &edit).expect("good keys");
        assert_eq!(after.keys().collect::<Vec<_>>(), ["modelspec.title", "new", "ss_steps"]);
        let changed: Vec<String> = changes(&before, &after).into_iter().map(|change| change.key).collect();
        assert_eq!(changed, ["modelspec.title", "new", "ss_tag_frequency", "x.1", "x.2"]);
        let bad = MetadataEdit { set: vec![("__metadata__".into(), "1".into())], ..MetadataEdit::default() };
        assert!(apply(&mut after, &bad).is_err());
    }
}
