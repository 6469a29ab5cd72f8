//! Spectra, conversions, resizes, merges, extractions, comparisons and metadata edits against
//! numpy and against each other: what an edited file changes is what the file changed before, or
//! differs from it by the error that is stated.

use lora_loupe::adapters::{Adapter, Delta, Dense, Numbers, PeftConfigs, read};
use lora_loupe::analysis::{LowRank, Spectrum};
use lora_loupe::formats::{Header, read_header};
use lora_loupe::model::{Family, FamilyId};
use lora_loupe_tests::golden;
use pollster::block_on;

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
            let again = lora_loupe::adapters::Form::Product(Dense::new(left, rank), Dense::new(right, form.size().1));
            let (apart, size) = distance(&whole, &again.matrix().data);
            let scale = f64::from(delta.scale).abs();
            let want = error.as_f64().expect("a number") / scale;
            assert!((apart - want).abs() <= 2e-6 * size + 1e-12, "{name} at rank {rank}: {apart}, not {want}");
        }
    }
}

#[test]
fn a_wrong_singular_value_would_be_seen() {
    let form = lora_loupe::adapters::Form::product(vec![1.0, 0.0, 0.0, 1.0], vec![2.0, 0.0, 0.0, 1.0], 2);
    let spectrum = Spectrum::of(&form, 1.0);
    assert!((spectrum.values[0] - 2.00001).abs() > 1e-6 * 2.0 && (spectrum.values[0] - 2.0).abs() < 1e-12);
}
