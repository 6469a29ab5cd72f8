//! Turns named bytes into what an edit works on: an opened adapter, or an opened model.

use super::error::EditError;
use super::extract::ModelSide;
use super::open::Opened;
use crate::adapters::ModelFile;
use crate::analysis::BaseShapes;
use crate::formats::{ByteSource, Header, Reading};
use crate::model::Component;
use std::io;
use std::ops::{ControlFlow, Range};

/// An adapter or a model as an edit gets it.
#[derive(Clone)]
pub struct EditInput<'a> {
    /// Its name, for messages.
    pub name: &'a str,
    /// Its bytes: one file with no component, or the files of a diffusers folder with theirs.
    pub files: Vec<(Option<Component>, &'a dyn ByteSource)>,
    /// The text of the adapter_config.json beside an adapter.
    pub config: Option<&'a str>,
}

impl<'a> EditInput<'a> {
    /// A file by itself.
    pub fn file(name: &'a str, source: &'a dyn ByteSource, config: Option<&'a str>) -> EditInput<'a> {
        EditInput { name, files: vec![(None, source)], config }
    }

    /// The same input read through other sources.
    pub(super) fn through<'b>(&'b self, sources: &'b [ProgressSource<'b>]) -> EditInput<'b> {
        let files = self.files.iter().zip(sources).map(|((component, _), source)| (*component, source as _));
        EditInput { name: self.name, files: files.collect(), config: self.config }
    }

    /// The bytes of a lone file.
    pub(super) fn source(&self) -> Result<&'a dyn ByteSource, EditError> {
        match self.files[..] {
            [(_, source)] => Ok(source),
            _ => Err(EditError::Files { edit: "an adapter", wants: "one file", files: self.files.len() }),
        }
    }

    /// The adapter in it.
    pub(super) async fn open(&self) -> Result<Opened<'a>, EditError> {
        Opened::new(self.name, self.source()?, self.config).await
    }
}

/// A model's files with their headers and layers.
pub struct Models<'a> {
    name: &'a str,
    opened: Vec<(Option<Component>, &'a dyn ByteSource, Header)>,
    /// Its layers.
    pub shapes: BaseShapes,
}

impl<'a> Models<'a> {
    /// Reads the headers.
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

    /// The files as adapters are folded into them.
    pub fn files(&self) -> Vec<ModelFile<'_>> {
        let files = self.opened.iter();
        files.map(|(component, source, header)| ModelFile { component: *component, source: *source, header }).collect()
    }

    /// One side of an extraction.
    pub fn side<'b>(&'b self, files: &'b [ModelFile<'b>]) -> ModelSide<'b> {
        ModelSide { name: self.name, files, shapes: &self.shapes }
    }
}

/// A source whose reads are counted, and end when the listener says so.
pub(super) struct ProgressSource<'a> {
    inner: &'a dyn ByteSource,
    hear: &'a dyn Fn(u64) -> ControlFlow<()>,
}

impl<'a> ProgressSource<'a> {
    /// Tells `hear` how many bytes each read brings.
    pub fn new(inner: &'a dyn ByteSource, hear: &'a dyn Fn(u64) -> ControlFlow<()>) -> ProgressSource<'a> {
        ProgressSource { inner, hear }
    }
}

impl ByteSource for ProgressSource<'_> {
    fn len(&self) -> u64 {
        self.inner.len()
    }

    fn read(&self, range: Range<u64>) -> Reading<'_> {
        Box::pin(async move {
            let bytes = self.inner.read(range).await?;
            match (self.hear)(bytes.len() as u64) {
                ControlFlow::Continue(()) => Ok(bytes),
                ControlFlow::Break(()) => Err(io::Error::new(io::ErrorKind::Interrupted, "it was stopped")),
            }
        })
    }
}
