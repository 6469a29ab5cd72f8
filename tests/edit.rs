//! Properties of all edits: serialized edits, progress, cancellation, hashes, refusals and fixes. Edits of one kind:
//! convert.rs, low_rank.rs.

use lora_loupe::analysis::{ClaimVerdict, LoaderStatus, hashes, inspect};
use lora_loupe::edit::{
    ConvertOptions, Edit, EditError, EditInput, EditProgress, Edited, FixId, MetadataEdit, Opened, Preview, Target,
    apply, edit_metadata, fixes, preview, resize,
};
use lora_loupe::formats::{Dtype, Header, TensorInfo, read_header};
use lora_loupe_tests::containers::{entry, safetensors};
use lora_loupe_tests::edits::{F32, bytes_of, converted, open};
use lora_loupe_tests::golden::{self, bytes};
use pollster::block_on;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

/// Applies an edit given as JSON; returns the result and the file with its final header.
fn applied(edit: &str, inputs: &[EditInput]) -> Result<(Edited, Vec<u8>), EditError> {
    let edit: Edit = serde_json::from_str(edit).unwrap_or_else(|error| panic!("{edit}: {error}"));
    let mut out = Vec::new();
    let edited = block_on(apply(&edit, inputs, &mut out, &mut |_| ControlFlow::Continue(())))?;
    out[..edited.outcome.head.len()].copy_from_slice(&edited.outcome.head);
    let planned = block_on(preview(&edit, inputs, &mut |_| ControlFlow::Continue(())))?;
    let text = |preview: &Preview| serde_json::to_string(preview).expect("a preview");
    assert_eq!(text(&planned), text(&edited.preview), "the preview matches what is written");
    assert_eq!((edited.outcome.size, out.len()), (out.len() as u64, edited.outcome.size as usize));
    Ok((edited, out))
}

#[test]
fn edits_are_applied_from_json() {
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
    let tagged = check(r#"{"kind": "metadata", "set": [["modelspec.title", "x"]]}"#, alone);
    assert_eq!(tagged.metadata.get("modelspec.title").map(String::as_str), Some("x"));
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
fn edits_report_progress_and_can_be_cancelled() {
    let file = bytes("corpus/files/kohya_lora_r4a1_fp16.safetensors");
    let inputs = [EditInput::file("a", &file, None)];
    let edit: Edit = serde_json::from_str(r#"{"kind": "resize", "rule": {"energy": 0.9}}"#).expect("an edit");
    let mut reports: Vec<(u64, u64)> = Vec::new();
    let mut out = Vec::new();
    let mut on_progress = |progress: EditProgress| {
        reports.push((progress.done, progress.total));
        ControlFlow::Continue(())
    };
    block_on(apply(&edit, &inputs, &mut out, &mut on_progress)).expect("a file");
    assert!(reports.windows(2).all(|pair| pair[0].0 <= pair[1].0 && pair[1].0 <= pair[1].1), "{reports:?}");
    assert!(reports.len() > 1 && reports.last().is_some_and(|(done, total)| done == total), "{reports:?}");
    let mut out = Vec::new();
    let stopped = block_on(apply(&edit, &inputs, &mut out, &mut |_| ControlFlow::Break(())));
    assert!(matches!(stopped, Err(EditError::Stopped)) && out.is_empty());
    let wrong = block_on(preview(&edit, &[], &mut |_| ControlFlow::Continue(())));
    assert!(matches!(wrong, Err(EditError::Files { files: 0, .. })));
}

/// NaN weights, incomplete pairs and files without a header.
#[test]
fn unusable_files_are_refused_with_the_matching_error() {
    let nan = bytes("hostile/nan_inf_weights.safetensors");
    let refused = block_on(resize(&open("nan", &nan, None), F32)).err().expect("NaN");
    assert!(matches!(refused, EditError::NotFinite { .. }), "{refused}");
    let missing = bytes("hostile/missing_up.safetensors");
    let to_kohya = ConvertOptions { to: Some(Target::Kohya), ..Default::default() };
    let refused = converted(&open("missing", &missing, None), &to_kohya).expect_err("an incomplete pair");
    assert!(matches!(refused, EditError::Incomplete { .. }), "{refused}");
    let dropped = converted(&open("missing", &missing, None), &ConvertOptions { drop: true, ..to_kohya.clone() });
    assert!(dropped.is_ok());
    let html = bytes("hostile/html_page.safetensors");
    assert!(matches!(block_on(Opened::new("html", &html, None)), Err(EditError::Read { .. })));
    let edit = block_on(edit_metadata("html", &html, &MetadataEdit::default())).err().expect("no header");
    assert!(matches!(edit, EditError::NoHeader { .. }), "{edit}");
}

/// Returns the file of tests/make/hashes.py with the given metadata.
fn hashed_file(metadata: BTreeMap<String, String>) -> Vec<u8> {
    let data: Vec<u8> = (0..1_400_000u64).map(|i| ((i * i * 31 + i / 7) % 251) as u8).collect();
    let tensor = TensorInfo::contiguous("a.lora_up.weight".into(), Dtype::F16, vec![700, 1000], 0..1_400_000);
    let mut file = Vec::new();
    Header::of(vec![tensor], metadata).write(&mut file).expect("memory");
    [file, data].concat()
}

#[test]
fn header_hashes_match_sd_scripts_and_wrong_ones_are_repaired() {
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
fn written_files_have_correct_hashes_and_keep_their_metadata() {
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

/// Incomplete or conflicting keys of a layer are dropped only with `drop`, and the preview lists them.
#[test]
fn edits_drop_parts_of_a_change_only_with_the_drop_option() {
    let stem = "lora_unet_mid_block_attentions_0_transformer_blocks_0_attn1_to_q";
    let again = "unet.mid_block.attentions.0.transformer_blocks.0.attn1.to_q";
    let rest = "lora_unet_mid_block_attentions_0_proj_in";
    let conflict = [
        entry(&format!("{rest}.lora_up.weight"), &[32, 2]),
        entry(&format!("{rest}.lora_down.weight"), &[2, 32]),
        entry(&format!("{stem}.lora_up.weight"), &[32, 2]),
        entry(&format!("{stem}.lora_down.weight"), &[2, 32]),
        entry(&format!("{again}.lora.up.weight"), &[32, 2]),
        entry(&format!("{again}.lora.down.weight"), &[2, 32]),
    ];
    let files = [("missing", bytes("hostile/missing_up.safetensors")), ("conflict", safetensors(&[], &conflict))];
    for (name, file) in &files {
        let input = EditInput::file(name, file, None);
        let report = block_on(inspect(name, file, None, None));
        for (edit, dropping) in [
            (r#"{"kind": "convert"}"#, r#"{"kind": "convert", "drop": true}"#),
            (r#"{"kind": "convert", "keep_leftovers": true}"#, r#"{"kind": "convert", "drop": true}"#),
            (
                r#"{"kind": "resize", "rule": {"fixed": 1}}"#,
                r#"{"kind": "resize", "rule": {"fixed": 1}, "drop": true}"#,
            ),
            (
                r#"{"kind": "merge", "parts": [{"strength": 1}]}"#,
                r#"{"kind": "merge", "parts": [{"strength": 1}], "options": {"drop": true}}"#,
            ),
        ] {
            let refused = applied(edit, std::slice::from_ref(&input)).map(|_| ());
            assert!(matches!(&refused, Err(EditError::Incomplete { .. })), "{name}: {edit}: {refused:?}");
            let (edited, _) = applied(dropping, std::slice::from_ref(&input)).unwrap_or_else(|error| panic!("{error}"));
            let dropped = serde_json::to_value(&edited.preview).expect("a preview")["dropped"].clone();
            assert_eq!(dropped.as_array().map(Vec::len), Some(report.leftovers.len()), "{name}: {dropping}");
        }
        let found = block_on(fixes(&input, &report)).expect("fixes");
        assert!(found.iter().all(|fix| fix.id != FixId::RemoveBroken), "{name}: the keys may be trained");
    }
}

/// Returns every single-file adapter of the corpus, and the hostile files.
fn adapters_to_fix() -> Vec<(String, Vec<u8>)> {
    let folders = ["corpus/files", "hostile"];
    let entries =
        folders.iter().flat_map(|folder| std::fs::read_dir(golden::path(folder)).expect("a folder").flatten());
    let mut files: Vec<_> = entries.map(|entry| entry.path()).filter(|path| path.is_file()).collect();
    files.sort();
    files.into_iter().map(|path| (path.display().to_string(), std::fs::read(&path).expect("a file"))).collect()
}

#[test]
fn fixes_remove_the_problems_they_claim_to_fix() {
    let (mut fixed, mut ids, mut wrong) = (0, BTreeSet::new(), Vec::new());
    for (name, file) in adapters_to_fix() {
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
            let remaining = after.problems.iter().filter(|problem| fix.problems.contains(&problem.class));
            wrong.extend(remaining.map(|problem| format!("{name}: {}: still there: {}", fix.title, problem.message)));
            for loader in &fix.loaders {
                let verdict = after.loaders.iter().find(|verdict| verdict.loader == *loader).expect("a loader");
                if verdict.status != LoaderStatus::Applied {
                    wrong.push(format!("{name}: {}: {loader}: {:?}", fix.title, verdict.reason));
                }
                fixed += 1;
            }
            ids.insert(fix.id);
        }
    }
    assert_eq!(wrong, Vec::<String>::new(), "{}", wrong.join("\n"));
    assert!(fixed > 10 && ids.len() > 4, "{fixed} {ids:?}");
}
