//! Baking adapters into a model, after checking that every change matches a layer of it.

use super::draft::Outcome;
use super::error::EditError;
use super::inputs::{EditInput, MergePart, Models};
use crate::adapters::{Adapter, BakedAdapter, Delta, LeftoverReason, ModelFile, PeftConfigs, bake, baked_size, read};
use crate::analysis::{BaseShapes, Severity, inspect};
use crate::formats::{ByteSink, ByteSource, Header, read_header};
use crate::model::Family;
use crate::model::spelling::KeyTable;
use crate::sentence::{Sentence, sentence};
use serde::Serialize;
use std::collections::HashSet;
use ts_rs::TS;

/// The changes that baking makes to a model.
#[derive(Debug, Clone, Serialize, TS)]
pub struct BakePreview {
    /// Display name of the model's family.
    pub label: String,
    /// Number of tensors that change.
    pub tensors: usize,
    /// Number of tensors in the result.
    pub tensors_after: usize,
    /// Warnings about the adapters, as sentences.
    pub warnings: Vec<Sentence>,
    /// Size of the result in bytes.
    #[ts(type = "number")]
    pub size_after: u64,
}

/// A planned bake.
pub struct BakePlan<'a> {
    base: &'a BaseShapes,
    files: &'a [ModelFile<'a>],
    loras: Vec<BakeInput<'a>>,
    /// The changes.
    pub preview: BakePreview,
}

/// An adapter that was read and checked against the model.
pub(super) struct BakeInput<'a> {
    name: &'a str,
    source: &'a dyn ByteSource,
    header: Header,
    adapter: Adapter,
    part: &'a MergePart,
}

/// Plans a bake: reads every adapter once and checks it against the model.
pub(super) async fn bake_into<'a>(
    base: &'a Models<'a>,
    files: &'a [ModelFile<'a>],
    adapters: &[EditInput<'a>],
    parts: &'a [MergePart],
) -> Result<BakePlan<'a>, EditError> {
    let (mut loras, mut warnings) = (Vec::new(), Vec::new());
    for (input, part) in adapters.iter().zip(parts) {
        loras.push(read_checked(input, part, &base.shapes, &mut warnings).await?);
    }
    let changed: HashSet<String> =
        loras.iter().flat_map(|lora| &lora.adapter.deltas).map(|delta| delta.tensor()).collect();
    let preview = BakePreview {
        label: base.shapes.family.label().into(),
        tensors: changed.len(),
        tensors_after: files.iter().map(|file| file.header.tensors.len()).sum(),
        warnings,
        size_after: baked_size(files),
    };
    Ok(BakePlan { base: &base.shapes, files, loras, preview })
}

impl BakePlan<'_> {
    /// Writes the model with the adapters baked in.
    pub async fn write(&self, out: &mut dyn ByteSink) -> Result<Outcome, EditError> {
        let adapters: Vec<BakedAdapter> = self.loras.iter().map(BakeInput::baked).collect();
        bake(self.files, &self.base.tensors, &adapters, out).await?;
        let BakePreview { size_after, tensors_after, .. } = self.preview;
        Ok(Outcome { size: size_after, tensors: tensors_after, thinned: Vec::new(), head: Vec::new() })
    }
}

impl BakeInput<'_> {
    /// Returns the adapter with its strength.
    pub(super) fn baked(&self) -> BakedAdapter<'_> {
        BakedAdapter {
            name: self.name,
            source: self.source,
            header: &self.header,
            adapter: &self.adapter,
            strength: self.part.strength,
            blocks: &self.part.strengths,
        }
    }
}

/// Reads an adapter and checks that all of it applies to the model.
pub(super) async fn read_checked<'a>(
    input: &EditInput<'a>,
    part: &'a MergePart,
    base: &BaseShapes,
    warnings: &mut Vec<Sentence>,
) -> Result<BakeInput<'a>, EditError> {
    let (file, source) = (input.name, input.source()?);
    let report = inspect(file, source, input.config, Some(base)).await;
    let refuse = |reason: Sentence| EditError::Refused { file: file.into(), reason };
    for problem in &report.problems {
        match problem.severity {
            Severity::Refuse => return Err(refuse(problem.message.clone())),
            Severity::Warn => warnings.push(sentence!("bake.warning", file = file, message = &problem.message)),
        }
    }
    let failed = |source| EditError::Read { file: file.into(), source };
    let header = read_header(source).await.map_err(failed)?;
    let configs = PeftConfigs::resolve(&header, input.config)
        .map_err(|source| EditError::BadConfig { file: file.into(), source })?;
    let adapter = read(source, &header, &configs, &base.modules()).await.map_err(failed)?;
    let applies = |delta: &&Delta| delta.fits(&delta.target_shape()) && base.tensors.contains_key(&delta.tensor());
    if let Some(mismatch) = adapter.deltas.iter().find(|delta| !applies(delta)) {
        return Err(refuse(sentence!("edit.other_base", tensor = mismatch.tensor())));
    }
    if let Some(missing) = missing_layer(&adapter, base) {
        return Err(refuse(sentence!("edit.no_layer_for", key = missing)));
    }
    if adapter.deltas.is_empty() {
        return Err(refuse(sentence!("edit.no_layer_of_base", base = report.base.name())));
    }
    Ok(BakeInput { name: file, source, header, adapter, part })
}

/// Returns a key of a layer that the family has but this base model lacks: its network is missing
/// from the file, or stored under unsupported keys.
fn missing_layer(adapter: &Adapter, base: &BaseShapes) -> Option<String> {
    let family = Family::published(base.family).ok()?;
    let modules = family.modules();
    let spellings = KeyTable::new(&modules);
    let known = |stem: &String| spellings.find(stem, true).or(spellings.find(stem, false)).is_some();
    adapter.leftovers.iter().find_map(|left| match &left.reason {
        LeftoverReason::NoSuchLayer(stem) if known(stem) => Some(left.key.clone()),
        _ => None,
    })
}
