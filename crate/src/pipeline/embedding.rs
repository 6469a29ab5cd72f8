//! Textual inversion embeddings: separate files, and those bundled with a LoRA (`bundle_emb.NAME.…`).

use super::error::PipelineError;
use crate::formats::TensorInfo;
use crate::model::Component;
use crate::text::{CHUNK_LEN, Word};
use crate::weights::TensorFile;
use std::collections::BTreeMap;

/// Keys that name a text encoder: of A1111, and of diffusers' advanced training scripts.
const ENCODERS: [(&str, Component); 4] = [
    ("clip_l", Component::TextEncoder),
    ("clip_g", Component::TextEncoder2),
    ("text_encoders_0", Component::TextEncoder),
    ("text_encoders_1", Component::TextEncoder2),
];
/// Key prefix of textual inversions in a LoRA file.
const BUNDLED: &str = "bundle_emb.";

/// Maximum number of vectors: an embedding must fit into a chunk, between its start and end tokens.
const MAX_VECTORS: usize = CHUNK_LEN - 2;

/// A textual inversion: the vectors that a word stands for in each text encoder.
#[derive(Debug, Clone, PartialEq)]
pub struct Embedding {
    /// SHA-256 of its file, followed by `/` and the name for a bundled one.
    pub id: String,
    /// Words that stand for it in prompts: the file name without extension, and the token that the file names.
    pub names: Vec<String>,
    /// Vectors in row-major order.
    rows: BTreeMap<Component, Vec<f32>>,
    /// Vectors per text encoder.
    count: usize,
}

impl Embedding {
    /// Reads a textual inversion file: A1111's `string_to_param` or `emb_params`, diffusers' `<token>`,
    /// SDXL's `clip_l` with `clip_g` or `text_encoders_0` with `text_encoders_1`. `widths` are the embedding widths of
    /// the model's text encoders.
    pub async fn open(
        id: String,
        file: &TensorFile,
        widths: &[(Component, usize)],
    ) -> Result<Embedding, PipelineError> {
        let stem = file.name.rsplit_once('.').map_or(file.name.as_str(), |(stem, _)| stem).to_owned();
        let tensors = file.header.tensors.iter().filter(|tensor| matches!(tensor.shape.len(), 1 | 2));
        let mut parts: Vec<(&str, &TensorInfo)> = tensors.map(|tensor| (tensor.name.as_str(), tensor)).collect();
        let names_encoder = |key: &str| ENCODERS.iter().any(|row| row.0 == key);
        let known = |key: &str| key == "emb_params" || names_encoder(key) || key.starts_with("string_to_param");
        if parts.iter().any(|(key, _)| known(key)) {
            parts.retain(|(key, _)| known(key));
        }
        let mut names = vec![stem.clone()];
        names.extend(parts.iter().map(|(key, _)| (*key).to_owned()).filter(|key| !known(key)));
        let (rows, count) = read(file, &stem, &parts, widths).await?;
        Ok(Embedding { id, names, rows, count })
    }

    /// Reads the textual inversions bundled with a LoRA file.
    pub async fn bundled(
        id: &str,
        file: &TensorFile,
        widths: &[(Component, usize)],
    ) -> Result<Vec<Embedding>, PipelineError> {
        let mut groups: BTreeMap<&str, Vec<(&str, &TensorInfo)>> = BTreeMap::new();
        for tensor in &file.header.tensors {
            let named = tensor.name.strip_prefix(BUNDLED).and_then(|rest| rest.split_once('.'));
            if let Some((name, key)) = named {
                groups.entry(name).or_default().push((key, tensor));
            }
        }
        let mut list = Vec::new();
        for (name, parts) in groups {
            let (rows, count) = read(file, name, &parts, widths).await?;
            list.push(Embedding { id: format!("{id}/{name}"), names: vec![name.to_owned()], rows, count });
        }
        Ok(list)
    }
}

type Rows = (BTreeMap<Component, Vec<f32>>, usize);

async fn read(
    file: &TensorFile,
    name: &str,
    parts: &[(&str, &TensorInfo)],
    widths: &[(Component, usize)],
) -> Result<Rows, PipelineError> {
    let bad = |reason: String| PipelineError::InvalidFile {
        file: format!("the embedding {name} in {}", file.name),
        reason: reason.into(),
    };
    let (mut rows, mut counts) = (BTreeMap::new(), Vec::new());
    for (key, tensor) in parts {
        let component = ENCODERS.iter().find(|row| row.0 == *key).map_or(Component::TextEncoder, |row| row.1);
        let (count, width) = match tensor.shape.as_slice() {
            &[width] => (1, width),
            &[count, width] => (count, width),
            other => return Err(bad(format!("`{key}` has shape {other:?}; expected a list of vectors"))),
        };
        match widths.iter().find(|(encoder, _)| *encoder == component) {
            Some((_, expected)) if *expected == width => {}
            expected => {
                let expected =
                    expected.map_or("has no such text encoder".into(), |(_, expected)| format!("needs {expected}"));
                return Err(bad(format!(
                    "its vectors are {width} wide, but the model {expected}: it was made for another base model"
                )));
            }
        }
        counts.push(count);
        rows.insert(component, file.read(tensor).await?);
    }
    match counts.first() {
        Some(&count) if (1..=MAX_VECTORS).contains(&count) && counts.iter().all(|&other| other == count) => {
            match widths.iter().find(|(component, _)| !rows.contains_key(component)) {
                None => Ok((rows, count)),
                Some((component, _)) => Err(bad(format!("it has no vectors for the {component}"))),
            }
        }
        _ => Err(bad(format!(
            "it has {counts:?} vectors; expected 1 to {MAX_VECTORS}, the same number for each text encoder"
        ))),
    }
}

/// Embedding words that an image's prompts may use beyond the tokenizer's vocabulary, with their vectors.
#[derive(Debug, Default)]
pub struct Vocabulary {
    /// Words and their token ids.
    pub words: Vec<Word>,
    rows: BTreeMap<Component, Vec<f32>>,
}

impl Vocabulary {
    /// Assigns ids to all names of these embeddings.
    pub fn new(embeddings: &[&Embedding]) -> Vocabulary {
        let mut all = Vocabulary::default();
        let mut next = Word::FIRST;
        for embedding in embeddings {
            let ids = next..next + u32::try_from(embedding.count).unwrap_or(u32::MAX);
            next = ids.end;
            all.words.extend(embedding.names.iter().map(|name| Word { name: name.clone(), ids: ids.clone() }));
            for (component, rows) in &embedding.rows {
                all.rows.entry(*component).or_default().extend(rows);
            }
        }
        all
    }

    /// Returns the vector of an id beyond the tokenizer's vocabulary.
    pub fn row(&self, component: Component, id: u32, width: usize) -> Option<&[f32]> {
        let at = id.checked_sub(Word::FIRST)? as usize * width;
        self.rows.get(&component)?.get(at..at + width)
    }
}
