//! Predicted behavior of each loader: for recorded runs, for the corpus (diffusers' part was run when the corpus was
//! made; see the manifest notes of the full set), and for key sets where one rule decides.

use lora_loupe::analysis::{LoaderStatus, LoaderVerdict, ProblemClass, Report, explain_log, inspect, inspect_header};
use lora_loupe::edit::{EditInput, FixId, fixes};
use lora_loupe::num::{host_len, numel};
use lora_loupe_tests::containers::{entry, safetensors};
use lora_loupe_tests::golden;
use lora_loupe_tests::loader_cases::{self, RecordedRun};
use pollster::block_on;
use serde_json::{Map, Value, json};

const LOADERS: [&str; 7] = ["comfyui", "a1111", "forge", "diffusers", "invokeai", "stable_diffusion_cpp", "this_page"];

fn report(file: &str) -> Report {
    let path = golden::path("corpus/files").join(file);
    let bytes = std::fs::read(&path).unwrap_or_else(|error| panic!("{file}: {error}"));
    let companion = std::fs::read_to_string(path.with_file_name("adapter_config.json")).ok();
    block_on(inspect(file, &bytes, companion.as_deref(), None))
}

fn verdict<'a>(report: &'a Report, loader: &str) -> &'a LoaderVerdict {
    report.loaders.iter().find(|verdict| verdict.loader == loader).unwrap_or_else(|| panic!("no verdict on {loader}"))
}

/// Returns one letter per loader: applied, partly, ignored, refused.
fn letters(report: &Report) -> String {
    assert!(report.loaders.iter().map(|verdict| &*verdict.loader).eq(LOADERS));
    let letter = |verdict: &LoaderVerdict| {
        let all = verdict.applied == verdict.total;
        assert_eq!(verdict.status == LoaderStatus::Applied, all && verdict.total > 0, "{verdict:?}");
        assert_eq!(verdict.status == LoaderStatus::Partly, verdict.applied > 0 && !all, "{verdict:?}");
        assert!(all || verdict.reason.is_some(), "{verdict:?}");
        match verdict.status {
            LoaderStatus::Applied => 'a',
            LoaderStatus::Partly => 'p',
            LoaderStatus::Ignored => 'i',
            LoaderStatus::Refused => 'r',
            LoaderStatus::Unknown => '?',
        }
    };
    report.loaders.iter().map(letter).collect()
}

/// Returns how many layers a loader applies if the file is for the other family that it fits, where that differs.
fn otherwise(verdict: &LoaderVerdict) -> Option<u64> {
    let note = serde_json::to_value(verdict.otherwise.as_ref()?).expect("JSON");
    let first = if note["id"] == "sentences" { &note["values"]["sentences"][0] } else { &note };
    first["values"]["applied"].as_u64()
}

/// Files loaded with five programs (golden/loaders/): family, layers, status and share of applied layers agree.
#[test]
fn predictions_agree_with_recorded_runs() {
    let mut wrong = Vec::new();
    let cases = loader_cases::kept();
    assert!(cases.len() > 130);
    for (name, file, facts) in &cases {
        let truth = RecordedRun(facts);
        let report = block_on(inspect_header(name, file, file.config.as_deref()));
        if !truth.is_family(&report.base.family) {
            wrong.push(format!("{name}: {} is {}", facts["family"], report.base.family));
        }
        for (loader, facts) in facts["loaders"].as_object().into_iter().flatten() {
            let Some((status, _, share)) = truth.loader(loader) else { continue };
            let verdict = verdict(&report, loader);
            // A file that fits two families was run only as one of them.
            if report.base.family != truth.0["family"] {
                let as_other = otherwise(verdict).unwrap_or(verdict.applied as u64) as f64;
                if (as_other / verdict.total.max(1) as f64 - share).abs() > 0.005 {
                    wrong.push(format!("{name}: {loader} otherwise: {:?}, {facts}", verdict.otherwise));
                }
                continue;
            }
            let predicted = serde_json::to_value(verdict.status).expect("a word");
            let predicted_share = verdict.applied as f64 / verdict.total.max(1) as f64;
            if predicted != status || (predicted_share - share).abs() > 0.005 || verdict.total as u64 != truth.layers()
            {
                wrong
                    .push(format!("{name}: {loader} is {predicted} {} of {}, {facts}", verdict.applied, verdict.total));
            }
        }
    }
    assert!(wrong.is_empty(), "{} are wrong:\n{}", wrong.len(), wrong.join("\n"));
}

/// The same files with one key in a hundred renamed: nothing panics, and no loader is predicted to apply more layers
/// than for the unmodified file.
#[test]
fn renaming_keys_never_improves_a_verdict() {
    for (name, file, _) in loader_cases::kept() {
        let whole = block_on(inspect_header(&name, &file, file.config.as_deref()));
        let changed = file.with_keys(|at, key| if at % 100 == 7 { format!("{key}.nowhere") } else { key.to_owned() });
        let report = block_on(inspect_header(&name, &changed, file.config.as_deref()));
        for (before, after) in whole.loaders.iter().zip(&report.loaders) {
            assert!(after.applied <= before.applied, "{name}, {}: {before:?} {after:?}", before.loader);
        }
    }
}

/// A file for an unknown architecture is read, and every loader's verdict is unknown.
#[test]
fn unknown_models_get_unknown_verdicts() {
    let stems = ["q", "k", "v"].map(|part| format!("diffusion_model.stages.0.mixer.{part}_map"));
    let tensors: Vec<_> = stems.iter().flat_map(|stem| pair(stem, 96, 160)).collect();
    let bytes = made(&tensors, json!({"ss_base_model_version": "novelty_one"}));
    let report = block_on(inspect("made.safetensors", &bytes, None, None));
    assert_eq!((&*report.base.family, report.modules.len()), ("unknown", 3));
    assert_eq!(report.algorithms, ["lora"]);
    assert!(report.modules.iter().all(|row| row.rank == Some(1) && row.norm == Some(0.0) && row.dtype == "F16"));
    assert!(report.base.evidence.iter().any(|line| line.contains("novelty_one")), "{:?}", report.base.evidence);
    assert!(report.leftovers.is_empty() && !report.is_refused(), "{:?}", report.problems);
    assert!(report.problems.iter().any(|problem| problem.class == ProblemClass::UnknownModel));
    assert_eq!(letters(&report), "???????");
    let fixes = block_on(fixes(&EditInput::file("made.safetensors", &bytes, None), &report)).expect("an adapter");
    let ids: Vec<FixId> = fixes.iter().map(|fix| fix.id).collect();
    let unwanted = [FixId::RemoveStrays, FixId::RemoveBroken, FixId::RightHeader];
    assert!(!ids.iter().any(|id| unwanted.contains(id)), "{ids:?}");
}

/// InvokeAI recognizes SD 1.5 by its cross-attention layers, which files with convolutions only do not have.
#[test]
fn corpus_files_get_the_expected_verdicts() {
    for (file, expect) in [
        ("kohya_lora_r4a1_fp16.safetensors", "aaaaaaa"),
        ("kohya_fp8_e4m3_r4a4.safetensors", "aaaaaaa"),
        ("kohya_te_only_r4a2_fp16.safetensors", "aaaaaaa"),
        ("kohya_with_unmatched_keys_fp16.safetensors", "ppprppp"),
        ("comfy_ldm_dotted_r3a3_fp16.safetensors", "arrrraa"),
        ("diffusers_lora_AB_metadata_r6a3_fp32.safetensors", "piraraa"),
        ("diffusers_lora_te_v5_names_r3_fp32.safetensors", "iiraraa"),
        ("peft_plain_patterns_rslora/adapter_model.safetensors", "iiriria"),
        ("old_diffusers_attn_procs_legacy_pickle.bin", "aiairaa"),
        ("lycoris_lora_norm_r2a1_fp16.safetensors", "aaarapa"),
        ("lycoris_locon_tucker_r3a2_fp16.safetensors", "aaarraa"),
        ("lycoris_loha_tucker_r3a2_fp32.safetensors", "aaarraa"),
        ("lycoris_lokr_full_bf16.safetensors", "aaaraaa"),
        ("lycoris_lokr_t2_r2a1_fp16.safetensors", "paarrpa"),
        ("lycoris_glora_r3a2_fp16.safetensors", "aiarria"),
        ("lycoris_ia3_fp16.safetensors", "iarraia"),
        ("lycoris_diag_oft_b4_fp16.safetensors", "aarrria"),
        ("lycoris_boft_fp16.safetensors", "aarrria"),
        ("lycoris_dora_in_axis_r4a2_fp16.safetensors", "aaaaaaa"),
        ("cloneofsimo_safeloras.safetensors", "iirrria"),
    ] {
        assert_eq!(letters(&report(file)), expect, "{file}");
    }
}

#[test]
fn partial_verdicts_give_count_and_keys() {
    let report = report("diffusers_lora_AB_metadata_r6a3_fp32.safetensors");
    let comfy = verdict(&report, "comfyui");
    assert_eq!((comfy.applied, comfy.total), (48, 176));
    let reason = comfy.reason.as_deref().expect("a reason");
    assert!(reason.starts_with("128 layers have diffusers keys with prefix `unet.` in PEFT format"), "{reason}");
    let log = comfy.log.as_deref().expect("a line");
    assert!(log.starts_with("lora key not loaded: unet.") && log.ends_with(".lora_A.weight"), "{log}");
    let forge = verdict(&report, "forge");
    assert!(forge.log.as_deref().is_some_and(|log| log.starts_with("[LORA] LoRA version mismatch for KModel")));
    let reason = forge.reason.as_deref().expect("a reason");
    assert!(reason.contains("256 keys are unmatched, and the limit is 12"), "{reason}");
}

/// alpha 3 at rank 6 is only in the metadata: loaders that do not read it apply the file at twice the strength.
#[test]
fn an_ignored_alpha_is_reported_with_its_factor() {
    let header = report("diffusers_lora_AB_metadata_r6a3_fp32.safetensors");
    let note = |report: &Report, loader: &str| verdict(report, loader).strength_note.clone().unwrap_or_default().text;
    assert!(
        note(&header, "comfyui").contains("2 times the intended one; use strength 0.5"),
        "{}",
        note(&header, "comfyui")
    );
    assert_eq!(note(&header, "diffusers"), "");
    assert_eq!(note(&report("kohya_lora_r4a1_fp16.safetensors"), "comfyui"), "");
}

/// diffusers drops the alphas of OneTrainer's older files for Flux.1, but not of sd-scripts' files.
#[test]
fn dropped_alphas_are_reported_with_their_factor() {
    let note = |stem: &str, outputs: usize| {
        let tensors = [
            entry(&format!("{stem}.lora_down.weight"), &[4, 3072]),
            entry(&format!("{stem}.lora_up.weight"), &[outputs, 4]),
            (format!("{stem}.alpha"), vec![], vec![1.0]),
        ];
        let file = safetensors(&[("ss_base_model_version", "flux1")], &tensors);
        let report = block_on(inspect("made.safetensors", &file, None, None));
        let found = verdict(&report, "diffusers");
        assert_eq!((found.status, found.applied), (LoaderStatus::Applied, 1), "{found:?}");
        found.strength_note.clone().unwrap_or_default().text
    };
    let dropped = note("transformer.transformer_blocks.0.attn.to_q", 3072);
    assert!(dropped.contains("drops the alpha tensors") && dropped.contains("4 times"), "{dropped}");
    assert!(dropped.contains("use strength 0.25"), "{dropped}");
    assert_eq!(note("lora_unet_double_blocks_0_img_attn_proj", 3072), "");
}

/// Verdicts say since which version a loader applies such files, where an earlier one is known that does not.
#[test]
fn verdicts_say_since_when() {
    let since = |stem: &str, width: usize, loader: &str| {
        let version = &verdict(&judged(&pair(stem, width, width)), loader).version.clone();
        version.values.get("since").map(ToString::to_string)
    };
    let z_image = "diffusion_model.layers.0.attention.to_q";
    assert_eq!(since(z_image, 3840, "diffusers").as_deref(), Some("0.38"));
    assert_eq!(since(z_image, 3840, "comfyui").as_deref(), Some("2025-12"));
    assert_eq!(since(z_image, 3840, "invokeai").as_deref(), Some("6.10"));
    assert_eq!(since("lora_unet_layers_0_attention_to_q", 3840, "diffusers").as_deref(), Some("0.37"));
    assert_eq!(since("transformer.layers.0.attention.to_q", 3840, "invokeai").as_deref(), Some("6.13"));
    assert_eq!(since("diffusion_model.transformer_blocks.0.attn.to_q", 3072, "diffusers").as_deref(), Some("0.36"));
    assert_eq!(since(z_image, 3840, "forge"), None);
    assert_eq!(since("single_transformer_blocks.0.attn.to_q", 3072, "comfyui").as_deref(), Some("2026-01"));
    assert_eq!(since("transformer.single_transformer_blocks.0.attn.to_q", 3072, "comfyui"), None);
    assert_eq!(since(&format!("lora_unet_down_blocks_0_{Q}"), 320, "diffusers"), None);
}

/// Names that only newer versions look up are counted for these, beside the verdict on the described version.
#[test]
fn verdicts_count_what_newer_versions_apply() {
    let check = |layers: &[(&str, usize, usize)], family: &str| {
        let tensors: Vec<_> = layers.iter().flat_map(|(stem, outputs, inputs)| pair(stem, *outputs, *inputs)).collect();
        let report = judged(&tensors);
        assert_eq!(report.base.family, family);
        let verdict = verdict(&report, "comfyui");
        assert_eq!((verdict.status, &*verdict.version.id), (LoaderStatus::Ignored, "loader.version_later"));
        assert!(verdict.version.contains(&format!("newer versions likely apply {0} of {0} layers", layers.len())));
    };
    let fused = |at| format!("transformer.transformer_blocks.{at}.attn.to_qkv");
    check(&[(&fused(0), 9216, 6144), (&fused(1), 9216, 6144)], "krea2");
    let attention = |part: &str| format!("model.language_model.layers.0.self_attn.{part}_proj");
    check(&[(&attention("q"), 4096, 4096), (&attention("k"), 1024, 4096)], "hidream_o1");
}

#[test]
fn notes_on_dora_and_oft_depend_on_the_loader() {
    let note = |file: &str, loader: &str| verdict(&report(file), loader).strength_note.clone().unwrap_or_default().text;
    let columns = "lycoris_dora_in_axis_r4a2_fp16.safetensors";
    assert_eq!(note(columns, "comfyui") + &note(columns, "a1111"), "");
    assert!(note(columns, "diffusers").contains("ignores dora_scale in 215 layers"));
    assert!(note(columns, "stable_diffusion_cpp").contains("applies plain LoRA"));
    assert!(note("lycoris_boft_fp16.safetensors", "comfyui").contains("0.5 acts as 0.25"));
    assert_eq!(note("lycoris_boft_fp16.safetensors", "a1111"), "");
}

/// Returns a file with these tensors, all zeros.
fn made(tensors: &[(String, Vec<usize>)], metadata: Value) -> Vec<u8> {
    let (mut header, mut at) = (Map::new(), 0);
    header.insert("__metadata__".into(), metadata);
    for (name, shape) in tensors {
        let end = at + 2 * host_len(numel(shape));
        header.insert(name.clone(), json!({"dtype": "F16", "shape": shape, "data_offsets": [at, end]}));
        at = end;
    }
    let text = serde_json::to_vec(&header).expect("a header");
    [&(text.len() as u64).to_le_bytes()[..], &text, &vec![0; at]].concat()
}

fn judged(tensors: &[(String, Vec<usize>)]) -> Report {
    block_on(inspect("made.safetensors", &made(tensors, json!({})), None, None))
}

/// Returns a rank-1 pair for a layer.
fn pair(stem: &str, outputs: usize, inputs: usize) -> Vec<(String, Vec<usize>)> {
    vec![(format!("{stem}.lora_down.weight"), vec![1, inputs]), (format!("{stem}.lora_up.weight"), vec![outputs, 1])]
}

const Q: &str = "attentions_0_transformer_blocks_0_attn1_to_q";

/// Returns pairs for SD 1.5's first attention layers.
fn sd15() -> Vec<(String, Vec<usize>)> {
    let mut tensors = pair(&format!("lora_unet_down_blocks_0_{Q}"), 320, 320);
    tensors.extend(pair(&format!("lora_unet_down_blocks_1_{Q}"), 640, 640));
    tensors.extend(pair("lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn2_to_k", 320, 768));
    tensors
}

/// Forge accepts twelve unmatched keys but not thirteen.
#[test]
fn forge_refuses_too_many_unmatched_keys() {
    let with = |unmatched: usize| {
        let mut tensors = sd15();
        tensors.extend((0..unmatched).map(|stray| (format!("lora_unet_nowhere_{stray}.alpha"), vec![1])));
        let report = judged(&tensors);
        let forge = verdict(&report, "forge");
        (forge.status, forge.applied)
    };
    assert_eq!(with(0), (LoaderStatus::Applied, 3));
    assert_eq!(with(12), (LoaderStatus::Applied, 3));
    assert_eq!(with(13), (LoaderStatus::Refused, 0));
}

#[test]
fn bundled_embeddings_are_refused_by_diffusers_only() {
    let mut tensors = sd15();
    tensors.push(("bundle_emb.me.string_to_param.*".into(), vec![1, 768]));
    let report = judged(&tensors);
    assert_eq!(letters(&report), "aaaraaa");
    let diffusers = verdict(&report, "diffusers");
    assert!(diffusers.log.as_deref().is_some_and(|log| log.contains("Make sure all LoRA param names contain")));
    assert_eq!(verdict(&report, "a1111").reason, None);
    assert!(verdict(&report, "comfyui").reason.as_deref().is_some_and(|reason| reason.contains("bundle_emb.me")));
}

/// LDM key names are converted for SDXL but not for SD 1.x.
#[test]
fn diffusers_and_invokeai_convert_ldm_keys_for_sdxl_only() {
    let stem = "lora_unet_input_blocks_1_1_transformer_blocks_0_attn1_to_q";
    let report = judged(&[pair(stem, 320, 320), pair(&stem.replace("attn1_to_q", "attn2_to_k"), 320, 768)].concat());
    assert_eq!(letters(&report), "aaariaa");
    let stem = "lora_unet_input_blocks_4_1_transformer_blocks_0_attn1_to_q";
    let report = judged(&[pair(stem, 640, 640), pair(&stem.replace("attn1_to_q", "attn2_to_k"), 640, 2048)].concat());
    assert_eq!((&*report.base.family, letters(&report)), ("sdxl", "aaaaaaa".into()));
}

/// (stem, outputs, inputs, letters)
#[test]
fn verdicts_depend_on_transformer_prefixes() {
    for (stem, outputs, inputs, expect) in [
        ("lora_unet_double_blocks_0_img_attn_qkv", 9216, 3072, "araaaar"),
        ("diffusion_model.double_blocks.0.img_attn.qkv", 9216, 3072, "araaaar"),
        ("lora_transformer_single_transformer_blocks_0_proj_mlp", 12288, 3072, "araraar"),
        ("lycoris_single_transformer_blocks_0_proj_mlp", 12288, 3072, "ararrar"),
        ("transformer.blocks.0.attn1.to_q", 1536, 1536, "irrraar"),
        ("diffusion_model.blocks.0.self_attn.q", 1536, 1536, "arraaar"),
        ("lora_unet__blocks_0_self_attn_q", 1536, 1536, "arrrrir"),
        ("lora_unet_joint_blocks_0_x_block_attn_qkv", 4608, 1536, "aiairar"),
        ("diffusion_model.layers.0.attention.qkv", 11520, 3840, "arrriar"),
        ("lora_prior_unet_down_blocks_0_2_attention_attn_to_q", 2048, 2048, "arrrrrr"),
        ("lora_unet_blocks_0_self_attn_q_proj", 2048, 2048, "arriaar"),
    ] {
        let mut tensors = pair(stem, outputs, inputs);
        if stem.contains("self_attn_q_proj") {
            tensors.extend(pair("lora_unet_blocks_0_adaln_modulation_mlp_1", 256, 2048));
        }
        let report = judged(&tensors);
        assert_eq!(letters(&report), expect, "{stem} ({})", report.base.label);
    }
}

/// diffusers' converter of sd-scripts' names wants every layer of each block of Wan, and nothing else: it stops at VACE's
/// blocks (run with 0.42.1).
#[test]
fn diffusers_refuses_vace_layers_in_sd_scripts_names() {
    let tensors = |prefix: &str, separator: &str| -> Vec<(String, Vec<usize>)> {
        let layers =
            ["self_attn", "cross_attn"].into_iter().flat_map(|attn| ["q", "k", "v", "o"].map(|part| (attn, part)));
        let stems =
            layers.map(|(attn, part)| format!("{prefix}vace_blocks{separator}0{separator}{attn}{separator}{part}"));
        stems.flat_map(|stem| pair(&stem, 5120, 5120)).collect()
    };
    let report = judged(&tensors("lora_unet_", "_"));
    assert_eq!((&*report.base.family, verdict(&report, "diffusers").status), ("wan", LoaderStatus::Refused));
    assert_eq!(verdict(&report, "diffusers").log.as_deref(), Some("KeyError: 'blocks_0_self_attn_q.lora_down.weight'"));
    assert_eq!(verdict(&report, "comfyui").status, LoaderStatus::Applied);
}

/// sd-scripts' keys for HunyuanVideo's feed-forward layers are unknown to ComfyUI.
#[test]
fn comfyui_applies_hunyuan_video_files_partly() {
    let mut tensors = pair("lora_unet_double_blocks_19_img_attn_qkv", 9216, 3072);
    tensors.extend(pair("lora_unet_double_blocks_19_img_mlp_fc1", 12288, 3072));
    let report = judged(&tensors);
    let comfy = verdict(&report, "comfyui");
    assert_eq!((comfy.status, comfy.applied), (LoaderStatus::Partly, 1));
}

/// diffusers 0.42.1 uses the most frequent alpha for all attention layers.
#[test]
fn diffusers_applies_one_alpha_to_all_attention_layers() {
    let alpha = |tensors: &mut Vec<(String, Vec<usize>)>, stem: &str| tensors.push((format!("{stem}.alpha"), vec![]));
    let stems = [0, 1, 2].map(|block| format!("lora_unet_down_blocks_{block}_{Q}"));
    let mut tensors = Vec::new();
    for (stem, width) in stems.iter().zip([320, 640, 1280]) {
        tensors.extend(pair(stem, width, width));
        alpha(&mut tensors, stem);
    }
    let mut bytes = made(&tensors, json!({}));
    let length = u64::from_le_bytes(bytes[..8].try_into().expect("8 bytes")) as usize;
    let header: Map<String, Value> = serde_json::from_slice(&bytes[8..8 + length]).expect("a header");
    for (stem, bits) in stems.iter().zip([0x3c00u16, 0x3c00, 0x4400]) {
        let at = 8 + length + header[&format!("{stem}.alpha")]["data_offsets"][0].as_u64().expect("an offset") as usize;
        bytes[at..at + 2].copy_from_slice(&bits.to_le_bytes());
    }
    let report = block_on(inspect("made.safetensors", &bytes, None, None));
    let note = verdict(&report, "diffusers").strength_note.clone().expect("a note");
    assert!(
        note.starts_with("1 attention layer gets the file's most frequent alpha (1) instead of its own: 0.25 times"),
        "{note}"
    );
    assert_eq!(verdict(&report, "comfyui").strength_note, None);
}

#[test]
fn log_lines_are_explained() {
    let peft = report("diffusers_lora_AB_metadata_r6a3_fp32.safetensors");
    let unmatched = report("kohya_with_unmatched_keys_fp16.safetensors");
    let check = |report: &Report, line: &str, loader: Option<&str>, path: Option<&str>, says: &str| {
        let found = explain_log(report, line).unwrap_or_else(|| panic!("{line} is not known"));
        assert_eq!((found.loader.as_deref(), found.path.as_deref()), (loader, path), "{line}");
        assert!(found.reason.contains(says), "{line}: {}", found.reason);
        assert!(!found.means.is_empty());
    };
    let q = "unet.down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q";
    check(&peft, &format!("lora key not loaded: {q}.lora_A.weight"), Some("comfyui"), Some(q), "48 of 176 layers");
    check(
        &unmatched,
        "2026-01-01 WARNING lora key not loaded: some_stray_tensor",
        Some("comfyui"),
        None,
        "so it is kept",
    );
    check(
        &unmatched,
        "lora key not loaded: lora_unet_of_another_file.alpha",
        Some("comfyui"),
        None,
        "about another file",
    );
    check(&peft, "[LORA] LoRA version mismatch for KModel: x.safetensors", Some("forge"), None, "the limit is 12");
    check(
        &peft,
        &format!("[WARN ] lora.hpp:1 - unused lora tensor |{q}.lora_A.weight|"),
        Some("stable_diffusion_cpp"),
        Some(q),
        "all 176",
    );
    check(
        &peft,
        "ERROR lora diffusion_model.input_blocks.1.1.transformer_blocks.0.attn1.to_q.weight shape '[320, 320]' is invalid for input of size 409600",
        Some("comfyui"),
        Some(q),
        "",
    );
    check(
        &unmatched,
        "ValueError: Invalid LoRA checkpoint. Make sure all LoRA param names contain `'lora'` substring.",
        Some("diffusers"),
        None,
        "some_stray_tensor",
    );
    check(
        &unmatched,
        "safetensors_rust.SafetensorError: Error while deserializing header: HeaderTooLarge",
        None,
        None,
        "",
    );
    assert_eq!(explain_log(&peft, "Total VRAM 24576 MB"), None);
}

/// `explain_log` recognizes every line that a verdict quotes.
#[test]
fn quoted_log_lines_are_explained() {
    let mut quoted = 0;
    for file in [
        "kohya_with_unmatched_keys_fp16.safetensors",
        "comfy_ldm_dotted_r3a3_fp16.safetensors",
        "diffusers_lora_AB_metadata_r6a3_fp32.safetensors",
        "lycoris_glora_r3a2_fp16.safetensors",
        "lycoris_lokr_t2_r2a1_fp16.safetensors",
        "old_diffusers_attn_procs_legacy_pickle.bin",
        "cloneofsimo_safeloras.safetensors",
    ] {
        let report = report(file);
        for verdict in &report.loaders {
            let Some(log) = &verdict.log else { continue };
            let found =
                explain_log(&report, log).unwrap_or_else(|| panic!("{file}, {}: {log} is not known", verdict.loader));
            assert_eq!(found.loader.as_deref(), Some(&*verdict.loader), "{file}: {log}");
            quoted += 1;
        }
    }
    assert!(quoted >= 20, "only {quoted} lines");
}

/// Half a pair is applied by no program: it is skipped, or an error refuses the file.
#[test]
fn half_a_pair_is_never_said_to_be_applied() {
    let layer = |number: usize| {
        let stem = format!("lora_unet_down_blocks_{number}_attentions_0_transformer_blocks_0_attn2_to_k");
        let width = 320 << number;
        [
            entry(&format!("{stem}.lora_up.weight"), &[width, 4]),
            entry(&format!("{stem}.lora_down.weight"), &[4, 768]),
            entry(&format!("{stem}.alpha"), &[]),
        ]
    };
    let whole = [layer(0), layer(1)].concat();
    let of = |lost: &str| {
        let kept: Vec<_> = whole.iter().filter(|(name, ..)| !name.contains(lost)).cloned().collect();
        block_on(inspect("made", &safetensors(&[], &kept), None, None))
    };
    assert_eq!(letters(&of("nothing")), "aaaaaaa");
    // ComfyUI and Forge look for `up`, and then read `down`.
    assert_eq!(letters(&of("down_blocks_1_attentions_0_transformer_blocks_0_attn2_to_k.lora_up")), "prprrpr");
    let report = of("down_blocks_1_attentions_0_transformer_blocks_0_attn2_to_k.lora_down");
    assert_eq!(letters(&report), "rrrrrpr");
    let log = verdict(&report, "comfyui").log.as_deref().expect("a log line");
    assert!(log.starts_with("KeyError: 'lora_unet_down_blocks_1_") && log.ends_with("lora_down.weight'"), "{log}");
}

/// Keys of no layer, as run with diffusers 0.42.1: the converters of some models refuse the file.
#[test]
fn stray_keys_are_refused_by_strict_converters() {
    let strict = ["klein4b__ai_toolkit__lora", "zimage__musubi__lora"];
    let cases = loader_cases::kept();
    for name in strict {
        let (_, file, _) = cases.iter().find(|(case, ..)| case == name).expect("a case");
        let header = block_on(inspect_header(name, file, None));
        assert_eq!(verdict(&header, "diffusers").status, LoaderStatus::Applied, "{name}");
        let strange = file.with_keys(|at, key| if at == 0 { "some.other.tensor".to_owned() } else { key.to_owned() });
        let report = block_on(inspect_header(name, &strange, None));
        assert_eq!(verdict(&report, "diffusers").status, LoaderStatus::Refused, "{name}");
    }
}
