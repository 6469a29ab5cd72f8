//! Compares reports with a folder of recorded loader cases (`cases/NAME.json` and `truth.json`, see
//! tests/harness/loader_cases.rs): family, layers and status per loader for each case, and totals.
//!
//!     cargo run --release -p lora-loupe-tests -- loaders FOLDER [PART OF A NAME]
//!
//! Prints one line per case: `.` if the report agrees, else what the programs did and what the report predicts.
//! Statuses: a applied, p partly, i ignored, r refused, ? unknown. `share` counts files with the predicted share of
//! applied layers.

use lora_loupe::analysis::{LoaderStatus, inspect_header};
use lora_loupe::edit::Opened;
use lora_loupe_tests::loader_cases::{CaseFile, RecordedRun};
use pollster::block_on;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

const LOADERS: [&str; 5] = ["comfyui", "diffusers", "invokeai", "a1111", "forge"];

/// Correct predictions and totals by property.
#[derive(Default)]
struct Score(BTreeMap<&'static str, (usize, usize)>);

impl Score {
    fn add(&mut self, what: &'static str, right: bool) -> bool {
        let (count, total) = self.0.entry(what).or_default();
        *count += usize::from(right);
        *total += 1;
        right
    }
}

pub fn run(arguments: &[&str]) {
    let Some(folder) = arguments.first().map(PathBuf::from) else {
        eprintln!("usage: loaders FOLDER [PART OF A NAME]");
        std::process::exit(2);
    };
    let truth = json(&folder.join("truth.json"));
    let cases = truth["cases"].as_object().expect("cases");
    let wanted = |name: &str| arguments.get(1).is_none_or(|part| name.contains(part));
    let mut score = Score::default();
    for (name, facts) in cases.iter().filter(|(name, _)| wanted(name)) {
        let case = json(&folder.join("cases").join(format!("{name}.json")));
        let wrong = compare(name, &CaseFile::of(&case), &RecordedRun(facts), &mut score);
        println!("{name}: {}", if wrong.is_empty() { ".".into() } else { wrong.join("; ") });
    }
    for (what, (right, total)) in &score.0 {
        println!("{what}: {right} of {total}");
    }
}

fn json(path: &Path) -> Value {
    let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Returns the differences between the report and the recorded facts.
fn compare(name: &str, file: &CaseFile, truth: &RecordedRun, score: &mut Score) -> Vec<String> {
    let report = block_on(inspect_header(&format!("{name}.safetensors"), file, file.config.as_deref()));
    let mut wrong = Vec::new();
    if !score.add("1 family", truth.is_family(&report.base.family)) {
        wrong.push(format!("family {} is {}", truth.0["family"], report.base.family));
    }
    let layers = report.loaders.first().map_or(0, |verdict| verdict.total) as u64;
    if !score.add("2 layers", layers == truth.layers()) {
        wrong.push(format!("layers {} are {layers}", truth.layers()));
    }
    for loader in LOADERS {
        let Some((status, applied, share)) = truth.loader(loader) else { continue };
        let verdict = report.loaders.iter().find(|verdict| verdict.loader == loader);
        let predicted = verdict.map_or("?", |verdict| short(verdict.status));
        let (predicted_applied, predicted_total) = verdict.map_or((0, 0), |verdict| (verdict.applied, verdict.total));
        let predicted_share = predicted_applied as f64 / predicted_total.max(1) as f64;
        let effect = |share: f64| (share > 0.0, share < 1.0);
        if !score.add(key("3", loader), status.starts_with(predicted)) {
            wrong.push(format!("{loader} {status} is {predicted}"));
        }
        score.add(key("4", loader), effect(share) == effect(predicted_share));
        if !score.add(key("5", loader), (share - predicted_share).abs() < 0.005) {
            wrong.push(format!("{loader} {applied} of {} is {predicted_applied} of {predicted_total}", truth.layers()));
        }
    }
    let scales = truth.scales();
    if !scales.is_empty() {
        let opened = block_on(Opened::new(name, file, file.config.as_deref()));
        let deltas = opened.iter().flat_map(|opened| &opened.adapter.deltas);
        let mut predicted: Vec<f64> = deltas.map(|delta| f64::from(delta.scale)).collect();
        predicted.sort_by(f64::total_cmp);
        predicted.dedup_by(|a, b| (*a - *b).abs() < 1e-3);
        let near = |a: f64, list: &[f64]| list.iter().any(|b| (a - b).abs() <= 0.01 * b.abs());
        let right =
            predicted.iter().all(|&scale| near(scale, &scales)) && scales.iter().all(|&scale| near(scale, &predicted));
        if !score.add("6 scale", right && opened.is_ok()) {
            wrong.push(format!("scales {scales:?} are {predicted:?}"));
        }
    }
    wrong
}

fn key(criterion: &str, loader: &str) -> &'static str {
    let at = LOADERS.iter().position(|name| *name == loader).unwrap_or(0);
    match criterion {
        "3" => {
            ["3 status, comfyui", "3 status, diffusers", "3 status, invokeai", "3 status, a1111", "3 status, forge"][at]
        }
        "4" => {
            ["4 effect, comfyui", "4 effect, diffusers", "4 effect, invokeai", "4 effect, a1111", "4 effect, forge"][at]
        }
        _ => ["5 share, comfyui", "5 share, diffusers", "5 share, invokeai", "5 share, a1111", "5 share, forge"][at],
    }
}

fn short(status: LoaderStatus) -> &'static str {
    match status {
        LoaderStatus::Applied => "a",
        LoaderStatus::Partly => "p",
        LoaderStatus::Ignored => "i",
        LoaderStatus::Refused => "r",
        LoaderStatus::Unknown => "?",
    }
}
