//! Entry point of all edits: previews an [`Edit`], or applies it and writes the new file.
//!
//! An [`Edit`] is plain data that the command line and the page build, store and send.

use super::baking::{BakePlan, BakePreview, bake_into};
use super::convert::{ConvertOptions, convert, convert_with_base};
use super::draft::Outcome;
use super::error::EditError;
use super::export::{ExportPreview, export};
use super::extract::{ExtractOptions, ExtractPreview, extract};
use super::inputs::{EditInput, MergePart, Models, ProgressSource};
use super::merge::{MergeInput, MergeOptions, MergePreview, merge};
use super::metadata::{MetadataEdit, MetadataPreview, edit_metadata};
use super::open::Opened;
use super::pairs::KeptRow;
use super::preview::ConvertPreview;
use super::resize::{ResizeOptions, ResizePreview, resize};
use crate::analysis::ArchivedAdapter;
use crate::formats::ByteSink;
use serde::{Deserialize, Serialize};
use std::cell::{Cell, RefCell};
use std::ops::ControlFlow;
use ts_rs::TS;

/// An edit of one or more files.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, TS)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[ts(rename_all = "snake_case")]
pub enum Edit {
    /// Conversion: other keys, another dtype, alpha stored elsewhere, other algorithms as LoRA, block
    /// strengths baked in, keys removed. Takes one adapter, then perhaps its base model, on whose weights some algorithms
    /// depend.
    Convert(ConvertOptions),
    /// Resize to other ranks. Takes one adapter.
    Resize(ResizeOptions),
    /// Merge of several adapters into one. Takes one adapter per part.
    Merge(MergeEdit),
    /// Extraction of the adapter between two models. Takes the tuned model, then the base.
    Extract(ExtractOptions),
    /// Adapters baked into a model, at the strengths that generating an image would apply. Takes the model, then one
    /// adapter per part.
    Bake(BakeEdit),
    /// Edit of the metadata and hashes; the tensors stay as they are. Takes one safetensors file.
    Metadata(MetadataEdit),
    /// The tensors of any readable file, unchanged, as safetensors. Takes one file.
    Export,
}

/// A merge of several adapters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, TS)]
pub struct MergeEdit {
    /// One per file, in the same order.
    pub parts: Vec<MergePart>,
    /// Rank, key format and dtype of the result.
    #[serde(default)]
    pub options: MergeOptions,
}

/// Adapters to bake into a model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, TS)]
pub struct BakeEdit {
    /// One per adapter, in the same order.
    pub parts: Vec<MergePart>,
}

/// The changes that an edit makes.
#[derive(Debug, Clone, Serialize, TS)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[ts(rename_all = "snake_case")]
pub enum Preview {
    /// Conversion.
    Convert(ConvertPreview),
    /// Resize.
    Resize(ResizePreview),
    /// Merge.
    Merge(MergePreview),
    /// Extraction.
    Extract(ExtractPreview),
    /// Bake into a model.
    Bake(BakePreview),
    /// Metadata edit.
    Metadata(MetadataPreview),
    /// Export.
    Export(ExportPreview),
}

/// The result of a written edit.
#[derive(Debug, Clone, Serialize, TS)]
pub struct Edited {
    /// The changes.
    pub preview: Preview,
    /// Size and losses of the written file.
    pub outcome: Outcome,
    /// Energy kept per layer, for extractions and merges, which may compute it while writing.
    pub kept: Vec<KeptRow>,
}

/// Progress of an edit.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, TS)]
pub struct EditProgress {
    /// Bytes read so far.
    #[ts(type = "number")]
    pub done: u64,
    /// Bytes to read, estimated.
    #[ts(type = "number")]
    pub total: u64,
}

/// A progress callback; returning [`ControlFlow::Break`] cancels the edit.
pub type Listener<'a> = &'a mut dyn FnMut(EditProgress) -> ControlFlow<()>;

/// Returns the changes that `edit` would make to the files; writes nothing.
pub async fn preview(edit: &Edit, inputs: &[EditInput<'_>], on_progress: Listener<'_>) -> Result<Preview, EditError> {
    let done = run_with_progress(edit, inputs, None, on_progress).await?;
    Ok(done.preview)
}

/// Applies `edit` to the files and writes the result to `out`.
///
/// The header is written with zeros in place of the hashes; the caller then overwrites the start of
/// the file with [`Outcome::head`].
pub async fn apply(
    edit: &Edit,
    inputs: &[EditInput<'_>],
    out: &mut dyn ByteSink,
    on_progress: Listener<'_>,
) -> Result<Edited, EditError> {
    let done = run_with_progress(edit, inputs, Some(out), on_progress).await?;
    let outcome = done.outcome.ok_or(EditError::Nothing)?;
    Ok(Edited { preview: done.preview, outcome, kept: done.kept })
}

/// A preview, with the outcome if the result was written.
struct Done {
    preview: Preview,
    outcome: Option<Outcome>,
    kept: Vec<KeptRow>,
}

/// Runs an edit, counts the bytes of every read and reports them.
async fn run_with_progress(
    edit: &Edit,
    inputs: &[EditInput<'_>],
    out: Option<&mut dyn ByteSink>,
    on_progress: Listener<'_>,
) -> Result<Done, EditError> {
    let bytes: u64 = inputs.iter().flat_map(|input| &input.files).map(|(_, source)| source.len()).sum();
    let total = bytes * (passes(edit) + u64::from(out.is_some())).max(1);
    let (read, cancelled, on_progress) = (Cell::new(0), Cell::new(false), RefCell::new(on_progress));
    let count = |bytes: u64| {
        read.set(read.get() + bytes);
        let flow = (*on_progress.borrow_mut())(EditProgress { done: read.get().min(total), total });
        cancelled.set(cancelled.get() || flow.is_break());
        flow
    };
    let sources: Vec<Vec<ProgressSource>> = inputs
        .iter()
        .map(|input| input.files.iter().map(|(_, source)| ProgressSource::new(*source, &count)).collect())
        .collect();
    let counted: Vec<EditInput> = inputs.iter().zip(&sources).map(|(input, sources)| input.through(sources)).collect();
    match run(edit, &counted, out).await {
        Err(_) if cancelled.get() => Err(EditError::Stopped),
        Err(error) => Err(error),
        Ok(done) => {
            // Too late to cancel: the edit is done.
            let _ = (*on_progress.borrow_mut())(EditProgress { done: total, total });
            Ok(done)
        }
    }
}

/// Number of times that planning reads all tensor data.
fn passes(edit: &Edit) -> u64 {
    match edit {
        Edit::Resize(_) | Edit::Merge(_) | Edit::Extract(_) => 1,
        Edit::Convert(_) | Edit::Bake(_) | Edit::Metadata(_) | Edit::Export => 0,
    }
}

async fn run(edit: &Edit, inputs: &[EditInput<'_>], out: Option<&mut dyn ByteSink>) -> Result<Done, EditError> {
    match edit {
        Edit::Convert(options) => converted(options, inputs, out).await,
        Edit::Resize(options) => {
            let opened = one(inputs)?.open().await?;
            let planned = resize(&opened, *options).await?;
            let outcome = written(out.map(|out| planned.write(out))).await?;
            Ok(Done::new(Preview::Resize(planned.preview), outcome))
        }
        Edit::Merge(edit) => merged(edit, inputs, out).await,
        Edit::Extract(options) => extracted(*options, inputs, out).await,
        Edit::Bake(edit) => baked(edit, inputs, out).await,
        Edit::Metadata(edit) => {
            let input = one(inputs)?;
            let planned = edit_metadata(input.name, input.source()?, edit).await?;
            let outcome = written(out.map(|out| planned.write(out))).await?;
            Ok(Done::new(Preview::Metadata(planned.preview), outcome))
        }
        Edit::Export => {
            let input = one(inputs)?;
            let inside = ArchivedAdapter::find(input.source()?).await;
            let inside = inside.map_err(|source| EditError::Read { file: input.name.into(), source })?;
            let planned = match &inside {
                Some(inside) => export(&inside.name, &inside.source, inside.config.as_deref()).await?,
                None => export(input.name, input.source()?, input.config).await?,
            };
            let outcome = written(out.map(|out| planned.write(out))).await?;
            Ok(Done::new(Preview::Export(planned.preview), outcome))
        }
    }
}

impl Done {
    fn new(preview: Preview, outcome: Option<Outcome>) -> Done {
        Done { preview, outcome, kept: Vec::new() }
    }
}

/// Awaits the write of a result, if it is to be written.
async fn written<T>(write: Option<impl Future<Output = Result<T, EditError>>>) -> Result<Option<T>, EditError> {
    match write {
        Some(write) => write.await.map(Some),
        None => Ok(None),
    }
}

fn one<'a, 'b>(inputs: &'a [EditInput<'b>]) -> Result<&'a EditInput<'b>, EditError> {
    match inputs {
        [input] => Ok(input),
        _ => Err(EditError::Files { wants: "edit.one_file", files: inputs.len() }),
    }
}

async fn converted(
    options: &ConvertOptions,
    inputs: &[EditInput<'_>],
    out: Option<&mut dyn ByteSink>,
) -> Result<Done, EditError> {
    let [adapter, base] = inputs else {
        let opened = one(inputs)?.open().await?;
        let planned = convert(&opened, options).await?;
        let outcome = written(out.map(|out| planned.write(out))).await?;
        return Ok(Done::new(Preview::Convert(planned.preview), outcome));
    };
    let base = Models::open(base).await?;
    let files = base.files();
    let base = base.side(&files);
    let opened = adapter.open().await?.on(base).await?;
    let planned = convert_with_base(&opened, options, base).await?;
    let outcome = written(out.map(|out| planned.write(out))).await?;
    Ok(Done::new(Preview::Convert(planned.preview), outcome))
}

async fn merged(edit: &MergeEdit, inputs: &[EditInput<'_>], out: Option<&mut dyn ByteSink>) -> Result<Done, EditError> {
    if edit.parts.len() != inputs.len() {
        return Err(EditError::Files { wants: "edit.strength_per_file", files: inputs.len() });
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
    let (outcome, kept) = written(out.map(|out| planned.write(out))).await?.unzip();
    Ok(Done { preview: Preview::Merge(planned.preview), outcome, kept: kept.unwrap_or_default() })
}

async fn extracted(
    options: ExtractOptions,
    inputs: &[EditInput<'_>],
    out: Option<&mut dyn ByteSink>,
) -> Result<Done, EditError> {
    let [tuned, base] = inputs else {
        return Err(EditError::Files { wants: "edit.tuned_and_base", files: inputs.len() });
    };
    let (tuned, base) = (Models::open(tuned).await?, Models::open(base).await?);
    let (tuned_files, base_files) = (tuned.files(), base.files());
    let planned = extract(tuned.side(&tuned_files), base.side(&base_files), options).await?;
    let (outcome, kept) = written(out.map(|out| planned.write(out))).await?.unzip();
    Ok(Done { preview: Preview::Extract(planned.preview), outcome, kept: kept.unwrap_or_default() })
}

async fn baked(edit: &BakeEdit, inputs: &[EditInput<'_>], out: Option<&mut dyn ByteSink>) -> Result<Done, EditError> {
    let Some((base, adapters)) = inputs.split_first().filter(|(_, rest)| rest.len() == edit.parts.len()) else {
        return Err(EditError::Files { wants: "edit.model_and_adapters", files: inputs.len() });
    };
    let base = Models::open(base).await?;
    let files = base.files();
    let planned: BakePlan = bake_into(&base, &files, adapters, &edit.parts).await?;
    let outcome = written(out.map(|out| planned.write(out))).await?;
    Ok(Done::new(Preview::Bake(planned.preview), outcome))
}
