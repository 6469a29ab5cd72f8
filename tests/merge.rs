//! Methods of merging compared with PEFT's, and what merges report: conflicts, the energy kept, donors of blocks.

use lora_loupe::edit::{
    Donors, EditError, MergeInput, MergeMethod, MergeOptions, Opened, RankRule, Strengths, energy_kept, merge,
};
use lora_loupe::formats::Dtype;
use lora_loupe_tests::edits::{bytes_of, changes, distance, finished, open};
use lora_loupe_tests::golden::{self, bytes};
use pollster::block_on;

/// Rank at which nothing is lost of the goldens' layers.
const FULL: usize = 20;

fn inputs<'a, 'b>(files: &'a [Opened<'b>], strengths: &[f32]) -> Vec<MergeInput<'a, 'b>> {
    let input = |(opened, &strength)| MergeInput { opened, strength, strengths: Strengths::default() };
    files.iter().zip(strengths).map(input).collect()
}

#[test]
fn methods_agree_with_peft() {
    let (a, b) = (bytes("golden/merge/a.safetensors"), bytes("golden/merge/b.safetensors"));
    let files = [open("a", &a, None), open("b", &b, None)];
    let merged = golden::tensors("golden/merge/merged.safetensors");
    let cases = golden::json("golden/merge/cases.json");
    for (index, case) in cases.as_array().expect("a list").iter().enumerate() {
        let number = |key: &str| case[key].as_f64();
        let method: MergeMethod = case["method"].as_str().expect("a name").parse().expect("a method");
        let strengths: Vec<f32> =
            case["strengths"].as_array().expect("two").iter().map(|x| x.as_f64().expect("a number") as f32).collect();
        let options = MergeOptions {
            method,
            density: number("density").unwrap_or(1.0),
            seed: number("seed").unwrap_or(0.0) as u32,
            position: number("position").unwrap_or(0.5),
            rule: Some(RankRule::Fixed(FULL)),
            dtype: Some(Dtype::F32),
            ..MergeOptions::default()
        };
        let plan = block_on(merge(&inputs(&files, &strengths), options)).expect("a plan");
        assert_eq!((plan.preview.shared, plan.preview.conflicts.len()), (2, 2));
        let mut out = Vec::new();
        let (outcome, kept) = block_on(plan.write(&mut out)).expect("a written file");
        assert!(energy_kept(&kept) > 1.0 - 1e-9, "{kept:?}");
        let result = finished(out, &outcome);
        let opened = open("merged", &result, None);
        let got = changes(&opened);
        assert_eq!(got.len(), plan.preview.changed);
        for layer in ["first", "second", "third"] {
            let want = &merged[&format!("{index}.{layer}")].data;
            let none = vec![0.0; want.len()];
            let found = got.iter().find(|(name, _)| name.contains(layer)).map_or(&none, |(_, change)| change);
            let (error, norm) = distance(want, found);
            assert!(error <= 1e-5 * norm.max(1e-3), "{case}, {layer}: {error} of {norm}");
        }
    }
}

#[test]
fn the_loss_of_a_rank_is_stated() {
    let (a, b) = (bytes("golden/merge/a.safetensors"), bytes("golden/merge/b.safetensors"));
    let files = [open("a", &a, None), open("b", &b, None)];
    let write = |rule| {
        let options =
            MergeOptions { method: MergeMethod::Ties, rule, dtype: Some(Dtype::F32), ..MergeOptions::default() };
        let plan = block_on(merge(&inputs(&files, &[1.0, 1.0]), options)).expect("a plan");
        let mut out = Vec::new();
        let (outcome, kept) = block_on(plan.write(&mut out)).expect("a written file");
        (finished(out, &outcome), kept)
    };
    let (full, _) = write(Some(RankRule::Fixed(FULL)));
    let (small, kept) = write(None);
    assert_eq!(kept.iter().map(|row| row.rank).collect::<Vec<_>>(), [4, 4, 4], "the largest of the ranks");
    let (full, small) = (open("full", &full, None), open("small", &small, None));
    let (full, small) = (changes(&full), changes(&small));
    for row in &kept {
        let name = full.keys().find(|name| name.contains(&row.path)).expect("the layer");
        let (error, norm) = distance(&full[name], &small[name]);
        assert!((error - row.error).abs() <= 1e-4 * norm, "{row:?}: {error}");
        assert!(row.error > 0.1 * norm, "what ties leaves has full rank");
    }
}

#[test]
fn conflicts_name_the_layers_that_oppose_each_other() {
    let file = bytes_of("files/kohya_alpha_gt_rank_r3a16_fp32.safetensors");
    let files = [open("one", &file, None), open("same", &file, None)];
    let conflicts = |strengths: &[f32]| {
        block_on(merge(&inputs(&files, strengths), MergeOptions::default())).expect("a plan").preview.conflicts
    };
    for conflict in conflicts(&[0.5, 1.0]) {
        assert!(conflict.cosine.expect("a cosine") > 0.999_99 && conflict.opposite == 0.0, "{conflict:?}");
    }
    let opposed = conflicts(&[0.5, -1.0]);
    assert!(!opposed.is_empty());
    for conflict in opposed {
        assert!(conflict.cosine.expect("a cosine") < -0.999_99 && conflict.opposite > 0.999, "{conflict:?}");
    }
}

#[test]
fn blocks_come_whole_from_their_donors() {
    let (one, two) = (
        bytes_of("files/kohya_alpha_gt_rank_r3a16_fp32.safetensors"),
        bytes_of("files/kohya_fp8_e4m3_r4a4.safetensors"),
    );
    let files = [open("one", &one, None), open("two", &two, None)];
    let donors: Donors = "IN=2,TE=2".parse().expect("donors");
    let strengths = donors.strengths(&files).expect("block weights");
    let inputs: Vec<MergeInput> = files
        .iter()
        .zip(strengths)
        .map(|(opened, strengths)| MergeInput { opened, strength: 1.0, strengths })
        .collect();
    let options = MergeOptions { dtype: Some(Dtype::F32), ..MergeOptions::default() };
    let plan = block_on(merge(&inputs, options)).expect("a plan");
    assert_eq!(plan.preview.shared, 0);
    let mut out = Vec::new();
    let (outcome, _) = block_on(plan.write(&mut out)).expect("a written file");
    let out = finished(out, &outcome);
    let merged = open("merged", &out, None);
    let [first, second] = [&files[0], &files[1]].map(changes);
    let mut from = [0, 0];
    for (name, change) in changes(&merged) {
        let of_second = name.contains("down_blocks") || name.starts_with("text_encoder");
        let donor = if of_second { &second } else { &first };
        let (error, norm) = distance(&donor[&name], &change);
        assert!(error <= 1e-5 * norm, "{name}");
        from[usize::from(of_second)] += 1;
    }
    assert!(from[0] > 0 && from[1] > 0, "{from:?}");
    assert!("OUT".parse::<Donors>().is_err() && "OUT=0".parse::<Donors>().is_err());
}

#[test]
fn impossible_options_are_refused() {
    let (a, b) = (bytes("golden/merge/a.safetensors"), bytes("golden/merge/b.safetensors"));
    let files = [open("a", &a, None), open("b", &b, None)];
    let refused = |options: MergeOptions, files: &[Opened]| {
        block_on(merge(&inputs(files, &[1.0, 1.0]), options)).map(|_| ()).expect_err("an error")
    };
    let of = |method| MergeOptions { method, ..MergeOptions::default() };
    assert!(matches!(refused(of(MergeMethod::Slerp), &files[..1]), EditError::Files { .. }));
    let position = MergeOptions { position: 1.5, ..of(MergeMethod::Slerp) };
    assert!(matches!(refused(position, &files), EditError::NoPosition(_)));
    let energy = MergeOptions { rule: Some(RankRule::Energy(0.9)), ..of(MergeMethod::Dare) };
    assert!(matches!(refused(energy, &files), EditError::FixedRankOnly));
    for density in [0.0, 1.5, f64::NAN] {
        assert!(matches!(refused(MergeOptions { density, ..of(MergeMethod::Ties) }, &files), EditError::NoShare(_)));
    }
}
