//! The scale of files whose alpha is not a tensor: reports, image generation and edits agree on it for every container,
//! and refuse the file for the same reason if it cannot be read.

use lora_loupe::adapters::Delta;
use lora_loupe::analysis::{Relation, compare, inspect};
use lora_loupe::edit::{
    BakeEdit, ConvertOptions, Edit, EditError, EditInput, FixId, MergeEdit, MergeOptions, MergePart, Opened, Strengths,
    Target, apply, fixes,
};
use lora_loupe::formats::Header;
use lora_loupe::weights::{LoadedAdapter, TensorFile};
use lora_loupe_tests::base;
use lora_loupe_tests::containers::{entries, gguf, safetensors};
use lora_loupe_tests::edits::{F32, changes, open, same};
use lora_loupe_tests::golden::bytes;
use pollster::block_on;
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::rc::Rc;

/// Rank 6 and alpha 3 in all layers, stored in diffusers' metadata.
const FILE: &str = "corpus/files/diffusers_lora_AB_metadata_r6a3_fp32.safetensors";
const SCALE: f32 = 0.5;

/// A file and the text of the adapter_config.json next to it.
struct Variant {
    what: &'static str,
    bytes: Vec<u8>,
    sidecar: Option<&'static str>,
}

impl Variant {
    fn input(&self) -> EditInput<'_> {
        EditInput::file(self.what, &self.bytes, self.sidecar)
    }

    fn open(&self) -> Result<Opened<'_>, EditError> {
        block_on(Opened::new(self.what, &self.bytes, self.sidecar))
    }

    /// Loads the file as for image generation.
    fn load(&self) -> Result<LoadedAdapter, String> {
        let file = TensorFile::open(self.what.into(), Rc::new(self.bytes.clone()));
        let shapes = base::shapes();
        let (file, modules) = (block_on(file).expect("a header"), shapes.modules());
        block_on(LoadedAdapter::open("id".into(), file, self.sidecar, &modules)).map_err(|error| error.to_string())
    }

    /// Applies an edit to the file.
    fn edited(&self, edit: &Edit) -> Result<Vec<u8>, EditError> {
        written(edit, &[self.input()])
    }
}

fn written(edit: &Edit, inputs: &[EditInput]) -> Result<Vec<u8>, EditError> {
    let mut out = Vec::new();
    let edited = block_on(apply(edit, inputs, &mut out, &mut |_| ControlFlow::Continue(())))?;
    out[..edited.outcome.head.len()].copy_from_slice(&edited.outcome.head);
    Ok(out)
}

/// Returns the file in every container, with alpha in each supported location.
fn variants() -> Vec<Variant> {
    let original = bytes(FILE);
    let tensors = entries(&original);
    let header = block_on(Header::read(&original)).expect("a header");
    let metadata = header.metadata["lora_adapter_metadata"].as_str();
    let sidecar = Some(r#"{"peft_type": "LORA", "r": 6, "lora_alpha": 3}"#);
    let wrong = Some(r#"{"peft_type": "LORA", "r": 6, "lora_alpha": 60}"#);
    let of = |what, bytes, sidecar| Variant { what, bytes, sidecar };
    vec![
        of("metadata", safetensors(&[("lora_adapter_metadata", metadata)], &tensors), None),
        of(
            "metadata next to another file's config",
            safetensors(&[("lora_adapter_metadata", metadata)], &tensors),
            wrong,
        ),
        of("config", safetensors(&[], &tensors), sidecar),
        of("GGUF's key in safetensors", safetensors(&[("adapter.lora.alpha", "3")], &tensors), None),
        of("GGUF", gguf(3.0, &tensors), None),
        of("GGUF next to another file's config", gguf(3.0, &tensors), wrong),
    ]
}

fn scales(deltas: &[Delta]) -> Vec<f32> {
    let mut scales: Vec<f32> = deltas.iter().map(|delta| delta.scale).collect();
    scales.dedup();
    scales
}

#[test]
fn all_readers_use_the_same_scale() {
    let original = bytes(FILE);
    let first = open("original", &original, None);
    let want = changes(&first);
    for variant in variants() {
        let what = variant.what;
        let report = block_on(inspect(what, &variant.bytes, variant.sidecar, None));
        assert!(!report.modules.is_empty() && report.problems.is_empty(), "{what}: {:?}", report.problems);
        assert!(report.modules.iter().all(|row| row.scale == SCALE), "{what}: {}", report.modules[0].scale);
        let loaded = variant.load().unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_eq!(scales(&loaded.adapter.deltas), [SCALE], "{what}");
        let opened = variant.open().unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_eq!(scales(&opened.adapter.deltas), [SCALE], "{what}");
        same(what, &changes(&opened), &want, 0.0);
        let compared = block_on(compare(first.compared(), opened.compared())).expect("readable files");
        assert_eq!(compared.relation, Relation::Same, "{what}");
    }
}

/// Edited files have the scale of their input, with and without a config next to them.
#[test]
fn edits_keep_the_scale() {
    let original = bytes(FILE);
    let want = changes(&open("original", &original, None));
    let convert = |to| Edit::Convert(ConvertOptions { to, ..Default::default() });
    let part = MergePart { strength: 1.0, strengths: Strengths::default() };
    let options = MergeOptions { dtype: F32.dtype, ..Default::default() };
    let merge = Edit::Merge(MergeEdit { parts: vec![part], options });
    let edits = [
        convert(None),
        convert(Some(Target::Kohya)),
        convert(Some(Target::Peft)),
        Edit::Resize(F32),
        Edit::Resize(lora_loupe::edit::ResizeOptions { to: Some(Target::Peft), ..F32 }),
        merge,
        Edit::Export,
    ];
    for variant in variants() {
        let report = block_on(inspect(variant.what, &variant.bytes, variant.sidecar, None));
        let found = block_on(fixes(&variant.input(), &report)).expect("fixes");
        let harmless = |id: FixId| id.keeps_deltas();
        let found = found.into_iter().filter(|fix| harmless(fix.id)).map(|fix| fix.edit);
        for edit in edits.iter().cloned().chain(found) {
            let what = format!("{} after {edit:?}", variant.what);
            let out = variant.edited(&edit).unwrap_or_else(|error| panic!("{what}: {error}"));
            for sidecar in [None, variant.sidecar] {
                let after = open(&what, &out, sidecar);
                same(&format!("{what}, with {sidecar:?}"), &changes(&after), &want, 4e-6);
            }
        }
    }
}

#[test]
fn baking_uses_the_scale() {
    let header = base::header();
    let model = {
        let numbers = header.tensors.last().map_or(0, |tensor| tensor.bytes.end);
        let mut bytes = Vec::new();
        header.write(&mut bytes).expect("memory");
        bytes.resize(bytes.len() + numbers as usize, 0);
        bytes
    };
    let part = MergePart { strength: 1.0, strengths: Strengths::default() };
    let edit = Edit::Bake(BakeEdit { parts: vec![part] });
    let original = bytes(FILE);
    let want = changes(&open("original", &original, None));
    for variant in variants() {
        let inputs = [EditInput::file("model", &model, None), variant.input()];
        let out = written(&edit, &inputs).unwrap_or_else(|error| panic!("{}: {error}", variant.what));
        let numbers: BTreeMap<String, Vec<f32>> =
            entries(&out).into_iter().map(|(name, _, numbers)| (name, numbers)).collect();
        let got = want.keys().map(|name| (name.clone(), numbers[name].clone())).collect();
        same(variant.what, &got, &want, 4e-6);
    }
}

/// Without a readable config the scale is unknown, so no reader may assume one.
#[test]
fn an_unreadable_config_is_the_same_error_everywhere() {
    let tensors = entries(&bytes(FILE));
    let of = |what, bytes, sidecar| Variant { what, bytes, sidecar };
    let broken = [
        of("metadata", safetensors(&[("lora_adapter_metadata", "{")], &tensors), None),
        of("config", safetensors(&[], &tensors), Some("<html>")),
        of("not a number", safetensors(&[], &tensors), Some(r#"{"lora_alpha": "x"}"#)),
        of("injected fields", safetensors(&[("adapter.lora.alpha", r#"3, "use_rslora": true"#)], &tensors), None),
        of("GGUF's key", gguf(f32::NAN, &tensors), None),
    ];
    for variant in broken {
        let what = variant.what;
        let report = block_on(inspect(what, &variant.bytes, variant.sidecar, None));
        let classes: Vec<&str> = report.problems.iter().map(|problem| problem.class.name()).collect();
        assert_eq!(classes, ["bad_config"], "{what}: {:?}", report.problems);
        assert!(report.is_refused(), "{what}");
        let sentence = report.problems[0].message.trim_end_matches('.');
        let sentence = &sentence[1..]; // skips the capital letter
        assert!(sentence.contains("the scale of the adapter is unknown"), "{sentence}");
        let part = MergePart { strength: 1.0, strengths: Strengths::default() };
        let edits = [
            Edit::Convert(ConvertOptions::default()),
            Edit::Resize(F32),
            Edit::Merge(MergeEdit { parts: vec![part], options: MergeOptions::default() }),
            Edit::Export,
        ];
        let errors = edits.iter().map(|edit| variant.edited(edit).expect_err(what).to_string());
        let errors = errors.chain([variant.open().err().expect(what).to_string(), variant.load().err().expect(what)]);
        for error in errors {
            assert!(error.contains(sentence), "{what}: {error}, and the report says {sentence}");
        }
    }
}
