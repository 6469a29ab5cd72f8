//! Inputs of edits: adapters and models, with their names, bytes and strengths.

use super::error::EditError;
use super::model_side::ModelSide;
use super::open::Opened;
use crate::adapters::{ModelFile, Strengths};
use crate::analysis::BaseShapes;
use crate::formats::{ByteSource, Header, ReadFuture};
use crate::model::Component;
use serde::{Deserialize, Serialize};
use std::io;
use std::ops::{ControlFlow, Range};
use ts_rs::TS;

/// An adapter or a model as input of an edit.
#[derive(Clone)]
pub struct EditInput<'a> {
    /// Name, for messages.
    pub name: &'a str,
    /// One file without a component, or the files of a diffusers folder with their components.
    pub files: Vec<(Option<Component>, &'a dyn ByteSource)>,
    /// Text of the adapter_config.json next to an adapter.
    pub config: Option<&'a str>,
}

impl<'a> EditInput<'a> {
    /// Creates an input of a single file.
    pub fn file(name: &'a str, source: &'a dyn ByteSource, config: Option<&'a str>) -> EditInput<'a> {
        EditInput { name, files: vec![(None, source)], config }
    }

    /// Returns the same input with its sources replaced, in order.
    pub(super) fn through<'b>(&'b self, sources: &'b [ProgressSource<'b>]) -> EditInput<'b> {
        let files = self.files.iter().zip(sources).map(|((component, _), source)| (*component, source as _));
        EditInput { name: self.name, files: files.collect(), config: self.config }
    }

    /// Returns the source of a single-file input.
    pub(super) fn source(&self) -> Result<&'a dyn ByteSource, EditError> {
        match self.files[..] {
            [(_, source)] => Ok(source),
            _ => Err(EditError::Files { wants: "edit.one_file", files: self.files.len() }),
        }
    }

    /// Opens the adapter.
    pub(super) async fn open(&self) -> Result<Opened<'a>, EditError> {
        Opened::new(self.name, self.source()?, self.config).await
    }
}

/// One file's strengths in a merge.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, TS)]
pub struct MergePart {
    /// Strength of the file.
    pub strength: f32,
    /// Block weights, multiplied with the strength.
    #[serde(default)]
    pub strengths: Strengths,
}

/// A model's files with their headers and layers.
pub struct Models<'a> {
    name: &'a str,
    opened: Vec<(Option<Component>, &'a dyn ByteSource, Header)>,
    /// Layers.
    pub shapes: BaseShapes,
}

impl<'a> Models<'a> {
    /// Opens a model by reading its headers.
    pub async fn open(input: &EditInput<'a>) -> Result<Models<'a>, EditError> {
        let mut opened = Vec::new();
        for (component, source) in &input.files {
            let header = Header::read(*source).await;
            let file = component.map_or(input.name.into(), |component| format!("{} ({component})", input.name));
            let header = header.map_err(|source| EditError::Read { file, source })?;
            opened.push((*component, *source, header));
        }
        let headers: Vec<_> = opened.iter().map(|(component, _, header)| (*component, header)).collect();
        let shapes = BaseShapes::of(&headers).ok_or_else(|| EditError::NoModel { file: input.name.into() })?;
        Ok(Models { name: input.name, opened, shapes })
    }

    /// Returns the files for reading and baking.
    pub fn files(&self) -> Vec<ModelFile<'_>> {
        let files = self.opened.iter();
        files.map(|(component, source, header)| ModelFile { component: *component, source: *source, header }).collect()
    }

    /// Returns the model as one side of an extraction; `files` are [`Models::files`].
    pub fn side<'b>(&'b self, files: &'b [ModelFile<'b>]) -> ModelSide<'b> {
        ModelSide { name: self.name, files, shapes: &self.shapes }
    }
}

/// A source that reports its reads and can be cancelled by the callback.
pub(super) struct ProgressSource<'a> {
    inner: &'a dyn ByteSource,
    on_read: &'a dyn Fn(u64) -> ControlFlow<()>,
}

impl<'a> ProgressSource<'a> {
    /// Wraps `inner`; `on_read` is called with the number of bytes of each read.
    pub fn new(inner: &'a dyn ByteSource, on_read: &'a dyn Fn(u64) -> ControlFlow<()>) -> ProgressSource<'a> {
        ProgressSource { inner, on_read }
    }
}

impl ByteSource for ProgressSource<'_> {
    fn len(&self) -> u64 {
        self.inner.len()
    }

    fn read(&self, range: Range<u64>) -> ReadFuture<'_> {
        Box::pin(async move {
            let bytes = self.inner.read(range).await?;
            match (self.on_read)(bytes.len() as u64) {
                ControlFlow::Continue(()) => Ok(bytes),
                ControlFlow::Break(()) => Err(io::Error::new(io::ErrorKind::Interrupted, "it was cancelled")),
            }
        })
    }
}
