//! Fixes never harm: each loader still applies every layer that it applied, something gets better, and the weight
//! changes stay as they are. Unknown keys stay unless they provably change nothing.

use lora_loupe::analysis::{
    LoaderEffect, LoaderStatus, ProblemClass, Report, effects, harms_others, inspect, inspect_header,
};
use lora_loupe::edit::{ConvertOptions, Edit, EditInput, Fix, FixId, Target, apply, fixes};
use lora_loupe::formats::{ByteSource, Header, read_header};
use lora_loupe::model::spelling::{Role, split};
use lora_loupe::num::{host_len, numel};
use lora_loupe_tests::containers::{Entry, entry, safetensors};
use lora_loupe_tests::edits::{changes, converted, open, same};
use lora_loupe_tests::golden;
use lora_loupe_tests::loader_cases::{self, CaseFile};
use pollster::block_on;
use proptest::prelude::*;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::sync::LazyLock;

fn offered(name: &str, file: &dyn ByteSource, config: Option<&str>, report: &Report) -> Vec<Fix> {
    block_on(fixes(&EditInput::file(name, file, config), report)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// Returns the file that a fix writes.
fn fixed(name: &str, file: &dyn ByteSource, config: Option<&str>, fix: &Fix) -> Vec<u8> {
    let mut out = Vec::new();
    let inputs = [EditInput::file(name, file, config)];
    let edited = block_on(apply(&fix.edit, &inputs, &mut out, &mut |_| ControlFlow::Continue(())));
    let edited = edited.unwrap_or_else(|error| panic!("{name}: {}: {error}", fix.title));
    out[..edited.outcome.head.len()].copy_from_slice(&edited.outcome.head);
    out
}

/// Checks the promise of a fix: no loader loses a layer, and some loader gains one, or a problem is gone, or it is one of
/// the fixes whose use is neither.
#[track_caller]
fn check_promise(what: &str, fix: &Fix) {
    for LoaderEffect { loader, before, after, total, lost, .. } in &fix.effect {
        assert!(*lost == 0 && before <= after && after <= total, "{what}: {loader}: {before} -> {after} of {total}");
    }
    let gains = fix.effect.iter().any(|effect| effect.after > effect.before) || !fix.problems.is_empty();
    let advice = [
        FixId::Safetensors,
        FixId::BakeAlpha,
        FixId::Blocks40,
        FixId::Blocks52,
        FixId::AsF16,
        FixId::AsF32,
        FixId::Smaller,
        FixId::UsualStrength,
    ];
    assert!(gains || advice.contains(&fix.id), "{what}: nothing is better");
}

/// Returns whether a fix moves layers, so that its effect is on the original's layers where they are then.
fn moves_blocks(fix: &Fix) -> bool {
    matches!(fix.id, FixId::Blocks40 | FixId::Blocks52)
}

/// Returns every file of the corpus and of the hostile set, with the config next to it.
fn files() -> Vec<(String, Vec<u8>, Option<String>)> {
    let mut folders = vec![golden::path("corpus/files"), golden::path("hostile")];
    let mut list = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder").flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let config = std::fs::read_to_string(folder.join("adapter_config.json")).ok();
            list.push((path.display().to_string(), std::fs::read(&path).expect("a file"), config));
        }
    }
    list.sort();
    list
}

/// Largest difference of a weight change by rounding the factors to bf16, as a share of its norm.
const ROUNDING: f64 = 1.0 / 128.0;

#[test]
fn fixes_keep_what_loaders_apply() {
    let (mut ids, mut gained) = (BTreeSet::new(), 0);
    for (name, file, config) in files() {
        let report = block_on(inspect(&name, &file, config.as_deref(), None));
        for fix in offered(&name, &file, config.as_deref(), &report) {
            let what = format!("{name}: {}", fix.title);
            check_promise(&what, &fix);
            let out = fixed(&name, &file, config.as_deref(), &fix);
            let after = block_on(inspect(&name, &out, None, None));
            assert!(moves_blocks(&fix) || effects(&report, &after) == fix.effect, "{what}");
            gained += fix.effect.iter().filter(|effect| effect.after > effect.before).count();
            if fix.id.keeps_deltas()
                && report.container != lora_loupe::analysis::Container::Zip
                && !fix.effect.is_empty()
            {
                let (before, after) = (open(&name, &file, config.as_deref()), open(&name, &out, None));
                same(&what, &changes(&after), &changes(&before), ROUNDING);
            }
            ids.insert(fix.id);
        }
    }
    assert!(gained > 10 && ids.len() > 6, "{gained} {ids:?}");
}

/// Sizes of files that are edited for real: large enough for a transformer's block, small enough for memory.
const EDITED: u64 = 24 << 20;

#[test]
fn fixes_of_real_shapes_keep_what_loaders_apply() {
    let (mut ids, mut written, mut gained) = (BTreeSet::new(), 0, 0);
    for (name, file, _) in loader_cases::kept() {
        let report = block_on(inspect_header(&name, &file, file.config.as_deref()));
        for fix in offered(&name, &file, file.config.as_deref(), &report) {
            let what = format!("{name}: {}", fix.title);
            check_promise(&what, &fix);
            gained += fix.effect.iter().filter(|effect| effect.after > effect.before).count();
            ids.insert(fix.id);
            if file.len() < EDITED && fix.id.keeps_deltas() {
                let out = fixed(&name, &file, file.config.as_deref(), &fix);
                let after = block_on(inspect_header(&name, &out, None));
                assert_eq!(effects(&report, &after), fix.effect, "{what}");
                assert!(!harms_others(&report, &after), "{what}");
                written += 1;
            }
        }
    }
    assert!(gained > 50 && written > 5 && ids.len() > 4, "{gained} {written} {ids:?}");
}

/// A file that fits two networks is not fixed for one of them at the cost of the other.
#[test]
fn a_fix_harms_under_no_reading_of_a_file() {
    let (name, file, _) = CASES.iter().find(|(name, ..)| name == "flux1__kohya_no_header__lora").expect("a case");
    let report = block_on(inspect_header(name, file, None));
    assert_eq!(report.applied.others.len(), 1, "{:?}", report.base);
    assert!(!harms_others(&report, &report));
    let damaged = file.with_keys(|_, key| key.replace("double_blocks_0_", "double_blocks_99_"));
    assert!(harms_others(&report, &block_on(inspect_header(name, &damaged, None))));
    let claimed = file.with_header(|header| {
        header.insert("__metadata__".into(), json!({"ss_base_model_version": "flux1"}));
    });
    assert!(harms_others(&report, &block_on(inspect_header(name, &claimed, None))), "the other reading is gone");
}

/// A change of one header.
#[derive(Debug, Clone)]
enum Mutation {
    /// Every n-th key, from one on, addresses nothing.
    Break { every: usize, first: usize },
    /// Every n-th tensor is none of an adapter.
    Replace { every: usize, first: usize },
    /// The first letters of every key are others.
    Prefix(&'static str),
    /// Every n-th tensor has its axes in reverse order.
    Transpose { every: usize },
    /// The header names another model.
    Claim(&'static str),
}

fn mutation() -> impl Strategy<Value = Mutation> {
    let step = || (1usize..40, 0usize..40);
    prop_oneof![
        step().prop_map(|(every, first)| Mutation::Break { every, first }),
        step().prop_map(|(every, first)| Mutation::Replace { every, first }),
        prop::sample::select(vec!["", "lora_unet_", "transformer.", "diffusion_model.", "base_model.model.", "x."])
            .prop_map(Mutation::Prefix),
        (1usize..40).prop_map(|every| Mutation::Transpose { every }),
        prop::sample::select(vec!["sdxl_base_v1-0", "flux1", "wan", "nothing", ""]).prop_map(Mutation::Claim),
    ]
}

fn mutate(header: &mut Map<String, Value>, mutation: &Mutation) {
    let hits = |at: usize, every: usize, first: usize| at >= first && (at - first).is_multiple_of(every);
    if let Mutation::Claim(text) = mutation {
        header.insert("__metadata__".into(), json!({"ss_base_model_version": text}));
        return;
    }
    let (metadata, tensors): (Map<_, _>, Map<_, _>) =
        std::mem::take(header).into_iter().partition(|(key, _)| key == "__metadata__");
    header.extend(metadata);
    for (at, (key, mut info)) in tensors.into_iter().enumerate() {
        let key = match mutation {
            Mutation::Break { every, first } if hits(at, *every, *first) => format!("{key}.nowhere"),
            Mutation::Replace { every, first } if hits(at, *every, *first) => format!("unrelated.{at}"),
            Mutation::Prefix(prefix) => {
                let rest = ["lora_unet_", "transformer.", "diffusion_model."].iter().find_map(|p| key.strip_prefix(p));
                rest.map_or(key.clone(), |rest| format!("{prefix}{rest}"))
            }
            _ => key,
        };
        if let Mutation::Transpose { every } = mutation
            && hits(at, *every, 0)
            && let Some(shape) = info["shape"].as_array_mut()
        {
            shape.reverse();
        }
        header.insert(key, info);
    }
}

/// Returns the number of layers that have both tensors of a pair, or a change of another kind.
fn whole_layers(header: &Header) -> usize {
    let mut roles: BTreeMap<&str, BTreeSet<Role>> = BTreeMap::new();
    for tensor in header.tensors.iter().filter(|tensor| !tensor.name.ends_with(".nowhere")) {
        if let Some((stem, suffix)) = split(&tensor.name) {
            roles.entry(stem).or_default().insert(suffix.role);
        }
    }
    roles.values().filter(|roles| roles.contains(&Role::Up) == roles.contains(&Role::Down)).count()
}

static CASES: LazyLock<Vec<(String, CaseFile, Value)>> = LazyLock::new(loader_cases::kept);

/// Programs and families of which they refused several files and loaded none.
static REFUSED: LazyLock<BTreeSet<(String, String)>> = LazyLock::new(|| {
    let mut runs: BTreeMap<(String, String), Vec<bool>> = BTreeMap::new();
    for (_, _, truth) in CASES.iter() {
        for (loader, run) in truth["loaders"].as_object().into_iter().flatten() {
            let key = (loader.clone(), truth["family"].to_string());
            runs.entry(key).or_default().push(run["status"] == "refused");
        }
    }
    let all = runs.into_iter().filter(|(_, refused)| refused.len() > 2 && refused.iter().all(|refused| *refused));
    all.map(|(key, _)| key).collect()
});

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    /// Damaged headers of real shapes: nothing panics, a verdict "applied" means all layers, no loader applies more layers
    /// than the file has with whole pairs, and none more than the program itself applied before the damage, unless the keys
    /// have other prefixes since, or the damage took away what had stopped the program (mutants.rs has runs of such files).
    #[test]
    fn mutated_headers_get_honest_verdicts(
        at in any::<prop::sample::Index>(),
        mutations in prop::collection::vec(mutation(), 1..4),
        with_fixes in prop::bool::weighted(0.05),
    ) {
        let (name, file, truth) = &CASES[at.index(CASES.len())];
        let changed = file.with_header(|header| mutations.iter().for_each(|mutation| mutate(header, mutation)));
        let report = block_on(inspect_header(name, &changed, file.config.as_deref()));
        let layers = block_on(read_header(&changed)).map_or(0, |header| whole_layers(&header));
        let is_renamed = mutations.iter().any(|mutation| matches!(mutation, Mutation::Prefix(_)));
        let is_compared = !is_renamed && truth["family"] == report.base.family;
        for verdict in &report.loaders {
            let whole = verdict.applied == verdict.total && verdict.total > 0;
            prop_assert!(verdict.applied <= verdict.total && verdict.applied <= layers, "{name}: {verdict:?}");
            prop_assert_eq!(verdict.status == LoaderStatus::Applied, whole, "{}: {:?}", name, verdict);
            let run = &truth["loaders"][&verdict.loader];
            // What a program refuses may be gone with the damaged keys, unless it refuses all files for the network.
            let is_firm = run["status"] != "refused" || REFUSED.contains(&(verdict.loader.clone(), truth["family"].to_string()));
            let seen = run["applied"].as_u64().map(host_len).filter(|_| is_compared && is_firm);
            let is_less = seen.is_none_or(|seen| verdict.applied <= seen);
            prop_assert!(is_less, "{} after {:?}: {:?}, {:?} were seen", name, mutations, verdict, seen);
        }
        if with_fixes {
            for fix in offered(name, &changed, file.config.as_deref(), &report) {
                check_promise(&format!("{name} after {mutations:?}: {}", fix.title), &fix);
            }
        }
    }
}

const STEM: &str = "lora_unet_mid_block_attentions_0_transformer_blocks_0_attn1_to_q";
const AGAIN: &str = "unet.mid_block.attentions.0.transformer_blocks.0.attn1.to_q";

/// Returns a file with the LoRA of one layer and these tensors.
fn with(more: &[Entry]) -> Vec<u8> {
    let pair =
        [entry(&format!("{STEM}.lora_up.weight"), &[32, 2]), entry(&format!("{STEM}.lora_down.weight"), &[2, 32])];
    safetensors(&[], &[&pair, more].concat())
}

/// Returns the keys that a fix removes from a file.
fn removed(file: &Vec<u8>) -> Vec<String> {
    let report = block_on(inspect("made", file, None, None));
    let list = offered("made", file, None, &report);
    let removal = list.iter().find(|fix| matches!(fix.id, FixId::RemoveBroken | FixId::RemoveStrays));
    let Some(Fix { edit: Edit::Convert(ConvertOptions { without_keys, .. }), .. }) = removal else { return Vec::new() };
    without_keys.clone()
}

#[test]
fn only_keys_that_change_nothing_are_removed() {
    let zeros = |name: &str, shape: &[usize]| (name.to_owned(), shape.to_vec(), vec![0.0; host_len(numel(shape))]);
    let check = |what: &str, more: &[Entry], gone: bool| {
        let keys: BTreeSet<String> = removed(&with(more)).into_iter().collect();
        let expect: BTreeSet<String> = more.iter().filter(|_| gone).map(|(name, ..)| name.clone()).collect();
        assert_eq!(keys, expect, "{what}");
    };
    let copy = |from: &str, to: &str| {
        let (_, shape, values) = entry(from, if from.contains("up") { &[32, 2] } else { &[2, 32] });
        (to.to_owned(), shape, values)
    };
    let up = copy(&format!("{STEM}.lora_up.weight"), &format!("{AGAIN}.lora.up.weight"));
    let down = copy(&format!("{STEM}.lora_down.weight"), &format!("{AGAIN}.lora.down.weight"));
    let mut other = down.clone();
    other.2[5] += 1.0;
    check("an unknown tensor may be trained", &[entry("some_tensor", &[3])], false);
    check("zeros", &[zeros("some_tensor", &[3])], true);
    check("an empty tensor may be a mark", &[zeros("v_pred", &[0])], false);
    check("an optimizer's moments", &[entry("state.0.exp_avg", &[3])], true);
    check("a scale of nothing", &[entry("lora_unet_nowhere.alpha", &[])], true);
    check("a layer that the model lacks", &[entry("lora_unet_nowhere.lora_up.weight", &[4, 1])], false);
    check("an untrained layer", &[zeros("lora_unet_nowhere.lora_up.weight", &[4, 1])], true);
    check("a copy of a layer", &[up.clone(), down], true);
    check("another change of a layer", &[up, other], false);
    let half = entry("lora_unet_mid_block_attentions_0_proj_in.lora_up.weight", &[32, 2]);
    check("half of a pair changes something in diffusers", std::slice::from_ref(&half), false);
    let broken = with(&[half]);
    let report = block_on(inspect("made", &broken, None, None));
    let list = offered("made", &broken, None, &report);
    let fix = list.iter().find(|fix| fix.id == FixId::RemoveHalves).expect("a fix");
    check_promise("half of a pair", fix);
    let gained = fix.effect.iter().find(|effect| effect.loader == "a1111").map(|effect| (effect.before, effect.after));
    assert_eq!(gained, Some((0, 1)), "A1111 refuses half a pair");
    let mended = fixed("made", &broken, None, fix);
    same("half of a pair", &changes(&open("made", &mended, None)), &changes(&open("made", &with(&[]), None)), 0.0);
    assert_eq!(block_on(read_header(&mended)).expect("a file").tensors.len(), 2);
}

/// Only the values that name another model are replaced.
#[test]
fn header_values_stay_unless_the_layers_disprove_them() {
    let (_, case, _) = CASES.iter().find(|(_, _, truth)| truth["family"] == "flux1").expect("a case of Flux.1");
    let claims = |words: Value| case.with_header(|header| header["__metadata__"] = words);
    let set = |file: &CaseFile| {
        let report = block_on(inspect_header("made", file, None));
        let is_wrong = report.problems.iter().any(|problem| problem.class == ProblemClass::WrongHeader);
        let list = offered("made", file, None, &report);
        let edit = list.iter().find(|fix| fix.id == FixId::RightHeader).map(|fix| fix.edit.clone());
        let Some(Edit::Metadata(edit)) = edit else { return (is_wrong, Vec::new()) };
        (is_wrong, edit.set.into_iter().map(|(key, _)| key).collect::<Vec<String>>())
    };
    let mixed = json!({"ss_base_model_version": "sdxl_base_v1-0", "modelspec.architecture": "flux-1-schnell/lora"});
    assert_eq!(set(&claims(mixed)), (true, vec!["ss_base_model_version".to_owned()]));
    assert_eq!(set(&claims(json!({"modelspec.architecture": "flux-1-schnell/lora"}))), (false, vec![]));
    assert_eq!(set(&claims(json!({"ss_base_model_version": "novelty"}))), (false, vec![]));
}

/// Fused and split layers of Z-Image: there and back, every weight change is kept.
#[test]
fn split_layers_are_fused_and_split_again() {
    let pair = |stem: &str, outputs: usize, inputs: usize| {
        [entry(&format!("{stem}.lora_A.weight"), &[2, inputs]), entry(&format!("{stem}.lora_B.weight"), &[outputs, 2])]
    };
    let parts =
        ["to_q", "to_k", "to_v"].map(|part| pair(&format!("diffusion_model.layers.0.attention.{part}"), 3840, 3840));
    let more = pair("diffusion_model.layers.0.feed_forward.w1", 10240, 3840);
    let file = safetensors(&[], &[parts.concat(), more.into()].concat());
    let split = open("split", &file, None);
    assert_eq!(split.model, "z_image");
    let to = |target| ConvertOptions { to: Some(target), ..ConvertOptions::default() };
    let (fused, _) = converted(&split, &to(Target::Comfy)).expect("fused layers");
    let fused = open("fused", &fused, None);
    assert_eq!(fused.adapter.deltas.len(), 2);
    let (back, _) = converted(&fused, &to(Target::Peft)).expect("split layers");
    same("back", &changes(&open("back", &back, None)), &changes(&split), 1e-6);
}

/// LoKr of a fused layer as split LoRAs at a chosen rank, with the error.
#[test]
fn lokr_of_a_fused_layer_becomes_lora_at_a_rank() {
    let stem = "lora_unet_layers_0_attention_qkv";
    let file = safetensors(
        &[],
        &[
            entry(&format!("{stem}.lokr_w1"), &[48, 48]),
            entry(&format!("{stem}.lokr_w2"), &[240, 80]),
            entry(&format!("{stem}.alpha"), &[]),
        ],
    );
    let fused = open("fused", &file, None);
    assert_eq!((&*fused.model, fused.adapter.deltas.len()), ("z_image", 1));
    let options = ConvertOptions { to: Some(Target::Peft), as_lora: true, rank: Some(4), ..ConvertOptions::default() };
    let planned = block_on(lora_loupe::edit::convert(&fused, &options)).expect("a plan");
    assert_eq!(planned.preview.rebuilt.len(), 3);
    assert!(planned.preview.rebuilt.iter().all(|row| row.kept.rank == 4 && !row.exact && row.kept.energy < 1.0));
    let exact = ConvertOptions { rank: None, ..options };
    let exact = block_on(lora_loupe::edit::convert(&fused, &exact)).expect("a plan");
    assert!(
        exact.preview.rebuilt.iter().all(|row| row.kept.rank == 16 * 80 && row.exact),
        "without a rank it is exact"
    );
}

/// Returns the stated model, the ids of the fixes, and the file that the fix with this id writes, if it is offered.
fn fixed_by(file: &Vec<u8>, id: FixId) -> (String, Vec<FixId>, Option<Vec<u8>>) {
    let report = block_on(inspect("made", file, None, None));
    let list = offered("made", file, None, &report);
    let fix = list.iter().find(|fix| fix.id == id);
    if let Some(fix) = fix {
        check_promise(id.name(), fix);
        assert!(fix.effect.iter().all(|effect| effect.before == effect.after), "{:?}", fix.effect);
    }
    let out = fix.map(|fix| fixed("made", file, None, fix));
    (report.base.label, list.iter().map(|fix| fix.id).collect(), out)
}

/// The changes of a file by the block that they are in.
fn by_block(file: &Vec<u8>) -> Vec<(usize, Vec<f32>)> {
    let number = |path: &str| path.split('.').find_map(|part| part.parse::<usize>().ok()).expect("a block");
    let mut list: Vec<_> = changes(&open("made", file, None)).into_iter().map(|(path, x)| (number(&path), x)).collect();
    list.sort_by_key(|(number, _)| *number);
    list
}

/// A LoRA for Anima at its blocks in Anima 2.9B and 3.8B, which have inserted ones.
#[test]
fn blocks_of_anima_move_to_the_deeper_models() {
    let anima = |blocks: std::ops::Range<usize>, stem: &dyn Fn(usize) -> String, [down, up]: [&str; 2]| {
        let entries = blocks.flat_map(|block| {
            let (mut up, down) = (
                entry(&format!("{}{up}", stem(block)), &[2048, 1]),
                entry(&format!("{}{down}", stem(block)), &[1, 2048]),
            );
            up.2[0] = block as f32;
            [down, up]
        });
        let adapter = entry("diffusion_model.llm_adapter.blocks.2.self_attn.q_proj.lora_A.weight", &[1, 1024]);
        let more = [adapter, entry("diffusion_model.llm_adapter.blocks.2.self_attn.q_proj.lora_B.weight", &[1024, 1])];
        safetensors(&[("ss_base_model_version", "anima")], &entries.chain(more).collect::<Vec<_>>())
    };
    let kohya = |block: usize| format!("lora_unet_blocks_{block}_self_attn_q_proj");
    let comfy = |block: usize| format!("diffusion_model.blocks.{block}.self_attn.q_proj");
    let files = [
        anima(0..28, &kohya, [".lora_down.weight", ".lora_up.weight"]),
        anima(0..28, &comfy, [".lora_A.weight", ".lora_B.weight"]),
    ];
    for file in &files {
        let before = by_block(file);
        let (label, ids, deeper) = fixed_by(file, FixId::Blocks40);
        assert_eq!(label, "Anima");
        assert!(ids.contains(&FixId::Blocks52), "{ids:?}");
        let deeper = deeper.expect("a fix");
        let after = by_block(&deeper);
        let moved: Vec<usize> = after.iter().map(|(block, _)| *block).filter(|block| *block != 2).collect();
        // Block 2 of the text adapter stays.
        let expect =
            [0, 1, 3, 4, 6, 7, 9, 10, 12, 13, 15, 16, 18, 19, 20, 22, 23, 25, 26, 28, 29, 31, 32, 34, 35, 37, 38, 39];
        assert_eq!(moved, expect);
        let of_network = |list: &[(usize, Vec<f32>)]| -> Vec<Vec<f32>> {
            list.iter().map(|(_, change)| change.clone()).filter(|change| change.len() == 2048 * 2048).collect()
        };
        assert!(of_network(&before) == of_network(&after), "other changes than before");
        let (label, ids, _) = fixed_by(&deeper, FixId::Blocks52);
        assert_eq!(label, "Anima with 40 blocks");
        assert!(!ids.contains(&FixId::Blocks40) && ids.contains(&FixId::Blocks52), "{ids:?}");
        let (_, _, deepest) = fixed_by(file, FixId::Blocks52);
        let deepest = deepest.expect("a fix");
        let (label, ids, _) = fixed_by(&deepest, FixId::Blocks52);
        assert_eq!(
            (label.as_str(), ids.iter().any(|id| id.name().starts_with("blocks"))),
            ("Anima with 52 blocks", false)
        );
        assert_eq!(by_block(&deepest).iter().filter(|(block, _)| *block != 2).count(), 28);
    }
    // How many blocks its model has is unknown.
    let few = anima(0..5, &kohya, [".lora_down.weight", ".lora_up.weight"]);
    let (_, ids, _) = fixed_by(&few, FixId::Blocks40);
    assert!(!ids.contains(&FixId::Blocks40), "{ids:?}");
}

/// SimpleTuner's fused queries, keys and values of Krea 2 and Flux.1 are split for programs that know the parts only.
#[test]
fn queries_keys_and_values_that_a_trainer_fused_are_split() {
    let pair = |stem: &str, outputs: usize, inputs: usize| {
        [entry(&format!("{stem}.lora_A.weight"), &[2, inputs]), entry(&format!("{stem}.lora_B.weight"), &[outputs, 2])]
    };
    let krea = |prefix: &str| {
        let blocks = (0..2).flat_map(|at| pair(&format!("{prefix}transformer_blocks.{at}.attn.to_qkv"), 9216, 6144));
        let text = pair(&format!("{prefix}text_fusion.refiner_blocks.0.attn.to_qkv"), 7680, 2560);
        safetensors(&[], &blocks.chain(text).collect::<Vec<_>>())
    };
    let file = krea("transformer.");
    let report = block_on(inspect("made", &file, None, None));
    assert_eq!(report.base.family, "krea2");
    let applied = |report: &Report, loader: &str| {
        report.loaders.iter().find(|verdict| verdict.loader == loader).map(|verdict| verdict.applied)
    };
    assert_eq!((applied(&report, "comfyui"), applied(&report, "diffusers")), (Some(0), Some(0)));
    let list = offered("made", &file, None, &report);
    let gained: BTreeSet<&str> = list
        .iter()
        .flat_map(|fix| &fix.effect)
        .filter(|effect| effect.after == effect.total && effect.before < effect.total)
        .map(|effect| effect.loader.as_str())
        .collect();
    assert!(gained.contains("comfyui") && gained.contains("diffusers"), "{gained:?}");
    let fused = open("fused", &file, None);
    let whole = changes(&fused);
    let rows = |path: &str, at: std::ops::Range<usize>, columns: usize| {
        whole[path][at.start * columns..at.end * columns].to_vec()
    };
    for target in [Target::Comfy, Target::Peft, Target::Kohya] {
        let options = ConvertOptions { to: Some(target), ..ConvertOptions::default() };
        let (split, _) = converted(&fused, &options).expect("split layers");
        let got = changes(&open("split", &split, None));
        assert_eq!(got.len(), 9, "{target:?}: {:?}", got.keys());
        let whole = "transformer.transformer_blocks.1.attn.to_qkv.weight";
        let part = |name: &str| &got[&format!("transformer.transformer_blocks.1.attn.{name}.weight")];
        assert!(*part("to_q") == rows(whole, 0..6144, 6144), "{target:?}");
        assert!(*part("to_k") == rows(whole, 6144..7680, 6144), "{target:?}");
        assert!(*part("to_v") == rows(whole, 7680..9216, 6144), "{target:?}");
    }
    let flux = [("ss_base_model_version", "flux1")];
    let flux = safetensors(&flux, &pair("transformer.transformer_blocks.0.attn.to_qkv", 9216, 3072));
    let flux = open("flux", &flux, None);
    assert_eq!(flux.model, "flux1");
    for (target, layers) in [(Target::Peft, 3), (Target::Comfy, 1)] {
        let options = ConvertOptions { to: Some(target), ..ConvertOptions::default() };
        let (file, _) = converted(&flux, &options).expect("a file");
        let got = open("converted", &file, None);
        assert_eq!(got.adapter.deltas.len(), layers, "{target:?}");
        let order = |name: &str| ["to_q", "to_k", "to_v"].iter().position(|part| name.contains(part));
        let mut parts: Vec<_> = changes(&got).into_iter().collect();
        parts.sort_by_key(|(name, _)| order(name));
        let joined: Vec<f32> = parts.into_iter().flat_map(|(_, part)| part).collect();
        assert!(joined == changes(&flux).into_values().flatten().collect::<Vec<f32>>(), "{target:?}");
    }
}
