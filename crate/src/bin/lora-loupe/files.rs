//! Models and adapters opened from command line paths and URLs.

use lora_loupe::adapters::ModelFile;
use lora_loupe::analysis::BaseShapes;
use lora_loupe::edit::ModelSide;
use lora_loupe::formats::web::{WebError, WebSource, is_url};
use lora_loupe::formats::{ByteSource, FormatError, Header, ReadFuture, source::FileSource};
use lora_loupe::model::Component;
use pollster::block_on;
use std::ffi::OsStr;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// Errors of opening a path or URL.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The file cannot be opened.
    #[error("`{}`: {source}", .path.display())]
    Open { path: PathBuf, source: std::io::Error },
    /// The URL cannot be read.
    #[error(transparent)]
    Web(#[from] WebError),
    /// The file is damaged.
    #[error("`{}`: {source}", .path.display())]
    Format { path: PathBuf, source: FormatError },
    /// The path is not a supported model.
    #[error(
        "`{}` is not a supported model: give a .safetensors checkpoint of Stable Diffusion 1.x, 2.x or XL, \
         or a diffusers folder with unet/ and text_encoder/",
        .0.display()
    )]
    NoModel(PathBuf),
}

/// One opened safetensors file.
pub struct Opened {
    /// Component of a diffusers folder; `None` for a single-file model.
    pub component: Option<Component>,
    /// Bytes.
    pub source: Source,
    /// Header.
    pub header: Header,
}

/// An opened model.
pub struct Model {
    /// Files.
    pub files: Vec<Opened>,
    /// Layers.
    pub shapes: BaseShapes,
}

impl Model {
    /// Returns the files as the library takes them.
    pub fn model_files(&self) -> Vec<ModelFile<'_>> {
        let files = self.files.iter();
        files.map(|file| ModelFile { component: file.component, source: &file.source, header: &file.header }).collect()
    }

    /// Returns the model as one side of an extraction; `files` are [`Model::model_files`].
    pub fn side<'a>(&'a self, name: &'a str, files: &'a [ModelFile<'a>]) -> ModelSide<'a> {
        ModelSide { name, files, shapes: &self.shapes }
    }
}

/// A file on disk or at a URL.
pub enum Source {
    File(FileSource),
    Web(WebSource),
}

impl ByteSource for Source {
    fn len(&self) -> u64 {
        match self {
            Source::File(source) => source.len(),
            Source::Web(source) => source.len(),
        }
    }

    fn read(&self, range: Range<u64>) -> ReadFuture<'_> {
        match self {
            Source::File(source) => source.read(range),
            Source::Web(source) => source.read(range),
        }
    }
}

/// Returns the URL if the argument is one and not a path.
fn url(path: &Path) -> Option<&str> {
    path.to_str().filter(|text| is_url(text))
}

/// Opens a file or URL for reading.
pub fn source(path: &Path) -> Result<Source, FileError> {
    match url(path) {
        Some(url) => Ok(Source::Web(WebSource::open(url)?)),
        None => {
            FileSource::open(path).map(Source::File).map_err(|source| FileError::Open { path: path.into(), source })
        }
    }
}

/// Opens a safetensors file.
fn open(component: Option<Component>, path: &Path) -> Result<Opened, FileError> {
    let source = source(path)?;
    let header = block_on(Header::read(&source)).map_err(|source| FileError::Format { path: path.into(), source })?;
    Ok(Opened { component, source, header })
}

/// Opens a single-file model or a diffusers folder.
pub fn model(path: &Path) -> Result<Model, FileError> {
    let mut files = Vec::new();
    if path.is_dir() {
        for component in [Component::TextEncoder, Component::TextEncoder2, Component::Unet, Component::Vae] {
            for file in weights(&path.join(component.name())) {
                files.push(open(Some(component), &file)?);
            }
        }
    } else {
        files.push(open(None, path)?);
    }
    let headers: Vec<_> = files.iter().map(|file| (file.component, &file.header)).collect();
    let shapes = BaseShapes::of(&headers).ok_or_else(|| FileError::NoModel(path.into()))?;
    Ok(Model { files, shapes })
}

/// Returns the weight files of a diffusers component folder: all shards, without variants (`.fp16.`) if
/// the default files exist.
fn weights(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut files: Vec<PathBuf> = entries.filter(|path| path.extension() == Some(OsStr::new("safetensors"))).collect();
    files.sort();
    let variant = |path: &PathBuf| path.file_stem().is_some_and(|stem| stem.to_string_lossy().contains('.'));
    if files.iter().any(|path| !variant(path)) {
        files.retain(|path| !variant(path));
    }
    files
}

/// Returns the adapter file of a path (in a PEFT folder, `adapter_model.safetensors`) and the text of the
/// adapter_config.json next to it.
pub fn adapter(path: &Path) -> (PathBuf, Option<String>) {
    if let Some(url) = url(path) {
        // Errors are reported when the file itself is opened.
        let config = WebSource::open(url).ok().and_then(|source| source.read_sibling("adapter_config.json"));
        return (path.into(), config);
    }
    let file = if path.is_dir() { path.join("adapter_model.safetensors") } else { path.into() };
    let config = file.with_file_name("adapter_config.json");
    (file, std::fs::read_to_string(config).ok())
}

/// Returns the file name of a path or URL, for display.
pub fn name(path: &Path) -> String {
    let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
    match url(path) {
        Some(_) => name.split(['?', '#']).next().unwrap_or_default().to_owned(),
        None => name,
    }
}
