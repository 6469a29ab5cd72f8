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
            reason: error.to_string().into(),
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
        let bad = |reason: String| PipelineError::InvalidFile { file: path.into(), reason: reason.into() };
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

    /// Opens the weights of a component: all shards of the variant that is preferred among those in the folder; pickles
    /// (`.bin`) if there are no safetensors.
    pub async fn weights(&self, component: &str) -> Result<Vec<Rc<TensorFile>>, PipelineError> {
        let prefix = format!("{component}/");
        let of_kind = |extension: &str| -> Vec<&String> {
            self.files.keys().filter(|path| path.starts_with(&prefix) && path.ends_with(extension)).collect()
        };
        let safetensors = of_kind(".safetensors");
        let all = if safetensors.is_empty() { of_kind(".bin") } else { safetensors };
        // Each variant is a complete set of weights: full precision, fp16, the weights without EMA, and both.
        let variant = |path: &str| (path.contains(".non_ema"), path.contains(".fp16"));
        let preferred = all.iter().map(|path| variant(path)).min();
        let chosen: Vec<&String> = all.into_iter().filter(|path| Some(variant(path)) == preferred).collect();
        if chosen.is_empty() {
            return Err(PipelineError::MissingFile(format!("{prefix}*.safetensors or .bin weights")));
        }
        let mut files = Vec::new();
        for path in chosen {
            files.push(Rc::new(TensorFile::open(path.clone(), self.files[path].clone()).await?));
        }
        Ok(files)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_variant_of_the_weights_is_opened() {
        // An empty safetensors file.
        let bytes: Vec<u8> = [&2u64.to_le_bytes()[..], b"{}"].concat();
        let opened = |names: &[&str]| {
            let files = names.iter().map(|name| {
                let file: Rc<dyn ByteSource> = Rc::new(bytes.clone());
                let extension = if name.contains(".bin") { "" } else { ".safetensors" };
                (format!("unet/{name}{extension}"), file)
            });
            let weights = pollster::block_on(Folder::new(files).weights("unet")).expect("weights");
            weights.iter().map(|file| file.name.clone()).collect::<Vec<_>>()
        };
        let (plain, fp16, non_ema) = ("m", "m.fp16", "m.non_ema");
        assert_eq!(opened(&[non_ema, fp16, plain]), ["unet/m.safetensors"]);
        assert_eq!(opened(&[non_ema, fp16]), ["unet/m.fp16.safetensors"]);
        assert_eq!(opened(&[non_ema]), ["unet/m.non_ema.safetensors"]);
        assert_eq!(opened(&["m.bin", fp16]), ["unet/m.fp16.safetensors"]);
        assert_eq!(opened(&["m.fp16.bin", "m.bin"]), ["unet/m.bin"]);
        let shards = ["m.fp16-00001-of-00002", "m.fp16-00002-of-00002", non_ema];
        assert_eq!(opened(&shards).len(), 2, "all shards of a variant");
    }
}
