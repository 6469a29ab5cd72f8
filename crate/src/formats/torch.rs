//! Tensors of `torch.save` files, listed without running their pickles.
//!
//! Since PyTorch 1.6 such a file is a zip archive: `NAME/data.pkl` describes the tensors and `NAME/data/KEY` holds the
//! data of a storage. Earlier files (legacy) are five consecutive pickles, followed by the data of the storages.

use super::pickle::{self, Pickle, Value};
use super::state_dict::{StorageRef, Storages, header};
use super::zip::{self, Record};
use super::{ByteSource, FormatError, Header};
use crate::sentence::sentence;
use std::collections::{HashMap, HashSet};

/// Maximum pickle length, in bytes: a million tensors take less.
const MAX_PICKLE: u64 = 64 << 20;

/// Reads the header of a zip archive.
pub async fn read_zip(source: &dyn ByteSource) -> Result<Header, FormatError> {
    let records = zip::records(source).await?;
    let Some(main) = records.iter().find(|record| is_main(record)) else {
        return Err(FormatError::BadZip(sentence!("detail.no_data_pkl").into()));
    };
    let others = || records.iter().filter(|record| is_pickle_name(&record.name) && *record != main);
    let bytes = main.contents(source, MAX_PICKLE).await?;
    // Dangerous pickles are named as such, whatever else is wrong with the file.
    pickle::check_dangers(&bytes)?;
    for other in others() {
        pickle::check_dangers(&other.contents(source, MAX_PICKLE).await?)?;
    }
    check_records(&records)?;
    if main.size > MAX_PICKLE {
        return Err(FormatError::ResourceBomb(sentence!("detail.pickle_size", size = main.size).into()));
    }
    let pickle = pickle::read(&bytes)?;
    pickle::check_imports(bytes.get(pickle.len..).unwrap_or_default())?;
    for other in others() {
        pickle::check_imports(&other.contents(source, MAX_PICKLE).await?)?;
    }
    let folder = main.name.strip_suffix("data.pkl").unwrap_or_default();
    let byte_order = format!("{folder}byteorder");
    let is_big_endian = match records.iter().find(|record| record.name == byte_order) {
        Some(record) => is_big_endian(&record.contents(source, 16).await?)?,
        None => false,
    };
    let in_folder = |record: &Record| Some(record.name.strip_prefix(folder)?.strip_prefix("data/")?.to_owned());
    let ranges = records.iter().filter_map(|record| Some((in_folder(record)?, record.bytes.clone())));
    let storages = Storages { ranges: ranges.collect(), is_big_endian, file_len: source.len() };
    header(&pickle, &storages)
}

/// Returns whether a record is the pickle with the tensors.
fn is_main(record: &Record) -> bool {
    record.name.ends_with("/data.pkl") || record.name == "data.pkl"
}

/// Checks that no record is compressed and that each name is unique, as in the archives that PyTorch writes.
fn check_records(records: &[Record]) -> Result<(), FormatError> {
    if let Some(record) = records.iter().find(|record| record.packed) {
        let packed = record.bytes.end - record.bytes.start;
        let detail = sentence!("detail.compressed", file = &record.name, packed = packed, size = record.size);
        return Err(FormatError::ResourceBomb(detail.into()));
    }
    let mut names = HashSet::new();
    match records.iter().find(|record| !names.insert(&record.name)) {
        Some(twice) => Err(FormatError::BadZip(sentence!("detail.two_records", file = &twice.name).into())),
        None => Ok(()),
    }
}

/// Reads the record that says which byte of a number comes first.
fn is_big_endian(record: &[u8]) -> Result<bool, FormatError> {
    match record {
        b"little" => Ok(false),
        b"big" => Ok(true),
        other => Err(FormatError::BadZip(
            sentence!("detail.byte_order", order = String::from_utf8_lossy(other).into_owned()).into(),
        )),
    }
}

/// Reads the header of a legacy file.
pub async fn read_legacy(source: &dyn ByteSource) -> Result<Header, FormatError> {
    let mut window = 1 << 20;
    loop {
        let end = source.len().min(window);
        let (header, data_end) = match legacy(&source.read(0..end).await?, source).await {
            Err(FormatError::PickleTruncated(_)) if end < source.len().min(MAX_PICKLE) => {
                window *= 8;
                continue;
            }
            Err(error) => {
                // Dangerous pickles are named as such, whatever else is wrong with the file.
                pickle::check_dangers(&source.read(0..end).await?)?;
                return Err(error);
            }
            Ok(header) => header,
        };
        // The data may be followed by another pickle, which some programs would run.
        pickle::check_imports(&bytes_after(source, data_end).await?)?;
        return Ok(header);
    }
}

/// Returns the bytes after the tensor data of a legacy file, or `None` if it is not one.
pub(super) async fn after_numbers(source: &dyn ByteSource) -> Option<Vec<u8>> {
    let bytes = source.read(0..source.len().min(MAX_PICKLE)).await.ok()?;
    let (_, end) = legacy(&bytes, source).await.ok()?;
    bytes_after(source, end).await.ok()
}

async fn bytes_after(source: &dyn ByteSource, end: u64) -> Result<Vec<u8>, FormatError> {
    Ok(source.read(end..source.len().min(end.saturating_add(MAX_PICKLE))).await?)
}

/// Parses the pickles of a legacy file. Returns the header and the end of the tensor data.
async fn legacy(bytes: &[u8], source: &dyn ByteSource) -> Result<(Header, u64), FormatError> {
    let mut at = 0;
    let mut next = || {
        let pickle = pickle::read(bytes.get(at..).unwrap_or_default())?;
        at += pickle.len;
        Ok::<_, FormatError>(pickle)
    };
    // The magic number, the protocol version and the system info.
    let protocol = (next()?, next()?).1;
    if protocol.size(protocol.root) != Some(1001) {
        return Err(FormatError::BadPickle(sentence!("detail.not_pytorch").into()));
    }
    next()?;
    let (object, keys) = (next()?, next()?);
    let widths = element_sizes(&object);
    let mut ranges = HashMap::new();
    let mut start = at as u64;
    for &key in keys.list(keys.root).unwrap_or_default() {
        let key = keys.text(key).unwrap_or_default();
        let count = source.read(start..start.saturating_add(8)).await?;
        let count = u64::from_le_bytes(count.try_into().unwrap_or_default());
        let width = widths.get(key).copied().unwrap_or(1);
        let end = count.checked_mul(width).and_then(|len| len.checked_add(start + 8));
        let end = end.filter(|&end| end <= source.len());
        let end = end.ok_or_else(|| FormatError::Truncated(sentence!("detail.storage_past_end", key = key).into()))?;
        ranges.insert(key.to_owned(), start + 8..end);
        start = end;
    }
    // Even big-endian machines write these files in little-endian order.
    let storages = Storages { ranges, is_big_endian: false, file_len: source.len() };
    Ok((header(&object, &storages)?, start))
}

/// Returns whether a record of an archive is a pickle, by its file extension.
pub(super) fn is_pickle_name(name: &str) -> bool {
    [".pkl", ".pickle", ".p"].iter().any(|ending| name.ends_with(ending))
}

/// Returns the element size of each storage in bytes: that of its first mention, as in PyTorch.
fn element_sizes(pickle: &Pickle) -> HashMap<&str, u64> {
    let mut sizes = HashMap::new();
    for value in &pickle.values {
        let Value::Persistent(description) = value else { continue };
        let Some(storage) = StorageRef::of(pickle, *description) else { continue };
        if let Some(dtype) = storage.dtype() {
            sizes.entry(storage.key).or_insert(dtype.bitsize() as u64 / 8);
        }
    }
    sizes
}
