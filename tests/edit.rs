//! Spectra, conversions, resizes, merges, extractions, comparisons and metadata edits against
//! numpy and against each other: what an edited file changes is what the file changed before, or
//! differs from it by the error that is stated.

use lora_loupe::adapters::{Adapter, Delta, Dense, Form, ModelFile, Numbers, PeftConfigs, fold_on_cpu, read};
use lora_loupe::analysis::{
    BaseShapes, ClaimVerdict, ComparedFile, LoaderStatus, LowRank, Relation, Spectrum, compare, hashes, inspect,
};
use lora_loupe::edit::{
    AlphaPlace, ConvertOptions, Edit, EditError, EditInput, EditProgress, Edited, ExtractOptions, MergeInput,
    MergeOptions, MetadataEdit, ModelSide, Opened, Outcome, Preview, RankRule, ResizeOptions, Strengths, Target, apply,
    convert, edit_metadata, extract, fixes, merge, preview, resize,
};
use lora_loupe::formats::{Dtype, Header, TensorInfo, read_header};
use lora_loupe::model::{Family, FamilyId};
use lora_loupe_tests::golden;
use pollster::block_on;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

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

/// What each tensor is changed by, of the files whose changes are matrices or lists.
fn changes(opened: &Opened) -> BTreeMap<String, Vec<f32>> {
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

const F32: ResizeOptions =
    ResizeOptions { rule: RankRule::Fixed(999), most: None, to: None, dtype: Some(Dtype::F32), drop: true };

#[test]
fn a_resize_keeps_all_or_loses_what_it_says() {
    let mut algorithms = BTreeMap::new();
    for (file, bytes, companion) in corpus() {
        let original = open(&file, &bytes, companion.as_deref());
        let want = changes(&original);
        for (rule, most) in [(RankRule::Fixed(999), None), (RankRule::Fixed(1), None), (RankRule::Energy(0.9), Some(3))]
        {
            let resizing = match block_on(resize(&original, ResizeOptions { rule, most, ..F32 })) {
                Err(EditError::Nothing) => continue,
                resizing => resizing.unwrap_or_else(|error| panic!("{file}: {error}")),
            };
            let mut out = Vec::new();
            let outcome = block_on(resizing.write(&mut out)).expect("a written file");
            let out = finished(out, &outcome);
            let again = open(&file, &out, None);
            let got = changes(&again);
            assert_eq!(got.len(), resizing.preview.layers.len(), "{file}");
            for row in &resizing.preview.layers {
                let name = format!("{}.weight", row.path);
                let (apart, size) = distance(&want[&name], &got[&name]);
                assert!((size - row.norm).abs() <= 1e-5 * size, "{file} {name}: ‖‖ is {size}, not {}", row.norm);
                assert!((apart - row.error).abs() <= 3e-6 * size, "{file} {name}: lost {apart}, not {}", row.error);
                assert!((row.energy - 1.0 + (row.error / row.norm).powi(2)).abs() < 1e-9 || row.norm == 0.0);
                match rule {
                    RankRule::Fixed(1) => assert_eq!(row.rank, 1),
                    RankRule::Energy(share) => assert!(row.rank <= 3 && (row.rank == 3 || row.energy >= share)),
                    _ => assert!(row.error <= 3e-6 * size),
                }
            }
            for delta in &original.adapter.deltas {
                *algorithms.entry(delta.algorithm).or_insert(0) += usize::from(got.contains_key(&delta.tensor()));
            }
        }
    }
    for name in ["lora", "locon", "locon_tucker", "loha_tucker", "lokr"] {
        assert!(algorithms[name] > 50, "{algorithms:?}");
    }
}

fn merged(inputs: &[(&Opened, f32)], options: MergeOptions) -> (Vec<u8>, f64) {
    let mut parts = Vec::new();
    for &(opened, strength) in inputs {
        parts.push(MergeInput { opened, strength, strengths: Strengths::default() });
    }
    let merging = block_on(merge(&parts, MergeOptions { dtype: Some(Dtype::F32), ..options })).expect("a plan");
    let mut out = Vec::new();
    let outcome = block_on(merging.write(&mut out)).expect("a written file");
    let lost = merging.preview.layers.iter().map(|row| row.error.powi(2)).sum::<f64>().sqrt();
    (finished(out, &outcome), lost)
}

#[test]
fn a_merge_changes_what_its_parts_change_together() {
    let files = [
        ("files/kohya_alpha_gt_rank_r3a16_fp32.safetensors", 0.7),
        ("files/lycoris_loha_tucker_r3a2_fp32.safetensors", -0.25),
        ("files/lycoris_lora_norm_r2a1_fp16.safetensors", 1.5),
        ("files/peft_plain_patterns_rslora/adapter_model.safetensors", 0.3),
    ];
    let corpus: BTreeMap<String, (Vec<u8>, Option<String>)> =
        corpus().into_iter().map(|(file, bytes, companion)| (file, (bytes, companion))).collect();
    let opened: Vec<(Opened, f32)> = files
        .iter()
        .map(|(file, strength)| (open(file, &corpus[*file].0, corpus[*file].1.as_deref()), *strength))
        .collect();
    let mut want: BTreeMap<String, Vec<f32>> = BTreeMap::new();
    for (opened, strength) in &opened {
        for (name, change) in changes(opened) {
            let sum = want.entry(name).or_insert_with(|| vec![0.0; change.len()]);
            sum.iter_mut().zip(change).for_each(|(sum, x)| *sum += strength * x);
        }
    }
    let inputs: Vec<(&Opened, f32)> = opened.iter().map(|(opened, strength)| (opened, *strength)).collect();
    let (exact, lost) = merged(&inputs, MergeOptions::default());
    assert_eq!(lost, 0.0);
    same("exact", &changes(&open("merged", &exact, None)), &want, 3e-6);

    let rank = MergeOptions { rule: Some(RankRule::Fixed(2)), ..MergeOptions::default() };
    let (near, lost) = merged(&inputs, rank);
    let got = changes(&open("merged", &near, None));
    let apart = want.iter().map(|(name, want)| distance(want, &got[name]).0.powi(2)).sum::<f64>().sqrt();
    assert!(lost > 0.1 && (apart - lost).abs() < 1e-4 * lost, "lost {apart}, not {lost}");

    let halves = "IN01=0.5,IN02=0.5".parse::<Strengths>().expect("strengths");
    let inputs = [MergeInput { opened: inputs[0].0, strength: 1.0, strengths: halves }];
    let merging = block_on(merge(&inputs, MergeOptions::default())).expect("a plan");
    let mut out = Vec::new();
    block_on(merging.write(&mut out)).expect("a written file");
    let (before, after) = (changes(inputs[0].opened), changes(&open("merged", &out, None)));
    for (name, before) in &before {
        let factor = if name.contains("down_blocks.0.attentions") { 0.5 } else { 1.0 };
        let want: Vec<f32> = before.iter().map(|x| x * factor).collect();
        let (apart, size) = distance(&want, &after[name]);
        assert!(apart <= 1e-6 * size, "{name}");
    }
}

#[test]
fn block_strengths_are_baked_into_a_converted_file() {
    let file = "files/kohya_alpha_gt_rank_r3a16_fp32.safetensors";
    let bytes = bytes(&format!("corpus/{file}"));
    let original = open(file, &bytes, None);
    let strengths = "MID=0,OUT03=-2".parse::<Strengths>().expect("strengths");
    let (out, _) = converted(&original, &ConvertOptions { strengths, ..Default::default() }).expect("a file");
    let (before, after) = (changes(&original), changes(&open(file, &out, None)));
    for (name, before) in &before {
        let factor = match name {
            name if name.contains("mid_block") => 0.0,
            name if name.contains("up_blocks.1.attentions.0") => -2.0,
            _ => 1.0,
        };
        let want: Vec<f32> = before.iter().map(|x| x * factor).collect();
        match after.get(name) {
            None => assert_eq!(factor, 0.0, "{name}"),
            Some(after) => assert!(factor != 0.0 && distance(&want, after).0 <= 1e-6 * distance(&want, after).1),
        }
    }
    let dora = bytes_of("files/lycoris_dora_in_axis_r4a2_fp16.safetensors");
    let strengths = "MID=0.5".parse::<Strengths>().expect("strengths");
    let refused = converted(&open("dora", &dora, None), &ConvertOptions { strengths, ..Default::default() });
    assert!(matches!(refused, Err(EditError::NotLinear { .. })), "half of a DoRA is no DoRA");
}

fn bytes_of(file: &str) -> Vec<u8> {
    bytes(&format!("corpus/{file}"))
}

#[test]
fn the_difference_of_two_models_is_what_was_baked_in() {
    let base = bytes("corpus/base/sample.safetensors");
    let header = block_on(Header::read(&base)).expect("the base's sample");
    let shapes = BaseShapes::of(&[(None, &header)]).expect("a known family");
    let file = bytes_of("files/kohya_alpha_gt_rank_r3a16_fp32.safetensors");
    let opened = open("lora", &file, None);
    let mut tuned = base.clone();
    let mut want = BTreeMap::new();
    for (name, change) in changes(&opened) {
        let Some((_, stored)) = shapes.tensors.get(&name) else { continue };
        let tensor = header.get(&stored.key).expect("a tensor");
        assert_eq!(tensor.dtype, Dtype::F32);
        let before = block_on(tensor.read(&base)).expect("numbers");
        let after: Vec<f32> = before.iter().zip(&change).map(|(before, change)| before + change).collect();
        let bytes: Vec<u8> = after.iter().flat_map(|x| x.to_le_bytes()).collect();
        tuned[tensor.bytes.start as usize..tensor.bytes.end as usize].copy_from_slice(&bytes);
        want.insert(name, change);
    }
    let files = [[&tuned], [&base]].map(|[source]| [ModelFile { component: None, source, header: &header }]);
    let side = |files| ModelSide { name: "model", files, shapes: &shapes };
    for to in [Target::Kohya, Target::Peft] {
        let options = ExtractOptions { rank: 3, to, dtype: Dtype::F32 };
        let extraction = block_on(extract(side(&files[0]), side(&files[1]), options)).expect("a plan");
        assert_eq!((extraction.preview.layers, extraction.preview.left_out.len()), (want.len(), 0));
        let mut out = Vec::new();
        let (outcome, rows) = block_on(extraction.write(&mut out)).expect("a written file");
        assert!(rows.iter().all(|row| row.energy > 0.999_99), "{rows:?}");
        let out = finished(out, &outcome);
        same("extracted", &changes(&open("extracted", &out, None)), &want, 1e-4);
    }
    let same_model =
        extract(side(&files[1]), side(&files[1]), ExtractOptions { rank: 3, to: Target::Kohya, dtype: Dtype::F32 });
    assert!(matches!(block_on(same_model), Err(EditError::Nothing)));
}

fn related(a: &Opened, b: &Opened) -> Relation {
    block_on(compare(compared(a), compared(b))).expect("readable files").relation
}

fn compared<'a>(opened: &'a Opened) -> ComparedFile<'a> {
    ComparedFile { source: &opened.source, header: &opened.header, adapter: &opened.adapter }
}

#[test]
fn files_are_recognised_as_what_was_made_of_them() {
    let bytes = bytes_of("files/kohya_alpha_gt_rank_r3a16_fp32.safetensors");
    let other = bytes_of("files/kohya_fp8_e4m3_r4a4.safetensors");
    let (a, other) = (open("a", &bytes, None), open("other", &other, None));
    let f16 = ConvertOptions { to: Some(Target::Comfy), dtype: Some(Dtype::F16), ..Default::default() };
    let (renamed, _) = converted(&a, &f16).expect("a file");
    assert_eq!(related(&a, &open("renamed", &renamed, None)), Relation::Same);
    assert_eq!(related(&a, &other), Relation::Different);

    let (weaker, _) = merged(&[(&a, -0.25)], MergeOptions::default());
    let Relation::Rescaled { factor } = related(&a, &open("weaker", &weaker, None)) else { panic!("it is rescaled") };
    assert!((factor + 0.25).abs() < 1e-4, "{factor}");

    let options = ResizeOptions { rule: RankRule::Fixed(2), to: Some(Target::Peft), dtype: Some(Dtype::F16), ..F32 };
    let resizing = block_on(resize(&a, options)).expect("a plan");
    let mut smaller = Vec::new();
    block_on(resizing.write(&mut smaller)).expect("a file");
    let smaller = open("smaller", &smaller, None);
    let Relation::Resized { energy } = related(&a, &smaller) else { panic!("{:?}", related(&a, &smaller)) };
    assert!((energy - resizing.preview.energy).abs() < 1e-3, "{energy}");
    assert!(matches!(related(&smaller, &a), Relation::Enlarged { .. }));

    let (sum, _) = merged(&[(&a, 0.8), (&other, 0.6)], MergeOptions::default());
    let sum = open("sum", &sum, None);
    assert_eq!((related(&a, &sum), related(&sum, &a)), (Relation::MergedFrom, Relation::MergedInto));
}

/// The file of tests/make/hashes.py with these metadata.
fn hashed_file(metadata: BTreeMap<String, String>) -> Vec<u8> {
    let data: Vec<u8> = (0..1_400_000u64).map(|i| ((i * i * 31 + i / 7) % 251) as u8).collect();
    let tensor =
        TensorInfo { name: "a.lora_up.weight".into(), dtype: Dtype::F16, shape: vec![700, 1000], bytes: 0..1_400_000 };
    let mut file = Vec::new();
    Header::of(vec![tensor], metadata).write(&mut file).expect("memory");
    [file, data].concat()
}

#[test]
fn header_hashes_are_sd_scripts_and_wrong_ones_are_put_right() {
    for case in golden::json("golden/edit/hashes.json").as_array().expect("cases") {
        let text = |name: &str| case[name].as_str().expect("a hash").to_owned();
        let metadata: BTreeMap<String, String> = serde_json::from_value(case["metadata"].clone()).expect("metadata");
        let wrong = [
            ("sshs_model_hash", format!("0x{}", text("sshs_model_hash"))),
            ("sshs_legacy_hash", "e3b0c442".into()),
            ("modelspec.hash_sha256", "0x1234".into()),
        ];
        let file = hashed_file(metadata.into_iter().chain(wrong.map(|(key, value)| (key.into(), value))).collect());
        let verdicts = |file: &Vec<u8>| {
            let header = block_on(Header::read(file)).expect("a good file");
            let found = block_on(hashes(file, Some(&header))).expect("readable");
            assert_eq!(found.model.as_deref(), Some(&*text("sshs_model_hash")));
            assert_eq!(found.legacy.as_deref(), Some(&*text("sshs_legacy_hash")));
            (found.auto_v1, found.claims.iter().map(|claim| claim.verdict).collect::<Vec<_>>())
        };
        let (auto_v1, claims) = verdicts(&file);
        assert_eq!(claims, [ClaimVerdict::Prefix, ClaimVerdict::OfNothing, ClaimVerdict::Wrong]);
        assert!(auto_v1.is_some_and(|hash| hash != text("sshs_legacy_hash")), "the whole header moves the window");
        let edit = MetadataEdit { repair_hashes: true, ..MetadataEdit::default() };
        let rewrite = block_on(edit_metadata("file", &file, &edit)).expect("a plan");
        assert_eq!(rewrite.preview.changes.len(), 3);
        let mut out = Vec::new();
        block_on(rewrite.write(&mut out)).expect("a file");
        assert_eq!(out.len() as u64, rewrite.preview.size_after);
        assert_eq!(out[out.len() - 1_400_000..], file[file.len() - 1_400_000..]);
        assert_eq!(verdicts(&out).1, [ClaimVerdict::Right; 3]);
    }
}

#[test]
fn every_written_file_has_the_right_hashes_and_keeps_its_metadata() {
    let bytes = bytes_of("files/lycoris_dora_in_axis_r4a2_fp16.safetensors");
    let original = open("dora", &bytes, None);
    let (out, _) =
        converted(&original, &ConvertOptions { to: Some(Target::Kohya), ..Default::default() }).expect("a file");
    let header = block_on(Header::read(&out)).expect("a good file");
    let found = block_on(hashes(&out, Some(&header))).expect("readable");
    assert_eq!(found.claims.len(), 2);
    assert!(found.claims.iter().all(|claim| claim.verdict == ClaimVerdict::Right), "{:?}", found.claims);
    let kept = |header: &Header| header.metadata.iter().filter(|(key, _)| key.starts_with("ss_")).count();
    assert_eq!(kept(&header), kept(&original.header));
}

#[test]
fn what_does_not_fit_a_number_type_is_named() {
    let metadata = BTreeMap::from([("format".to_owned(), "pt".to_owned())]);
    let stem = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q";
    let file = |up: f32, small: f32| {
        let mut at = 0;
        let mut tensor = |name: String, shape: Vec<usize>| {
            let start = at;
            at += 4 * shape.iter().product::<usize>() as u64;
            TensorInfo { name, dtype: Dtype::F32, shape, bytes: start..at }
        };
        let tensors = vec![
            tensor(format!("{stem}.lora_up.weight"), vec![2, 1]),
            tensor(format!("{stem}.lora_down.weight"), vec![1, 3]),
        ];
        let mut bytes = Vec::new();
        Header::of(tensors, metadata.clone()).write(&mut bytes).expect("memory");
        let numbers = [up, 1.0, 1.0, small, 0.0];
        [bytes, numbers.iter().flat_map(|x| x.to_le_bytes()).collect()].concat()
    };
    let f16 = ConvertOptions { dtype: Some(Dtype::F16), ..Default::default() };
    let small = file(2.0, 1e-9);
    let (_, outcome) = converted(&open("small", &small, None), &f16).expect("a file");
    assert_eq!((outcome.thinned.len(), outcome.thinned[0].share), (1, 0.5));
    assert!(outcome.thinned[0].key.ends_with("lora_down.weight"));
    let large = file(70000.0, 1.0);
    let error = converted(&open("large", &large, None), &f16).expect_err("too large").to_string();
    assert!(error.contains("lora_up.weight` reaches 70000"), "{error}");
    assert!(
        converted(&open("large", &large, None), &ConvertOptions { dtype: Some(Dtype::BF16), ..Default::default() })
            .is_ok()
    );
}

/// Singular values that a file of NaN has, and files of models that are not listed.
#[test]
fn odd_files_are_refused_or_edited_under_their_own_names() {
    let nan = bytes("hostile/nan_inf_weights.safetensors");
    let refused = block_on(resize(&open("nan", &nan, None), F32)).err().expect("NaN");
    assert!(matches!(refused, EditError::NotFinite { .. }), "{refused}");
    let missing = bytes("hostile/missing_up.safetensors");
    let to_kohya = ConvertOptions { to: Some(Target::Kohya), ..Default::default() };
    let refused = converted(&open("missing", &missing, None), &to_kohya).err().expect("a missing half");
    assert!(matches!(refused, EditError::Incomplete { .. }), "{refused}");
    let dropped = converted(&open("missing", &missing, None), &ConvertOptions { drop: true, ..to_kohya.clone() });
    assert!(dropped.is_ok());
    let html = bytes("hostile/html_page.safetensors");
    assert!(matches!(block_on(Opened::new("html", &html, None)), Err(EditError::Read { .. })));
    let edit = block_on(edit_metadata("html", &html, &MetadataEdit::default())).err().expect("no header");
    assert!(matches!(edit, EditError::NoHeader { .. }), "{edit}");
}

/// A LoRA of rank 2 on some layers of Flux.1, small numbers at the real sizes.
fn flux(layers: &[(&str, usize, usize)], up: &str, down: &str) -> Vec<u8> {
    let mut at = 0;
    let mut tensors = Vec::new();
    let mut data = Vec::new();
    for (index, &(stem, outputs, inputs)) in layers.iter().enumerate() {
        for (name, shape) in [(format!("{stem}{up}"), vec![outputs, 2]), (format!("{stem}{down}"), vec![2, inputs])] {
            let count = shape.iter().product::<usize>();
            let start = at;
            at += 4 * count as u64;
            let number = |i: usize| ((i * (7919 + index)) % 97) as f32 / 97.0 - 0.5;
            data.extend((0..count).flat_map(|i| number(i + index).to_le_bytes()));
            tensors.push(TensorInfo { name, dtype: Dtype::F32, shape, bytes: start..at });
        }
    }
    let mut bytes = Vec::new();
    Header::of(tensors, BTreeMap::new()).write(&mut bytes).expect("memory");
    [bytes, data].concat()
}

/// The change of a layer, its rows in order.
fn change(opened: &Opened, tensor: &str) -> Vec<f32> {
    changes(opened).remove(tensor).unwrap_or_else(|| panic!("{} changes {tensor}", opened.file))
}

#[test]
fn fused_layers_are_split_and_parts_are_fused_without_loss() {
    const D: usize = 3072;
    let fused = flux(
        &[
            ("lora_unet_double_blocks_0_img_attn_qkv", 3 * D, D),
            ("lora_unet_single_blocks_3_modulation_lin", 3 * D, D),
            ("lora_unet_final_layer_adaLN_modulation_1", 2 * D, D),
        ],
        ".lora_up.weight",
        ".lora_down.weight",
    );
    let native = open("native", &fused, None);
    assert_eq!(native.model, "flux1");
    let exact = |to| ConvertOptions { to: Some(to), ..Default::default() };
    let (split, _) = converted(&native, &exact(Target::Peft)).expect("diffusers' names");
    let parts = open("parts", &split, None);
    assert!(parts.adapter.leftovers.is_empty() && parts.adapter.deltas.len() == 5, "{:?}", parts.adapter.leftovers);
    let qkv = change(&native, "transformer.double_blocks.0.img_attn.qkv.weight");
    for (index, name) in ["q", "k", "v"].into_iter().enumerate() {
        let part = change(&parts, &format!("transformer.transformer_blocks.0.attn.to_{name}.weight"));
        assert_eq!(part, qkv[index * D * D..][..D * D], "{name}");
    }
    let last = change(&native, "transformer.norm_out.linear.weight");
    let turned = change(&parts, "transformer.norm_out.linear.weight");
    assert_eq!((&turned[..D * D], &turned[D * D..]), (&last[D * D..], &last[..D * D]), "scale stands above shift");
    let (again, _) = converted(&parts, &exact(Target::Comfy)).expect("the authors' names");
    let again = open("again", &again, None);
    assert_eq!(changes(&again), changes(&native));
    assert!(again.adapter.deltas.iter().all(|delta| delta.change.rank() == Some(2)), "a shared down stays one");

    let apart = flux(
        &[
            ("transformer.transformer_blocks.0.attn.to_q", D, D),
            ("transformer.transformer_blocks.0.attn.to_v", D, D),
            ("transformer.single_transformer_blocks.0.norm.linear", 3 * D, D),
        ],
        ".lora_B.weight",
        ".lora_A.weight",
    );
    let apart = open("apart", &apart, None);
    let (whole, _) = converted(&apart, &exact(Target::Kohya)).expect("the authors' names");
    let whole = open("whole", &whole, None);
    let ranks: Vec<Option<usize>> = whole.adapter.deltas.iter().map(|delta| delta.change.rank()).collect();
    assert_eq!(ranks, [Some(4), Some(2)], "two downs stand below each other");
    let qkv = change(&whole, "transformer.double_blocks.0.img_attn.qkv.weight");
    assert_eq!(qkv[..D * D], change(&apart, "transformer.transformer_blocks.0.attn.to_q.weight"));
    assert!(qkv[D * D..2 * D * D].iter().all(|x| *x == 0.0), "to_k is not there");
    assert_eq!(qkv[2 * D * D..], change(&apart, "transformer.transformer_blocks.0.attn.to_v.weight"));
    assert!(matches!(whole.is_like(&apart), Err(EditError::OtherNaming { .. })));
}

/// What `apply` makes of an edit written as JSON, with its first bytes in place.
fn applied(edit: &str, inputs: &[EditInput]) -> Result<(Edited, Vec<u8>), EditError> {
    let edit: Edit = serde_json::from_str(edit).unwrap_or_else(|error| panic!("{edit}: {error}"));
    let mut out = Vec::new();
    let edited = block_on(apply(&edit, inputs, &mut out, &mut |_| ControlFlow::Continue(())))?;
    out[..edited.outcome.head.len()].copy_from_slice(&edited.outcome.head);
    let planned = block_on(preview(&edit, inputs, &mut |_| ControlFlow::Continue(())))?;
    let text = |preview: &Preview| serde_json::to_string(preview).expect("a preview");
    assert_eq!(text(&planned), text(&edited.preview), "a preview says what is written");
    assert_eq!((edited.outcome.size, out.len()), (out.len() as u64, edited.outcome.size as usize));
    Ok((edited, out))
}

#[test]
fn an_edit_is_a_value_that_one_function_applies() {
    let file = bytes("corpus/files/kohya_lora_r4a1_fp16.safetensors");
    let other = bytes("corpus/files/diffusers_lora_AB_metadata_r6a3_fp32.safetensors");
    let (one, two) = (EditInput::file("a", &file, None), EditInput::file("b", &other, None));
    let check = |edit: &str, inputs: &[EditInput]| {
        let (_, out) = applied(edit, inputs).unwrap_or_else(|error| panic!("{edit}: {error}"));
        block_on(read_header(&out)).unwrap_or_else(|error| panic!("{edit}: {error}"))
    };
    let alone = std::slice::from_ref(&one);
    let peft = check(r#"{"kind": "convert", "to": "peft"}"#, alone);
    assert!(peft.tensors.iter().all(|tensor| tensor.name.contains(".lora_")));
    let small = check(r#"{"kind": "resize", "rule": {"fixed": 1}}"#, alone);
    assert!(small.tensors.iter().any(|tensor| tensor.shape.first() == Some(&1)));
    check(
        r#"{"kind": "merge", "parts": [{"strength": 0.5}, {"strength": -1, "strengths": {"TE": 0}}]}"#,
        &[one.clone(), two],
    );
    let told = check(r#"{"kind": "metadata", "set": [["modelspec.title", "x"]]}"#, alone);
    assert_eq!(told.metadata.get("modelspec.title").map(String::as_str), Some("x"));
    let pickle = bytes("corpus/files/cloneofsimo_lora_weight.pt");
    let (_, plain) = applied(r#"{"kind": "export"}"#, &[EditInput::file("c", &pickle, None)]).expect("tensors");
    let (before, after) =
        (block_on(read_header(&pickle)).expect("a pickle"), block_on(Header::read(&plain)).expect("one"));
    assert_eq!(before.tensors.len(), after.tensors.len());
    for tensor in &before.tensors {
        let same = after.get(&tensor.name).expect("every tensor");
        assert_eq!(block_on(same.read(&plain)).expect("numbers"), block_on(tensor.read(&pickle)).expect("numbers"));
    }
}

#[test]
fn an_edit_tells_how_far_it_is_and_stops_when_asked() {
    let file = bytes("corpus/files/kohya_lora_r4a1_fp16.safetensors");
    let inputs = [EditInput::file("a", &file, None)];
    let edit: Edit = serde_json::from_str(r#"{"kind": "resize", "rule": {"energy": 0.9}}"#).expect("an edit");
    let mut heard: Vec<(u64, u64)> = Vec::new();
    let mut out = Vec::new();
    let mut hear = |progress: EditProgress| {
        heard.push((progress.done, progress.total));
        ControlFlow::Continue(())
    };
    block_on(apply(&edit, &inputs, &mut out, &mut hear)).expect("a file");
    assert!(heard.windows(2).all(|pair| pair[0].0 <= pair[1].0 && pair[1].0 <= pair[1].1), "{heard:?}");
    assert!(heard.len() > 1 && heard.last().is_some_and(|(done, total)| done == total), "{heard:?}");
    let mut out = Vec::new();
    let stopped = block_on(apply(&edit, &inputs, &mut out, &mut |_| ControlFlow::Break(())));
    assert!(matches!(stopped, Err(EditError::Stopped)) && out.is_empty());
    let wrong = block_on(preview(&edit, &[], &mut |_| ControlFlow::Continue(())));
    assert!(matches!(wrong, Err(EditError::Files { files: 0, .. })));
}

/// Every adapter of the corpus that is one file, and some that something is wrong with.
fn adapters_to_mend() -> Vec<(String, Vec<u8>)> {
    let folders = ["corpus/files", "hostile"];
    let entries =
        folders.iter().flat_map(|folder| std::fs::read_dir(golden::path(folder)).expect("a folder").flatten());
    let mut files: Vec<_> = entries.map(|entry| entry.path()).filter(|path| path.is_file()).collect();
    files.sort();
    files.into_iter().map(|path| (path.display().to_string(), std::fs::read(&path).expect("a file"))).collect()
}

#[test]
fn a_fix_mends_what_it_says() {
    let (mut mended, mut ids, mut wrong) = (0, BTreeSet::new(), Vec::new());
    for (name, file) in adapters_to_mend() {
        let report = block_on(inspect(&name, &file, None, None));
        let input = EditInput::file(&name, &file, None);
        for fix in block_on(fixes(&input, &report)).unwrap_or_else(|error| panic!("{name}: {error}")) {
            let json = serde_json::to_string(&fix.edit).expect("an edit");
            let (_, out) = match applied(&json, std::slice::from_ref(&input)) {
                Ok(done) => done,
                Err(error) => {
                    wrong.push(format!("{name}: {}: {error}", fix.title));
                    continue;
                }
            };
            let after = block_on(inspect("after", &out, None, None));
            let stays = after.problems.iter().filter(|problem| fix.problems.contains(&problem.class));
            wrong.extend(stays.map(|problem| format!("{name}: {}: stays: {}", fix.title, problem.message)));
            for loader in &fix.loaders {
                let verdict = after.loaders.iter().find(|verdict| verdict.loader == *loader).expect("a loader");
                if verdict.status != LoaderStatus::Applied {
                    wrong.push(format!("{name}: {}: {loader}: {}", fix.title, verdict.reason));
                }
                mended += 1;
            }
            ids.insert(fix.id);
        }
    }
    assert_eq!(wrong, Vec::<String>::new(), "{}", wrong.join("\n"));
    assert!(mended > 10 && ids.len() > 4, "{mended} {ids:?}");
}
