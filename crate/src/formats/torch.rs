//! Turns a file of `torch.save` into a list of tensors, without running the pickle that it holds.
//!
//! Since PyTorch 1.6 such a file is a zip archive: `NAME/data.pkl` describes the tensors and
//! `NAME/data/KEY` holds their numbers. Before, it is five pickles in a row, then the numbers.

use super::pickle::{Id, Pickle, Value};
use super::safetensors::elements;
use super::{ByteSource, Dtype, FormatError, Header, TensorInfo, imports, opcodes, zip};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::Range;

/// The longest pickle that is read, in bytes: a million tensors take less.
const MAX_PICKLE: u64 = 64 << 20;

/// The longest name of a tensor, in bytes.
const MAX_NAME: usize = 1024;

/// Where the numbers of each storage lie, by its key.
type Storages = HashMap<String, Range<u64>>;

/// Reads the tensors of a zip archive.
pub async fn read_zip(source: &dyn ByteSource) -> Result<Header, FormatError> {
    let records = zip::records(source).await?;
    if let Some(record) = records.iter().find(|record| record.packed) {
        return Err(FormatError::ResourceBomb(format!(
            "`{}` is compressed ({} bytes would become {}), and PyTorch never compresses",
            record.name,
            record.bytes.end - record.bytes.start,
            record.size
        )));
    }
    let Some(main) = records.iter().find(|record| record.name.ends_with("/data.pkl") || record.name == "data.pkl")
    else {
        return Err(FormatError::BadZip("it is a zip archive, but not one of PyTorch's (data.pkl is missing)".into()));
    };
    let len = main.bytes.end - main.bytes.start;
    if len > MAX_PICKLE {
        return Err(FormatError::ResourceBomb(format!("its pickle has {len} bytes")));
    }
    let pickle = opcodes::read(&source.read(main.bytes.clone()).await?)?;
    for other in records.iter().filter(|record| is_pickle_name(&record.name) && *record != main) {
        imports::check(&source.read(other.bytes.start..other.bytes.end.min(other.bytes.start + MAX_PICKLE)).await?)?;
    }
    let folder = main.name.strip_suffix("data.pkl").unwrap_or_default().to_owned() + "data/";
    let storages = records
        .iter()
        .filter_map(|record| Some((record.name.strip_prefix(&folder)?.to_owned(), record.bytes.clone())))
        .collect();
    header(&pickle, &storages)
}

/// Reads the tensors of five pickles in a row.
pub async fn read_legacy(source: &dyn ByteSource) -> Result<Header, FormatError> {
    let mut window = 1 << 20;
    loop {
        let end = source.len().min(window);
        let (header, numbers_end) = match legacy(&source.read(0..end).await?, source).await {
            Err(FormatError::PickleEnds(_)) if end < source.len().min(MAX_PICKLE) => {
                window *= 8;
                continue;
            }
            other => other?,
        };
        // Whatever follows could be a further pickle, which some programs would run.
        imports::check(&behind(source, numbers_end).await?)?;
        return Ok(header);
    }
}

/// What follows the numbers of five pickles in a row; none where there are not five.
pub(super) async fn after_numbers(source: &dyn ByteSource) -> Option<Vec<u8>> {
    let bytes = source.read(0..source.len().min(MAX_PICKLE)).await.ok()?;
    let (_, end) = legacy(&bytes, source).await.ok()?;
    behind(source, end).await.ok()
}

async fn behind(source: &dyn ByteSource, end: u64) -> Result<Vec<u8>, FormatError> {
    Ok(source.read(end..source.len().min(end.saturating_add(MAX_PICKLE))).await?)
}

/// The tensors, and where their numbers end.
async fn legacy(bytes: &[u8], source: &dyn ByteSource) -> Result<(Header, u64), FormatError> {
    let mut at = 0;
    let mut next = || {
        let pickle = opcodes::read(bytes.get(at..).unwrap_or_default())?;
        at += pickle.len;
        Ok::<_, FormatError>(pickle)
    };
    // The magic number, the protocol's version and what the machine was like.
    let protocol = (next()?, next()?).1;
    if protocol.size(protocol.root) != Some(1001) {
        return Err(FormatError::BadPickle("it is a pickle, but not one of PyTorch's".into()));
    }
    next()?;
    let (object, keys) = (next()?, next()?);
    let widths = storage_widths(&object);
    let mut storages = Storages::new();
    let mut start = at as u64;
    for &key in keys.list(keys.root).unwrap_or_default() {
        let key = keys.text(key).unwrap_or_default();
        let count = source.read(start..start.saturating_add(8)).await?;
        let count = u64::from_le_bytes(count.try_into().unwrap_or_default());
        let width = widths.get(key).copied().unwrap_or(1);
        let end = count.checked_mul(width).and_then(|len| len.checked_add(start + 8));
        let end = end.filter(|&end| end <= source.len());
        let end = end.ok_or_else(|| FormatError::Truncated(format!("its storage {key} reaches past its end")))?;
        storages.insert(key.to_owned(), start + 8..end);
        start = end;
    }
    Ok((header(&object, &storages)?, start))
}

/// Whether a record of an archive is a pickle by its name.
pub(super) fn is_pickle_name(name: &str) -> bool {
    [".pkl", ".pickle", ".p"].iter().any(|ending| name.ends_with(ending))
}

/// Bytes of one number in each storage.
fn storage_widths(pickle: &Pickle) -> HashMap<&str, u64> {
    let described = pickle.values.iter().filter_map(|value| match value {
        Value::Persistent(id) => storage(pickle, *id),
        _ => None,
    });
    described.map(|(key, dtype)| (key, dtype.bitsize() as u64 / 8)).collect()
}

/// Key and number type of `('storage', torch.FloatStorage, key, device, count, …)`.
fn storage(pickle: &Pickle, description: Id) -> Option<(&str, Dtype)> {
    let &[_, class, key, ..] = pickle.list(description)? else { return None };
    let Value::Global(class) = pickle.get(class) else { return None };
    let dtype = match class.strip_prefix("torch.")?.trim_start_matches("storage.").strip_suffix("Storage")? {
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
    };
    Some((pickle.text(key)?, dtype))
}

/// Every tensor of the pickle's dictionaries, named by its keys with dots between, in the order
/// of their bytes.
fn header(pickle: &Pickle, storages: &Storages) -> Result<Header, FormatError> {
    let mut tensors = Vec::new();
    let mut open = vec![(String::new(), pickle.root)];
    let mut seen = HashSet::new();
    while let Some((name, id)) = open.pop() {
        if name.len() > MAX_NAME {
            return Err(FormatError::BadPickle(format!("dictionaries nest deeper than {MAX_NAME} letters of names")));
        }
        let below = |key: &str| if name.is_empty() { key.to_owned() } else { format!("{name}.{key}") };
        match pickle.get(id) {
            Value::Call { function, arguments } if function == "torch._utils._rebuild_tensor_v2" => {
                tensors.push(tensor(pickle, name, *arguments, storages)?);
            }
            Value::Dict(pairs) if seen.insert(id) => {
                open.extend(pairs.iter().map(|&(key, value)| match (pickle.text(key), pickle.size(key)) {
                    (Some(text), _) => (below(text), value),
                    (None, number) => (below(&number.unwrap_or_default().to_string()), value),
                }));
            }
            Value::List(list) if seen.insert(id) => {
                open.extend(list.iter().enumerate().map(|(index, &value)| (below(&index.to_string()), value)));
            }
            _ => {}
        }
    }
    tensors.sort_by(|a, b| (a.bytes.start, &a.name).cmp(&(b.bytes.start, &b.name)));
    tensors.dedup_by(|a, b| a.name == b.name);
    Ok(Header::of(tensors, BTreeMap::new()))
}

/// The tensor of `(storage, offset, shape, strides, …)`.
fn tensor(pickle: &Pickle, name: String, arguments: Id, storages: &Storages) -> Result<TensorInfo, FormatError> {
    let bad = |reason: &str| FormatError::BadShape { name: name.clone(), reason: reason.into() };
    let sizes = |id| {
        let list = pickle.list(id)?.iter().map(|&id| pickle.size(id));
        list.collect::<Option<Vec<u64>>>()
    };
    let Some(&[source, offset, shape, strides, ..]) = pickle.list(arguments) else {
        return Err(bad("its description is incomplete"));
    };
    let described = match pickle.get(source) {
        Value::Persistent(description) => storage(pickle, *description),
        _ => None,
    };
    let (key, dtype) = described.ok_or_else(|| bad("its numbers are of an unknown type"))?;
    let bytes =
        storages.get(key).ok_or_else(|| FormatError::Truncated(format!("the numbers of `{name}` are missing")))?;
    let (shape, strides) = sizes(shape).zip(sizes(strides)).ok_or_else(|| bad("an axis has no length"))?;
    let axes: Option<Vec<usize>> = shape.iter().map(|&axis| usize::try_from(axis).ok()).collect();
    let count = axes.as_deref().and_then(elements);
    let width = dtype.bitsize() as u64 / 8;
    let span = count.and_then(|count| count.checked_mul(width)).ok_or_else(|| bad("it is larger than any file"))?;
    if !is_row_major(&shape, &strides) {
        return Err(bad("its numbers are not in row-major order; save it again with .contiguous()"));
    }
    let offset = pickle.size(offset).and_then(|offset| offset.checked_mul(width));
    let start = offset.and_then(|offset| bytes.start.checked_add(offset));
    let range = start.and_then(|start| Some(start..start.checked_add(span)?));
    let range = range.filter(|range| range.end <= bytes.end).ok_or_else(|| {
        FormatError::Truncated(format!("`{name}` needs {span} bytes, and its storage has {}", bytes.end - bytes.start))
    })?;
    Ok(TensorInfo { name, dtype, shape: axes.unwrap_or_default(), bytes: range })
}

/// Whether the strides are those of an array without gaps; axes of length 1 may have any.
fn is_row_major(shape: &[u64], strides: &[u64]) -> bool {
    let mut wanted = 1u64;
    shape.len() == strides.len()
        && shape.iter().zip(strides).rev().all(|(&axis, &stride)| {
            let fits = axis <= 1 || stride == wanted;
            wanted = wanted.saturating_mul(axis);
            fits
        })
}
