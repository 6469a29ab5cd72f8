//! Loader cases (`cases/NAME.json`, `truth.json`): adapter files of zeros, built in memory, and what each program did
//! with them.
//!
//! A case is a file without its elements: `metadata`, `tensors` (pattern -> [dtype, shape]; `a{0-2,5}b` expands to
//! a0b, a1b, a2b and a5b), `values` (scalars; the same patterns) and optionally `adapter_config`.

use crate::golden;
use lora_loupe::formats::{ByteSource, ReadFuture};
use lora_loupe::num::{host_len, numel};
use serde_json::{Map, Value, json};
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::io::Read;
use std::ops::Range;

/// A file of zeros except for its scalars.
pub struct CaseFile {
    header_bytes: Vec<u8>,
    /// Bytes of scalars by offset in the file.
    scalars: BTreeMap<u64, Vec<u8>>,
    len: u64,
    /// Text of the adapter_config.json next to the file.
    pub config: Option<String>,
}

impl CaseFile {
    /// Builds the file of a case.
    pub fn of(case: &Value) -> CaseFile {
        let expanded = |field: &str| -> BTreeMap<String, Value> {
            let patterns = case[field].as_object().into_iter().flatten();
            patterns
                .flat_map(|(pattern, value)| names(pattern).into_iter().map(move |name| (name, value.clone())))
                .collect()
        };
        let mut tensors: Vec<(String, Value)> = expanded("tensors").into_iter().collect();
        tensors.sort_by_key(|(name, info)| (Reverse(size(dtype(info))), name.clone()));
        let mut header = Map::new();
        let metadata = case["metadata"].as_object().filter(|metadata| !metadata.is_empty());
        header.extend(metadata.map(|metadata| ("__metadata__".to_owned(), Value::Object(metadata.clone()))));
        let (mut at, mut offsets) = (0u64, BTreeMap::new());
        for (name, info) in &tensors {
            let axes = info[1].as_array().into_iter().flatten().filter_map(Value::as_u64);
            let elements = numel(&axes.map(host_len).collect::<Vec<_>>());
            let end = at + elements * size(dtype(info));
            header.insert(
                name.clone(),
                json!({"dtype": dtype(info), "shape": info[1].clone(), "data_offsets": [at, end]}),
            );
            offsets.insert(name.clone(), (at, dtype(info).to_owned()));
            at = end;
        }
        let mut text = serde_json::to_vec(&header).expect("a header");
        text.resize(text.len().next_multiple_of(8), b' ');
        let header_bytes = [&(text.len() as u64).to_le_bytes()[..], &text].concat();
        let start = header_bytes.len() as u64;
        let scalar = |(name, value): (String, Value)| {
            let (at, dtype) = offsets.get(&name)?;
            Some((start + at, bytes(dtype, value.as_f64()?)))
        };
        let scalars = expanded("values").into_iter().filter_map(scalar).collect();
        let config = case.get("adapter_config").map(Value::to_string);
        CaseFile { header_bytes, scalars, len: start + at, config }
    }
}

impl CaseFile {
    /// Returns the file with renamed keys; `name` is called with the index and the key of each tensor.
    pub fn with_keys(&self, name: impl Fn(usize, &str) -> String) -> CaseFile {
        self.with_header(|header| {
            let (metadata, tensors): (Map<_, _>, Map<_, _>) =
                std::mem::take(header).into_iter().partition(|(key, _)| key == "__metadata__");
            let renamed = tensors.into_iter().enumerate().map(|(at, (key, info))| (name(at, &key), info));
            header.extend(metadata.into_iter().chain(renamed));
        })
    }

    /// Returns the file with a changed header: the JSON object of the metadata and the tensors.
    pub fn with_header(&self, change: impl FnOnce(&mut Map<String, Value>)) -> CaseFile {
        let mut header: Map<String, Value> =
            serde_json::from_slice(self.header_bytes[8..].trim_ascii_end()).expect("a header");
        change(&mut header);
        let mut text = serde_json::to_vec(&header).expect("a header");
        text.resize(text.len().next_multiple_of(8), b' ');
        let header_bytes = [&(text.len() as u64).to_le_bytes()[..], &text].concat();
        let shifted = |at: u64| at + header_bytes.len() as u64 - self.header_bytes.len() as u64;
        let scalars = self.scalars.iter().map(|(&at, bytes)| (shifted(at), bytes.clone())).collect();
        CaseFile { scalars, len: shifted(self.len), config: self.config.clone(), header_bytes }
    }
}

fn dtype(info: &Value) -> &str {
    info[0].as_str().unwrap_or_default()
}

fn size(dtype: &str) -> u64 {
    match dtype {
        "F64" | "I64" => 8,
        "F32" | "I32" => 4,
        "F16" | "BF16" => 2,
        _ => 1,
    }
}

fn bytes(dtype: &str, value: f64) -> Vec<u8> {
    match dtype {
        "F64" => value.to_le_bytes().to_vec(),
        "F32" => (value as f32).to_le_bytes().to_vec(),
        "BF16" => (value as f32).to_le_bytes()[2..].to_vec(),
        "F16" => half::f16::from_f64(value.min(65504.0)).to_le_bytes().to_vec(),
        "I64" => (value as i64).to_le_bytes().to_vec(),
        _ => (value as i32).to_le_bytes().to_vec(),
    }
}

/// Expands `a{0-2,5}b` to a0b, a1b, a2b, a5b; several braces give all combinations.
pub fn names(pattern: &str) -> Vec<String> {
    let Some((start, rest)) = pattern.split_once('{') else { return vec![pattern.to_owned()] };
    let (list, rest) = rest.split_once('}').expect("a closed brace");
    let numbers = list.split(',').flat_map(|range| {
        let (from, to) = range.split_once('-').unwrap_or((range, range));
        from.parse::<usize>().expect("a number")..=to.parse().expect("a number")
    });
    let rests = names(rest);
    numbers.flat_map(|number| rests.iter().map(move |rest| format!("{start}{number}{rest}"))).collect()
}

impl ByteSource for CaseFile {
    fn len(&self) -> u64 {
        self.len
    }

    fn read(&self, range: Range<u64>) -> ReadFuture<'_> {
        if range.start > range.end || range.end > self.len {
            return Box::pin(std::future::ready(Err(std::io::ErrorKind::UnexpectedEof.into())));
        }
        let mut out = vec![0; (range.end - range.start) as usize];
        let mut write = |at: u64, bytes: &[u8]| {
            let from = at.max(range.start);
            let to = (at + bytes.len() as u64).min(range.end);
            if from < to {
                let target = (from - range.start) as usize..(to - range.start) as usize;
                out[target].copy_from_slice(&bytes[(from - at) as usize..(to - at) as usize]);
            }
        };
        write(0, &self.header_bytes);
        for (&at, bytes) in self.scalars.range(range.start.saturating_sub(8)..range.end) {
            write(at, bytes);
        }
        Box::pin(std::future::ready(Ok(out)))
    }
}

/// Returns the cases in tests/golden/: name, file and what each program did with it. Recorded by running the code of
/// ComfyUI 0.33.0 (2026-08-22), diffusers 0.42.1 with peft 0.21.2, InvokeAI 6.14.2, AUTOMATIC1111 1.10.1 and
/// Forge of 2025-06-26.
pub fn kept() -> Vec<(String, CaseFile, Value)> {
    let packed = golden::bytes("golden/loaders/cases.jsonl.gz");
    let mut text = String::new();
    flate2::read::GzDecoder::new(&packed[..]).read_to_string(&mut text).expect("a gzip file of text");
    let row = |line: &str| {
        let mut row: Value = serde_json::from_str(line).expect("one case per line");
        (row["name"].as_str().expect("a name").to_owned(), CaseFile::of(&row["case"]), row["truth"].take())
    };
    text.lines().map(row).collect()
}

/// A damaged or renamed copy of a case, and what diffusers did with it.
pub struct Mutant {
    /// Name of the case and its change.
    pub name: String,
    /// The file.
    pub file: CaseFile,
    /// Family of the model into which it was loaded.
    pub family: String,
    /// Number of the model's layers that got their factors.
    pub layers: usize,
    /// The error that stopped it.
    pub error: Option<String>,
}

/// Returns the mutants in tests/golden/, recorded by make/mutants_in_diffusers.py with diffusers 0.42.1.
pub fn mutants() -> impl Iterator<Item = Mutant> {
    let text = |name: &str| {
        let mut text = String::new();
        let packed = golden::bytes(name);
        flate2::read::GzDecoder::new(&packed[..]).read_to_string(&mut text).expect("a gzip file of text");
        text
    };
    let parsed = |line: &str| -> Value { serde_json::from_str(line).expect("a row per line") };
    let cases: BTreeMap<String, Value> = text("golden/loaders/cases.jsonl.gz")
        .lines()
        .map(parsed)
        .map(|row| (row["name"].as_str().expect("a name").to_owned(), row))
        .map(|(name, mut row)| (name, json!({"case": expanded_case(row["case"].take()), "truth": row["truth"].take()})))
        .collect();
    let rows: Vec<Value> = text("golden/loaders/mutants.jsonl.gz").lines().map(parsed).collect();
    rows.into_iter().map(move |row| {
        let case = row["case"].as_str().expect("a name");
        let file = CaseFile::of(&mutated(&cases[case]["case"], &row));
        let family = cases[case]["truth"]["family"].as_str().unwrap_or_default().to_owned();
        let error = row["error"].as_str().map(str::to_owned);
        let layers = row["layers"].as_u64().map_or(0, host_len);
        let mut what = row.clone();
        for field in ["case", "layers", "error"] {
            what.as_object_mut().map(|what| what.remove(field));
        }
        let mask = what["mask"].take();
        let mask = mask.as_str().unwrap_or_default();
        what["mask"] = json!(format!("{} of {}", mask.matches('1').count(), mask.len()));
        Mutant { name: format!("{case} {what}"), file, family, layers, error }
    })
}

/// Returns a case without patterns.
fn expanded_case(mut case: Value) -> Value {
    for field in ["tensors", "values"] {
        let patterns = case[field].take();
        let all = patterns.as_object().into_iter().flatten();
        let all = all.flat_map(|(pattern, value)| names(pattern).into_iter().map(|name| (name, value.clone())));
        case[field] = Value::Object(all.collect());
    }
    case
}

/// Returns a case with the change of a row; see make/mutants_in_diffusers.py.
fn mutated(case: &Value, row: &Value) -> Value {
    let mask = row["mask"].as_str().unwrap_or_default();
    let keys: BTreeMap<&String, &Value> = case["tensors"].as_object().into_iter().flatten().collect();
    let (mut tensors, mut values) = (Map::new(), Map::new());
    for (at, (key, info)) in keys.into_iter().enumerate() {
        let (mut key_now, mut info) = (key.clone(), info.clone());
        if mask.as_bytes().get(at) == Some(&b'1') {
            if row["drop"] == true {
                continue;
            }
            if row["halve"] == true {
                halve(key, &mut info);
            }
            for texts in row["replace"].as_array().map_or(&[][..], Vec::as_slice).chunks(2) {
                let text = |at: usize| texts[at].as_str().unwrap_or_default();
                key_now = key_now.replacen(text(0), text(1), 1);
            }
            if let Some(prefixes) = row["prefix"].as_array() {
                let text = |at: usize| prefixes[at].as_str().unwrap_or_default();
                key_now = format!("{}{}", text(1), &key_now[text(0).len()..]);
            }
        }
        if let Some(value) = case["values"].get(key) {
            values.insert(key_now.clone(), value.clone());
        }
        tensors.insert(key_now, info);
    }
    if let Some(key) = row["add"].as_str() {
        tensors.insert(key.to_owned(), json!(["F32", [3]]));
    }
    let mut mutated = case.clone();
    mutated["tensors"] = Value::Object(tensors);
    mutated["values"] = Value::Object(values);
    if row["no_header"] == true {
        mutated["metadata"] = json!({});
    }
    mutated
}

/// Halves the rank of a factor.
fn halve(key: &str, info: &mut Value) {
    let is_down = ["lora_down", "lora_A", ".down."].iter().any(|part| key.contains(part));
    let Some(size) = info[1].get_mut(usize::from(!is_down)).filter(|_| key.contains("lora")) else { return };
    if let Some(rank) = size.as_u64().filter(|&rank| rank > 2) {
        *size = json!(rank / 2);
    }
}

/// Recorded behavior of the programs for a case.
pub struct RecordedRun<'a>(pub &'a Value);

impl RecordedRun<'_> {
    /// Returns whether `name` is the family, or one whose files are indistinguishable from it.
    pub fn is_family(&self, name: &str) -> bool {
        let others = self.0["ambiguous_with"].as_array().into_iter().flatten();
        self.0["family"] == name || others.into_iter().any(|other| other == name)
    }

    /// Returns the number of layers that the file changes.
    pub fn layers(&self) -> u64 {
        self.0["n_layers"].as_u64().unwrap_or(0)
    }

    /// Returns the distinct scales of the layers; empty if the algorithm has no scale.
    pub fn scales(&self) -> Vec<f64> {
        self.0["scales"].as_array().into_iter().flatten().filter_map(Value::as_f64).collect()
    }

    /// Returns status, number and share of applied layers in a program, or `None` if it was not run.
    pub fn loader(&self, name: &str) -> Option<(&str, u64, f64)> {
        let loader = &self.0["loaders"][name];
        let (applied, total) = (loader["applied"].as_u64().unwrap_or(0), loader["total"].as_u64().unwrap_or(0));
        Some((loader["status"].as_str()?, applied, applied as f64 / total.max(1) as f64))
    }
}
