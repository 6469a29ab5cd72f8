//! Damaged and hostile files: each is reported with the right class, within a memory limit and without a panic.

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

/// An allocator that tracks the live bytes of this thread and their peak.
struct TrackingAllocator;

thread_local! {
    static LIVE: Cell<isize> = const { Cell::new(0) };
    static PEAK: Cell<isize> = const { Cell::new(0) };
}

fn count(bytes: isize) {
    LIVE.set(LIVE.get() + bytes);
    PEAK.set(PEAK.get().max(LIVE.get()));
}

unsafe impl GlobalAlloc for TrackingAllocator {
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
static ALLOCATOR: TrackingAllocator = TrackingAllocator;

/// Runs `work` and returns its result and peak memory in bytes.
fn peak<T>(work: impl FnOnce() -> T) -> (T, usize) {
    let before = LIVE.get();
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

    /// Checks the class of the most severe problem, or whether there are only warnings or no problems.
    fn check(&self, report: &Report) {
        let (file, problems) = (&self.file, &report.problems);
        let worst = problems.iter().find(|problem| problem.severity == Severity::Refuse).or(problems.first());
        let is_accepted = match worst {
            Some(problem) => self.accepts(&problem.class) || !report.is_refused() && self.accepts("warn"),
            None => self.accepts("ok"),
        };
        assert!(is_accepted, "{file}: {problems:?}, not one of {:?}", self.acceptable_verdicts);
        match self.severity.as_str() {
            "refuse" => assert!(report.is_refused(), "{file}: {problems:?}"),
            "warn" => assert!(!report.is_refused(), "{file}: {problems:?}"),
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
            let is_named = danger.split('.').next_back().is_some_and(|name| report.verdict.contains(name));
            assert!(is_named, "{file}: {} does not name {danger}", report.verdict);
        }
        if let Some(hint) = self.hint.as_deref().filter(|hint| *hint != "checkpoint" && *hint != "textual_inversion") {
            let kind = serde_json::to_value(report.kind).expect("a kind");
            assert_eq!(kind, hint, "{file}");
        }
    }
}

#[test]
fn every_file_is_classified_within_its_memory_limit() {
    let base = base::shapes();
    for case in cases() {
        let bytes = case.bytes();
        // The layer tables of three families take a few megabytes for any file.
        let limit = 24_000_000 + 16 * bytes.len();
        let (report, peak) = peak(|| block_on(inspect(&case.file, &bytes, None, Some(&base))));
        case.check(&report);
        assert!(peak < limit, "{}: peak of {peak} bytes for a file of {}", case.file, bytes.len());
    }
}

/// Returns a file with these tensors of one layer, all zeros in F8.
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

/// Small factors whose product, Tucker core or Gram matrix would exhaust memory.
#[test]
fn factors_of_extreme_shapes_stay_within_the_memory_limit() {
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
        assert!(peak < limit, "{tensors:?}: peak of {peak} bytes for a file of {}", bytes.len());
    }
}

#[test]
fn a_large_allocation_is_detected() {
    assert!(peak(|| vec![0u8; 100_000_000].len()).1 >= 100_000_000);
}

#[test]
fn a_damaged_adapter_config_is_reported() {
    let bytes = std::fs::read(golden::path("hostile/alpha_zero.safetensors")).expect("a file of the set");
    for text in ["", "[]", "{\"lora_alpha\": \"x\"}", "{\"lora_alpha\": 1e99}", "<html>"] {
        let report = block_on(inspect("a.safetensors", &bytes, Some(text), None));
        assert!(report.is_refused() && report.problems.iter().any(|problem| problem.class == "bad_config"), "{text:?}");
    }
}

/// Unusable keys of a layer that the model has make a report refuse the file; only keys of no known layer are skipped
/// with a warning.
#[test]
fn unusable_keys_of_a_known_layer_are_refused() {
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
        assert!(found.contains(&class) && report.is_refused() == refused, "{what}: {:?}", report.problems);
        let problem = report.problems.iter().find(|problem| problem.class == class).expect("a problem of the class");
        assert_eq!(problem.modules.is_empty(), !refused, "{what}: {:?}", problem.modules);
        assert_eq!(report.leftovers.len(), more.len(), "{what}: {:?}", report.leftovers);
    };
    let again = pair(&format!("unet.{layer}"), ".lora.up.weight", ".lora.down.weight");
    check("a layer in two naming conventions", &again, "conflicting_keys", true);
    let twice = [entry(&format!("{}.lora_B.weight", kohya(layer)), &[32, 2])];
    check("a role with two suffixes", &twice, "conflicting_keys", true);
    let weight = [entry("unet.mid_block.attentions.0.proj_out.weight", &[32, 32])];
    check("a full weight", &weight, "unsupported_algorithm", true);
    let bias = [entry("unet.mid_block.attentions.0.proj_out.bias", &[32])];
    check("a bias", &bias, "unsupported_algorithm", true);
    let rescale = [entry(&format!("{}.rescale", kohya("mid_block.attentions.0.proj_out")), &[32, 1])];
    check("an incomplete rotation", &rescale, "incomplete_pair", true);
    let nowhere = kohya("down_blocks.7.attentions.0.proj_in");
    let unknown = [&pair(&nowhere, KOHYA[0], KOHYA[1])[..], &[entry(&format!("{nowhere}.lora_B.weight"), &[32, 2])]];
    check("an unknown layer with a duplicate role", &unknown.concat(), "unmatched_keys", false);
    check("an unrelated key", &[entry("some_stray", &[1])], "unmatched_keys", false);
}

/// Tensors with a zero-length axis may have other axes of any length and no data.
#[test]
fn empty_tensors_with_huge_axes_are_reported() {
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

/// Returns a PNG with the given size in its header and `data` as compressed pixels.
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

/// Decoding costs memory for the actual data, not for the size in the header.
#[test]
fn a_png_with_a_false_size_allocates_little() {
    let compressed = |count: usize| {
        let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(&vec![0; count]).expect("memory");
        encoder.finish().expect("memory")
    };
    let (rgb, rgba16) = ([8, 2], [16, 6]);
    for (width, height, kind, data) in [
        (20_000, 20_000, rgb, compressed(100)),
        (8192, 8192, rgb, compressed(1000)),
        (8192, 8192, rgba16, compressed(100_000)),
        (1, 1 << 26, rgb, compressed(100)),
        (u32::MAX >> 1, u32::MAX >> 1, rgba16, compressed(100)),
        (u32::MAX >> 1, 1, rgb, compressed(100)),
    ] {
        let bytes = png(width, height, kind, &data);
        let (decoded, peak) = peak(|| decode_png(&bytes));
        assert!(decoded.is_err(), "{width}x{height}");
        assert!(
            peak < 4_000_000 + 4 * bytes.len(),
            "{width}x{height}: peak of {peak} bytes for a file of {}",
            bytes.len()
        );
    }
    // A PNG with all of its data is decoded.
    let bytes = png(1000, 1000, rgb, &compressed(1000 * 3001));
    assert_eq!(decode_png(&bytes).expect("an image").rgb.len(), 3_000_000);
}

/// Returns a zip archive of these files, in stored deflate blocks if `deflate`. `claim` overrides the uncompressed
/// sizes.
fn zip(files: &[(&str, &[u8])], deflate: bool, claim: Option<u32>) -> Vec<u8> {
    let (mut bytes, mut directory) = (Vec::new(), Vec::new());
    for (name, data) in files {
        let start = bytes.len() as u32;
        let stored: Vec<u8> = match deflate {
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
        let method = if deflate { [8, 0] } else { [0, 0] };
        let lengths =
            [&(stored.len() as u32).to_le_bytes()[..], &size, &(name.len() as u16).to_le_bytes(), &[0, 0]].concat();
        bytes.extend([b"PK\x03\x04\x14\0\0\0", &method[..], &[0; 8], &lengths, name.as_bytes(), &stored].concat());
        let location = [&[0; 10][..], &start.to_le_bytes()].concat();
        directory.extend(
            [b"PK\x01\x02\x14\0\x14\0\0\0", &method[..], &[0; 8], &lengths, &location, name.as_bytes()].concat(),
        );
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
        assert_eq!(scales(&unpacked), scales(&alone), "the config is kept");
    }
    let report = block_on(inspect("x.zip", &zip(&[("readme.txt", b"hello")], false, None), None, None));
    assert_eq!(classes(&report), ["not_an_adapter"]);
}

#[test]
fn an_archive_with_a_huge_uncompressed_size_is_not_unpacked() {
    let bytes = zip(&[("a.safetensors", &corpus("kohya_te_only_r4a2_fp16.safetensors"))], true, Some(4_000_000_000));
    let (report, peak) = peak(|| block_on(inspect("x.zip", &bytes, None, None)));
    assert_eq!(classes(&report), ["resource_bomb"]);
    assert!(peak < 24_000_000 + 16 * bytes.len(), "{peak} bytes");
    let inner = zip(&[("a.safetensors", b"x")], false, None);
    let nested = zip(&[("a.pt", &inner)], false, None);
    let report = block_on(inspect("x.zip", &nested, None, None));
    assert_eq!(classes(&report), ["bad_zip", "archive"], "nested archives are not opened");
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
        let verdict = report.imports.iter().find(|row| row.name == name).map(|row| row.verdict);
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
    assert!(report.imports.iter().any(|row| row.place == "archive/extra.pkl"));
    assert_eq!(classes(&block_on(inspect("two.pt", &two(harmless), None, None))), ["not_an_adapter"]);

    let legacy = corpus("old_diffusers_attn_procs_legacy_pickle.bin");
    assert!(!block_on(inspect("legacy.bin", &legacy, None, None)).is_refused());
    let report = block_on(inspect("legacy.bin", &[&legacy[..], MALICIOUS].concat(), None, None));
    assert_eq!(classes(&report), ["unsafe_pickle"]);
    assert!(
        report.imports.iter().any(|row| row.place.starts_with("pickle after the tensor data")),
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

/// An error of a tensor in a pickle says what is wrong: its shape, its strides or its dtype.
#[test]
fn strides_and_dtypes_of_pickled_tensors_have_their_own_errors() {
    let error = |class: &str, strides: [u8; 2]| {
        block_on(read_header(&saved_tensor(class, strides)))
            .map(|_| ())
            .map_err(|error| (error.class(), error.to_string()))
    };
    assert_eq!(error("FloatStorage", [3, 1]), Ok(()));
    let (class, message) = error("FloatStorage", [1, 2]).expect_err("transposed");
    assert!(class == "not_contiguous" && message.contains("`a` of shape [2, 3] has the strides [1, 2]"), "{message}");
    let (class, message) = error("QInt8Storage", [3, 1]).expect_err("quantized");
    assert!(class == "bad_dtype" && message.contains("`torch.QInt8Storage`"), "{message}");
}

/// The report lists every import of a hostile pickle, not only the first.
#[test]
fn all_imports_are_listed() {
    let bytes = [&b"\x80\x02ccollections\nOrderedDict\ncmine\nThing\n0cos\nsystem\n."[..]].concat();
    let report = block_on(inspect("x.ckpt", &bytes, None, None));
    let list: Vec<_> = report.imports.iter().map(|row| (row.name.as_str(), format!("{:?}", row.verdict))).collect();
    let expect = [("collections.OrderedDict", "Harmless"), ("mine.Thing", "Unknown"), ("os.system", "Dangerous")];
    assert_eq!(list, expect.map(|(name, verdict)| (name, verdict.to_owned())));
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

/// Generates well-formed files of small tensors with adapter keys.
fn valid_file() -> impl Strategy<Value = Vec<u8>> {
    let stem = prop_oneof![
        Just("lora_unet_mid_block_attentions_0_proj_in"),
        Just("lora_unet_conv_in"),
        Just("lora_te_text_model_encoder_layers_0_mlp_fc1"),
        Just("unet.mid_block.attentions.0.transformer_blocks.0.attn1.to_q"),
        Just("unrelated"),
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

/// Reads a file with every reader.
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
    fn arbitrary_bytes_do_not_panic(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        read_all(&bytes);
    }

    #[test]
    fn arbitrary_pickles_do_not_panic(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        read_all(&[&[0x80, 2][..], &bytes].concat());
    }

    #[test]
    fn arbitrary_gguf_does_not_panic(bytes in prop::collection::vec(any::<u8>(), 0..600), count in 0u64..5) {
        let head = [&b"GGUF\x03\0\0\0"[..], &count.to_le_bytes(), &count.to_le_bytes()].concat();
        read_all(&[head, bytes].concat());
    }

    #[test]
    fn arbitrary_archives_do_not_panic(
        bytes in prop::collection::vec(any::<u8>(), 0..600), deflate in any::<bool>(), claim in any::<Option<u32>>(),
        at in any::<prop::sample::Index>(), to in any::<u8>()
    ) {
        let mut archive = zip(&[("a.safetensors", &bytes), ("b.pt", b"\x80\x02].")], deflate, claim);
        let at = at.index(archive.len());
        archive[at] = to;
        read_all(&archive);
    }

    #[test]
    fn valid_files_are_read_as_by_the_safetensors_crate(bytes in valid_file()) {
        let header = block_on(Header::read(&bytes)).expect("a valid header");
        let reference = SafeTensors::deserialize(&bytes).expect("a valid file");
        prop_assert_eq!(header.tensors.len(), reference.len());
        for tensor in &header.tensors {
            let view = reference.tensor(&tensor.name).expect("the same tensor");
            prop_assert_eq!(view.shape(), tensor.shape.as_slice());
            prop_assert_eq!(view.data(), &bytes[tensor.bytes.start as usize..tensor.bytes.end as usize]);
            prop_assert_eq!(widen(tensor.dtype, view.data()).expect("numbers").len() as u64, tensor.elements());
        }
        read_all(&bytes);
    }

    #[test]
    fn accepted_corrupted_files_are_accepted_by_the_safetensors_crate(
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
