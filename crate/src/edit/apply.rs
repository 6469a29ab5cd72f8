//! Turns an edit, as a value, and the files that it is for into a preview or into a new file.
//!
//! The one door to all edits: what a command line or a page asks for is an [`Edit`], which can be
//! stored and sent.

use super::baking::{BakePreview, BakePlan, bake_into};
use super::convert::{ConvertOptions, convert};
use super::draft::Outcome;
use super::error::EditError;
use super::export::{ExportPreview, export};
use super::extract::{ExtractOptions, ExtractPreview, extract};
use super::inputs::{EditInput, Models, ProgressSource};
use super::merge::{MergeInput, MergeOptions, MergePreview, merge};
use super::metadata::{MetadataEdit, MetadataPreview, edit_metadata};
use super::open::Opened;
use super::pairs::KeptRow;
use super::preview::ConvertPreview;
use super::resize::{ResizeOptions, ResizePreview, resize};
use crate::adapters::Strengths;
use crate::analysis::Inside;
use crate::formats::ByteSink;
use serde::{Deserialize, Serialize};
use std::cell::{Cell, RefCell};
use std::ops::ControlFlow;
use ts_rs::TS;

/// What is to be made of one or more files.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, TS)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[ts(rename_all = "snake_case")]
pub enum Edit {
    /// An adapter under other names, in another number type, with alpha elsewhere, as LoRA, with
    /// block strengths baked in, without some of its keys. One adapter.
    Convert(ConvertOptions),
    /// An adapter at other ranks. One adapter.
    Resize(ResizeOptions),
    /// Several adapters in one. As many adapters as parts.
    Merge(MergeEdit),
    /// The adapter between two models. The tuned model, then the base.
    Extract(ExtractOptions),
    /// Adapters folded into a model, each as strongly as the runner would draw with it. The model, then as many adapters as strengths.
    Bake(BakeEdit),
    /// Other metadata and right hashes before the same tensors. One safetensors file.
    Metadata(MetadataEdit),
    /// The tensors of a file of any readable kind as they are, as safetensors. One file.
    Export,
}

/// A merge: how strongly each file acts, and what is asked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, TS)]
pub struct MergeEdit {
    /// One for each file.
    pub parts: Vec<MergePart>,
    /// What is asked of the result.
    #[serde(default)]
    pub options: MergeOptions,
}

/// One file's part of a merge.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, TS)]
pub struct MergePart {
    /// How strongly it acts.
    pub strength: f32,
    /// What its blocks are multiplied by.
    #[serde(default)]
    pub strengths: Strengths,
}

/// Adapters folded into a model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, TS)]
pub struct BakeEdit {
    /// One for each adapter.
    pub parts: Vec<MergePart>,
}

/// What an edit changes.
#[derive(Debug, Clone, Serialize, TS)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[ts(rename_all = "snake_case")]
pub enum Preview {
    /// Of a conversion.
    Convert(ConvertPreview),
    /// Of a resize.
    Resize(ResizePreview),
    /// Of a merge.
    Merge(MergePreview),
    /// Of an extraction.
    Extract(ExtractPreview),
    /// Of a fold into a model.
    Bake(BakePreview),
    /// Of an edit of the metadata.
    Metadata(MetadataPreview),
    /// Of an export.
    Export(ExportPreview),
}

/// A file that was written.
#[derive(Debug, Clone, Serialize, TS)]
pub struct Edited {
    /// What changed.
    pub preview: Preview,
    /// What came of it.
    pub outcome: Outcome,
    /// What each layer keeps, where only writing tells (extractions).
    pub kept: Vec<KeptRow>,
}

/// How far an edit is.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, TS)]
pub struct EditProgress {
    /// Bytes read.
    #[ts(type = "number")]
    pub done: u64,
    /// Bytes that are to be read, as far as can be told.
    #[ts(type = "number")]
    pub total: u64,
}

/// Who hears how far an edit is, and may stop it.
pub type Listener<'a> = &'a mut dyn FnMut(EditProgress) -> ControlFlow<()>;

/// What `edit` would make of the files; writes nothing.
pub async fn preview(edit: &Edit, inputs: &[EditInput<'_>], hear: Listener<'_>) -> Result<Preview, EditError> {
    let done = watched(edit, inputs, None, hear).await?;
    Ok(done.preview)
}

/// Writes what `edit` makes of the files.
///
/// The first bytes that `out` gets may have zeros for hashes: [`Outcome::head`] is to be written
/// over them at the end.
pub async fn apply(
    edit: &Edit,
    inputs: &[EditInput<'_>],
    out: &mut dyn ByteSink,
    hear: Listener<'_>,
) -> Result<Edited, EditError> {
    let done = watched(edit, inputs, Some(out), hear).await?;
    let outcome = done.outcome.ok_or(EditError::Nothing)?;
    Ok(Edited { preview: done.preview, outcome, kept: done.kept })
}

/// A preview, and what came of writing where something was written.
struct Done {
    preview: Preview,
    outcome: Option<Outcome>,
    kept: Vec<KeptRow>,
}

/// Runs an edit with every read counted and told.
async fn watched(
    edit: &Edit,
    inputs: &[EditInput<'_>],
    out: Option<&mut dyn ByteSink>,
    hear: Listener<'_>,
) -> Result<Done, EditError> {
    let bytes: u64 = inputs.iter().flat_map(|input| &input.files).map(|(_, source)| source.len()).sum();
    let total = bytes * (passes(edit) + u64::from(out.is_some())).max(1);
    let (read, stopped, hear) = (Cell::new(0), Cell::new(false), RefCell::new(hear));
    let count = |bytes: u64| {
        read.set(read.get() + bytes);
        let flow = (*hear.borrow_mut())(EditProgress { done: read.get().min(total), total });
        stopped.set(stopped.get() || flow.is_break());
        flow
    };
    let sources: Vec<Vec<ProgressSource>> = inputs
        .iter()
        .map(|input| input.files.iter().map(|(_, source)| ProgressSource::new(*source, &count)).collect())
        .collect();
    let heard: Vec<EditInput> = inputs.iter().zip(&sources).map(|(input, sources)| input.through(sources)).collect();
    match run(edit, &heard, out).await {
        Err(_) if stopped.get() => Err(EditError::Stopped),
        Err(error) => Err(error),
        Ok(done) => {
            // It is done: there is nothing left to stop.
            let _ = (*hear.borrow_mut())(EditProgress { done: total, total });
            Ok(done)
        }
    }
}

/// How often planning reads all numbers.
fn passes(edit: &Edit) -> u64 {
    match edit {
        Edit::Resize(_) | Edit::Merge(_) | Edit::Extract(_) => 1,
        Edit::Convert(_) | Edit::Bake(_) | Edit::Metadata(_) | Edit::Export => 0,
    }
}

async fn run(edit: &Edit, inputs: &[EditInput<'_>], out: Option<&mut dyn ByteSink>) -> Result<Done, EditError> {
    match edit {
        Edit::Convert(options) => {
            let opened = one("a conversion", inputs)?.open().await?;
            let planned = convert(&opened, options).await?;
            let outcome = match out {
                Some(out) => Some(planned.write(out).await?),
                None => None,
            };
            Ok(Done::new(Preview::Convert(planned.preview), outcome))
        }
        Edit::Resize(options) => {
            let opened = one("a resize", inputs)?.open().await?;
            let planned = resize(&opened, *options).await?;
            let outcome = match out {
                Some(out) => Some(planned.write(out).await?),
                None => None,
            };
            Ok(Done::new(Preview::Resize(planned.preview), outcome))
        }
        Edit::Merge(edit) => merged(edit, inputs, out).await,
        Edit::Extract(options) => extracted(*options, inputs, out).await,
        Edit::Bake(edit) => baked(edit, inputs, out).await,
        Edit::Metadata(edit) => {
            let input = one("an edit of metadata", inputs)?;
            let planned = edit_metadata(input.name, input.source()?, edit).await?;
            let outcome = match out {
                Some(out) => Some(planned.write(out).await?),
                None => None,
            };
            Ok(Done::new(Preview::Metadata(planned.preview), outcome))
        }
        Edit::Export => {
            let input = one("an export", inputs)?;
            let inside = Inside::find(input.source()?).await;
            let inside = inside.map_err(|source| EditError::Read { file: input.name.into(), source })?;
            let planned = match &inside {
                Some(inside) => export(&inside.name, &inside.source, inside.config.as_deref()).await?,
                None => export(input.name, input.source()?, input.config).await?,
            };
            let outcome = match out {
                Some(out) => Some(planned.write(out).await?),
                None => None,
            };
            Ok(Done::new(Preview::Export(planned.preview), outcome))
        }
    }
}

impl Done {
    fn new(preview: Preview, outcome: Option<Outcome>) -> Done {
        Done { preview, outcome, kept: Vec::new() }
    }
}

fn one<'a, 'b>(edit: &'static str, inputs: &'a [EditInput<'b>]) -> Result<&'a EditInput<'b>, EditError> {
    match inputs {
        [input] => Ok(input),
        _ => Err(EditError::Files { edit, wants: "one file", files: inputs.len() }),
    }
}

async fn merged(edit: &MergeEdit, inputs: &[EditInput<'_>], out: Option<&mut dyn ByteSink>) -> Result<Done, EditError> {
    if edit.parts.len() != inputs.len() {
        return Err(EditError::Files { edit: "a merge", wants: "a strength for each file", files: inputs.len() });
    }
    let mut files: Vec<Opened> = Vec::new();
    for input in inputs {
        files.push(input.open().await?);
    }
    let parts = files.iter().zip(&edit.parts);
    let parts: Vec<MergeInput> = parts
        .map(|(opened, part)| MergeInput { opened, strength: part.strength, strengths: part.strengths.clone() })
        .collect();
    let planned = merge(&parts, edit.options).await?;
    let outcome = match out {
        Some(out) => Some(planned.write(out).await?),
        None => None,
    };
    Ok(Done::new(Preview::Merge(planned.preview), outcome))
}

async fn extracted(
    options: ExtractOptions,
    inputs: &[EditInput<'_>],
    out: Option<&mut dyn ByteSink>,
) -> Result<Done, EditError> {
    let [tuned, base] = inputs else {
        let wants = "the tuned model and the base model";
        return Err(EditError::Files { edit: "an extraction", wants, files: inputs.len() });
    };
    let (tuned, base) = (Models::open(tuned).await?, Models::open(base).await?);
    let (tuned_files, base_files) = (tuned.files(), base.files());
    let planned = extract(tuned.side(&tuned_files), base.side(&base_files), options).await?;
    let (outcome, kept) = match out {
        Some(out) => {
            let (outcome, kept) = planned.write(out).await?;
            (Some(outcome), kept)
        }
        None => (None, Vec::new()),
    };
    Ok(Done { preview: Preview::Extract(planned.preview), outcome, kept })
}

async fn baked(edit: &BakeEdit, inputs: &[EditInput<'_>], out: Option<&mut dyn ByteSink>) -> Result<Done, EditError> {
    let Some((base, adapters)) = inputs.split_first().filter(|(_, rest)| rest.len() == edit.parts.len()) else {
        let wants = "a model and an adapter for each strength";
        return Err(EditError::Files { edit: "a fold into a model", wants, files: inputs.len() });
    };
    let base = Models::open(base).await?;
    let files = base.files();
    let planned: BakePlan = bake_into(&base, &files, adapters, &edit.parts).await?;
    let outcome = match out {
        Some(out) => Some(planned.write(out).await?),
        None => None,
    };
    Ok(Done::new(Preview::Bake(planned.preview), outcome))
}
