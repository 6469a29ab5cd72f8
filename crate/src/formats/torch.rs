//! Tensors of `torch.save` files, listed without running their pickles.
//!
//! Since PyTorch 1.6 such a file is a zip archive: `NAME/data.pkl` describes the tensors and `NAME/data/KEY` holds the
//! data of a storage. Earlier files (legacy) are five consecutive pickles, followed by the data of the storages.

use super::pickle::{Id, Pickle, Value};
use super::safetensors::elements;
use super::{ByteSource, Dtype, FormatError, Header, TensorInfo, opcodes, zip};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::Range;

/// Maximum pickle length, in bytes: a million tensors take less.
const MAX_PICKLE: u64 = 64 << 20;

/// Maximum length of a tensor's key, in bytes.
const MAX_NAME: usize = 1024;

/// Byte range of each storage, by its key.
type Storages = HashMap<String, Range<u64>>;

/// Reads the header of a zip archive.
pub async fn read_zip(source: &dyn ByteSource) -> Result<Header, FormatError> {
    let records = zip::records(source).await?;
    if let Some(record) = records.iter().find(|record| record.packed) {
        return Err(FormatError::ResourceBomb(format!(
            "`{}` is compressed ({} bytes would become {}), but PyTorch never compresses",
            record.name,
            record.bytes.end - record.bytes.start,
            record.size
        )));
    }
    let Some(main) = records.iter().find(|record| record.name.ends_with("/data.pkl") || record.name == "data.pkl")
    else {
        return Err(FormatError::BadZip("it was not written by PyTorch (data.pkl is missing)".into()));
    };
    let len = main.bytes.end - main.bytes.start;
    if len > MAX_PICKLE {
        return Err(FormatError::ResourceBomb(format!("its pickle has {len} bytes")));
    }
    let pickle = opcodes::read(&source.read(main.bytes.clone()).await?)?;
    for other in records.iter().filter(|record| is_pickle_name(&record.name) && *record != main) {
        opcodes::check_imports(
            &source.read(other.bytes.start..other.bytes.end.min(other.bytes.start + MAX_PICKLE)).await?,
        )?;
    }
    let folder = main.name.strip_suffix("data.pkl").unwrap_or_default().to_owned() + "data/";
    let storages = records
        .iter()
        .filter_map(|record| Some((record.name.strip_prefix(&folder)?.to_owned(), record.bytes.clone())))
        .collect();
    header(&pickle, &storages)
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
            other => other?,
        };
        // The data may be followed by another pickle, which some programs would run.
        opcodes::check_imports(&bytes_after(source, data_end).await?)?;
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
        let pickle = opcodes::read(bytes.get(at..).unwrap_or_default())?;
        at += pickle.len;
        Ok::<_, FormatError>(pickle)
    };
    // The magic number, the protocol version and the system info.
    let protocol = (next()?, next()?).1;
    if protocol.size(protocol.root) != Some(1001) {
        return Err(FormatError::BadPickle("it was not written by PyTorch".into()));
    }
    next()?;
    let (object, keys) = (next()?, next()?);
    let widths = element_sizes(&object);
    let mut storages = Storages::new();
    let mut start = at as u64;
    for &key in keys.list(keys.root).unwrap_or_default() {
        let key = keys.text(key).unwrap_or_default();
        let count = source.read(start..start.saturating_add(8)).await?;
        let count = u64::from_le_bytes(count.try_into().unwrap_or_default());
        let width = widths.get(key).copied().unwrap_or(1);
        let end = count.checked_mul(width).and_then(|len| len.checked_add(start + 8));
        let end = end.filter(|&end| end <= source.len());
        let end = end.ok_or_else(|| FormatError::Truncated(format!("its storage {key} extends past its end")))?;
        storages.insert(key.to_owned(), start + 8..end);
        start = end;
    }
    Ok((header(&object, &storages)?, start))
}

/// Returns whether a record of an archive is a pickle, by its file extension.
pub(super) fn is_pickle_name(name: &str) -> bool {
    [".pkl", ".pickle", ".p"].iter().any(|ending| name.ends_with(ending))
}

/// Returns the element size of each storage, in bytes.
fn element_sizes(pickle: &Pickle) -> HashMap<&str, u64> {
    let described = pickle.values.iter().filter_map(|value| match value {
        Value::Persistent(id) => storage(pickle, *id),
        _ => None,
    });
    described.filter_map(|(key, class)| Some((key, storage_dtype(class)?.bitsize() as u64 / 8))).collect()
}

/// Returns the key and the class of `('storage', torch.FloatStorage, key, device, count, …)`.
fn storage(pickle: &Pickle, description: Id) -> Option<(&str, &str)> {
    let &[_, class, key, ..] = pickle.list(description)? else { return None };
    let Value::Global(class) = pickle.get(class) else { return None };
    Some((pickle.text(key)?, class.as_str()))
}

/// Returns the dtype of a storage class: `torch.FloatStorage`, …
fn storage_dtype(class: &str) -> Option<Dtype> {
    Some(match class.strip_prefix("torch.")?.trim_start_matches("storage.").strip_suffix("Storage")? {
        "Float" => Dtype::F32,
        "Half" => Dtype::F16,
        "BFloat16" => Dtype::BF16,
        "Double" => Dtype::F64,
        "Long" => Dtype::I64,
        "Int" => Dtype::I32,
        "Short" => Dtype::I16,
        "Char" => Dtype::I8,
        "Byte" | "Untyped" => Dtype::U8,
        "Bool" => Dtype::BOOL,
        _ => return None,
    })
}

/// Returns every tensor in the pickle's dictionaries, ordered by byte range. The nested keys, joined by dots, are its
/// key.
fn header(pickle: &Pickle, storages: &Storages) -> Result<Header, FormatError> {
    let mut tensors = Vec::new();
    let mut pending = vec![(String::new(), pickle.root)];
    let mut visited = HashSet::new();
    while let Some((name, id)) = pending.pop() {
        if name.len() > MAX_NAME {
            return Err(FormatError::BadPickle(format!("a tensor's key exceeds {MAX_NAME} bytes")));
        }
        let nested = |key: &str| if name.is_empty() { key.to_owned() } else { format!("{name}.{key}") };
        match pickle.get(id) {
            Value::Call { function, arguments } if function == "torch._utils._rebuild_tensor_v2" => {
                tensors.push(tensor(pickle, name, *arguments, storages)?);
            }
            Value::Dict(pairs) if visited.insert(id) => {
                pending.extend(pairs.iter().map(|&(key, value)| match (pickle.text(key), pickle.size(key)) {
                    (Some(text), _) => (nested(text), value),
                    (None, number) => (nested(&number.unwrap_or_default().to_string()), value),
                }));
            }
            Value::List(list) if visited.insert(id) => {
                pending.extend(list.iter().enumerate().map(|(index, &value)| (nested(&index.to_string()), value)));
            }
            _ => {}
        }
    }
    tensors.sort_by(|a, b| (a.bytes.start, &a.name).cmp(&(b.bytes.start, &b.name)));
    tensors.dedup_by(|a, b| a.name == b.name);
    Ok(Header::of(tensors, BTreeMap::new()))
}

/// Returns the tensor of `(storage, offset, shape, strides, …)`.
fn tensor(pickle: &Pickle, name: String, arguments: Id, storages: &Storages) -> Result<TensorInfo, FormatError> {
    let bad_pickle = |reason: &str| FormatError::BadPickle(format!("`{name}` {reason}"));
    let sizes = |id| {
        let list = pickle.list(id)?.iter().map(|&id| pickle.size(id));
        list.collect::<Option<Vec<u64>>>()
    };
    let Some(&[source, offset, shape, strides, ..]) = pickle.list(arguments) else {
        return Err(bad_pickle("lacks arguments of _rebuild_tensor_v2"));
    };
    let described = match pickle.get(source) {
        Value::Persistent(description) => storage(pickle, *description),
        _ => None,
    };
    let (key, class) = described.ok_or_else(|| bad_pickle("has no storage"))?;
    let dtype =
        storage_dtype(class).ok_or_else(|| FormatError::BadDtype { name: name.clone(), dtype: class.to_owned() })?;
    let bytes =
        storages.get(key).ok_or_else(|| FormatError::Truncated(format!("the storage of `{name}` is missing")))?;
    let (shape, strides) = sizes(shape)
        .zip(sizes(strides))
        .filter(|(shape, strides)| shape.len() == strides.len())
        .ok_or_else(|| bad_pickle("does not have one size and one stride, both non-negative integers, per axis"))?;
    let axes: Option<Vec<usize>> = shape.iter().map(|&axis| usize::try_from(axis).ok()).collect();
    let count = axes.as_deref().and_then(elements);
    let width = dtype.bitsize() as u64 / 8;
    let span = count.and_then(|count| count.checked_mul(width)).ok_or_else(|| FormatError::BadShape {
        name: name.clone(),
        reason: format!("{shape:?} has too many elements"),
    })?;
    if !is_row_major(&shape, &strides) {
        return Err(FormatError::NotContiguous { name, shape, strides });
    }
    let offset = pickle.size(offset).and_then(|offset| offset.checked_mul(width));
    let start = offset.and_then(|offset| bytes.start.checked_add(offset));
    let range = start.and_then(|start| Some(start..start.checked_add(span)?));
    let range = range.filter(|range| range.end <= bytes.end).ok_or_else(|| {
        FormatError::Truncated(format!("`{name}` needs {span} bytes, but its storage has {}", bytes.end - bytes.start))
    })?;
    Ok(TensorInfo { name, dtype, shape: axes.unwrap_or_default(), bytes: range })
}

/// Returns whether the strides, one per axis, are those of a contiguous tensor; axes of length 1 may have any stride.
fn is_row_major(shape: &[u64], strides: &[u64]) -> bool {
    let mut expected = 1u64;
    shape.iter().zip(strides).rev().all(|(&axis, &stride)| {
        let fits = axis <= 1 || stride == expected;
        expected = expected.saturating_mul(axis);
        fits
    })
}
