//! Signatures: copies of adapters at another rank, strength, dtype and key format, and merges, are found by their cosine;
//! others are not.

use lora_loupe::analysis::{LayerComparison, Report, SideOfLayer, Signature, inspect, inspect_header, signature};
use lora_loupe::edit::{Edit, EditInput, Target, apply, compare_files};
use lora_loupe_tests::containers::{Entry, safetensors};
use lora_loupe_tests::edits::{corpus, open};
use pollster::block_on;
use std::ops::ControlFlow;

/// The threshold of docs/signature.md.
const ALIKE: f64 = 0.7;

/// Returns the signature of a file.
fn of(file: &Vec<u8>, config: Option<&str>) -> Option<Signature> {
    block_on(signature(open("a file", file, config).compared())).expect("a readable file")
}

/// Applies an edit, given as JSON, to files with their configs; `None` if it is not possible.
fn edited(edit: &str, files: &[(&Vec<u8>, Option<&str>)]) -> Option<Vec<u8>> {
    let edit: Edit = serde_json::from_str(edit).unwrap_or_else(|error| panic!("{edit}: {error}"));
    let inputs: Vec<EditInput> = files.iter().map(|(file, config)| EditInput::file("a", *file, *config)).collect();
    let mut out = Vec::new();
    let head = block_on(apply(&edit, &inputs, &mut out, &mut |_| ControlFlow::Continue(()))).ok()?.outcome.head;
    out[..head.len()].copy_from_slice(&head);
    Some(out)
}

/// Numbers of a normal distribution, from a linear congruential generator and the sum of twelve uniform numbers.
fn normal(seed: u64, count: usize) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut uniform = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1u64 << 24) as f32
    };
    (0..count).map(|_| (0..12).map(|_| uniform()).sum::<f32>() - 6.0).collect()
}

/// Returns an adapter of 24 layers of Stable Diffusion 1.5 at their real sizes, with singular values that fall.
fn adapter(seed: u64, rank: usize) -> Vec<u8> {
    let mut entries: Vec<Entry> = Vec::new();
    for (block, width) in [(0, 320), (1, 640)] {
        for layer in 0..2 {
            for part in ["attn1_to_q", "attn1_to_k", "attn1_to_v", "attn1_to_out_0", "attn2_to_q", "attn2_to_out_0"] {
                let stem = format!("lora_unet_down_blocks_{block}_attentions_{layer}_transformer_blocks_0_{part}");
                let at = seed * 1000 + entries.len() as u64;
                let mut up = normal(at, width * rank);
                up.chunks_mut(rank).for_each(|row| {
                    row.iter_mut().enumerate().for_each(|(at, value)| *value *= 0.7f32.powi(at as i32));
                });
                entries.push((format!("{stem}.lora_up.weight"), vec![width, rank], up));
                entries.push((format!("{stem}.lora_down.weight"), vec![rank, width], normal(at + 500, width * rank)));
                entries.push((format!("{stem}.alpha"), vec![], vec![rank as f32]));
            }
        }
    }
    safetensors(&[], &entries)
}

#[test]
fn copies_of_the_corpus_are_found() {
    let mut found = 0;
    for (name, file, config) in corpus() {
        let Some(original) = of(&file, config.as_deref()) else { continue };
        let mut check = |edit: &str, least: f64| {
            let Some(copy) = edited(edit, &[(&file, config.as_deref())]) else { return };
            let cosine = original.cosine(&of(&copy, None).unwrap_or_else(|| panic!("{name}: {edit}")));
            assert!(cosine > least, "{name}: {edit}: {cosine}");
            found += 1;
        };
        for target in Target::ALL {
            check(&format!(r#"{{"kind": "convert", "to": "{}"}}"#, target.name()), 0.99);
        }
        check(r#"{"kind": "convert", "dtype": "BF16", "as_lora": true}"#, 0.99);
        check(r#"{"kind": "resize", "rule": {"energy": 0.95}, "drop": true}"#, 0.8);
    }
    assert!(found > 100, "only {found} copies");
}

#[test]
fn different_files_of_the_corpus_are_told_apart() {
    let files = corpus();
    let known: Vec<_> = files
        .iter()
        .filter_map(|(name, file, config)| Some((name, of(file, config.as_deref())?, file, config)))
        .collect();
    for (at, (name, one, file, config)) in known.iter().enumerate() {
        for (other_name, other, other_file, other_config) in &known[..at] {
            if one.cosine(other).abs() < ALIKE {
                continue;
            }
            let (a, b) = (open(name, file, config.as_deref()), open(other_name, other_file, other_config.as_deref()));
            let Ok(comparison) = block_on(compare_files(&a, &b)) else {
                panic!("{name} and {other_name} are for different models: {}", one.cosine(other));
            };
            let norm = |side: &Option<SideOfLayer>| side.as_ref().map_or(0.0, |side| side.norm);
            let sum = |value: &dyn Fn(&LayerComparison) -> f64| comparison.layers.iter().map(value).sum::<f64>();
            let dot = sum(&|row| row.cosine.unwrap_or(0.0) * norm(&row.a) * norm(&row.b));
            let exact = dot / (sum(&|row| norm(&row.a).powi(2)) * sum(&|row| norm(&row.b).powi(2))).sqrt();
            assert!(exact.abs() > ALIKE / 2.0, "{name} and {other_name}: {} for {exact}", one.cosine(other));
        }
    }
}

#[test]
fn among_adapters_of_real_size_copies_and_merges_are_found_and_nothing_else() {
    const COUNT: u64 = 40;
    let files: Vec<Vec<u8>> = (0..COUNT).map(|seed| adapter(seed, 8)).collect();
    let known: Vec<Signature> = files.iter().map(|file| of(file, None).expect("a change")).collect();
    let mut squares = 0.0;
    let mut pairs = 0.0;
    for at in 0..known.len() {
        for other in 0..at {
            let cosine = known[at].cosine(&known[other]);
            assert!(cosine.abs() < ALIKE, "{at} and {other}: {cosine}");
            squares += cosine * cosine;
            pairs += 1.0;
        }
    }
    let deviation = f64::sqrt(squares / pairs);
    assert!((0.1..0.15).contains(&deviation), "the standard deviation of unrelated adapters is 1/8, not {deviation}");
    let check = |edit: &str, files: &[usize], all: &[Vec<u8>], least: f64, most: f64| {
        let inputs: Vec<(&Vec<u8>, Option<&str>)> = files.iter().map(|&at| (&all[at], None)).collect();
        let copy = of(&edited(edit, &inputs).expect("a possible edit"), None).expect("a change");
        let cosine = copy.cosine(&known[files[0]]);
        assert!((least..most).contains(&cosine), "{edit}: {cosine}");
        let others = (0..known.len()).filter(|at| !files.contains(at));
        others.for_each(|at| assert!(copy.cosine(&known[at]).abs() < ALIKE, "{edit}, {at}"));
    };
    for at in 0..4 {
        check(r#"{"kind": "resize", "rule": {"fixed": 2}}"#, &[at], &files, 0.8, 1.0);
        check(r#"{"kind": "convert", "to": "peft", "dtype": "F16"}"#, &[at], &files, 0.999, 1.001);
        let merge = r#"{"kind": "merge", "parts": [{"strength": 0.8}, {"strength": 0.4}]}"#;
        check(merge, &[at, at + 4], &files, ALIKE, 1.0);
        let sum =
            r#"{"kind": "merge", "parts": [{"strength": 0.8}, {"strength": 0.4}], "options": {"rule": {"fixed": 8}}}"#;
        check(sum, &[at, at + 4], &files, ALIKE, 1.0);
    }
}

#[test]
fn a_report_has_the_signature_and_one_of_the_header_has_none() {
    let file = adapter(1, 4);
    let report: Report = block_on(inspect("a", &file, None, None));
    assert_eq!(report.signature, of(&file, None));
    assert!(report.signature.is_some());
    assert_eq!(block_on(inspect_header("a", &file, None)).signature, None);
}
