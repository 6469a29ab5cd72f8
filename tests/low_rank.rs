//! Singular values compared with NumPy, and what builds on them: reported errors of resize, merge and extract, and
//! relations between files.

use crate::convert::sized;
use lora_loupe::adapters::{Adapter, Algorithm, Delta, FactorData, ModelFile, PeftConfigs, read};
use lora_loupe::analysis::{BaseShapes, Relation, Spectrum, compare};
use lora_loupe::edit::{
    ConvertOptions, EditError, ExtractOptions, MergeInput, MergeOptions, ModelSide, Opened, RankRule, ResizeOptions,
    Strengths, Target, extract, merge, resize,
};
use lora_loupe::formats::{Dtype, Header, read_header};
use lora_loupe::linalg::{Dense, Factorization, LowRank};
use lora_loupe::model::{Family, FamilyId};
use lora_loupe_tests::edits::{F32, bytes_of, changes, converted, corpus, distance, finished, open, same};
use lora_loupe_tests::golden::{self, bytes};
use pollster::block_on;
use std::collections::BTreeMap;

fn adapter(file: &Vec<u8>) -> (Header, Adapter) {
    let header = block_on(read_header(file)).expect("a readable file");
    let family = Family::published(FamilyId::Sd15).expect("a published config");
    let adapter = block_on(read(file, &header, &PeftConfigs::default(), &family.modules())).expect("an adapter");
    (header, adapter)
}

fn numbers(file: &Vec<u8>, header: &Header, delta: &Delta) -> FactorData {
    block_on(delta.read(file, header)).expect("factors")
}

#[test]
fn singular_values_and_truncation_errors_agree_with_numpy() {
    let file = bytes("golden/edit/spectra.safetensors");
    let (header, adapter) = adapter(&file);
    let expected = golden::json("golden/edit/spectra.json");
    let expected = expected.as_object().expect("an object");
    assert_eq!(adapter.deltas.len(), expected.len());
    for delta in &adapter.deltas {
        let numbers = numbers(&file, &header, delta);
        let name = delta.change.factors()[0].key.split_once('.').expect("a suffix").0;
        let expected = &expected[name];
        let want: Vec<f64> = expected["values"].as_array().expect("values").iter().filter_map(|x| x.as_f64()).collect();
        let spectrum = Spectrum::of_delta(delta, &numbers).expect("a closed form");
        assert!(spectrum.values.len() <= want.len(), "{name}");
        for (index, want_value) in want.iter().enumerate() {
            let got = spectrum.values.get(index).copied().unwrap_or(0.0);
            assert!(
                (got - want_value).abs() <= 1e-6 * want[0],
                "{name}: value {index} is {got}, expected {want_value}"
            );
        }
        let norm = delta.norm(&numbers).expect("a closed norm");
        assert!((spectrum.frobenius() - norm).abs() <= 1e-6 * norm, "{name}: {} and {norm}", spectrum.frobenius());

        let form = delta.change.form(&numbers).expect("a closed form");
        let full = form.matrix().data;
        for (rank, want) in expected["errors"].as_object().expect("errors") {
            let rank: usize = rank.parse().expect("a rank");
            let (left, right) = LowRank::of(&form, rank).balanced(rank);
            let approximation = Factorization::Product(Dense::new(left, rank), Dense::new(right, form.size().1));
            let (error, norm) = distance(&full, &approximation.matrix().data);
            let scale = f64::from(delta.scale).abs();
            let want = want.as_f64().expect("a number") / scale;
            assert!((error - want).abs() <= 2e-6 * norm + 1e-12, "{name} at rank {rank}: {error}, expected {want}");
        }
    }
}

#[test]
fn a_wrong_singular_value_is_detected() {
    let form = Factorization::product(vec![1.0, 0.0, 0.0, 1.0], vec![2.0, 0.0, 0.0, 1.0], 2);
    let spectrum = Spectrum::of(&form, 1.0);
    assert!((spectrum.values[0] - 2.00001).abs() > 1e-6 * 2.0 && (spectrum.values[0] - 2.0).abs() < 1e-12);
}

#[test]
fn resize_errors_are_as_reported() {
    let mut algorithms = BTreeMap::new();
    for (file, bytes, companion) in corpus() {
        let original = sized(open(&file, &bytes, companion.as_deref()));
        let want = changes(&original);
        for (rule, most) in [(RankRule::Fixed(999), None), (RankRule::Fixed(1), None), (RankRule::Energy(0.9), Some(3))]
        {
            let plan = match block_on(resize(&original, ResizeOptions { rule, most, ..F32 })) {
                Err(EditError::Nothing) => continue,
                plan => plan.unwrap_or_else(|error| panic!("{file}: {error}")),
            };
            let mut out = Vec::new();
            let outcome = block_on(plan.write(&mut out)).expect("a written file");
            let out = finished(out, &outcome);
            let again = open(&file, &out, None);
            let got = changes(&again);
            assert_eq!(got.len(), plan.preview.layers.len(), "{file}");
            for row in &plan.preview.layers {
                let name = format!("{}.weight", row.path);
                let (error, norm) = distance(&want[&name], &got[&name]);
                assert!((norm - row.norm).abs() <= 1e-5 * norm, "{file} {name}: norm is {norm}, reported {}", row.norm);
                assert!(
                    (error - row.error).abs() <= 3e-6 * norm,
                    "{file} {name}: error is {error}, reported {}",
                    row.error
                );
                assert!((row.energy - 1.0 + (row.error / row.norm).powi(2)).abs() < 1e-9 || row.norm == 0.0);
                match rule {
                    RankRule::Fixed(1) => assert_eq!(row.rank, 1),
                    RankRule::Energy(share) => assert!(row.rank <= 3 && (row.rank == 3 || row.energy >= share)),
                    _ => assert!(row.error <= 3e-6 * norm),
                }
            }
            for delta in &original.adapter.deltas {
                *algorithms.entry(delta.algorithm).or_insert(0) += usize::from(got.contains_key(&delta.tensor()));
            }
        }
    }
    use Algorithm::{Locon, LoconTucker, LohaTucker, Lokr, Lora};
    for algorithm in [Lora, Locon, LoconTucker, LohaTucker, Lokr] {
        assert!(algorithms[&algorithm] > 50, "{algorithms:?}");
    }
}

fn merged(inputs: &[(&Opened, f32)], options: MergeOptions) -> (Vec<u8>, f64) {
    let mut parts = Vec::new();
    for &(opened, strength) in inputs {
        parts.push(MergeInput { opened, strength, strengths: Strengths::default() });
    }
    let plan = block_on(merge(&parts, MergeOptions { dtype: Some(Dtype::F32), ..options })).expect("a plan");
    let mut out = Vec::new();
    let (outcome, _) = block_on(plan.write(&mut out)).expect("a written file");
    let error = plan.preview.layers.iter().map(|row| row.error.powi(2)).sum::<f64>().sqrt();
    (finished(out, &outcome), error)
}

#[test]
fn merges_sum_the_changes_of_their_inputs() {
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
    let (exact, error) = merged(&inputs, MergeOptions::default());
    assert_eq!(error, 0.0);
    same("exact", &changes(&open("merged", &exact, None)), &want, 3e-6);

    let rank = MergeOptions { rule: Some(RankRule::Fixed(2)), ..MergeOptions::default() };
    let (truncated, error) = merged(&inputs, rank);
    let got = changes(&open("merged", &truncated, None));
    let actual = want.iter().map(|(name, want)| distance(want, &got[name]).0.powi(2)).sum::<f64>().sqrt();
    assert!(error > 0.1 && (actual - error).abs() < 1e-4 * error, "error is {actual}, reported {error}");

    let strengths = "IN01=0.5,IN02=0.5".parse::<Strengths>().expect("strengths");
    let inputs = [MergeInput { opened: inputs[0].0, strength: 1.0, strengths }];
    let plan = block_on(merge(&inputs, MergeOptions::default())).expect("a plan");
    let mut out = Vec::new();
    block_on(plan.write(&mut out)).expect("a written file");
    let (before, after) = (changes(inputs[0].opened), changes(&open("merged", &out, None)));
    for (name, before) in &before {
        let factor = if name.contains("down_blocks.0.attentions") { 0.5 } else { 1.0 };
        let want: Vec<f32> = before.iter().map(|x| x * factor).collect();
        let (error, norm) = distance(&want, &after[name]);
        assert!(error <= 1e-6 * norm, "{name}");
    }
}

#[test]
fn extraction_recovers_a_baked_lora() {
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

#[test]
fn rank_0_is_refused() {
    let bytes = bytes_of("files/kohya_alpha_gt_rank_r3a16_fp32.safetensors");
    let opened = open("lora", &bytes, None);
    let resized = |rule, most| block_on(resize(&opened, ResizeOptions { rule, most, ..F32 })).map(|_| ());
    let merged = |rule| {
        let inputs = [MergeInput { opened: &opened, strength: 1.0, strengths: Strengths::default() }];
        block_on(merge(&inputs, MergeOptions { rule: Some(rule), ..MergeOptions::default() })).map(|_| ())
    };
    let base = bytes_of("base/sample.safetensors");
    let header = block_on(Header::read(&base)).expect("the base's sample");
    let shapes = BaseShapes::of(&[(None, &header)]).expect("a known family");
    let files = [ModelFile { component: None, source: &base, header: &header }];
    let side = ModelSide { name: "model", files: &files, shapes: &shapes };
    let extracted = block_on(extract(side, side, ExtractOptions { rank: 0, to: Target::Kohya, dtype: Dtype::F32 }));
    let converted = converted(&opened, &ConvertOptions { rank: Some(0), as_lora: true, ..Default::default() });
    for refused in [
        resized(RankRule::Fixed(0), None),
        resized(RankRule::Energy(0.9), Some(0)),
        merged(RankRule::Fixed(0)),
        extracted.map(|_| ()),
        converted.map(|_| ()),
    ] {
        assert!(matches!(refused, Err(EditError::NoRank)), "{refused:?}");
    }
    for share in [0.0, -1.0, 1.5, f64::NAN, f64::INFINITY] {
        for refused in [resized(RankRule::Energy(share), None), merged(RankRule::Ratio(share))] {
            assert!(matches!(refused, Err(EditError::NoShare(_))), "{share}: {refused:?}");
        }
    }
}

fn related(a: &Opened, b: &Opened) -> Relation {
    block_on(compare(a.compared(), b.compared())).expect("readable files").relation
}

#[test]
fn comparisons_recognize_edited_files() {
    let bytes = bytes_of("files/kohya_alpha_gt_rank_r3a16_fp32.safetensors");
    let other = bytes_of("files/kohya_fp8_e4m3_r4a4.safetensors");
    let (a, other) = (open("a", &bytes, None), open("other", &other, None));
    let f16 = ConvertOptions { to: Some(Target::Comfy), dtype: Some(Dtype::F16), ..Default::default() };
    let (renamed, _) = converted(&a, &f16).expect("a file");
    assert_eq!(related(&a, &open("renamed", &renamed, None)), Relation::Same);
    assert_eq!(related(&a, &other), Relation::Different);

    let (weaker, _) = merged(&[(&a, -0.25)], MergeOptions::default());
    let Relation::Rescaled { factor } = related(&a, &open("weaker", &weaker, None)) else { panic!("not rescaled") };
    assert!((factor + 0.25).abs() < 1e-4, "{factor}");

    let options = ResizeOptions { rule: RankRule::Fixed(2), to: Some(Target::Peft), dtype: Some(Dtype::F16), ..F32 };
    let plan = block_on(resize(&a, options)).expect("a plan");
    let mut smaller = Vec::new();
    block_on(plan.write(&mut smaller)).expect("a file");
    let smaller = open("smaller", &smaller, None);
    let Relation::Resized { energy } = related(&a, &smaller) else { panic!("{:?}", related(&a, &smaller)) };
    assert!((energy - plan.preview.energy).abs() < 1e-3, "{energy}");
    assert!(matches!(related(&smaller, &a), Relation::Enlarged { .. }));

    let (sum, _) = merged(&[(&a, 0.8), (&other, 0.6)], MergeOptions::default());
    let sum = open("sum", &sum, None);
    assert_eq!((related(&a, &sum), related(&sum, &a)), (Relation::MergedFrom, Relation::MergedInto));
}
