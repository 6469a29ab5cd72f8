//! A model folder in diffusers layout, on disk or dropped into a browser.

use super::error::PipelineError;
use crate::formats::ByteSource;
use crate::weights::TensorFile;
use std::collections::BTreeMap;
use std::rc::Rc;

/// Maximum size of a config or vocabulary, in bytes.
const MAX_TEXT: u64 = 64 << 20;

/// A folder in diffusers layout. Paths are relative to it and use `/`.
#[derive(Default)]
pub struct Folder {
    files: BTreeMap<String, Rc<dyn ByteSource>>,
}

impl Folder {
    /// Creates a folder of these files. A common leading directory, which browsers report for a dropped
    /// folder, is stripped.
    pub fn new(files: impl IntoIterator<Item = (String, Rc<dyn ByteSource>)>) -> Folder {
        let files: BTreeMap<String, Rc<dyn ByteSource>> = files.into_iter().collect();
        let root = files.keys().find_map(|path| path.strip_suffix("model_index.json")).unwrap_or("").to_owned();
        let files = files.into_iter().filter_map(|(path, file)| Some((path.strip_prefix(&root)?.to_owned(), file)));
        Folder { files: files.collect() }
    }

    /// Opens every regular file below a directory.
    #[cfg(not(target_os = "unknown"))]
    pub fn open(root: &std::path::Path) -> Result<Folder, PipelineError> {
        fn walk(
            root: &std::path::Path,
            at: &std::path::Path,
            files: &mut Vec<(String, Rc<dyn ByteSource>)>,
        ) -> std::io::Result<()> {
            for entry in std::fs::read_dir(at)? {
                let path = entry?.path();
                if path.is_dir() {
                    walk(root, &path, files)?;
                } else if let Ok(relative) = path.strip_prefix(root) {
                    let relative = relative.to_string_lossy().replace('\\', "/");
                    files.push((relative, Rc::new(crate::formats::source::FileSource::open(&path)?)));
                }
            }
            Ok(())
        }
        let mut files = Vec::new();
        let bad = |error: std::io::Error| PipelineError::InvalidFile {
            file: root.display().to_string(),
            reason: error.to_string(),
        };
        walk(root, root, &mut files).map_err(bad)?;
        Ok(Folder::new(files))
    }

    /// Returns whether the folder contains a file.
    pub fn has(&self, path: &str) -> bool {
        self.files.contains_key(path)
    }

    /// Reads a text file; `None` if it does not exist.
    pub async fn text(&self, path: &str) -> Result<Option<String>, PipelineError> {
        let Some(file) = self.files.get(path) else { return Ok(None) };
        let bad = |reason: String| PipelineError::InvalidFile { file: path.into(), reason };
        if file.len() > MAX_TEXT {
            return Err(bad(format!("it has {} bytes, too many for a text file", file.len())));
        }
        let bytes = file.read(0..file.len()).await.map_err(|error| bad(error.to_string()))?;
        String::from_utf8(bytes).map(Some).map_err(|_| bad("it is not UTF-8 text; it may be damaged".into()))
    }

    /// Reads a required text file.
    pub async fn required(&self, path: &str) -> Result<String, PipelineError> {
        self.text(path).await?.ok_or_else(|| PipelineError::MissingFile(path.into()))
    }

    /// Opens the weights of a component: all shards of the full-precision variant, or else of the fp16 one.
    pub async fn weights(&self, component: &str) -> Result<Vec<Rc<TensorFile>>, PipelineError> {
        let prefix = format!("{component}/");
        let all: Vec<&String> =
            self.files.keys().filter(|path| path.starts_with(&prefix) && path.ends_with(".safetensors")).collect();
        let is_variant = |path: &&&String| path.contains(".fp16") || path.contains(".non_ema");
        let plain: Vec<&String> = all.iter().filter(|path| !is_variant(path)).copied().collect();
        let chosen = if plain.is_empty() { all } else { plain };
        if chosen.is_empty() {
            let pickled = self.files.keys().any(|path| path.starts_with(&prefix) && path.ends_with(".bin"));
            let hint = if pickled { "*.safetensors weights, only .bin pickles" } else { "*.safetensors weights" };
            return Err(PipelineError::MissingFile(format!("{prefix}{hint}")));
        }
        let mut files = Vec::new();
        for path in chosen {
            files.push(Rc::new(TensorFile::open(path.clone(), self.files[path].clone()).await?));
        }
        Ok(files)
    }
}
