//! Conversions: key formats, dtypes and alpha placement leave the weight changes as they are; layers are fused and
//! split, block strengths are baked in, and values out of range are reported.

use lora_loupe::adapters::{Algorithm, Delta, ModelFile, Part, fold_on_cpu};
use lora_loupe::analysis::{Relation, inspect_header};
use lora_loupe::edit::{
    AlphaPlace, ConvertOptions, EditError, EditInput, ModelSide, Opened, Strengths, Target, compare_files,
    convert_with_base, fixes,
};
use lora_loupe::formats::{Dtype, Header, TensorInfo};
use lora_loupe::model::spelling::Role;
use lora_loupe::num::{host_len, numel};
use lora_loupe_tests::base;
use lora_loupe_tests::containers::{Entry, entry, safetensors};
use lora_loupe_tests::edits::{bytes_of, changes, converted, corpus, distance, finished, open, same};
use lora_loupe_tests::golden::{self, bytes};
use pollster::block_on;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

/// Returns each changed tensor after folding into a base with the same weights for every file.
fn folded(opened: &Opened, strength: f32) -> BTreeMap<String, Vec<f32>> {
    let fold = |delta: &Delta| {
        let numbers = block_on(opened.read_factors(delta)).expect("factors");
        let shape = delta.change.shape();
        let base: Vec<f32> = (0..numel(&shape)).map(|i| ((i * 7919 % 83) as f32 - 41.0) / 64.0).collect();
        let padded_shape = [&shape[..], &[1, 1][..2 * usize::from(shape.len() == 2)]].concat();
        (delta.tensor(), fold_on_cpu(base, &padded_shape, &[(delta, &numbers, strength)]).expect("a fold"))
    };
    opened.adapter.deltas.iter().map(fold).collect()
}

/// Returns a file on the mini base, if the sizes of its layers do not follow from it.
pub(crate) fn sized(opened: Opened<'_>) -> Opened<'_> {
    if opened.adapter.deltas.iter().all(|delta| delta.change.is_sized()) {
        return opened;
    }
    let shapes = base::shapes();
    block_on(opened.on(ModelSide { name: "base", files: &[], shapes: &shapes })).expect("a file for the base")
}

/// Returns the elements of a base model with the mini base's layers.
fn base_elements(header: &Header) -> Vec<u8> {
    let len = header.tensors.iter().map(|tensor| tensor.bytes.end).max().expect("tensors") / 4;
    (0..len).flat_map(|i| (((i * 7919 % 83) as f32 - 41.0) / 64.0).to_le_bytes()).collect()
}

/// With the base model, changes that depend on its weights become LoRA; the error at a rank is as stated.
#[test]
fn changes_of_the_base_model_become_lora() {
    let (header, shapes) = (base::header(), base::shapes());
    let elements = base_elements(&header);
    let files = [ModelFile { component: None, source: &elements, header: &header }];
    let side = ModelSide { name: "base", files: &files, shapes: &shapes };
    let mut algorithms = BTreeSet::new();
    for (file, bytes, companion) in corpus() {
        let original = open(&file, &bytes, companion.as_deref());
        if !original.adapter.deltas.iter().any(|delta| delta.algorithm.needs_base()) {
            continue;
        }
        let original = block_on(original.on(side)).expect("a file for the base");
        for rank in [999, 3] {
            let options = ConvertOptions {
                to: Some(Target::Kohya),
                dtype: Some(Dtype::F32),
                as_lora: true,
                rank: Some(rank),
                drop: true,
                ..Default::default()
            };
            let conversion = block_on(convert_with_base(&original, &options, side)).expect("a plan");
            let mut out = Vec::new();
            let outcome = block_on(conversion.write(&mut out)).expect("a file");
            let out = finished(out, &outcome);
            let plain = open(&file, &out, None);
            let got = changes(&plain);
            for delta in original.adapter.deltas.iter().filter(|delta| delta.algorithm.needs_base()) {
                let what = format!("{file} at rank {rank}: {}", delta.tensor());
                let Some(got) = got.get(&delta.tensor()) else {
                    assert!(delta.part == Part::Bias, "{what} is missing");
                    continue;
                };
                let weight = header.get(&shapes.tensors[&delta.tensor()].1.key).expect("a tensor");
                let before = block_on(weight.read(&elements)).expect("elements");
                let factors = block_on(original.read_factors(delta)).expect("factors");
                let after = fold_on_cpu(before.clone(), &weight.shape, &[(delta, &factors, 1.0)]).expect("a fold");
                let want: Vec<f32> = after.iter().zip(&before).map(|(after, before)| after - before).collect();
                let (error, norm) = distance(&want, got);
                let kept =
                    &conversion.preview.rebuilt.iter().find(|row| row.kept.path == delta.path()).expect("a row").kept;
                assert!((error - kept.error).abs() <= 1e-4 * norm, "{what}: {error}, stated {} of {norm}", kept.error);
                assert!(rank < 999 || error <= 1e-4 * norm, "{what}: {error} of {norm}");
                algorithms.insert(delta.algorithm);
            }
        }
    }
    let all: BTreeSet<Algorithm> = Algorithm::ALL.iter().copied().filter(|algorithm| algorithm.needs_base()).collect();
    let untried: Vec<_> = all.difference(&algorithms).collect();
    assert_eq!(untried, [&Algorithm::Oft], "sd-scripts' OFT has no file in the corpus");
    let file = bytes_of("files/lycoris_diag_oft_b4_fp16.safetensors");
    let no_rank = ConvertOptions { as_lora: true, ..Default::default() };
    let oft = block_on(open("oft", &file, None).on(side)).expect("a file for the base");
    let refused = block_on(convert_with_base(&oft, &no_rank, side)).err();
    assert!(matches!(refused, Some(EditError::NeedsRank { .. })), "{refused:?}");
    // (IA)³ of PEFT changes biases too: these are no matrices, with or without the base model.
    let (file, companion) = ("files/peft_ia3/adapter_model.safetensors", "corpus/files/peft_ia3/adapter_config.json");
    let (bytes, config) = (bytes_of(file), golden::text(companion));
    let ia3 = block_on(open("ia3", &bytes, Some(&config)).on(side)).expect("a file for the base");
    let with_rank = ConvertOptions { rank: Some(4), ..no_rank };
    let refused = block_on(convert_with_base(&ia3, &with_rank, side)).err().map(|error| error.to_string());
    let refused = refused.expect("an error");
    assert!(refused.contains("even with the base model") && !refused.contains("this file alone"), "{refused}");
}

const TARGETS: [Target; 5] = [Target::Kohya, Target::Peft, Target::Diffusers, Target::Comfy, Target::Onetrainer];

/// Returns whether kohya's key format has names for all tensors of a layer; without, it becomes a LoRA if it can.
fn has_kohya_names(opened: &Opened, delta: &Delta) -> bool {
    let mut roles = opened.group(delta).into_iter().flat_map(|group| group.tensors.keys());
    roles.all(|&role| role == Role::Magnitude || Target::Kohya.holds(role))
}

/// Returns whether an adapter has layers that neither have kohya names nor become LoRAs.
fn is_only_peft(opened: &Opened) -> bool {
    let is_stuck = |delta: &Delta| !delta.algorithm.is_composed() && !has_kohya_names(opened, delta);
    opened.adapter.deltas.iter().any(is_stuck)
}

#[test]
fn conversions_keep_the_weight_changes() {
    let mut counts = BTreeMap::new();
    // SHiRA becomes a LoRA of full rank, for which the SVDs of layers of published sizes take minutes.
    for (file, bytes, companion) in corpus().into_iter().filter(|(file, ..)| !file.contains("shira")) {
        let original = sized(open(&file, &bytes, companion.as_deref()));
        let want = folded(&original, 1.0);
        for to in TARGETS {
            let places = [AlphaPlace::Usual, AlphaPlace::Kept, AlphaPlace::Baked];
            let count = if matches!(to, Target::Kohya | Target::Peft) { 3 } else { 1 };
            for alpha in places.into_iter().take(count) {
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
                    Err(EditError::Unsupported { .. }) if to != Target::Kohya || is_only_peft(&original) => {
                        continue;
                    }
                    Err(error) => panic!("{what}: {error}"),
                };
                let again = open(&what, &out, None);
                assert!(again.adapter.leftovers.is_empty(), "{what}: {:?}", again.adapter.leftovers);
                same(&what, &folded(&again, 1.0), &want, 2e-6);
                *counts.entry(to.name()).or_insert(0) += 1;
                if alpha != AlphaPlace::Usual || to == Target::Kohya {
                    continue;
                }
                let back = ConvertOptions { to: Some(Target::Kohya), dtype: Some(Dtype::F32), ..Default::default() };
                let (back, _) = converted(&again, &back).expect("a conversion back");
                same(&format!("{what} and back"), &folded(&open(&what, &back, None), 1.0), &want, 3e-6);
            }
        }
    }
    assert!(counts.values().all(|&count| count >= 13), "{counts:?}");
}

/// Layers of Stable Diffusion 1.x under sd-scripts' names: outputs, inputs, and the width of a kernel.
const LAYERS: [(&str, usize, usize, usize); 6] = [
    ("lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q", 320, 320, 0),
    ("lora_unet_down_blocks_0_attentions_1_transformer_blocks_0_attn2_to_k", 320, 768, 0),
    ("lora_unet_up_blocks_3_attentions_2_transformer_blocks_0_attn1_to_out_0", 320, 320, 0),
    ("lora_unet_down_blocks_0_attentions_0_proj_in", 320, 320, 1),
    ("lora_unet_down_blocks_0_resnets_0_conv1", 320, 320, 3),
    ("lora_te_text_model_encoder_layers_3_self_attn_v_proj", 768, 768, 0),
];

/// Returns the tensors of a change of a layer.
fn layer((stem, outputs, inputs, kernel): (&str, usize, usize, usize), algorithm: &str, rank: usize) -> Vec<Entry> {
    let (kernel, ones): (Vec<usize>, Vec<usize>) =
        if kernel == 0 { Default::default() } else { (vec![kernel; 2], vec![1; 2]) };
    let tensor =
        |ending: &str, shape: &[usize], kernel: &[usize]| entry(&format!("{stem}.{ending}"), &[shape, kernel].concat());
    let flat = inputs * host_len(numel(&kernel));
    let pair =
        [tensor("lora_up.weight", &[outputs, rank], &ones), tensor("lora_down.weight", &[rank, inputs], &kernel)];
    let alpha = (format!("{stem}.alpha"), vec![], vec![0.5]);
    match algorithm {
        "lora" => [&pair[..], &[alpha]].concat(),
        "dora" => [&pair[..], &[alpha, tensor("dora_scale", &[outputs, 1], &ones)]].concat(),
        "lokr" => vec![tensor("lokr_w1", &[4, 4], &[]), tensor("lokr_w2", &[outputs / 4, inputs / 4], &kernel), alpha],
        "diag_oft" => vec![tensor("oft_blocks", &[outputs / 4, 4, 4], &[])],
        _ => ["hada_w1", "hada_w2"]
            .iter()
            .flat_map(|side| {
                [tensor(&format!("{side}_a"), &[outputs, rank], &[]), tensor(&format!("{side}_b"), &[rank, flat], &[])]
            })
            .chain([alpha])
            .collect(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(40) })]

    /// Any adapter: no fix lowers the number of layers that a loader applies, and a conversion there and back keeps
    /// every weight change, or is refused by name.
    #[test]
    fn any_adapter_is_fixed_without_harm_and_converted_there_and_back(
        layers in prop::sample::subsequence(LAYERS.to_vec(), 1..=3),
        algorithms in prop::collection::vec(prop::sample::select(vec!["lora", "dora", "lokr", "loha", "diag_oft"]), 3),
        rank in 1usize..4,
        to in prop::sample::select(TARGETS.to_vec()),
    ) {
        let parts = layers.iter().zip(&algorithms).flat_map(|(&at, algorithm)| layer(at, algorithm, rank));
        let file = safetensors(&[], &parts.collect::<Vec<_>>());
        let report = block_on(inspect_header("made", &file, None));
        prop_assert_eq!(report.modules.len(), layers.len(), "{:?}", report.leftovers);
        for fix in block_on(fixes(&EditInput::file("made", &file, None), &report)).expect("fixes") {
            for effect in &fix.effect {
                prop_assert!(effect.lost == 0 && effect.before <= effect.after, "{}: {:?}", fix.title, effect);
            }
        }
        let original = open("made", &file, None);
        let want = folded(&original, 1.0);
        let options = ConvertOptions { to: Some(to), dtype: Some(Dtype::F32), rank: Some(999), ..Default::default() };
        let there = match converted(&original, &options) {
            Ok((there, _)) => there,
            Err(EditError::Unsupported { layer, .. }) => {
                let is_other = |delta: &&Delta| matches!(delta.algorithm, Algorithm::Dora | Algorithm::DiagOft);
                let named = original.adapter.deltas.iter().filter(is_other).any(|delta| delta.path() == layer);
                prop_assert!(named && to != Target::Kohya, "{layer} to {}", to.name());
                return Ok(());
            }
            Err(error) => return Err(TestCaseError::fail(error.to_string())),
        };
        let there = open("there", &there, None);
        same("there", &folded(&there, 1.0), &want, 1e-5);
        let back = ConvertOptions { to: Some(Target::Kohya), ..options };
        let (back, _) = converted(&there, &back).expect("a conversion back");
        same("back", &folded(&open("back", &back, None), 1.0), &want, 1e-5);
    }
}

#[test]
fn renaming_keys_keeps_every_value() {
    for (file, bytes, companion) in corpus() {
        let original = sized(open(&file, &bytes, companion.as_deref()));
        let out = match converted(&original, &ConvertOptions { to: Some(Target::Kohya), ..Default::default() }) {
            Ok((out, _)) => out,
            Err(EditError::Unsupported { .. }) if is_only_peft(&original) => continue,
            // SHiRA has full rank.
            Err(EditError::NeedsRank { algorithm: Algorithm::Shira, .. }) => continue,
            Err(error) => panic!("{file}: {error}"),
        };
        let reference = ::safetensors::SafeTensors::deserialize(&out).expect("a valid file");
        assert!(!reference.is_empty(), "{file}");
        let again = open(&file, &out, None);
        // Only adapter_config.json has the scales of PEFT's LoHa and LoKr, which become part of the factors.
        let is_baked = |delta: &Delta| {
            matches!(delta.algorithm, Algorithm::Loha | Algorithm::Lokr) && file.starts_with("files/peft_")
        };
        let keeps_factors = |delta: &Delta| (delta.alpha.is_some() || delta.scale == 1.0) && !is_baked(delta);
        for (a, b) in original.adapter.deltas.iter().zip(&again.adapter.deltas) {
            let b = if a.tensor() == b.tensor() {
                b
            } else {
                again.adapter.deltas.iter().find(|delta| delta.tensor() == a.tensor()).expect("the same layer")
            };
            if !keeps_factors(a) || !has_kohya_names(&original, a) {
                continue;
            }
            assert_eq!(a.algorithm, b.algorithm, "{file}");
            assert!((a.scale - b.scale).abs() <= 1e-6 * a.scale.abs(), "{file}: {} and {}", a.scale, b.scale);
            let (before, after) =
                (block_on(original.read_factors(a)).expect("a"), block_on(again.read_factors(b)).expect("b"));
            for (x, y) in a.change.factors().into_iter().zip(b.change.factors()) {
                assert_eq!(before[&x.key], after[&y.key], "{file}: {} and {}", x.key, y.key);
            }
        }
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
    assert!(matches!(refused, Err(EditError::NotLinear { .. })), "a scaled DoRA is not a DoRA");
}

#[test]
fn values_out_of_range_of_a_dtype_are_reported() {
    let metadata = BTreeMap::from([("format".to_owned(), "pt".to_owned())]);
    let stem = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q";
    let file = |up: f32, small: f32| {
        let mut at = 0;
        let mut tensor = |name: String, shape: Vec<usize>| {
            let start = at;
            at += 4 * numel(&shape);
            TensorInfo::contiguous(name, Dtype::F32, shape, start..at)
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
    assert!(error.contains("lora_up.weight` contains 70000"), "{error}");
    assert!(
        converted(&open("large", &large, None), &ConvertOptions { dtype: Some(Dtype::BF16), ..Default::default() })
            .is_ok()
    );
}

/// Returns a rank-2 LoRA for layers of Flux.1 at their real sizes, with small values.
fn flux(layers: &[(&str, usize, usize)], up: &str, down: &str) -> Vec<u8> {
    let mut at = 0;
    let mut tensors = Vec::new();
    let mut data = Vec::new();
    for (index, &(stem, outputs, inputs)) in layers.iter().enumerate() {
        for (name, shape) in [(format!("{stem}{up}"), vec![outputs, 2]), (format!("{stem}{down}"), vec![2, inputs])] {
            let count = host_len(numel(&shape));
            let start = at;
            at += 4 * count as u64;
            let number = |i: usize| ((i * (7919 + index)) % 97) as f32 / 97.0 - 0.5;
            data.extend((0..count).flat_map(|i| number(i + index).to_le_bytes()));
            tensors.push(TensorInfo::contiguous(name, Dtype::F32, shape, start..at));
        }
    }
    let mut bytes = Vec::new();
    Header::of(tensors, BTreeMap::new()).write(&mut bytes).expect("memory");
    [bytes, data].concat()
}

/// Returns the weight change of a layer, row by row.
fn change(opened: &Opened, tensor: &str) -> Vec<f32> {
    changes(opened).remove(tensor).unwrap_or_else(|| panic!("{} changes {tensor}", opened.file))
}

/// Returns the relation of two files, and in how many layers both have a change.
fn relation(a: &Opened, b: &Opened) -> (Relation, usize) {
    let comparison = block_on(compare_files(a, b)).expect("files of one family");
    (comparison.relation, comparison.layers.iter().filter(|row| row.cosine.is_some()).count())
}

#[test]
fn fused_layers_are_split_and_fused_without_loss() {
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
    let (split, _) = converted(&native, &exact(Target::Peft)).expect("diffusers keys");
    let parts = open("parts", &split, None);
    assert!(parts.adapter.leftovers.is_empty() && parts.adapter.deltas.len() == 5, "{:?}", parts.adapter.leftovers);
    let qkv = change(&native, "transformer.double_blocks.0.img_attn.qkv.weight");
    for (index, name) in ["q", "k", "v"].into_iter().enumerate() {
        let part = change(&parts, &format!("transformer.transformer_blocks.0.attn.to_{name}.weight"));
        assert_eq!(part, qkv[index * D * D..][..D * D], "{name}");
    }
    let last = change(&native, "transformer.norm_out.linear.weight");
    let swapped = change(&parts, "transformer.norm_out.linear.weight");
    assert_eq!(
        (&swapped[..D * D], &swapped[D * D..]),
        (&last[D * D..], &last[..D * D]),
        "diffusers stores scale before shift"
    );
    let (again, _) = converted(&parts, &exact(Target::Comfy)).expect("original keys");
    let again = open("again", &again, None);
    assert_eq!(changes(&again), changes(&native));
    assert!(
        again.adapter.deltas.iter().all(|delta| delta.change.rank() == Some(2)),
        "a shared lora_down is not duplicated"
    );

    let separate = flux(
        &[
            ("transformer.transformer_blocks.0.attn.to_q", D, D),
            ("transformer.transformer_blocks.0.attn.to_v", D, D),
            ("transformer.single_transformer_blocks.0.norm.linear", 3 * D, D),
        ],
        ".lora_B.weight",
        ".lora_A.weight",
    );
    let separate = open("separate", &separate, None);
    let (joined, _) = converted(&separate, &exact(Target::Kohya)).expect("original keys");
    let joined = open("joined", &joined, None);
    let ranks: Vec<Option<usize>> = joined.adapter.deltas.iter().map(|delta| delta.change.rank()).collect();
    assert_eq!(ranks, [Some(4), Some(2)], "two lora_down are stacked");
    let qkv = change(&joined, "transformer.double_blocks.0.img_attn.qkv.weight");
    assert_eq!(qkv[..D * D], change(&separate, "transformer.transformer_blocks.0.attn.to_q.weight"));
    assert!(qkv[D * D..2 * D * D].iter().all(|x| *x == 0.0), "to_k is missing");
    assert_eq!(qkv[2 * D * D..], change(&separate, "transformer.transformer_blocks.0.attn.to_v.weight"));
    assert!(matches!(joined.check_compatible(&separate), Err(EditError::OtherNaming { .. })));
    assert_eq!(relation(&native, &parts), (Relation::Same, 5));
    assert_eq!(relation(&parts, &native), (Relation::Same, 5));
    assert_eq!(relation(&joined, &separate), (Relation::Same, 3));
}

/// A layer with a LoRA, its alpha and the change of its bias, as ComfyUI's training node saves it: the alpha is written once,
/// and the file is read with every change.
#[test]
fn a_layer_with_a_lora_and_a_bias_has_one_alpha() {
    let stem = "diffusion_model.input_blocks.0.0";
    for alpha in [1.0, 2.0] {
        let file = safetensors(
            &[],
            &[
                entry(&format!("{stem}.lora_up.weight"), &[320, 2]),
                entry(&format!("{stem}.lora_down.weight"), &[2, 36]),
                entry(&format!("{stem}.diff_b"), &[320]),
                (format!("{stem}.alpha"), vec![], vec![alpha]),
            ],
        );
        let original = open("made", &file, None);
        assert_eq!(original.adapter.deltas.len(), 2);
        for to in [Some(Target::Kohya), Some(Target::Comfy), Some(Target::Onetrainer), None] {
            for alpha in [AlphaPlace::Usual, AlphaPlace::Baked] {
                let options = ConvertOptions { to, alpha, ..Default::default() };
                let (out, _) = converted(&original, &options).expect("a file");
                let again = open("written", &out, None);
                same(&format!("{to:?} {alpha:?}"), &changes(&again), &changes(&original), 1e-6);
                let keys = again.header.tensors.iter().filter(|tensor| tensor.name.ends_with(".alpha")).count();
                assert_eq!((keys, again.header.tensors.len()), (1, 4), "{to:?} {alpha:?}");
            }
        }
    }
}

/// The tensors of some algorithms show a part of a layer's size. If that part is not the published model's, the rest is
/// asked for and not guessed, and no norm is stated.
#[test]
fn sizes_that_the_file_contradicts_are_asked_for() {
    let options = ConvertOptions { to: Some(Target::Kohya), as_lora: true, rank: Some(999), ..Default::default() };
    let shapes = base::shapes();
    for name in ["peft_miss", "peft_vera", "peft_vera_seeded", "peft_shira"] {
        let (file, bytes, companion) =
            corpus().into_iter().find(|(file, ..)| file.contains(&format!("/{name}/"))).expect("a file");
        let original = open(&file, &bytes, companion.as_deref());
        assert!(original.adapter.deltas.iter().all(|delta| !delta.change.is_sized()), "{name}");
        assert!(matches!(converted(&original, &options), Err(EditError::SizeUnknown { .. })), "{name}");
        let side = ModelSide { name: "base", files: &[], shapes: &shapes };
        let original = block_on(original.on(side)).expect("a file for the base");
        assert!(converted(&original, &options).is_ok(), "{name} on its base model");
    }
}

/// A conversion writes what a mark says into the elements, since the mark is of one trainer.
#[test]
fn scaled_rotations_are_written_unscaled() {
    let bytes = bytes_of("files/onetrainer_oft2_scaled.safetensors");
    let original = open("scaled", &bytes, None);
    let options = ConvertOptions { dtype: Some(Dtype::F32), ..Default::default() };
    let (out, _) = converted(&original, &options).expect("the same keys");
    let result = open("unscaled", &out, None);
    assert!(result.header.tensors.iter().all(|tensor| !tensor.name.contains("scaled")));
    same("scaled", &folded(&result, 1.0), &folded(&original, 1.0), 1e-6);
}

/// ComfyUI's training node stores kernels as matrices, which other programs do not read.
#[test]
fn flattened_kernels_get_their_axes() {
    let file = "files/comfyui_training_lora.safetensors";
    let bytes = bytes_of(file);
    let opened = open(file, &bytes, None);
    for target in [Target::Peft, Target::Kohya] {
        let (out, _) =
            converted(&opened, &ConvertOptions { to: Some(target), ..ConvertOptions::default() }).expect(file);
        let header = open(file, &out, None).header.clone();
        let shape = |part: &str| {
            let is_part = |tensor: &&TensorInfo| tensor.name.contains("conv_in") && tensor.name.contains(part);
            header.tensors.iter().find(is_part).expect(part).shape.clone()
        };
        let (down, up) = if target == Target::Peft { ("lora_A", "lora_B") } else { ("lora_down", "lora_up") };
        assert_eq!((shape(down), shape(up)), (vec![4, 4, 3, 3], vec![16, 4, 1, 1]));
        same(file, &changes(&open(file, &out, None)), &changes(&opened), 1e-6);
    }
}
