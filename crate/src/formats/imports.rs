//! Turns the pickles of a file into the list of names that they would import, each with what that
//! would mean. Every pickle is looked at, not only the one with the tensors; none is run.

use super::pickle::{Danger, allow, danger};
use super::{ByteSource, Content, FormatError, opcodes, sniff, torch, zip};

/// The longest pickle that is looked at, in bytes.
const MAX_PICKLE: u64 = 64 << 20;

/// A name that a pickle would import.
#[derive(Debug, Clone, PartialEq)]
pub struct Import {
    /// `torch._utils._rebuild_tensor_v2`, `os.system`, …
    pub name: String,
    /// Which of the file's pickles: its path in the archive, or its number.
    pub place: String,
    /// What it would mean.
    pub danger: Danger,
}

/// Every name that the pickles of a file would import, once a pickle, in order. Damaged parts are
/// passed over: this is a list for people, and reading the file is what decides.
pub async fn imports(source: &dyn ByteSource) -> Result<Vec<Import>, FormatError> {
    let start = source.read(0..source.len().min(sniff::SNIFF_LEN as u64)).await?;
    match sniff(&start) {
        Content::Zip => of_zip(source).await,
        Content::Pickle => of_stream(source).await,
        _ => Ok(Vec::new()),
    }
}

fn named(names: Vec<String>, place: &str) -> impl Iterator<Item = Import> {
    names.into_iter().map(move |name| Import { danger: danger(&name), name, place: place.into() })
}

async fn of_zip(source: &dyn ByteSource) -> Result<Vec<Import>, FormatError> {
    let mut list = Vec::new();
    let records = zip::records(source).await?;
    for record in records.iter().filter(|record| torch::is_pickle_name(&record.name) && !record.packed) {
        let end = record.bytes.end.min(record.bytes.start.saturating_add(MAX_PICKLE));
        let (names, _) = opcodes::imports(&source.read(record.bytes.start..end).await?);
        list.extend(named(names, &record.name));
    }
    Ok(list)
}

/// A stream of PyTorch's holds five pickles before its numbers; whatever stands behind these is
/// looked at too. Any other stream is followed from pickle to pickle.
async fn of_stream(source: &dyn ByteSource) -> Result<Vec<Import>, FormatError> {
    let bytes = source.read(0..source.len().min(MAX_PICKLE)).await?;
    let behind = torch::after_numbers(source).await;
    let mut list = of_row(&bytes, if behind.is_some() { 5 } else { usize::MAX }, "pickle");
    list.extend(of_row(&behind.unwrap_or_default(), usize::MAX, "pickle behind the numbers"));
    Ok(list)
}

/// The names of at most `most` pickles in a row.
fn of_row(bytes: &[u8], most: usize, place: &str) -> Vec<Import> {
    let (mut list, mut at, mut number) = (Vec::new(), 0, 1);
    while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty() && number <= most) {
        let (names, len) = opcodes::imports(rest);
        list.extend(named(names, &format!("{place} {number}")));
        let Some(len) = len.filter(|&len| len > 0) else { break };
        (at, number) = (at + len, number + 1);
    }
    list
}

/// An error for the first name that is not harmless in the pickles that `bytes` start with.
pub(super) fn check(bytes: &[u8]) -> Result<(), FormatError> {
    let mut rest = bytes;
    loop {
        let (names, len) = opcodes::imports(rest);
        // Bytes that are no pickle may look like one for a few opcodes; a whole name seldom does.
        names.into_iter().try_for_each(|name| allow(name).map(|_| ()))?;
        match len.and_then(|len| rest.get(len..)) {
            Some(next) if !next.is_empty() => rest = next,
            _ => return Ok(()),
        }
    }
}
