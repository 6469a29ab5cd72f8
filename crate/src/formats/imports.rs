//! Globals that a file's pickles would import, each with its danger level. Every pickle is scanned, not only the one
//! with the tensors; none is run.

use super::pickle::{self, Danger, danger, global_name};
use super::{ByteSource, Content, FormatError, sniff, torch, zip};
use crate::sentence::{Value, sentence};

/// Maximum length of a scanned pickle, in bytes.
const MAX_PICKLE: u64 = 64 << 20;

/// A global that a pickle would import.
#[derive(Debug, Clone, PartialEq)]
pub struct Import {
    /// Qualified name: `torch._utils._rebuild_tensor_v2`, `os.system`, …
    pub name: Value,
    /// The pickle that imports it: its path in the archive, or its number in the stream.
    pub place: Value,
    /// Danger level of the import.
    pub danger: Danger,
}

/// Lists every global that the pickles of a file would import, in order and once per pickle. Skips damaged parts: the
/// list is for display, and whether a file is accepted is decided when it is read.
pub async fn imports(source: &dyn ByteSource) -> Result<Vec<Import>, FormatError> {
    let start = source.read(0..source.len().min(sniff::SNIFF_LEN as u64)).await?;
    match sniff(&start) {
        Content::Zip => zip_imports(source).await,
        Content::Pickle => stream_imports(source).await,
        _ => Ok(Vec::new()),
    }
}

fn classify(names: Vec<String>, place: Value) -> impl Iterator<Item = Import> {
    names.into_iter().map(move |name| Import { danger: danger(&name), name: global_name(&name), place: place.clone() })
}

async fn zip_imports(source: &dyn ByteSource) -> Result<Vec<Import>, FormatError> {
    let mut list = Vec::new();
    let records = zip::records(source).await?;
    for record in records.iter().filter(|record| torch::is_pickle_name(&record.name)) {
        let (names, _) = pickle::imports(&record.contents(source, MAX_PICKLE).await?);
        list.extend(classify(names, (&record.name).into()));
    }
    Ok(list)
}

/// Scans a pickle stream. One written by PyTorch has five pickles before the tensor data; the bytes after the data are
/// scanned too. Any other stream is followed from pickle to pickle.
async fn stream_imports(source: &dyn ByteSource) -> Result<Vec<Import>, FormatError> {
    let bytes = source.read(0..source.len().min(MAX_PICKLE)).await?;
    let trailing = torch::after_numbers(source).await;
    let mut list = consecutive_imports(&bytes, if trailing.is_some() { 5 } else { usize::MAX }, "pickle.number");
    list.extend(consecutive_imports(&trailing.unwrap_or_default(), usize::MAX, "pickle.after_tensors"));
    Ok(list)
}

/// Lists the imports of at most `max` consecutive pickles. `place` is the id of the phrase for a pickle of a number.
fn consecutive_imports(bytes: &[u8], max: usize, place: &str) -> Vec<Import> {
    let (mut list, mut at, mut number) = (Vec::new(), 0, 1usize);
    while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty() && number <= max) {
        let (names, len) = pickle::imports(rest);
        list.extend(classify(names, sentence!(place, number = number).into()));
        let Some(len) = len.filter(|&len| len > 0) else { break };
        (at, number) = (at + len, number + 1);
    }
    list
}
