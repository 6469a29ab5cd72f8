//! Damaged and hostile files: each is named for what it is, costs no more memory than it is worth,
//! and panics nothing.

#[path = "corpus/base.rs"]
mod base;

use lora_loupe::analysis::{Report, Severity, inspect};
use lora_loupe::edit::{EditInput, apply, fixes};
use lora_loupe::formats::{Header, read_header, widen::widen};
use lora_loupe::num::{host_len, numel};
use lora_loupe::pipeline::decode_png;
use lora_loupe_tests::containers::{Entry, entry, safetensors};
use lora_loupe_tests::golden;
use pollster::block_on;
use proptest::prelude::*;
use safetensors::SafeTensors;
use serde::Deserialize;
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::io::Write;
use std::ops::ControlFlow;

/// Counts the bytes that this thread holds and the most it ever held.
struct Counting;

thread_local! {
    static HELD: Cell<isize> = const { Cell::new(0) };
    static PEAK: Cell<isize> = const { Cell::new(0) };
}

fn count(bytes: isize) {
    HELD.set(HELD.get() + bytes);
    PEAK.set(PEAK.get().max(HELD.get()));
}

unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        count(-(layout.size() as isize));
        unsafe { System.dealloc(at, layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size as isize - layout.size() as isize);
        unsafe { System.realloc(at, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The most bytes that `work` holds at once.
fn peak<T>(work: impl FnOnce() -> T) -> (T, usize) {
    let before = HELD.get();
    PEAK.set(before);
    let result = work();
    (result, (PEAK.get() - before) as usize)
}

#[derive(Deserialize)]
struct Manifest {
    files: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    file: String,
    acceptable_verdicts: Vec<String>,
    severity: String,
    #[serde(default)]
    bad_modules: Vec<String>,
    hint: Option<String>,
    danger: Option<String>,
}

fn cases() -> Vec<Case> {
    let manifest: Manifest = serde_json::from_str(&golden::text("hostile/manifest.json")).expect("the manifest");
    manifest.files
}

impl Case {
    fn bytes(&self) -> Vec<u8> {
        std::fs::read(golden::path("hostile").join(&self.file)).expect("a file of the set")
    }

    fn accepts(&self, verdict: &str) -> bool {
        self.acceptable_verdicts.iter().any(|accepted| accepted == verdict)
    }

    /// The class of the most severe finding counts, or that there was a warning or none.
    fn check(&self, report: &Report) {
        let (file, problems) = (&self.file, &report.problems);
        let worst = problems.iter().find(|problem| problem.severity == Severity::Refuse).or(problems.first());
        let named = match worst {
            Some(problem) => self.accepts(&problem.class) || !report.refused() && self.accepts("warn"),
            None => self.accepts("ok"),
        };
        assert!(named, "{file}: {problems:?}, not one of {:?}", self.acceptable_verdicts);
        match self.severity.as_str() {
            "refuse" => assert!(report.refused(), "{file}: {problems:?}"),
            "warn" => assert!(!report.refused(), "{file}: {problems:?}"),
            _ => assert!(!problems.is_empty(), "{file}"),
        }
        assert!(!report.verdict.is_empty(), "{file}");
        let flat: Vec<String> =
            problems.iter().flat_map(|problem| &problem.modules).map(|path| path.replace('.', "_")).collect();
        for module in &self.bad_modules {
            let module = module.replace("lora_unet_", "unet_").replace("lora_te_", "text_encoder_");
            assert!(flat.contains(&module), "{file}: {module} is not among {flat:?}");
        }
        if let Some(danger) = &self.danger {
            let told = danger.split('.').next_back().is_some_and(|name| report.verdict.contains(name));
            assert!(told, "{file}: {} does not name {danger}", report.verdict);
        }
        if let Some(hint) = self.hint.as_deref().filter(|hint| *hint != "checkpoint" && *hint != "textual_inversion") {
            let kind = serde_json::to_value(report.kind).expect("a kind");
            assert_eq!(kind, hint, "{file}");
        }
    }
}

#[test]
fn every_file_is_named_within_its_worth_of_memory() {
    let base = base::shapes();
    for case in cases() {
        let bytes = case.bytes();
        // The layer tables of three families take some megabytes, whatever the file.
        let limit = 24_000_000 + 16 * bytes.len();
        let (report, peak) = peak(|| block_on(inspect(&case.file, &bytes, None, Some(&base))));
        case.check(&report);
        assert!(peak < limit, "{}: {peak} bytes at once for a file of {}", case.file, bytes.len());
    }
}

/// A file of F8 zeros with these tensors of one layer.
fn factors(tensors: &[(&str, &[usize])]) -> Vec<u8> {
    let (mut header, mut at) = (serde_json::Map::new(), 0);
    for (role, shape) in tensors {
        let end = at + host_len(numel(shape));
        let info = serde_json::json!({"dtype": "F8_E4M3", "shape": shape, "data_offsets": [at, end]});
        header.insert(format!("lora_unet_conv_in.{role}"), info);
        at = end;
    }
    let text = serde_json::to_vec(&header).expect("a header");
    [&(text.len() as u64).to_le_bytes()[..], &text, &vec![0; at]].concat()
}

/// Small factors whose product, core or Gram matrix would fill the memory.
#[test]
fn factors_of_absurd_shapes_cost_no_more_than_they_are_worth() {
    const MANY: usize = 100_000;
    for tensors in [
        vec![("lora_up.weight", &[1, MANY][..]), ("lora_down.weight", &[MANY, 1])],
        vec![("lora_up.weight", &[MANY, 1][..]), ("lora_down.weight", &[1, MANY])],
        vec![
            ("lora_up.weight", &[1, MANY, 1, 1][..]),
            ("lora_down.weight", &[1, MANY, 1, 1]),
            ("lora_mid.weight", &[MANY, 1, 3, 3]),
        ],
        vec![
            ("hada_w1_a", &[1, MANY][..]),
            ("hada_w1_b", &[MANY, 9]),
            ("hada_w2_a", &[1, MANY]),
            ("hada_w2_b", &[MANY, 9]),
        ],
        vec![("lokr_w1", &[MANY, 1][..]), ("lokr_w2", &[1, MANY, 3, 3])],
        vec![("lokr_w1", &[300, 300][..]), ("lokr_w2_a", &[1, MANY]), ("lokr_w2_b", &[MANY, 9])],
    ] {
        let bytes = factors(&tensors);
        let limit = 24_000_000 + 100 * bytes.len();
        let (report, peak) = peak(|| block_on(inspect("absurd", &bytes, None, None)));
        assert_eq!(report.modules.len(), 1, "{tensors:?}: {:?}", report.problems);
        assert!(peak < limit, "{tensors:?}: {peak} bytes at once for a file of {}", bytes.len());
    }
}

#[test]
fn a_large_allocation_would_be_seen() {
    assert!(peak(|| vec![0u8; 100_000_000].len()).1 >= 100_000_000);
}

#[test]
fn a_damaged_companion_is_named() {
    let bytes = std::fs::read(golden::path("hostile/alpha_zero.safetensors")).expect("a file of the set");
    for text in ["", "[]", "{\"lora_alpha\": \"x\"}", "{\"lora_alpha\": 1e99}", "<html>"] {
        let report = block_on(inspect("a.safetensors", &bytes, Some(text), None));
        assert!(report.refused() && report.problems.iter().any(|problem| problem.class == "bad_config"), "{text:?}");
    }
}

/// Keys of a layer that the model has are part of its change, however odd: a report refuses them, and
/// only keys of no layer are passed over.
#[test]
fn parts_of_a_layers_change_are_no_strays() {
    let pair = |stem: &str, up: &str, down: &str| {
        [entry(&format!("{stem}{up}"), &[32, 2]), entry(&format!("{stem}{down}"), &[2, 32])]
    };
    const KOHYA: [&str; 2] = [".lora_up.weight", ".lora_down.weight"];
    let (layer, other) = ("mid_block.attentions.0.transformer_blocks.0.attn1.to_q", "mid_block.attentions.0.proj_in");
    let kohya = |path: &str| format!("lora_unet_{}", path.replace('.', "_"));
    let good = [pair(&kohya(other), KOHYA[0], KOHYA[1]), pair(&kohya(layer), KOHYA[0], KOHYA[1])].concat();
    let with = |more: &[Entry]| safetensors(&[], &[&good, more].concat());
    let check = |what: &str, more: &[Entry], class: &str, refused: bool| {
        let report = block_on(inspect(what, &with(more), None, None));
        let found: Vec<&str> = report.problems.iter().map(|problem| problem.class.as_str()).collect();
        assert!(found.contains(&class) && report.refused() == refused, "{what}: {:?}", report.problems);
        let problem = report.problems.iter().find(|problem| problem.class == class).expect("it is there");
        assert_eq!(problem.modules.is_empty(), !refused, "{what}: {:?}", problem.modules);
        assert_eq!(report.leftovers.len(), more.len(), "{what}: {:?}", report.leftovers);
    };
    let again = pair(&format!("unet.{layer}"), ".lora.up.weight", ".lora.down.weight");
    check("a layer under two spellings", &again, "conflicting_keys", true);
    let twice = [entry(&format!("{}.lora_B.weight", kohya(layer)), &[32, 2])];
    check("a role under two endings", &twice, "conflicting_keys", true);
    let weight = [entry("unet.mid_block.attentions.0.proj_out.weight", &[32, 32])];
    check("a weight in the change's place", &weight, "unsupported_algorithm", true);
    let bias = [entry("unet.mid_block.attentions.0.proj_out.bias", &[32])];
    check("a bias in the change's place", &bias, "unsupported_algorithm", true);
    let rescale = [entry(&format!("{}.rescale", kohya("mid_block.attentions.0.proj_out")), &[32, 1])];
    check("half of a rotation", &rescale, "incomplete_pair", true);
    let nowhere = kohya("down_blocks.7.attentions.0.proj_in");
    let foreign = [&pair(&nowhere, KOHYA[0], KOHYA[1])[..], &[entry(&format!("{nowhere}.lora_B.weight"), &[32, 2])]];
    check("a layer that the model lacks, with a role twice", &foreign.concat(), "unmatched_keys", false);
    check("a key of no kind", &[entry("some_stray", &[1])], "unmatched_keys", false);
}

/// Axes beside an empty one may be as long as they like: nothing is there.
#[test]
fn empty_tensors_of_absurd_axes_are_named() {
    let axis = 1u64 << 62;
    for role in ["lora_up.weight", "hada_w1_a", "lokr_w1", "diff", "w_norm", "oft_blocks", "a1.weight", "on_input"] {
        for shape in [vec![0, axis, axis], vec![axis, axis, 0], vec![axis, 0, axis, axis]] {
            let key = format!("lora_unet_conv_in.{role}");
            let header =
                serde_json::json!({&key: {"dtype": "F32", "shape": shape, "data_offsets": [0, 0]}}).to_string();
            let bytes = [&(header.len() as u64).to_le_bytes()[..], header.as_bytes()].concat();
            let report = block_on(inspect("absurd", &bytes, None, None));
            assert_eq!(classes(&report), ["bad_shape"], "{role} {shape:?}");
        }
    }
    for role in ["diff", "w_norm", "diff_b"] {
        let bytes = safetensors(&[], &[entry(&format!("lora_unet_conv_in.{role}"), &[0, 4])]);
        let report = block_on(inspect("empty", &bytes, None, None));
        assert!(report.modules.is_empty() && classes(&report).contains(&"shape_mismatch"), "{role}: {report:?}");
    }
}

/// The start of a PNG that claims to be so large, with `data` for pixels.
fn png(width: u32, height: u32, kind: [u8; 2], data: &[u8]) -> Vec<u8> {
    let mut bytes = b"\x89PNG\r\n\x1a\n".to_vec();
    let mut chunk = |name: &[u8; 4], content: &[u8]| {
        let mut sum = flate2::Crc::new();
        sum.update(name);
        sum.update(content);
        bytes.extend([&(content.len() as u32).to_be_bytes()[..], name, content, &sum.sum().to_be_bytes()].concat());
    };
    chunk(b"IHDR", &[&width.to_be_bytes()[..], &height.to_be_bytes(), &kind, &[0, 0, 0]].concat());
    chunk(b"IDAT", data);
    chunk(b"IEND", &[]);
    bytes
}

/// A picture costs what it holds, not what it claims.
#[test]
fn a_png_that_claims_too_much_costs_nothing() {
    let squeezed = |count: usize| {
        let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(&vec![0; count]).expect("memory");
        encoder.finish().expect("memory")
    };
    let (rgb, rgba16) = ([8, 2], [16, 6]);
    for (width, height, kind, data) in [
        (20_000, 20_000, rgb, squeezed(100)),
        (8192, 8192, rgb, squeezed(1000)),
        (8192, 8192, rgba16, squeezed(100_000)),
        (1, 1 << 26, rgb, squeezed(100)),
        (u32::MAX >> 1, u32::MAX >> 1, rgba16, squeezed(100)),
        (u32::MAX >> 1, 1, rgb, squeezed(100)),
    ] {
        let bytes = png(width, height, kind, &data);
        let (decoded, peak) = peak(|| decode_png(&bytes));
        assert!(decoded.is_err(), "{width}x{height}");
        assert!(peak < 4_000_000 + 4 * bytes.len(), "{width}x{height}: {peak} bytes for a file of {}", bytes.len());
    }
    // What is there is decoded.
    let bytes = png(1000, 1000, rgb, &squeezed(1000 * 3001));
    assert_eq!(decode_png(&bytes).expect("a picture").rgb.len(), 3_000_000);
}

/// A zip archive of these files; `packed` ones in deflate's stored blocks, claiming `claim` bytes.
fn zip(files: &[(&str, &[u8])], packed: bool, claim: Option<u32>) -> Vec<u8> {
    let (mut bytes, mut directory) = (Vec::new(), Vec::new());
    for (name, data) in files {
        let start = bytes.len() as u32;
        let stored: Vec<u8> = match packed {
            true => data
                .chunks(60_000)
                .enumerate()
                .flat_map(|(at, chunk)| {
                    let last = u8::from((at + 1) * 60_000 >= data.len());
                    let len = chunk.len() as u16;
                    [&[last][..], &len.to_le_bytes(), &(!len).to_le_bytes(), chunk].concat()
                })
                .collect(),
            false => data.to_vec(),
        };
        let size = claim.unwrap_or(data.len() as u32).to_le_bytes();
        let method = if packed { [8, 0] } else { [0, 0] };
        let lengths =
            [&(stored.len() as u32).to_le_bytes()[..], &size, &(name.len() as u16).to_le_bytes(), &[0, 0]].concat();
        bytes.extend([b"PK\x03\x04\x14\0\0\0", &method[..], &[0; 8], &lengths, name.as_bytes(), &stored].concat());
        let place = [&[0; 10][..], &start.to_le_bytes()].concat();
        directory
            .extend([b"PK\x01\x02\x14\0\x14\0\0\0", &method[..], &[0; 8], &lengths, &place, name.as_bytes()].concat());
    }
    let (count, start) = ((files.len() as u16).to_le_bytes(), bytes.len() as u32);
    bytes.extend(&directory);
    bytes.extend(
        [
            b"PK\x05\x06\0\0\0\0",
            &count[..],
            &count,
            &(directory.len() as u32).to_le_bytes(),
            &start.to_le_bytes(),
            &[0, 0],
        ]
        .concat(),
    );
    bytes
}

fn corpus(file: &str) -> Vec<u8> {
    std::fs::read(golden::path("corpus/files").join(file)).expect("a file of the corpus")
}

fn header(bytes: &Vec<u8>) -> Header {
    block_on(Header::read(bytes)).expect("a header")
}

fn classes(report: &Report) -> Vec<&str> {
    report.problems.iter().map(|problem| problem.class.as_str()).collect()
}

#[test]
fn an_archive_is_looked_into() {
    let folder = "peft_plain_text_encoder";
    let (config, model) =
        (corpus(&format!("{folder}/adapter_config.json")), corpus(&format!("{folder}/adapter_model.safetensors")));
    let alone = block_on(inspect("x", &model, Some(&String::from_utf8_lossy(&config)), None));
    for packed in [false, true] {
        let bytes = zip(
            &[("a/adapter_config.json", &config), ("a/adapter_model.safetensors", &model), ("a/readme.txt", b"hello")],
            packed,
            None,
        );
        let report = block_on(inspect("x.zip", &bytes, None, None));
        assert_eq!(classes(&report), ["archive"], "packed: {packed}");
        assert_eq!(report.modules.len(), alone.modules.len());
        assert_eq!(report.modules[3].scale, alone.modules[3].scale, "its adapter_config.json counts");
        assert!(report.refused() && report.verdict.contains("Unpack it"), "{}", report.verdict);
        assert_eq!(report.file, "x.zip");
        let inputs = [EditInput::file("x.zip", &bytes, None)];
        let list = block_on(fixes(&inputs[0], &report)).expect("fixes");
        assert_eq!(list.iter().map(|fix| fix.id.as_str()).collect::<Vec<_>>(), ["unpack"]);
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
        assert_eq!(scales(&unpacked), scales(&alone), "the config comes along");
    }
    let report = block_on(inspect("x.zip", &zip(&[("readme.txt", b"hello")], false, None), None, None));
    assert_eq!(classes(&report), ["not_an_adapter"]);
}

#[test]
fn an_archive_that_claims_too_much_is_not_unpacked() {
    let bytes = zip(&[("a.safetensors", &corpus("kohya_te_only_r4a2_fp16.safetensors"))], true, Some(4_000_000_000));
    let (report, peak) = peak(|| block_on(inspect("x.zip", &bytes, None, None)));
    assert_eq!(classes(&report), ["resource_bomb"]);
    assert!(peak < 24_000_000 + 16 * bytes.len(), "{peak} bytes");
    let inner = zip(&[("a.safetensors", b"x")], false, None);
    let nested = zip(&[("a.pt", &inner)], false, None);
    let report = block_on(inspect("x.zip", &nested, None, None));
    assert_eq!(classes(&report), ["bad_zip", "archive"], "an archive in an archive is not followed");
}

/// `posix.system("…")` as protocol 2 has it.
const EVIL: &[u8] = b"\x80\x02cposix\nsystem\nX\x02\x00\x00\x00hi\x85R.";

/// A pickle beside the one with the tensors, or behind the numbers, is looked at too.
#[test]
fn every_pickle_of_a_file_is_looked_at() {
    let good = corpus("cloneofsimo_lora_weight.text_encoder.pt");
    let report = block_on(inspect("good.pt", &good, None, None));
    assert!(!report.refused(), "{:?}", report.problems);
    let named = |report: &Report, name: &str| {
        let verdict = report.imports.iter().find(|row| row.name == name).map(|row| row.verdict);
        verdict.map(|verdict| serde_json::to_value(verdict).expect("a verdict"))
    };
    assert_eq!(named(&report, "torch._utils._rebuild_tensor_v2"), Some("harmless".into()));

    let (harmless, extra) = (b"\x80\x02].", b"archive/extra.pkl");
    let two = |second: &[u8]| {
        let name = std::str::from_utf8(extra).expect("text");
        zip(&[("archive/data.pkl", harmless), (name, second)], false, None)
    };
    let report = block_on(inspect("two.pt", &two(EVIL), None, None));
    assert_eq!(classes(&report), ["unsafe_pickle"]);
    assert_eq!(named(&report, "posix.system"), Some("dangerous".into()));
    assert!(report.imports.iter().any(|row| row.place == "archive/extra.pkl"));
    assert_eq!(classes(&block_on(inspect("two.pt", &two(harmless), None, None))), ["not_an_adapter"]);

    let legacy = corpus("old_diffusers_attn_procs_legacy_pickle.bin");
    assert!(!block_on(inspect("legacy.bin", &legacy, None, None)).refused());
    let report = block_on(inspect("legacy.bin", &[&legacy[..], EVIL].concat(), None, None));
    assert_eq!(classes(&report), ["unsafe_pickle"]);
    assert!(
        report.imports.iter().any(|row| row.place.starts_with("pickle behind the numbers")),
        "{:?}",
        report.imports
    );
}

/// The list names every import of a hostile pickle, not only the first.
#[test]
fn all_imports_are_listed() {
    let bytes = [&b"\x80\x02ccollections\nOrderedDict\ncmine\nThing\n0cos\nsystem\n."[..]].concat();
    let report = block_on(inspect("x.ckpt", &bytes, None, None));
    let list: Vec<_> = report.imports.iter().map(|row| (row.name.as_str(), format!("{:?}", row.verdict))).collect();
    let expect = [("collections.OrderedDict", "Harmless"), ("mine.Thing", "Unknown"), ("os.system", "Dangerous")];
    assert_eq!(list, expect.map(|(name, verdict)| (name, verdict.to_owned())));
    assert!(report.refused());
}

/// llama.cpp's adapter for one layer of a Llama 3 8B: rank 2, alpha 8.
#[test]
fn a_gguf_adapter_has_its_layers_and_its_alpha() {
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

/// A well-formed file of small tensors under adapter names.
fn valid_file() -> impl Strategy<Value = Vec<u8>> {
    let stem = prop_oneof![
        Just("lora_unet_mid_block_attentions_0_proj_in"),
        Just("lora_unet_conv_in"),
        Just("lora_te_text_model_encoder_layers_0_mlp_fc1"),
        Just("unet.mid_block.attentions.0.transformer_blocks.0.attn1.to_q"),
        Just("nobody"),
    ];
    let suffix = prop_oneof![
        Just("lora_up.weight"),
        Just("lora_down.weight"),
        Just("lora_mid.weight"),
        Just("alpha"),
        Just("lora_A.weight"),
        Just("lora_B.weight"),
        Just("hada_w1_a"),
        Just("lokr_w1"),
        Just("diff"),
        Just("dora_scale"),
        Just("oft_blocks"),
        Just("weight"),
    ];
    let dtype =
        prop_oneof![Just(("F32", 4)), Just(("F16", 2)), Just(("BF16", 2)), Just(("F8_E4M3", 1)), Just(("I64", 8))];
    let shape = prop::collection::vec(0usize..5, 0..5);
    let entry = (stem, suffix, dtype, shape, any::<u8>());
    prop::collection::vec(entry, 0..12).prop_map(|entries| {
        let (mut header, mut data) = (serde_json::Map::new(), Vec::new());
        for (stem, suffix, (dtype, width), shape, fill) in entries {
            let name = format!("{stem}.{suffix}");
            if header.contains_key(&name) {
                continue;
            }
            let start = data.len();
            data.resize(start + width * host_len(numel(&shape)), fill);
            let info = serde_json::json!({"dtype": dtype, "shape": shape, "data_offsets": [start, data.len()]});
            header.insert(name, info);
        }
        let text = serde_json::to_vec(&header).expect("a header");
        [&(text.len() as u64).to_le_bytes()[..], &text, &data].concat()
    })
}

/// Reads a file in every way there is.
fn read_all(bytes: &Vec<u8>) {
    let report = block_on(inspect("any", bytes, None, None));
    assert!(!report.verdict.is_empty());
    if let Ok(header) = block_on(read_header(bytes)) {
        for tensor in &header.tensors {
            let _ = block_on(tensor.read(bytes));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(96) })]

    #[test]
    fn arbitrary_bytes_panic_nothing(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        read_all(&bytes);
    }

    #[test]
    fn arbitrary_pickles_panic_nothing(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        read_all(&[&[0x80, 2][..], &bytes].concat());
    }

    #[test]
    fn arbitrary_gguf_panics_nothing(bytes in prop::collection::vec(any::<u8>(), 0..600), count in 0u64..5) {
        let head = [&b"GGUF\x03\0\0\0"[..], &count.to_le_bytes(), &count.to_le_bytes()].concat();
        read_all(&[head, bytes].concat());
    }

    #[test]
    fn arbitrary_archives_panic_nothing(
        bytes in prop::collection::vec(any::<u8>(), 0..600), packed in any::<bool>(), claim in any::<Option<u32>>(),
        at in any::<prop::sample::Index>(), to in any::<u8>()
    ) {
        let mut archive = zip(&[("a.safetensors", &bytes), ("b.pt", b"\x80\x02].")], packed, claim);
        let at = at.index(archive.len());
        archive[at] = to;
        read_all(&archive);
    }

    #[test]
    fn valid_files_of_odd_tensors_panic_nothing_and_are_valid_for_all(bytes in valid_file()) {
        let header = block_on(Header::read(&bytes)).expect("a valid header");
        let theirs = SafeTensors::deserialize(&bytes).expect("a valid file");
        prop_assert_eq!(header.tensors.len(), theirs.len());
        for tensor in &header.tensors {
            let view = theirs.tensor(&tensor.name).expect("the same tensor");
            prop_assert_eq!(view.shape(), tensor.shape.as_slice());
            prop_assert_eq!(view.data(), &bytes[tensor.bytes.start as usize..tensor.bytes.end as usize]);
            prop_assert_eq!(widen(tensor.dtype, view.data()).expect("numbers").len() as u64, tensor.elements());
        }
        read_all(&bytes);
    }

    #[test]
    fn what_is_accepted_after_a_change_is_accepted_by_the_safetensors_crate(
        bytes in valid_file(), at in any::<prop::sample::Index>(), to in any::<u8>(), cut in 0usize..4
    ) {
        let mut bytes = bytes;
        let at = at.index(bytes.len());
        bytes[at] = to;
        bytes.truncate(bytes.len() - cut.min(bytes.len()));
        if block_on(Header::read(&bytes)).is_ok() {
            prop_assert!(SafeTensors::deserialize(&bytes).is_ok());
        }
        read_all(&bytes);
    }
}
