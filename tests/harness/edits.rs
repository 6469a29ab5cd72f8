//! Edits of corpus adapters, and the weight changes of adapter files.

use crate::golden::{self, bytes};
use lora_loupe::adapters::Delta;
use lora_loupe::edit::{ConvertOptions, EditError, Opened, Outcome, RankRule, ResizeOptions, convert};
use lora_loupe::formats::Dtype;
use pollster::block_on;
use std::collections::BTreeMap;

/// Returns every valid adapter of the corpus: name, bytes and the text of its adapter_config.json, if any.
pub fn corpus() -> Vec<(String, Vec<u8>, Option<String>)> {
    let manifest = golden::json("corpus/manifest.json");
    let cases = manifest["files"].as_array().expect("a list").iter().filter(|case| case["kind"] == "valid");
    cases
        .map(|case| {
            let file = case["file"].as_str().expect("a name").to_owned();
            let companion = case["companion"].as_str().map(|path| golden::text(&format!("corpus/{path}")));
            let bytes = bytes(&format!("corpus/{file}"));
            (file, bytes, companion)
        })
        .collect()
}

/// Returns the bytes of a file of the corpus.
pub fn bytes_of(file: &str) -> Vec<u8> {
    bytes(&format!("corpus/{file}"))
}

/// Opens a file for editing.
pub fn open<'a>(file: &str, bytes: &'a Vec<u8>, companion: Option<&str>) -> Opened<'a> {
    block_on(Opened::new(file, bytes, companion)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

/// Returns the written file with its final header, which has the hashes.
pub fn finished(mut bytes: Vec<u8>, outcome: &Outcome) -> Vec<u8> {
    bytes[..outcome.head.len()].copy_from_slice(&outcome.head);
    assert_eq!(bytes.len() as u64, outcome.size);
    bytes
}

/// Converts a file and checks that its preview matches what is written.
pub fn converted(opened: &Opened, options: &ConvertOptions) -> Result<(Vec<u8>, Outcome), EditError> {
    let conversion = block_on(convert(opened, options))?;
    let mut out = Vec::new();
    let outcome = block_on(conversion.write(&mut out))?;
    assert_eq!(conversion.preview.size_after, out.len() as u64);
    assert_eq!(conversion.preview.tensors_after, outcome.tensors);
    Ok((finished(out, &outcome), outcome))
}

/// Options of a resize to f32 that keeps every rank.
pub const F32: ResizeOptions =
    ResizeOptions { rule: RankRule::Fixed(999), most: None, to: None, dtype: Some(Dtype::F32), drop: true };

/// Returns the scaled weight change of each tensor, for changes that are matrices or vectors.
pub fn changes(opened: &Opened) -> BTreeMap<String, Vec<f32>> {
    let change = |delta: &Delta| {
        let numbers = block_on(opened.read_factors(delta)).expect("factors");
        let data = match delta.change.form(&numbers) {
            Some(form) => form.matrix().data,
            None if delta.change.shape().len() == 1 => numbers.into_values().next().expect("a vector"),
            None => return None,
        };
        Some((delta.tensor(), data.into_iter().map(|x| x * delta.scale).collect()))
    };
    opened.adapter.deltas.iter().filter_map(change).collect()
}

/// Returns ‖a − b‖ and ‖a‖ in f64.
pub fn distance(a: &[f32], b: &[f32]) -> (f64, f64) {
    assert_eq!(a.len(), b.len());
    let square = |x: f64| x * x;
    let squared: f64 = a.iter().zip(b).map(|(a, b)| square(f64::from(*a) - f64::from(*b))).sum();
    (squared.sqrt(), a.iter().map(|x| square(f64::from(*x))).sum::<f64>().sqrt())
}

/// Panics if other tensors change, or if a change is off by more than `limit` times its norm.
#[track_caller]
pub fn same(what: &str, got: &BTreeMap<String, Vec<f32>>, want: &BTreeMap<String, Vec<f32>>, limit: f64) {
    assert!(got.keys().eq(want.keys()), "{what}: other tensors change");
    for (name, want) in want {
        let (error, norm) = distance(want, &got[name]);
        assert!(error <= limit * norm, "{what}: {name} is off by {error} of {norm}");
    }
}
