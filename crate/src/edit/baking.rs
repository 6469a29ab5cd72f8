//! Turns a model and adapters into the model with the adapters folded in, after making sure that
//! every change lands.

use super::apply::MergePart;
use super::draft::Outcome;
use super::error::EditError;
use super::inputs::{EditInput, Models};
use crate::adapters::{Adapter, BakedAdapter, Delta, ModelFile, PeftConfigs, LeftoverReason, bake, baked_size, read};
use crate::analysis::{BaseShapes, Severity, inspect};
use crate::formats::{ByteSink, ByteSource, Header, read_header};
use crate::model::Family;
use crate::model::spelling::Spellings;
use serde::Serialize;
use std::collections::HashSet;
use ts_rs::TS;

/// What a fold into a model changes.
#[derive(Debug, Clone, Serialize, TS)]
pub struct BakePreview {
    /// The model's family, for people.
    pub label: String,
    /// Tensors that change.
    pub tensors: usize,
    /// Tensors of the result.
    pub tensors_after: usize,
    /// What is odd about the adapters, in sentences.
    pub warnings: Vec<String>,
    /// Bytes of the result.
    #[ts(type = "number")]
    pub size_after: u64,
}

/// A fold that is planned.
pub struct BakePlan<'a> {
    base: &'a BaseShapes,
    files: &'a [ModelFile<'a>],
    loras: Vec<BakeInput<'a>>,
    /// What it changes.
    pub preview: BakePreview,
}

/// An adapter ready to be folded in.
struct BakeInput<'a> {
    name: &'a str,
    source: &'a dyn ByteSource,
    header: Header,
    adapter: Adapter,
    part: &'a MergePart,
}

/// Plans a fold: reads every adapter once and makes sure that it lands.
pub(super) async fn bake_into<'a>(
    base: &'a Models<'a>,
    files: &'a [ModelFile<'a>],
    adapters: &[EditInput<'a>],
    parts: &'a [MergePart],
) -> Result<BakePlan<'a>, EditError> {
    let (mut loras, mut warnings) = (Vec::new(), Vec::new());
    for (input, part) in adapters.iter().zip(parts) {
        loras.push(ready(input, part, &base.shapes, &mut warnings).await?);
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
    /// Writes the model.
    pub async fn write(&self, out: &mut dyn ByteSink) -> Result<Outcome, EditError> {
        let adapters: Vec<BakedAdapter> = self
            .loras
            .iter()
            .map(|lora| BakedAdapter {
                name: lora.name,
                source: lora.source,
                header: &lora.header,
                adapter: &lora.adapter,
                strength: lora.part.strength,
                blocks: &lora.part.strengths,
            })
            .collect();
        bake(self.files, &self.base.tensors, &adapters, out).await?;
        let BakePreview { size_after, tensors_after, .. } = self.preview;
        Ok(Outcome { size: size_after, tensors: tensors_after, thinned: Vec::new(), head: Vec::new() })
    }
}

/// Reads an adapter and makes sure that it lands.
async fn ready<'a>(
    input: &EditInput<'a>,
    part: &'a MergePart,
    base: &BaseShapes,
    warnings: &mut Vec<String>,
) -> Result<BakeInput<'a>, EditError> {
    let (file, source) = (input.name, input.source()?);
    let report = inspect(file, source, input.config, Some(base)).await;
    let refuse = |reason: String| EditError::Refused { file: file.into(), reason };
    for problem in &report.problems {
        match problem.severity {
            Severity::Refuse => return Err(refuse(problem.message.clone())),
            Severity::Warn => warnings.push(format!("{file}: {}", problem.message)),
        }
    }
    let failed = |source| EditError::Read { file: file.into(), source };
    let header = read_header(source).await.map_err(failed)?;
    let configs = PeftConfigs::resolve(&header, input.config)
        .map_err(|source| EditError::BadConfig { file: file.into(), source })?;
    let adapter = read(source, &header, &configs, &base.modules()).await.map_err(failed)?;
    let lands = |delta: &&Delta| delta.fits(&delta.wanted_shape()) && base.tensors.contains_key(&delta.tensor());
    if let Some(stray) = adapter.deltas.iter().find(|delta| !lands(delta)) {
        return Err(refuse(format!("its change of `{}` does not fit the base model", stray.tensor())));
    }
    if let Some(missing) = missing_layer(&adapter, base) {
        return Err(refuse(format!("the base model lacks the layer of `{missing}`")));
    }
    if adapter.deltas.is_empty() {
        let made_for = &report.base.label;
        return Err(refuse(format!("nothing in it changes a layer of the base model; it was made for {made_for}")));
    }
    Ok(BakeInput { name: file, source, header, adapter, part })
}

/// A key for a layer that the family has and this base has not: a network that is not in the
/// file, or one under names that are not read.
fn missing_layer(adapter: &Adapter, base: &BaseShapes) -> Option<String> {
    let family = Family::published(base.family).ok()?;
    let modules = family.modules();
    let spellings = Spellings::new(&modules);
    let known = |stem: &String| spellings.find(stem, true).or(spellings.find(stem, false)).is_some();
    adapter.leftovers.iter().find_map(|left| match &left.reason {
        LeftoverReason::NoSuchLayer(stem) if known(stem) => Some(left.key.clone()),
        _ => None,
    })
}
