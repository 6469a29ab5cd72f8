//! Reports and folded weights compared with the reference libraries on the same adapter files.
//!
//! corpus/manifest.json and corpus/expected come from kohya-ss/sd-scripts, LyCORIS, peft and diffusers;
//! corpus/README.md documents their origin and tolerances.

use lora_loupe::adapters::{
    BakedAdapter, Delta, FactorData, ModelFile, PeftConfigs, Strengths, bake, fold_on_cpu, read,
};
use lora_loupe::analysis::{
    BaseShapes, GroupMeasurements, LayerImpact, ModuleRow, Progress, Report, Share, Summary, inspect, inspect_header,
    inspect_with, measure,
};
use lora_loupe::edit::{EditError, ModelSide, Opened};
use lora_loupe::formats::{ByteSource, Header, ReadFuture, read_header};
use lora_loupe::num::{host_len, numel};
use lora_loupe_tests::base;
use lora_loupe_tests::golden::{self, Tensor};
use pollster::block_on;
use serde::Deserialize;
use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::{ControlFlow, Range};

#[derive(Deserialize)]
struct Manifest {
    files: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    file: String,
    kind: String,
    algorithms: Vec<String>,
    naming_convention: String,
    base_family: String,
    #[serde(default)]
    n_modules_unet: usize,
    #[serde(default)]
    n_modules_te: usize,
    ranks: Vec<usize>,
    alphas: Vec<f32>,
    dtypes: Vec<String>,
    #[serde(default)]
    unmatched_keys: Vec<String>,
    companion: Option<String>,
    /// For files that identify layers by index: all layers in order, per network if there are several.
    positional_targets: Option<Targets>,
    #[serde(default)]
    expected: Vec<Expected>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Targets {
    One(Vec<String>),
    Each(BTreeMap<String, Vec<String>>),
}

#[derive(Deserialize)]
struct Expected {
    strength: f32,
    primary: bool,
    file: String,
    norms: String,
}

const SAMPLE: &str = "corpus/base/sample.safetensors";

fn cases(kind: &str) -> Vec<Case> {
    let manifest: Manifest = serde_json::from_str(&golden::text("corpus/manifest.json")).expect("the manifest");
    manifest.files.into_iter().filter(|case| case.kind == kind).collect()
}

fn bytes(relative: &str) -> Vec<u8> {
    std::fs::read(golden::path(relative)).unwrap_or_else(|error| panic!("tests/{relative}: {error}"))
}

impl Case {
    /// Returns the file, with zero data if the corpus has only its header.
    fn bytes(&self) -> Vec<u8> {
        let path = format!("corpus/{}", self.file);
        if !path.ends_with(".header.json") {
            return bytes(&path);
        }
        let header = golden::json(&path);
        let end = |tensor: &serde_json::Value| tensor["data_offsets"][1].as_u64().unwrap_or(0);
        let data = header.as_object().expect("a header").values().map(end).max().unwrap_or(0);
        let text = header.to_string();
        [&(text.len() as u64).to_le_bytes()[..], text.as_bytes(), &vec![0; data as usize]].concat()
    }

    fn companion(&self) -> Option<String> {
        self.companion.as_ref().map(|path| golden::text(&format!("corpus/{path}")))
    }

    fn report(&self, base: Option<&BaseShapes>) -> Report {
        block_on(inspect(&self.file, &self.bytes(), self.companion().as_deref(), base))
    }

    /// Returns the manifest's naming convention as reports spell it.
    fn convention(&self) -> &str {
        match self.naming_convention.split([' ', ',']).next().unwrap_or_default() {
            "kohya" if self.naming_convention.contains("LDM block names") => "kohya_ldm",
            "diffusers_attn_procs" if self.naming_convention.contains("without prefix") => {
                "diffusers_attn_procs_no_prefix"
            }
            "onetrainer" => "kohya",
            "ComfyUI" | "diffusion_model.blocks" => "comfy",
            "transformer.*" => "peft_prefixed",
            "transformer_blocks.*" => "peft_no_prefix",
            "base_model.model.model.layers" => "peft_plain",
            word => word,
        }
    }
}

/// Returns the distinct values in order.
fn distinct<T: Ord>(values: impl Iterator<Item = T>) -> Vec<T> {
    values.collect::<BTreeSet<T>>().into_iter().collect()
}

fn sorted(values: &[f32]) -> Vec<f32> {
    let mut values = values.to_vec();
    values.sort_by(f32::total_cmp);
    values.dedup();
    values
}

#[test]
fn reports_agree_with_the_manifest() {
    let base = base::shapes();
    for case in cases("valid") {
        for base in [None, Some(&base)] {
            let report = case.report(base);
            let what = format!("{} {}", case.file, if base.is_some() { "with base" } else { "alone" });
            assert!(!report.is_refused(), "{what}: {:?}", report.problems);
            assert_eq!(distinct(report.algorithms.iter()), distinct(case.algorithms.iter()), "{what}");
            assert_eq!(report.convention, case.convention(), "{what}");
            assert_eq!(report.base.family, case.base_family, "{what}: {:?}", report.base.evidence);
            let count = |part| report.modules.iter().filter(|row| row.path.starts_with(part)).count();
            assert_eq!((count("unet."), count("text_encoder.")), (case.n_modules_unet, case.n_modules_te), "{what}");
            let ranks = distinct(report.modules.iter().filter_map(|row| row.rank));
            assert_eq!(ranks, distinct(case.ranks.iter().copied()), "{what}");
            let alphas: Vec<f32> = report.modules.iter().filter_map(|row| row.alpha).collect();
            assert_eq!(sorted(&alphas), sorted(&case.alphas), "{what}");
            assert_eq!(distinct(report.modules.iter().map(|row| &row.dtype)), distinct(case.dtypes.iter()), "{what}");
            let keys = distinct(report.leftovers.iter().map(|row| &row.key));
            assert_eq!(keys, distinct(case.unmatched_keys.iter()), "{what}");
            let covered: usize = report.coverage.iter().map(|block| block.covered).sum();
            let norms = report.modules.iter().filter(|row| row.shape.len() == 1).count();
            assert_eq!(covered, report.modules.len() - norms, "{what}");
        }
    }
}

/// Keys that are only an index refer to the same layer as in cloneofsimo/lora.
#[test]
fn indices_refer_to_layers_in_traversal_order() {
    let shapes = base::shapes();
    let mut count = 0;
    for case in cases("valid") {
        let targets = match &case.positional_targets {
            Some(Targets::One(list)) => vec![(String::new(), list)],
            Some(Targets::Each(lists)) => lists.iter().map(|(name, list)| (name.clone(), list)).collect(),
            None => continue,
        };
        let deltas = deltas(&case, &shapes);
        for (network, list) in targets {
            for (index, path) in list.iter().enumerate() {
                let key = if network.is_empty() { (2 * index).to_string() } else { format!("{network}:{index}:up") };
                let delta = deltas.iter().find(|(delta, _)| delta.change.factors()[0].key == key);
                let (delta, _) = delta.unwrap_or_else(|| panic!("{}: no delta has {key}", case.file));
                assert_eq!(&delta.path(), path, "{}: {key}", case.file);
                count += 1;
            }
        }
    }
    assert_eq!(count, 144 + 48 + 144 + 48);
}

/// A file that counts the bytes read from it.
struct CountingSource(Vec<u8>, Cell<u64>);

impl ByteSource for CountingSource {
    fn len(&self) -> u64 {
        ByteSource::len(&self.0)
    }

    fn read(&self, range: Range<u64>) -> ReadFuture<'_> {
        self.1.set(self.1.get() + (range.end - range.start));
        self.0.read(range)
    }
}

/// A report from the header alone agrees with that of the whole file and reads no tensor data.
#[test]
fn header_only_reports_agree_with_full_reports() {
    for case in cases("valid").into_iter().chain(cases("detect_only")) {
        let whole = case.report(None);
        let source = CountingSource(case.bytes(), Cell::new(0));
        let report = block_on(inspect_header(&case.file, &source, case.companion().as_deref()));
        let file = &case.file;
        assert_eq!((&report.base.family, &report.base.label), (&whole.base.family, &whole.base.label), "{file}");
        assert_eq!((&report.convention, &report.algorithms), (&whole.convention, &whole.algorithms), "{file}");
        assert_eq!((report.kind, &report.header_sha256), (whole.kind, &whole.header_sha256), "{file}");
        // Which side (IA)^3 scales, and so its shape, is stored as a tensor.
        let shape = |row: &ModuleRow| (row.algorithm != "ia3").then(|| row.shape.clone());
        let rows = |report: &Report| -> Vec<_> {
            report.modules.iter().map(|row| (row.path.clone(), row.rank, shape(row), row.dtype.clone())).collect()
        };
        assert_eq!(rows(&report), rows(&whole), "{file}");
        let verdicts = |report: &Report| -> Vec<_> {
            report.loaders.iter().map(|verdict| (verdict.loader.clone(), verdict.status, verdict.applied)).collect()
        };
        assert_eq!(verdicts(&report), verdicts(&whole), "{file}");
        assert!(report.headers_only && report.sha256.is_empty() && !whole.sha256.is_empty(), "{file}");
        assert!(!report.is_refused(), "{file}: {:?}", report.problems);
        if file.ends_with(".safetensors") {
            let header = u64::from_le_bytes(source.0[..8].try_into().expect("8 bytes"));
            assert!(
                source.1.get() <= header + 8 + 2 * 512,
                "{file}: {} bytes read, {header} in the header",
                source.1.get()
            );
        }
        let row = Summary::of(&report);
        assert_eq!(
            (row.layers, row.rank_high),
            (whole.modules.len(), whole.modules.iter().filter_map(|row| row.rank).max())
        );
    }
}

#[test]
fn reports_split_across_workers_agree_with_one_worker() {
    const PARTS: usize = 3;
    let mut undivided = 0;
    for case in cases("valid") {
        let (file, name, config) = (case.bytes(), case.file.as_str(), case.companion());
        let go_on = &mut |_: Progress<'_>| ControlFlow::Continue(());
        let whole = block_on(inspect_with(name, &file, config.as_deref(), &[], go_on));
        let shares: Vec<Vec<GroupMeasurements>> = (0..PARTS)
            .map(|part| block_on(measure(name, &file, config.as_deref(), Share { part, parts: PARTS }, go_on)))
            .collect();
        undivided += usize::from(shares.iter().filter(|share| !share.is_empty()).count() == 1);
        // Workers exchange plain values, in any order.
        let known = serde_json::to_value(shares.into_iter().rev().flatten().collect::<Vec<_>>()).expect("a value");
        let known: Vec<GroupMeasurements> = serde_json::from_value(known).expect("the same");
        let mut read_again = 0;
        let on_progress = &mut |progress: Progress<'_>| {
            read_again += usize::from(matches!(progress, Progress::Layer { .. }));
            ControlFlow::Continue(())
        };
        let joined = block_on(inspect_with(name, &file, config.as_deref(), &known, on_progress));
        let text = |report: &Report| serde_json::to_string(report).expect("text");
        assert_eq!(text(&joined), text(&whole), "{name}");
        assert_eq!(read_again, 0, "{name}");
        // Missing parts are read from the file.
        let partial = block_on(inspect_with(name, &file, config.as_deref(), &known[..known.len() / 2], go_on));
        assert_eq!(text(&partial), text(&whole), "{name}");
    }
    assert!(undivided < 5, "{undivided} files were not divided");
}

#[test]
fn files_for_other_models_are_identified() {
    let base = base::shapes();
    for case in cases("detect_only") {
        let report = case.report(None);
        assert_eq!(report.base.family, case.base_family, "{}: {:?}", case.file, report.base.evidence);
        assert_eq!(report.convention, case.convention(), "{}", case.file);
        assert!(!report.is_refused(), "{}: {:?}", case.file, report.problems);
        assert!(case.report(Some(&base)).is_refused(), "{} does not fit the mini base", case.file);
    }
}

/// Returns the deltas of a case with their factors.
fn deltas(case: &Case, base: &BaseShapes) -> Vec<(Delta, FactorData)> {
    let file = case.bytes();
    let header = block_on(read_header(&file)).expect("a valid file");
    let configs = PeftConfigs::resolve(&header, case.companion().as_deref()).expect("a config");
    let adapter = block_on(read(&file, &header, &configs, &base.modules())).expect("a valid file");
    let numbers = |delta: &Delta| block_on(delta.read(&file, &header)).expect("factors");
    adapter.deltas.into_iter().map(|delta| (numbers(&delta), delta)).map(|(numbers, delta)| (delta, numbers)).collect()
}

fn norm(numbers: impl Iterator<Item = f32>) -> f64 {
    numbers.map(|x| f64::from(x).powi(2)).sum::<f64>().sqrt()
}

#[test]
fn folded_weights_agree_with_the_reference_libraries() {
    let (shapes, weights) = (base::shapes(), golden::tensors(SAMPLE));
    let all = base::header();
    for case in cases("valid") {
        let deltas = deltas(&case, &shapes);
        for expected in case.expected.iter().filter(|expected| expected.primary) {
            let what = format!("{} at {}", case.file, expected.strength);
            let norms: BTreeMap<String, f64> =
                serde_json::from_str(&golden::text(&format!("corpus/{}", expected.norms))).expect("norms");
            let sample = golden::tensors(&format!("corpus/{}", expected.file));
            let names = distinct(deltas.iter().map(|(delta, _)| delta.tensor()));
            assert_eq!(names, distinct(norms.keys().cloned()), "{what}: changed tensors");
            assert!(sample.keys().all(|name| norms.contains_key(name)), "{what}");
            for (delta, numbers) in &deltas {
                let name = delta.tensor();
                let near = |got: f64| (got - norms[&name]).abs() <= 1e-4 * norms[&name] + 1e-6;
                let closed = delta.norm(numbers).map(|norm| norm * f64::from(expected.strength).abs());
                assert!(closed.is_none_or(near), "{what}: ‖{name}‖ is {closed:?}, expected {}", norms[&name]);
                // Without a closed-form norm the change depends on the base, of which only a sample is available.
                let shape = &all.get(&name).expect("a tensor of the base").shape;
                let before = match (weights.get(&name), closed) {
                    (Some(tensor), _) => tensor.data.clone(),
                    (None, Some(_)) => vec![0.0; host_len(numel(shape))],
                    (None, None) => continue,
                };
                let after = fold_on_cpu(before.clone(), shape, &[(delta, numbers, expected.strength)]).expect("a fold");
                let change: Vec<f32> = after.iter().zip(&before).map(|(after, before)| after - before).collect();
                let folded = norm(change.iter().copied());
                assert!(near(folded), "{what}: ‖{name}‖ is {folded}, expected {}", norms[&name]);
                if let Some(want) = sample.get(&name) {
                    close(&format!("{what}: {name}"), &change, &want.data);
                }
            }
        }
    }
}

#[test]
fn relative_changes_agree_with_the_reference_norms() {
    let (model, header) = model();
    let shapes = BaseShapes::of(&[(None, &header)]).expect("a known family");
    let files = [ModelFile { component: None, source: &model, header: &header }];
    let side = ModelSide { name: "base", files: &files, shapes: &shapes };
    let weights = golden::tensors(SAMPLE);
    let near = |got: f64, want: f64| (got - want).abs() <= 1e-4 * want + 1e-6;
    let mut base_dependent = 0;
    // Files that identify layers by index need all layers of a model; the sample has only some.
    for case in cases("valid").into_iter().filter(|case| case.positional_targets.is_none()) {
        let Some(expected) = case.expected.iter().find(|expected| expected.primary && expected.strength == 1.0) else {
            continue;
        };
        let norms: BTreeMap<String, f64> =
            serde_json::from_str(&golden::text(&format!("corpus/{}", expected.norms))).expect("norms");
        let mut want: BTreeMap<String, (f64, f64)> = BTreeMap::new();
        for (name, change) in norms.iter().filter(|(name, _)| weights.contains_key(*name)) {
            let layer = name.rsplit_once('.').expect("a part").0;
            if !weights.contains_key(&format!("{layer}.weight")) {
                continue; // the sample lacks the layer's weight
            }
            let layer = want.entry(layer.to_owned()).or_default();
            let base = norm(weights[name].data.iter().copied());
            *layer = (layer.0.hypot(base), layer.1.hypot(*change));
        }
        let (file, config) = (case.bytes(), case.companion());
        let opened = block_on(Opened::new(&case.file, &file, config.as_deref())).expect("an adapter");
        let mut progress = Vec::new();
        let mut on_progress = |done, total| {
            progress.push((done, total));
            ControlFlow::Continue(())
        };
        let mut weighed = block_on(opened.weigh(side, &HashMap::new(), &mut on_progress)).expect("weights");
        weighed.sort_by(|a, b| a.path.cmp(&b.path));
        assert!(weighed.iter().map(|layer| &layer.path).eq(want.keys()), "{}", case.file);
        assert!(
            progress.len() == want.len() && progress.last().is_none_or(|(done, total)| done == total),
            "{progress:?}"
        );
        for LayerImpact { path, base_norm, norm } in &weighed {
            let (base, change) = want[path];
            assert!(near(*base_norm, base), "{}: ‖{path}‖ is {base_norm}, expected {base}", case.file);
            assert!(near(*norm, change), "{}: {path} changes by {norm}, expected {change}", case.file);
        }
        // The report adds them and does not recompute norms that it has.
        let mut report = case.report(None);
        let before = report.clone();
        let known = before.modules.iter().filter_map(|row| Some((row.path.as_str(), row.norm?))).collect();
        report.weigh(&block_on(opened.weigh(side, &known, &mut |_, _| ControlFlow::Continue(()))).expect("weights"));
        for (row, was) in report.modules.iter().zip(&before.modules) {
            let layer = want.get(&row.path);
            assert_eq!(row.base_norm.is_some(), layer.is_some(), "{}: {}", case.file, row.path);
            assert!(was.norm.is_none() || row.norm == was.norm, "{}: {}", case.file, row.path);
            base_dependent += usize::from(was.norm.is_none() && row.norm.is_some());
        }
    }
    assert!(base_dependent > 0, "no change depended on the base");

    // Files for another family, and for this family at layer sizes that the mini base does not have.
    for family in ["wan", "sd15"] {
        let case = cases("detect_only").into_iter().find(|case| case.base_family == family).expect("a case");
        let file = case.bytes();
        let opened = block_on(Opened::new(&case.file, &file, None)).expect("an adapter");
        let result = block_on(opened.weigh(side, &HashMap::new(), &mut |_, _| ControlFlow::Continue(())));
        let is_expected = match family {
            "wan" => matches!(result, Err(EditError::OtherFamily { .. })),
            _ => matches!(result, Err(EditError::Refused { .. })),
        };
        assert!(is_expected, "{family}: {result:?}");
    }
}

/// Returns the base's sampled weights as a model file.
fn model() -> (Vec<u8>, Header) {
    let file = bytes(SAMPLE);
    let header = block_on(Header::read(&file)).expect("the base's sample");
    (file, header)
}

#[test]
fn baking_keeps_keys_and_dtypes_and_adds_the_changes() {
    let (model, header) = model();
    let shapes = BaseShapes::of(&[(None, &header)]).expect("a known family");
    let case = cases("valid").into_iter().find(|case| case.file.contains("alpha_gt_rank")).expect("a case");
    let (file, sample) = (case.bytes(), golden::tensors(&format!("corpus/{}", case.expected[0].file)));
    let adapter_header = block_on(Header::read(&file)).expect("a valid file");
    let mut adapter =
        block_on(read(&file, &adapter_header, &PeftConfigs::default(), &shapes.modules())).expect("a valid file");
    adapter.deltas.retain(|delta| sample.contains_key(&delta.tensor()));
    let whole = Strengths::default();
    let baked = |strengths: &[f32]| {
        let adapters: Vec<BakedAdapter> = strengths
            .iter()
            .map(|&strength| BakedAdapter {
                name: &case.file,
                source: &file,
                header: &adapter_header,
                adapter: &adapter,
                strength,
                blocks: &whole,
            })
            .collect();
        let files = [ModelFile { component: None, source: &model, header: &header }];
        let mut out = Vec::new();
        let changed = block_on(bake(&files, &shapes.tensors, &adapters, &mut out)).expect("a baked model");
        assert_eq!(changed, sample.len());
        let again = block_on(Header::read(&out)).expect("a safetensors file");
        let same = |tensor: &lora_loupe::formats::TensorInfo| (tensor.name.clone(), tensor.dtype, tensor.shape.clone());
        assert!(again.tensors.iter().map(same).eq(header.tensors.iter().map(same)));
        (out, again)
    };
    for (strengths, total) in [(&[1.0][..], 1.0), (&[0.0], 0.0), (&[0.75, -0.5], 0.25)] {
        let (out, again) = baked(strengths);
        for tensor in &header.tensors {
            let before = block_on(tensor.read(&model)).expect("numbers");
            let after = block_on(again.get(&tensor.name).expect("the tensor").read(&out)).expect("numbers");
            let change: Vec<f32> = after.iter().zip(&before).map(|(after, before)| after - before).collect();
            let want = match sample.get(&tensor.name) {
                Some(want) => want.data.iter().map(|x| x * total).collect(),
                None => vec![0.0; before.len()],
            };
            close(&format!("{} at {strengths:?}", tensor.name), &change, &want);
        }
    }
}

/// Checks the corpus's tolerance: 1e-5 of the largest expected element, plus 1e-6.
#[track_caller]
fn close(what: &str, got: &[f32], want: &[f32]) {
    assert_eq!(got.len(), want.len(), "{what}");
    let largest = want.iter().fold(0f32, |largest, x| largest.max(x.abs()));
    let off = got.iter().zip(want).fold(0f32, |off, (got, want)| off.max((got - want).abs()));
    assert!(off <= 1e-5 * largest + 1e-6, "{what}: off by {off} of {largest}");
}

#[test]
#[cfg_attr(target_os = "wasi", ignore = "panics abort on WASI")]
fn a_perturbed_delta_is_detected() {
    assert!(std::panic::catch_unwind(|| close("x", &[1.0, 0.5], &[1.0, 0.50002])).is_err());
}

#[test]
fn strength_zero_is_bit_exact() {
    let (shapes, weights) = (base::shapes(), golden::tensors(SAMPLE));
    let mut algorithms = BTreeSet::new();
    for case in cases("valid") {
        for (delta, numbers) in &deltas(&case, &shapes) {
            let Some(Tensor { shape, data }) = weights.get(&delta.tensor()) else { continue };
            let after = fold_on_cpu(data.clone(), shape, &[(delta, numbers, 0.0)]).expect("a fold");
            assert!(after.iter().zip(data).all(|(a, b)| a.to_bits() == b.to_bits()), "{}", delta.tensor());
            algorithms.insert(delta.algorithm);
        }
    }
    assert!(algorithms.len() >= 10, "only {algorithms:?} change the sampled tensors");
}

#[test]
fn the_properties_of_algorithms_are_those_of_their_changes() {
    let (shapes, weights) = (base::shapes(), golden::tensors(SAMPLE));
    for case in cases("valid") {
        for (delta, numbers) in &deltas(&case, &shapes) {
            let (what, factors) = (format!("{} {}", case.file, delta.tensor()), delta.change.factors());
            let algorithm = delta.algorithm;
            assert_eq!(delta.change.norm(numbers).is_none(), algorithm.needs_base(), "{what}");
            assert!(!algorithm.is_pair() || factors.len() == 2, "{what}");
            assert!(!algorithm.is_difference() || factors.len() == 1, "{what}");
            let weight = weights.get(&delta.tensor()).filter(|_| algorithm.is_linear());
            let Some(Tensor { shape, data }) = weight else { continue };
            let mut halved = numbers.clone();
            for &index in algorithm.scaled_factors() {
                halved.entry(factors[index].key.clone()).and_modify(|data| data.iter_mut().for_each(|x| *x *= 0.5));
            }
            let folded = |numbers: &FactorData, strength: f32| {
                fold_on_cpu(data.clone(), shape, &[(delta, numbers, strength)]).expect("a fold")
            };
            close(&what, &folded(&halved, 1.0), &folded(numbers, 0.5));
        }
    }
}
