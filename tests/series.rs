//! Training runs: a real one of twelve epochs, whose numbers NumPy computed from the multiplied matrices.

use lora_loupe::analysis::{
    Series, SeriesCandidate, SeriesInput, SeriesLayer, SeriesPart, SeriesSummary, Share, find_series, measure_series,
};
use lora_loupe::formats::read_header;
use lora_loupe_tests::golden::{self, bytes};
use pollster::block_on;
use std::collections::BTreeMap;
use std::ops::ControlFlow;

const EPOCHS: usize = 12;

/// Returns the files of the run and two that do not belong to it, by name, in alphabetical order.
fn files() -> BTreeMap<String, Vec<u8>> {
    let mut files: BTreeMap<String, Vec<u8>> = (1..EPOCHS)
        .map(|epoch| format!("rings-{epoch:06}.safetensors"))
        .chain(["rings.safetensors".to_owned()])
        .map(|name| (name.clone(), bytes(&format!("golden/series/{name}"))))
        .collect();
    files.insert("another.safetensors".into(), bytes("corpus/files/kohya_fp8_e4m3_r4a4.safetensors"));
    files.insert("other-v2.safetensors".into(), bytes("corpus/files/kohya_alpha_gt_rank_r3a16_fp32.safetensors"));
    files
}

fn found(files: &BTreeMap<String, Vec<u8>>) -> Vec<Series> {
    let metadata: Vec<BTreeMap<String, String>> =
        files.values().map(|file| block_on(read_header(file)).expect("a header").metadata).collect();
    let candidates: Vec<SeriesCandidate> =
        files.keys().zip(&metadata).map(|(name, metadata)| SeriesCandidate { name, metadata }).collect();
    find_series(&candidates)
}

fn measured(files: &[&Vec<u8>], share: Share) -> Vec<SeriesLayer> {
    let inputs: Vec<SeriesInput> =
        files.iter().map(|file| SeriesInput { name: "epoch", source: *file, companion: None }).collect();
    let (mut layers, mut last) = (Vec::new(), 0.0);
    block_on(measure_series(&inputs, share, &mut |measured, done| {
        assert!(done > last, "progress grows");
        last = done;
        layers.extend(measured);
        ControlFlow::Continue(())
    }))
    .expect("readable files");
    layers
}

#[test]
fn the_numbers_of_a_run_agree_with_numpy() {
    let files = files();
    let runs = found(&files);
    assert_eq!(runs.len(), 1, "{runs:?}");
    let run = &runs[0];
    let epochs: Vec<Option<u64>> = run.files.iter().map(|file| file.epoch).collect();
    assert_eq!(epochs, (1..=EPOCHS as u64).map(Some).collect::<Vec<_>>(), "the header says where the last one belongs");
    let contents: Vec<&Vec<u8>> = run.files.iter().map(|file| &files[&file.name]).collect();
    let whole = measured(&contents, Share::WHOLE);
    let parts: Vec<SeriesLayer> = (0..2).flat_map(|part| measured(&contents, Share { part, parts: 2 })).collect();
    let by_path = |layers: &[SeriesLayer]| -> BTreeMap<String, SeriesLayer> {
        layers.iter().map(|layer| (layer.path.clone(), layer.clone())).collect()
    };
    assert_eq!((by_path(&whole), whole.len()), (by_path(&parts), parts.len()), "two workers measure what one does");

    let summary = SeriesSummary::of(&run.files, &whole);
    let expected = golden::json("golden/series/run.json");
    let expected = expected.as_array().expect("a list");
    assert_eq!((summary.totals.len(), expected.len()), (EPOCHS, EPOCHS));
    for (epoch, (total, expected)) in summary.totals.iter().zip(expected).enumerate() {
        for (name, got) in [
            ("norm", Some(total.norm)),
            ("moved", total.moved),
            ("cosine", total.cosine),
            ("effective_rank", Some(total.effective_rank)),
        ] {
            let want = expected[name].as_f64();
            assert_eq!(got.is_some(), want.is_some(), "epoch {}: {name}", epoch + 1);
            let (got, want) = (got.unwrap_or(0.0), want.unwrap_or(0.0));
            assert!((got - want).abs() <= 1e-5 * want.abs().max(1e-3), "epoch {}: {name} {got}, {want}", epoch + 1);
        }
    }
    let energy = |norms: &[f64]| norms.last().map_or(0.0, |norm| norm.powi(2));
    let total = summary.totals[EPOCHS - 1].norm.powi(2);
    for rows in [&summary.parts, &summary.blocks] {
        let sum: f64 = rows.iter().map(|row| energy(&row.norms)).sum();
        assert!((sum - total).abs() < 1e-9 * total, "parts and blocks add up: {rows:?}");
    }
    let names: Vec<&str> = summary.parts.iter().map(|row| row.name.as_str()).collect();
    assert_eq!(names, [SeriesPart::Attention.name(), SeriesPart::FeedForward.name()]);
    let said: Vec<&str> = summary.sentences.iter().map(|sentence| sentence.id.as_str()).collect();
    assert!(said.contains(&"series.settled"), "its learning rate fell to 0: {said:?}");
}

#[test]
fn files_with_other_layers_and_sizes_are_measured_side_by_side() {
    let files = files();
    let contents = [&files["another.safetensors"], &files["rings.safetensors"], &files["other-v2.safetensors"]];
    let layers = measured(&contents, Share::WHOLE);
    for layer in &layers {
        assert_eq!(layer.points.len(), 3, "{}", layer.path);
        for (at, point) in layer.points.iter().enumerate() {
            let has_before = layer.points[..at].iter().any(Option::is_some);
            let moved = point.and_then(|point| point.moved);
            assert!(moved.is_none() || has_before, "{}", layer.path);
        }
    }
    let alone = |layer: &&SeriesLayer| layer.points.iter().flatten().count() == 1;
    assert!(layers.iter().any(|layer| alone(&layer)), "some layers are in one file only");
}

#[test]
fn reading_stops_when_it_is_cancelled() {
    let files = files();
    let contents: Vec<&Vec<u8>> = files.values().collect();
    let inputs: Vec<SeriesInput> =
        contents.iter().map(|file| SeriesInput { name: "epoch", source: *file, companion: None }).collect();
    let mut calls = 0;
    block_on(measure_series(&inputs, Share::WHOLE, &mut |_, _| {
        calls += 1;
        ControlFlow::Break(())
    }))
    .expect("no error");
    assert_eq!(calls, 1);
}
