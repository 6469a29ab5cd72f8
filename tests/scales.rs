//! The scale of a file whose alpha is no tensor: the report, the picture and every edit take it from the
//! same place, whatever the container, and stop for the same reason where it cannot be read.

#[path = "corpus/base.rs"]
mod base;

use lora_loupe::adapters::Delta;
use lora_loupe::analysis::{Relation, compare, inspect};
use lora_loupe::edit::{
    BakeEdit, ConvertOptions, Edit, EditError, EditInput, MergeEdit, MergeOptions, MergePart, Opened, Strengths,
    Target, apply, fixes,
};
use lora_loupe::formats::Header;
use lora_loupe::weights::{LoadedAdapter, TensorFile};
use lora_loupe_tests::containers::{entries, gguf, safetensors};
use lora_loupe_tests::edits::{F32, changes, open, same};
use lora_loupe_tests::golden::bytes;
use pollster::block_on;
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::rc::Rc;

/// Rank 6 and alpha 3 in all layers, which diffusers' metadata say.
const FILE: &str = "corpus/files/diffusers_lora_AB_metadata_r6a3_fp32.safetensors";
const SCALE: f32 = 0.5;

/// A file with the text of the adapter_config.json beside it.
struct Given {
    what: &'static str,
    bytes: Vec<u8>,
    sidecar: Option<&'static str>,
}

impl Given {
    fn input(&self) -> EditInput<'_> {
        EditInput::file(self.what, &self.bytes, self.sidecar)
    }

    fn open(&self) -> Result<Opened<'_>, EditError> {
        block_on(Opened::new(self.what, &self.bytes, self.sidecar))
    }

    /// As a picture takes it.
    fn load(&self) -> Result<LoadedAdapter, String> {
        let file = TensorFile::open(self.what.into(), Rc::new(self.bytes.clone()));
        let shapes = base::shapes();
        let (file, modules) = (block_on(file).expect("a header"), shapes.modules());
        block_on(LoadedAdapter::open("id".into(), file, self.sidecar, &modules)).map_err(|error| error.to_string())
    }

    /// What an edit makes of it.
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

/// The file's numbers in every container, and in each place that its alpha can stand in.
fn everywhere() -> Vec<Given> {
    let original = bytes(FILE);
    let tensors = entries(&original);
    let header = block_on(Header::read(&original)).expect("a header");
    let metadata = header.metadata["lora_adapter_metadata"].as_str();
    let sidecar = Some(r#"{"peft_type": "LORA", "r": 6, "lora_alpha": 3}"#);
    let wrong = Some(r#"{"peft_type": "LORA", "r": 6, "lora_alpha": 60}"#);
    let of = |what, bytes, sidecar| Given { what, bytes, sidecar };
    vec![
        of("metadata", safetensors(&[("lora_adapter_metadata", metadata)], &tensors), None),
        of("metadata beside another's config", safetensors(&[("lora_adapter_metadata", metadata)], &tensors), wrong),
        of("config", safetensors(&[], &tensors), sidecar),
        of("GGUF's key in safetensors", safetensors(&[("adapter.lora.alpha", "3")], &tensors), None),
        of("GGUF", gguf(3.0, &tensors), None),
        of("GGUF beside another's config", gguf(3.0, &tensors), wrong),
    ]
}

fn scales(deltas: &[Delta]) -> Vec<f32> {
    let mut scales: Vec<f32> = deltas.iter().map(|delta| delta.scale).collect();
    scales.dedup();
    scales
}

#[test]
fn every_reader_takes_the_same_scale() {
    let original = bytes(FILE);
    let first = open("original", &original, None);
    let want = changes(&first);
    for given in everywhere() {
        let what = given.what;
        let report = block_on(inspect(what, &given.bytes, given.sidecar, None));
        assert!(!report.modules.is_empty() && report.problems.is_empty(), "{what}: {:?}", report.problems);
        assert!(report.modules.iter().all(|row| row.scale == SCALE), "{what}: {}", report.modules[0].scale);
        let loaded = given.load().unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_eq!(scales(&loaded.adapter.deltas), [SCALE], "{what}");
        let opened = given.open().unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_eq!(scales(&opened.adapter.deltas), [SCALE], "{what}");
        same(what, &changes(&opened), &want, 0.0);
        let compared = block_on(compare(first.compared(), opened.compared())).expect("readable files");
        assert_eq!(compared.relation, Relation::Same, "{what}");
    }
}

/// What comes of an edit acts as its input does, whatever lies beside it afterwards.
#[test]
fn what_edits_make_keeps_the_scale() {
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
    for given in everywhere() {
        let report = block_on(inspect(given.what, &given.bytes, given.sidecar, None));
        let found = block_on(fixes(&given.input(), &report)).expect("fixes");
        let harmless = |id: &str| id == "bake_alpha" || id == "safetensors" || id.starts_with("rename_");
        let found = found.into_iter().filter(|fix| harmless(&fix.id)).map(|fix| fix.edit);
        for edit in edits.iter().cloned().chain(found) {
            let what = format!("{} after {edit:?}", given.what);
            let out = given.edited(&edit).unwrap_or_else(|error| panic!("{what}: {error}"));
            for sidecar in [None, given.sidecar] {
                let after = open(&what, &out, sidecar);
                same(&format!("{what}, beside {sidecar:?}"), &changes(&after), &want, 4e-6);
            }
        }
    }
}

#[test]
fn a_fold_into_a_model_takes_the_scale() {
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
    for given in everywhere() {
        let inputs = [EditInput::file("model", &model, None), given.input()];
        let out = written(&edit, &inputs).unwrap_or_else(|error| panic!("{}: {error}", given.what));
        let numbers: BTreeMap<String, Vec<f32>> =
            entries(&out).into_iter().map(|(name, _, numbers)| (name, numbers)).collect();
        let got = want.keys().map(|name| (name.clone(), numbers[name].clone())).collect();
        same(given.what, &got, &want, 4e-6);
    }
}

/// Without the config the scale is not known. Nobody goes on with another.
#[test]
fn a_config_that_cannot_be_read_stops_everyone_with_one_sentence() {
    let tensors = entries(&bytes(FILE));
    let of = |what, bytes, sidecar| Given { what, bytes, sidecar };
    let broken = [
        of("metadata", safetensors(&[("lora_adapter_metadata", "{")], &tensors), None),
        of("config", safetensors(&[], &tensors), Some("<html>")),
        of("no number in it", safetensors(&[], &tensors), Some(r#"{"lora_alpha": "x"}"#)),
        of(
            "fields put in by a text",
            safetensors(&[("adapter.lora.alpha", r#"3, "use_rslora": true"#)], &tensors),
            None,
        ),
        of("GGUF's key", gguf(f32::NAN, &tensors), None),
    ];
    for given in broken {
        let what = given.what;
        let report = block_on(inspect(what, &given.bytes, given.sidecar, None));
        let classes: Vec<&str> = report.problems.iter().map(|problem| problem.class.as_str()).collect();
        assert_eq!(classes, ["bad_config"], "{what}: {:?}", report.problems);
        assert!(report.refused(), "{what}");
        let sentence = report.problems[0].message.trim_end_matches('.');
        let sentence = &sentence[1..]; // it begins with a capital
        assert!(sentence.contains("the strength of the file is not known"), "{sentence}");
        let part = MergePart { strength: 1.0, strengths: Strengths::default() };
        let edits = [
            Edit::Convert(ConvertOptions::default()),
            Edit::Resize(F32),
            Edit::Merge(MergeEdit { parts: vec![part], options: MergeOptions::default() }),
            Edit::Export,
        ];
        let told = edits.iter().map(|edit| given.edited(edit).expect_err(what).to_string());
        let told = told.chain([given.open().err().expect(what).to_string(), given.load().err().expect(what)]);
        for error in told {
            assert!(error.contains(sentence), "{what}: {error}, and the report says {sentence}");
        }
    }
}
