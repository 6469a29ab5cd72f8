//! Spectra, conversions, resizes, merges, extractions, comparisons and metadata edits against
//! numpy and against each other: what an edited file changes is what the file changed before, or
//! differs from it by the error that is stated.

use lora_loupe::adapters::{Adapter, Delta, Dense, Form, Numbers, PeftConfigs, fold_on_cpu, read};
use lora_loupe::analysis::{LowRank, Spectrum};
use lora_loupe::edit::{AlphaPlace, ConvertOptions, EditError, Opened, Outcome, Target, convert};
use lora_loupe::formats::{Dtype, Header, read_header};
use lora_loupe::model::{Family, FamilyId};
use lora_loupe_tests::golden;
use pollster::block_on;
use std::collections::BTreeMap;

fn bytes(relative: &str) -> Vec<u8> {
    std::fs::read(golden::path(relative)).unwrap_or_else(|error| panic!("tests/{relative}: {error}"))
}

fn adapter(file: &Vec<u8>) -> (Header, Adapter) {
    let header = block_on(read_header(file)).expect("a readable file");
    let family = Family::published(FamilyId::Sd15).expect("a published config");
    let adapter = block_on(read(file, &header, &PeftConfigs::default(), &family.modules())).expect("an adapter");
    (header, adapter)
}

fn numbers(file: &Vec<u8>, header: &Header, delta: &Delta) -> Numbers {
    block_on(delta.read(file, header)).expect("its factors")
}

/// ‖a − b‖ over ‖a‖ in f64.
fn distance(a: &[f32], b: &[f32]) -> (f64, f64) {
    assert_eq!(a.len(), b.len());
    let square = |x: f64| x * x;
    let apart: f64 = a.iter().zip(b).map(|(a, b)| square(f64::from(*a) - f64::from(*b))).sum();
    (apart.sqrt(), a.iter().map(|x| square(f64::from(*x))).sum::<f64>().sqrt())
}

#[test]
fn singular_values_and_truncations_are_numpys() {
    let file = bytes("golden/edit/spectra.safetensors");
    let (header, adapter) = adapter(&file);
    let answers = golden::json("golden/edit/spectra.json");
    let answers = answers.as_object().expect("an object");
    assert_eq!(adapter.deltas.len(), answers.len());
    for delta in &adapter.deltas {
        let numbers = numbers(&file, &header, delta);
        let name = delta.change.factors()[0].key.split_once('.').expect("a suffix").0;
        let answer = &answers[name];
        let want: Vec<f64> = answer["values"].as_array().expect("values").iter().filter_map(|x| x.as_f64()).collect();
        let spectrum = Spectrum::of_delta(delta, &numbers).expect("a closed form");
        assert!(spectrum.values.len() <= want.len(), "{name}");
        for (index, want_value) in want.iter().enumerate() {
            let got = spectrum.values.get(index).copied().unwrap_or(0.0);
            assert!((got - want_value).abs() <= 1e-6 * want[0], "{name}: value {index} is {got}, not {want_value}");
        }
        let norm = delta.norm(&numbers).expect("a closed norm");
        assert!((spectrum.frobenius() - norm).abs() <= 1e-6 * norm, "{name}: {} and {norm}", spectrum.frobenius());

        let form = delta.change.form(&numbers).expect("a closed form");
        let whole = form.matrix().data;
        for (rank, error) in answer["errors"].as_object().expect("errors") {
            let rank: usize = rank.parse().expect("a rank");
            let (left, right) = LowRank::of(&form, rank).balanced(rank);
            let again = Form::Product(Dense::new(left, rank), Dense::new(right, form.size().1));
            let (apart, size) = distance(&whole, &again.matrix().data);
            let scale = f64::from(delta.scale).abs();
            let want = error.as_f64().expect("a number") / scale;
            assert!((apart - want).abs() <= 2e-6 * size + 1e-12, "{name} at rank {rank}: {apart}, not {want}");
        }
    }
}

#[test]
fn a_wrong_singular_value_would_be_seen() {
    let form = Form::product(vec![1.0, 0.0, 0.0, 1.0], vec![2.0, 0.0, 0.0, 1.0], 2);
    let spectrum = Spectrum::of(&form, 1.0);
    assert!((spectrum.values[0] - 2.00001).abs() > 1e-6 * 2.0 && (spectrum.values[0] - 2.0).abs() < 1e-12);
}

/// Every valid adapter of the corpus with the text of its companion.
fn corpus() -> Vec<(String, Vec<u8>, Option<String>)> {
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

fn open<'a>(file: &str, bytes: &'a Vec<u8>, companion: Option<&str>) -> Opened<'a> {
    block_on(Opened::new(file, bytes, companion)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

/// The written file, its hashes in place.
fn finished(mut bytes: Vec<u8>, outcome: &Outcome) -> Vec<u8> {
    bytes[..outcome.head.len()].copy_from_slice(&outcome.head);
    assert_eq!(bytes.len() as u64, outcome.size);
    bytes
}

fn converted(opened: &Opened, options: &ConvertOptions) -> Result<(Vec<u8>, Outcome), EditError> {
    let conversion = block_on(convert(opened, options))?;
    let mut out = Vec::new();
    let outcome = block_on(conversion.write(&mut out))?;
    assert_eq!(conversion.preview.size_after, out.len() as u64);
    assert_eq!(conversion.preview.tensors_after, outcome.tensors);
    Ok((finished(out, &outcome), outcome))
}

/// What each changed tensor becomes, from a base of the same numbers for every file.
fn folded(opened: &Opened, strength: f32) -> BTreeMap<String, Vec<f32>> {
    let fold = |delta: &Delta| {
        let numbers = block_on(opened.numbers(delta)).expect("its factors");
        let shape = delta.change.shape();
        let base: Vec<f32> =
            (0..shape.iter().product::<usize>()).map(|i| ((i * 7919 % 83) as f32 - 41.0) / 64.0).collect();
        let kernel_left_out = [&shape[..], &[1, 1][..2 * usize::from(shape.len() == 2)]].concat();
        (delta.tensor(), fold_on_cpu(base, &kernel_left_out, &[(delta, &numbers, strength)]).expect("a fold"))
    };
    opened.adapter.deltas.iter().map(fold).collect()
}

/// Of the largest difference, within `limit` of the largest change.
#[track_caller]
fn same(what: &str, got: &BTreeMap<String, Vec<f32>>, want: &BTreeMap<String, Vec<f32>>, limit: f64) {
    assert!(got.keys().eq(want.keys()), "{what}: other tensors change");
    for (name, want) in want {
        let (apart, size) = distance(want, &got[name]);
        assert!(apart <= limit * size, "{what}: {name} is off by {apart} of {size}");
    }
}

const TARGETS: [Target; 5] = [Target::Kohya, Target::Peft, Target::Diffusers, Target::Comfy, Target::Onetrainer];

#[test]
fn converted_files_change_what_their_originals_change() {
    let mut seen = BTreeMap::new();
    for (file, bytes, companion) in corpus() {
        let original = open(&file, &bytes, companion.as_deref());
        let want = folded(&original, 1.0);
        for to in TARGETS {
            let places = [AlphaPlace::Usual, AlphaPlace::Kept, AlphaPlace::Baked];
            let others = if matches!(to, Target::Kohya | Target::Peft) { 3 } else { 1 };
            for alpha in places.into_iter().take(others) {
                let what = format!("{file} to {} {alpha:?}", to.name());
                let options = ConvertOptions {
                    to: Some(to),
                    dtype: Some(Dtype::F32),
                    alpha,
                    rank: Some(999),
                    ..Default::default()
                };
                let out = match converted(&original, &options) {
                    Ok((out, _)) => out,
                    Err(EditError::NoPlace { .. }) if !matches!(to, Target::Kohya) => continue,
                    Err(error) => panic!("{what}: {error}"),
                };
                let again = open(&what, &out, None);
                assert!(again.adapter.leftovers.is_empty(), "{what}: {:?}", again.adapter.leftovers);
                same(&what, &folded(&again, 1.0), &want, 2e-6);
                *seen.entry(to.name()).or_insert(0) += 1;
                if alpha != AlphaPlace::Usual || to == Target::Kohya {
                    continue;
                }
                let back = ConvertOptions { to: Some(Target::Kohya), dtype: Some(Dtype::F32), ..Default::default() };
                let (back, _) = converted(&again, &back).expect("the way back");
                same(&format!("{what} and back"), &folded(&open(&what, &back, None), 1.0), &want, 3e-6);
            }
        }
    }
    assert!(seen.values().all(|&count| count >= 13), "{seen:?}");
}

#[test]
fn names_alone_change_no_number() {
    for (file, bytes, companion) in corpus() {
        let original = open(&file, &bytes, companion.as_deref());
        let Ok((out, _)) = converted(&original, &ConvertOptions { to: Some(Target::Kohya), ..Default::default() })
        else {
            panic!("{file} has a place in kohya files")
        };
        let theirs = ::safetensors::SafeTensors::deserialize(&out).expect("a file for everyone");
        assert_eq!(theirs.len(), theirs.names().len());
        let again = open(&file, &out, None);
        let as_they_were = |delta: &Delta| delta.alpha.is_some() || delta.scale == 1.0;
        for (a, b) in original.adapter.deltas.iter().zip(&again.adapter.deltas) {
            let b = if a.tensor() == b.tensor() {
                b
            } else {
                again.adapter.deltas.iter().find(|delta| delta.tensor() == a.tensor()).expect("the same layer")
            };
            if !as_they_were(a) {
                continue;
            }
            assert!((a.scale - b.scale).abs() <= 1e-6 * a.scale.abs(), "{file}: {} and {}", a.scale, b.scale);
            let (before, after) = (block_on(original.numbers(a)).expect("a"), block_on(again.numbers(b)).expect("b"));
            for (x, y) in a.change.factors().into_iter().zip(b.change.factors()) {
                assert_eq!(before[&x.key], after[&y.key], "{file}: {} and {}", x.key, y.key);
            }
        }
    }
}
