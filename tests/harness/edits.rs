//! Turns adapter files of the corpus into edited files, and each file into what it changes.

use crate::golden::{self, bytes};
use lora_loupe::adapters::Delta;
use lora_loupe::edit::{ConvertOptions, EditError, Opened, Outcome, RankRule, ResizeOptions, convert};
use lora_loupe::formats::Dtype;
use pollster::block_on;
use std::collections::BTreeMap;

/// Every valid adapter of the corpus with the text of its companion.
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

/// The bytes of a file of the corpus.
pub fn bytes_of(file: &str) -> Vec<u8> {
    bytes(&format!("corpus/{file}"))
}

/// A file as edits take it.
pub fn open<'a>(file: &str, bytes: &'a Vec<u8>, companion: Option<&str>) -> Opened<'a> {
    block_on(Opened::new(file, bytes, companion)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

/// The written file, its hashes in place.
pub fn finished(mut bytes: Vec<u8>, outcome: &Outcome) -> Vec<u8> {
    bytes[..outcome.head.len()].copy_from_slice(&outcome.head);
    assert_eq!(bytes.len() as u64, outcome.size);
    bytes
}

/// The file that a conversion writes, as its preview says.
pub fn converted(opened: &Opened, options: &ConvertOptions) -> Result<(Vec<u8>, Outcome), EditError> {
    let conversion = block_on(convert(opened, options))?;
    let mut out = Vec::new();
    let outcome = block_on(conversion.write(&mut out))?;
    assert_eq!(conversion.preview.size_after, out.len() as u64);
    assert_eq!(conversion.preview.tensors_after, outcome.tensors);
    Ok((finished(out, &outcome), outcome))
}

/// A resize that keeps all ranks, in f32.
pub const F32: ResizeOptions =
    ResizeOptions { rule: RankRule::Fixed(999), most: None, to: None, dtype: Some(Dtype::F32), drop: true };

/// What each tensor is changed by, of the files whose changes are matrices or lists.
pub fn changes(opened: &Opened) -> BTreeMap<String, Vec<f32>> {
    let change = |delta: &Delta| {
        let numbers = block_on(opened.numbers(delta)).expect("its factors");
        let data = match delta.change.form(&numbers) {
            Some(form) => form.matrix().data,
            None if delta.change.shape().len() == 1 => numbers.into_values().next().expect("a list"),
            None => return None,
        };
        Some((delta.tensor(), data.into_iter().map(|x| x * delta.scale).collect()))
    };
    opened.adapter.deltas.iter().filter_map(change).collect()
}

/// ‖a − b‖ and ‖a‖, in f64.
pub fn distance(a: &[f32], b: &[f32]) -> (f64, f64) {
    assert_eq!(a.len(), b.len());
    let square = |x: f64| x * x;
    let apart: f64 = a.iter().zip(b).map(|(a, b)| square(f64::from(*a) - f64::from(*b))).sum();
    (apart.sqrt(), a.iter().map(|x| square(f64::from(*x))).sum::<f64>().sqrt())
}

/// Fails when other tensors change, or one is further from what is wanted than `limit` times its size.
#[track_caller]
pub fn same(what: &str, got: &BTreeMap<String, Vec<f32>>, want: &BTreeMap<String, Vec<f32>>, limit: f64) {
    assert!(got.keys().eq(want.keys()), "{what}: other tensors change");
    for (name, want) in want {
        let (apart, size) = distance(want, &got[name]);
        assert!(apart <= limit * size, "{what}: {name} is off by {apart} of {size}");
    }
}
