//! Adapters in containers other than safetensors: zip archives, pickles and GGUF.

use lora_loupe::analysis::{Report, inspect};
use lora_loupe::edit::{EditInput, apply, fixes};
use lora_loupe::formats::{Header, read_header};
use lora_loupe_tests::containers::zip;
use lora_loupe_tests::golden;
use lora_loupe_tests::reports::classes;
use pollster::block_on;
use std::ops::ControlFlow;

fn corpus(file: &str) -> Vec<u8> {
    std::fs::read(golden::path("corpus/files").join(file)).expect("a file of the corpus")
}

fn header(bytes: &Vec<u8>) -> Header {
    block_on(Header::read(bytes)).expect("a header")
}

#[test]
fn adapters_in_archives_are_inspected() {
    let folder = "peft_plain_text_encoder";
    let (config, model) =
        (corpus(&format!("{folder}/adapter_config.json")), corpus(&format!("{folder}/adapter_model.safetensors")));
    let alone = block_on(inspect("x", &model, Some(&String::from_utf8_lossy(&config)), None));
    for deflate in [false, true] {
        let bytes = zip(
            &[("a/adapter_config.json", &config), ("a/adapter_model.safetensors", &model), ("a/readme.txt", b"hello")],
            deflate,
            None,
        );
        let report = block_on(inspect("x.zip", &bytes, None, None));
        assert_eq!(classes(&report), ["archive"], "deflate: {deflate}");
        assert_eq!(report.modules.len(), alone.modules.len());
        assert_eq!(report.modules[3].scale, alone.modules[3].scale, "its adapter_config.json is used");
        assert!(report.is_refused() && report.verdict.contains("Unpack it"), "{}", report.verdict);
        assert_eq!(report.file, "x.zip");
        let inputs = [EditInput::file("x.zip", &bytes, None)];
        let list = block_on(fixes(&inputs[0], &report)).expect("fixes");
        assert_eq!(list.iter().map(|fix| fix.id.name()).collect::<Vec<_>>(), ["unpack"]);
        let mut out = Vec::new();
        block_on(apply(&list[0].edit, &inputs, &mut out, &mut |_| ControlFlow::Continue(()))).expect("unpacked");
        let out_file = out;
        let (out, model) = (header(&out_file), header(&model));
        assert_eq!(out.tensors.len(), model.tensors.len());
        assert!(
            model.tensors.iter().all(|tensor| out.get(&tensor.name).is_some_and(|same| same.shape == tensor.shape))
        );
        let unpacked = block_on(inspect("x.safetensors", &out_file, None, None));
        let scales = |report: &Report| report.modules.iter().map(|row| row.scale).collect::<Vec<f32>>();
        assert_eq!(scales(&unpacked), scales(&alone), "the config is kept");
    }
    let report = block_on(inspect("x.zip", &zip(&[("readme.txt", b"hello")], false, None), None, None));
    assert_eq!(classes(&report), ["not_an_adapter"]);
}

/// `posix.system("hi")` in pickle protocol 2.
const MALICIOUS: &[u8] = b"\x80\x02cposix\nsystem\nX\x02\x00\x00\x00hi\x85R.";

/// Pickles next to the one with the tensors, or after the tensor data, are scanned as well.
#[test]
fn every_pickle_of_a_file_is_scanned() {
    let good = corpus("cloneofsimo_lora_weight.text_encoder.pt");
    let report = block_on(inspect("good.pt", &good, None, None));
    assert!(!report.is_refused(), "{:?}", report.problems);
    let verdict = |report: &Report, name: &str| {
        let verdict = report.imports.iter().find(|row| row.name.to_string() == name).map(|row| row.verdict);
        verdict.map(|verdict| serde_json::to_value(verdict).expect("a verdict"))
    };
    assert_eq!(verdict(&report, "torch._utils._rebuild_tensor_v2"), Some("harmless".into()));

    let (harmless, extra) = (b"\x80\x02].", b"archive/extra.pkl");
    let two = |second: &[u8]| {
        let name = std::str::from_utf8(extra).expect("text");
        zip(&[("archive/data.pkl", harmless), (name, second)], false, None)
    };
    let report = block_on(inspect("two.pt", &two(MALICIOUS), None, None));
    assert_eq!(classes(&report), ["unsafe_pickle"]);
    assert_eq!(verdict(&report, "posix.system"), Some("dangerous".into()));
    assert!(report.imports.iter().any(|row| row.place.to_string() == "archive/extra.pkl"));
    assert_eq!(classes(&block_on(inspect("two.pt", &two(harmless), None, None))), ["not_an_adapter"]);

    let legacy = corpus("old_diffusers_attn_procs_legacy_pickle.bin");
    assert!(!block_on(inspect("legacy.bin", &legacy, None, None)).is_refused());
    let report = block_on(inspect("legacy.bin", &[&legacy[..], MALICIOUS].concat(), None, None));
    assert_eq!(classes(&report), ["unsafe_pickle"]);
    assert!(
        report.imports.iter().any(|row| row.place.to_string() == "pickle 1 after the tensor data"),
        "{:?}",
        report.imports
    );
}

/// Returns a file of PyTorch with one tensor of 2 x 3 elements in a storage of the given class.
fn saved_tensor(class: &str, strides: [u8; 2]) -> Vec<u8> {
    let [row, column] = strides;
    let pickle: [&[u8]; 5] = [
        b"\x80\x02}X\x01\x00\x00\x00actorch._utils\n_rebuild_tensor_v2\n((X\x07\x00\x00\x00storagectorch\n",
        class.as_bytes(),
        b"\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpuK\x06tQK\x00K\x02K\x03\x86K",
        &[row, b'K', column],
        b"\x86\x89ccollections\nOrderedDict\n)RtRs.",
    ];
    zip(&[("archive/data.pkl", &pickle.concat()), ("archive/data/0", &[0; 24])], false, None)
}

/// Any strides inside the storage are read; an error of a tensor in a pickle says what is wrong.
#[test]
fn strides_and_dtypes_of_pickled_tensors_are_checked() {
    let error = |class: &str, strides: [u8; 2]| {
        block_on(read_header(&saved_tensor(class, strides)))
            .map(|_| ())
            .map_err(|error| (error.class(), error.to_string()))
    };
    assert_eq!(error("FloatStorage", [3, 1]), Ok(()));
    assert_eq!(error("FloatStorage", [1, 2]), Ok(()));
    let (class, message) = error("FloatStorage", [1, 3]).expect_err("past the end");
    assert!(class == "truncated" && message.contains("`a` of shape [2, 3] extends past its storage"), "{message}");
    let (class, message) = error("QInt8Storage", [3, 1]).expect_err("quantized");
    assert!(class == "bad_dtype" && message.contains("`torch.QInt8Storage`"), "{message}");
}

/// The report lists every import of a hostile pickle, not only the first.
#[test]
fn all_imports_are_listed() {
    let bytes = [&b"\x80\x02ccollections\nOrderedDict\ncmine\nThing\n0cos\nsystem\n."[..]].concat();
    let report = block_on(inspect("x.ckpt", &bytes, None, None));
    let list: Vec<_> = report.imports.iter().map(|row| (row.name.to_string(), format!("{:?}", row.verdict))).collect();
    let expect = [("collections.OrderedDict", "Harmless"), ("mine.Thing", "Unknown"), ("os.system", "Dangerous")];
    assert_eq!(list, expect.map(|(name, verdict)| (name.to_owned(), verdict.to_owned())));
    assert!(report.is_refused());
}

/// A llama.cpp adapter for one layer of Llama 3 8B: rank 2, alpha 8.
#[test]
fn layers_and_alpha_of_a_gguf_adapter_are_read() {
    let text = |text: &str| [&(text.len() as u64).to_le_bytes()[..], text.as_bytes()].concat();
    let value = |key: &str, value: &str| [text(key), 8u32.to_le_bytes().to_vec(), text(value)].concat();
    let tensor = |name: &str, axes: [u64; 2], offset: u64| {
        let axes: Vec<u8> = axes.iter().flat_map(|axis| axis.to_le_bytes()).collect();
        [text(name), 2u32.to_le_bytes().to_vec(), axes, 1u32.to_le_bytes().to_vec(), offset.to_le_bytes().to_vec()]
            .concat()
    };
    let stem = "blk.7.attn_k.weight";
    let made = |kind: &str| {
        let mut bytes = [
            b"GGUF\x03\0\0\0".to_vec(),
            2u64.to_le_bytes().to_vec(),
            3u64.to_le_bytes().to_vec(),
            value("general.type", kind),
            value("general.architecture", "llama"),
            [text("adapter.lora.alpha"), 6u32.to_le_bytes().to_vec(), 8f32.to_le_bytes().to_vec()].concat(),
            tensor(&format!("{stem}.lora_a"), [4096, 2], 0),
            tensor(&format!("{stem}.lora_b"), [2, 1024], 16384),
        ]
        .concat();
        bytes.resize(bytes.len().next_multiple_of(32), 0);
        bytes.extend([0x00, 0x3c].repeat(2 * 4096 + 2 * 1024));
        bytes
    };
    let report = block_on(inspect("a.gguf", &made("adapter"), None, None));
    assert_eq!((&*report.base.family, &*report.convention), ("llm", "gguf"), "{:?}", report.base.evidence);
    let row = &report.modules[0];
    assert_eq!(
        (row.path.as_str(), row.rank, row.scale),
        ("language_model.model.layers.7.self_attn.k_proj", Some(2), 4.0)
    );
    assert!((row.norm.expect("a norm") - 4.0 * 2.0 * (4096f64 * 1024.0).sqrt()).abs() < 1e-3);
    assert!(report.base.evidence.iter().any(|line| line.contains("llama")), "{:?}", report.base.evidence);
    let cut = made("adapter");
    let report = block_on(inspect("a.gguf", &cut[..cut.len() - 1].to_vec(), None, None));
    assert_eq!(classes(&report), ["truncated"]);
}
