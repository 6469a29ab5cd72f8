//! State dicts in pickles: every tensor in their dictionaries, nested or not, and how each lies in its storage.

use super::pickle::{Id, Pickle, Value};
use super::tensor::check_shape;
use super::view::{extent, is_row_major};
use super::{Dtype, FormatError, Header, TensorInfo, View};
use crate::sentence::sentence;
use crate::sorting;
use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

/// Maximum length of a tensor's key, in bytes.
const MAX_NAME: usize = 1024;

/// Maximum ratio of the tensors' size to the file's: tensors may share their storage.
const MAX_EXPANSION: u64 = 16;

/// Size of tensors that no file is too small for, in bytes.
const MIN_EXPANDED: u64 = 1 << 20;

/// Keys under which programs save a state dict next to the state of the training, as ComfyUI and A1111 look for them.
/// They are no part of the tensors' keys.
const WRAPPERS: [&str; 7] =
    ["state_dict", "model_state_dict", "lora_state_dict", "model", "module", "network", "weights"];

/// Maximum number of wrappers around each other.
const MAX_WRAPPERS: usize = 4;

/// The storages of a file.
pub struct Storages {
    /// Byte range of each, by its key.
    pub ranges: HashMap<String, Range<u64>>,
    /// Whether their elements are big-endian.
    pub is_big_endian: bool,
    /// Length of the file in bytes.
    pub file_len: u64,
}

/// Returns every tensor in the pickle's dictionaries, ordered by byte range. The nested keys, joined by dots, are its
/// key.
pub fn header(pickle: &Pickle, storages: &Storages) -> Result<Header, FormatError> {
    let mut tensors = Vec::new();
    let mut names = 0;
    let mut walk = Walk::new(pickle);
    while let Some((name, id)) = walk.next_call()? {
        let Some(tensor) = tensor(pickle, &name, id, storages)? else { continue };
        names += name.len() as u64;
        if names > MIN_EXPANDED + MAX_EXPANSION * pickle.len as u64 {
            return Err(FormatError::ResourceBomb(sentence!("detail.repeated_keys").into()));
        }
        tensors.push(tensor);
    }
    let size = tensors.iter().fold(0u64, |size, tensor| size.saturating_add(tensor.byte_len()));
    if size > storages.file_len.saturating_mul(MAX_EXPANSION).max(MIN_EXPANDED) {
        let len = storages.file_len;
        return Err(FormatError::ResourceBomb(sentence!("detail.shared", len = len, size = size).into()));
    }
    sorting::sort_by(&mut tensors, |a, b| (&a.name, a.bytes.start).cmp(&(&b.name, b.bytes.start)));
    tensors.dedup();
    if let Some(pair) = tensors.windows(2).find(|pair| pair[0].name == pair[1].name) {
        return Err(FormatError::DuplicateKey(pair[0].name.clone()));
    }
    sorting::sort_by_key(&mut tensors, |tensor| tensor.bytes.start);
    Ok(Header::of(tensors, BTreeMap::new()))
}

/// A walk through nested dictionaries and lists.
struct Walk<'a> {
    pickle: &'a Pickle,
    /// The places so far: the index of the outer place, and the key in it.
    places: Vec<(usize, Key)>,
    /// The values to visit with their places.
    pending: Vec<(usize, Id)>,
    /// How many more values may be visited: dictionaries that contain each other have no end.
    budget: usize,
}

#[derive(Clone, Copy)]
enum Key {
    /// No part of the name.
    None,
    /// A text or a number.
    Value(Id),
    /// The position in a list, or of a key in a dictionary that is neither text nor a number.
    Position(usize),
}

impl<'a> Walk<'a> {
    fn new(pickle: &'a Pickle) -> Walk<'a> {
        let budget = pickle.values.len().saturating_mul(4).saturating_add(1000);
        let mut walk = Walk { pickle, places: vec![(0, Key::None)], pending: Vec::new(), budget };
        let mut root = pickle.root;
        for _ in 0..MAX_WRAPPERS {
            let Some(inner) = walk.wrapped(root) else { break };
            // The other entries keep their keys.
            for (key, value) in walk.entries(root).into_iter().filter(|(_, value)| *value != inner) {
                walk.add(0, key, value);
            }
            root = inner;
        }
        walk.pending.push((0, root));
        walk
    }

    /// Returns the dictionary under the first known wrapper's key in a dictionary.
    fn wrapped(&self, id: Id) -> Option<Id> {
        let pairs = self.pickle.dict(id)?;
        WRAPPERS.iter().find_map(|name| {
            let (_, value) = pairs.iter().rev().find(|(key, _)| self.pickle.text(*key) == Some(name))?;
            self.pickle.dict(*value).is_some_and(|pairs| !pairs.is_empty()).then_some(*value)
        })
    }

    /// Returns the entries of a dictionary, the last one of each key, or of a list.
    fn entries(&self, id: Id) -> Vec<(Key, Id)> {
        match self.pickle.get(id) {
            Value::Dict(pairs) => {
                let mut by_name = HashMap::new();
                let mut others = Vec::new();
                for (position, &(key, value)) in pairs.iter().enumerate() {
                    match self.pickle.get(key) {
                        Value::Text(text) => drop(by_name.insert((Some(text.as_str()), 0), (key, value))),
                        Value::Int(number) => drop(by_name.insert((None, *number), (key, value))),
                        _ => others.push((Key::Position(position), value)),
                    }
                }
                others.extend(by_name.into_values().map(|(key, value)| (Key::Value(key), value)));
                others
            }
            Value::List(list) => list.iter().enumerate().map(|(at, &value)| (Key::Position(at), value)).collect(),
            _ => Vec::new(),
        }
    }

    fn add(&mut self, outer: usize, key: Key, value: Id) {
        if matches!(self.pickle.get(value), Value::Dict(_) | Value::List(_) | Value::Call { .. }) {
            self.places.push((outer, key));
            self.pending.push((self.places.len() - 1, value));
        }
    }

    /// Returns the next call with its name.
    fn next_call(&mut self) -> Result<Option<(String, Id)>, FormatError> {
        while let Some((place, id)) = self.pending.pop() {
            if matches!(self.pickle.get(id), Value::Call { .. }) {
                return Ok(Some((self.name(place)?, id)));
            }
            let entries = self.entries(id);
            self.budget = self
                .budget
                .checked_sub(entries.len())
                .ok_or_else(|| FormatError::ResourceBomb(sentence!("detail.nested").into()))?;
            for (key, value) in entries {
                self.add(place, key, value);
            }
        }
        Ok(None)
    }

    /// Returns the keys from the root to a place, joined by dots.
    fn name(&self, mut place: usize) -> Result<String, FormatError> {
        let too_long = || FormatError::BadPickle(sentence!("detail.long_key", most = MAX_NAME).into());
        let (mut keys, mut len) = (Vec::new(), 0);
        while place != 0 {
            let (outer, key) = self.places[place];
            let key = match key {
                Key::None => String::new(),
                Key::Position(position) => position.to_string(),
                Key::Value(id) => match self.pickle.get(id) {
                    Value::Text(text) if text.len() > MAX_NAME => return Err(too_long()),
                    Value::Text(text) => text.clone(),
                    Value::Int(number) => number.to_string(),
                    _ => String::new(),
                },
            };
            len += key.len() + 1;
            if len > MAX_NAME + 1 {
                return Err(too_long());
            }
            keys.push(key);
            place = outer;
        }
        keys.reverse();
        Ok(keys.join("."))
    }
}

/// A storage as a pickle describes it: `('storage', torch.FloatStorage, key, device, count, …)`.
pub struct StorageRef<'a> {
    /// Its key.
    pub key: &'a str,
    /// Its class: `torch.FloatStorage`.
    class: &'a str,
    /// Offset and length of the part that it is of an older file's storage, in elements.
    part: Option<(u64, u64)>,
}

impl<'a> StorageRef<'a> {
    /// Reads the description of a persistent id.
    pub fn of(pickle: &'a Pickle, description: Id) -> Option<StorageRef<'a>> {
        let list = pickle.list(description)?;
        let &[_, class, key, ..] = list else { return None };
        let part = match list.get(5).and_then(|&part| pickle.list(part)) {
            Some(&[_, offset, len]) => Some((pickle.size(offset)?, pickle.size(len)?)),
            _ => None,
        };
        Some(StorageRef { key: pickle.text(key)?, class: pickle.global(class)?, part })
    }

    /// Returns the dtype of its class.
    pub fn dtype(&self) -> Option<Dtype> {
        let class = self.class.strip_prefix("torch.")?;
        let class = class.trim_start_matches("storage.").trim_start_matches("cuda.");
        Some(match class.strip_suffix("Storage")? {
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
            "ComplexFloat" => Dtype::C64,
            _ => return None,
        })
    }
}

/// Returns the dtype of a global: `torch.bfloat16`.
fn dtype(name: &str) -> Option<Dtype> {
    Some(match name.strip_prefix("torch.")? {
        "float32" | "float" => Dtype::F32,
        "float16" | "half" => Dtype::F16,
        "bfloat16" => Dtype::BF16,
        "float64" | "double" => Dtype::F64,
        "float8_e4m3fn" => Dtype::F8_E4M3,
        "float8_e5m2" => Dtype::F8_E5M2,
        "float8_e4m3fnuz" => Dtype::F8_E4M3FNUZ,
        "float8_e5m2fnuz" => Dtype::F8_E5M2FNUZ,
        "float8_e8m0fnu" => Dtype::F8_E8M0,
        "uint8" => Dtype::U8,
        "uint16" => Dtype::U16,
        "uint32" => Dtype::U32,
        "uint64" => Dtype::U64,
        "int8" => Dtype::I8,
        "int16" | "short" => Dtype::I16,
        "int32" | "int" => Dtype::I32,
        "int64" | "long" => Dtype::I64,
        "bool" => Dtype::BOOL,
        "complex64" | "cfloat" => Dtype::C64,
        _ => return None,
    })
}

/// Returns the tensor that a call rebuilds, or `None` if it rebuilds something else.
fn tensor(pickle: &Pickle, name: &str, call: Id, storages: &Storages) -> Result<Option<TensorInfo>, FormatError> {
    let Some((function, arguments)) = pickle.call(call) else { return Ok(None) };
    let unsupported = |kind| Err(FormatError::UnsupportedTensor { name: name.to_owned(), kind });
    let Some(function) = function.strip_prefix("torch._utils.") else { return Ok(None) };
    // Position of the dtype, if the storage has none, and of the flags.
    let (dtype, flags) = match function {
        "_rebuild_tensor" => (None, None),
        "_rebuild_tensor_v2" => (None, arguments.get(6)),
        "_rebuild_tensor_v3" => (arguments.get(6), arguments.get(7)),
        "_rebuild_qtensor" => return Err(quantized(pickle, name, arguments)),
        "_rebuild_sparse_tensor" | "_rebuild_sparse_csr_tensor" => return unsupported("tensor.sparse"),
        "_rebuild_nested_tensor" => return unsupported("tensor.nested"),
        "_rebuild_meta_tensor_no_storage" => return unsupported("meta"),
        "_rebuild_wrapper_subclass" => return unsupported("tensor.custom"),
        "_rebuild_device_tensor_from_numpy" | "_rebuild_xla_tensor" => return unsupported("tensor.numpy"),
        _ => return Ok(None),
    };
    let is_set = |&(key, value): &(Id, Id)| {
        matches!(pickle.text(key), Some("conj" | "neg")) && pickle.get(value) == &Value::Int(1)
    };
    if flags.and_then(|&flags| pickle.dict(flags)).is_some_and(|flags| flags.iter().any(is_set)) {
        return unsupported("tensor.lazy");
    }
    strided(pickle, name, arguments, dtype.copied(), storages).map(Some)
}

/// Returns the error for a quantized tensor of `(storage, …)`.
fn quantized(pickle: &Pickle, name: &str, arguments: &[Id]) -> FormatError {
    let storage = arguments.first().and_then(|&storage| match pickle.get(storage) {
        Value::Persistent(description) => StorageRef::of(pickle, *description),
        _ => None,
    });
    let class = storage.map_or("torch.QInt8Storage", |storage| storage.class);
    let kind = class.trim_start_matches("torch.").trim_end_matches("Storage").to_owned();
    FormatError::Quantized { name: name.to_owned(), kind }
}

/// Returns the tensor of `(storage, offset, shape, strides, …)`, of the storage's dtype or of another.
fn strided(
    pickle: &Pickle,
    name: &str,
    arguments: &[Id],
    other_dtype: Option<Id>,
    storages: &Storages,
) -> Result<TensorInfo, FormatError> {
    let bad_pickle = |id: &str| FormatError::BadPickle(sentence!(id, key = name).into());
    let &[source, offset, shape, strides, ..] = arguments else {
        return Err(bad_pickle("detail.lacks_arguments"));
    };
    let described = match pickle.get(source) {
        Value::Persistent(description) => StorageRef::of(pickle, *description),
        _ => None,
    };
    let storage = described.ok_or_else(|| bad_pickle("detail.no_storage"))?;
    let unknown = |dtype: &str| FormatError::BadDtype { name: name.to_owned(), dtype: dtype.to_owned() };
    let dtype = match other_dtype {
        Some(id) => {
            let dtype_name = pickle.global(id).unwrap_or_default();
            dtype(dtype_name).ok_or_else(|| unknown(dtype_name))?
        }
        None => storage.dtype().ok_or_else(|| unknown(storage.class))?,
    };
    let (shape, strides) = shape_and_strides(pickle, shape, strides).ok_or_else(|| bad_pickle("detail.strides"))?;
    check_shape(name, &shape)?;
    let bytes = storage_bytes(name, &storage, storages)?;
    let width = dtype.bitsize() as u64 / 8;
    let span = extent(&shape, &strides).and_then(|extent| extent.checked_mul(width));
    let start = pickle.size(offset).and_then(|offset| offset.checked_mul(width)?.checked_add(bytes.start));
    let range = match span {
        // An empty tensor may be anywhere.
        Some(0) => Some(bytes.start..bytes.start),
        _ => start.zip(span).and_then(|(start, span)| Some(start..start.checked_add(span)?)),
    };
    let range = range.filter(|range| range.end <= bytes.end).ok_or_else(|| {
        let (shape, size) = (format!("{shape:?}"), bytes.end - bytes.start);
        FormatError::Truncated(sentence!("detail.past_storage", key = name, shape = shape, size = size).into())
    })?;
    let is_big_endian = storages.is_big_endian && width > 1;
    let is_plain = range.is_empty() || !is_big_endian && is_row_major(&shape, &strides);
    let view = (!is_plain).then_some(View { strides, is_big_endian });
    Ok(TensorInfo { name: name.to_owned(), dtype, shape, bytes: range, view, blocks: None })
}

fn shape_and_strides(pickle: &Pickle, shape: Id, strides: Id) -> Option<(Vec<usize>, Vec<u64>)> {
    let shape = pickle.list(shape)?.iter().map(|&axis| usize::try_from(pickle.size(axis)?).ok());
    let strides = pickle.list(strides)?.iter().map(|&stride| pickle.size(stride));
    let (shape, strides) = (shape.collect::<Option<Vec<usize>>>()?, strides.collect::<Option<Vec<u64>>>()?);
    (shape.len() == strides.len()).then_some((shape, strides))
}

/// Returns the byte range of a storage, or of the part that `storage` is of it.
fn storage_bytes(name: &str, storage: &StorageRef, storages: &Storages) -> Result<Range<u64>, FormatError> {
    let missing = || FormatError::Truncated(sentence!("detail.storage_missing", key = name).into());
    let bytes = storages.ranges.get(storage.key).ok_or_else(missing)?.clone();
    let Some((offset, len)) = storage.part else { return Ok(bytes) };
    let width = storage.dtype().map_or(1, |dtype| dtype.bitsize() as u64 / 8);
    let start = offset.checked_mul(width).and_then(|offset| bytes.start.checked_add(offset));
    let end = start.zip(len.checked_mul(width)).and_then(|(start, len)| start.checked_add(len));
    let part = start.zip(end).filter(|&(_, end)| end <= bytes.end);
    let (start, end) =
        part.ok_or_else(|| FormatError::Truncated(sentence!("detail.storage_part", key = name).into()))?;
    Ok(start..end)
}
