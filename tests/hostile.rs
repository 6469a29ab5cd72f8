//! Damaged and hostile files: each is reported with the right class, within a memory limit and without a panic.

use lora_loupe::analysis::{ProblemClass, Report, Severity, inspect};
use lora_loupe::num::{host_len, numel};
use lora_loupe::pipeline::decode_png;
use lora_loupe_tests::base;
use lora_loupe_tests::containers::{Entry, entry, safetensors, zip};
use lora_loupe_tests::golden;
use lora_loupe_tests::reports::classes;
use pollster::block_on;
use serde::Deserialize;
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::io::Write;

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
    // make/corpus.py writes the first one, make/pickles.py the second one.
    let manifests = ["hostile/manifest.json", "hostile/pickles/manifest.json"];
    let cases = |path: &str| serde_json::from_str::<Manifest>(&golden::text(path)).expect("a manifest").files;
    manifests.into_iter().flat_map(cases).collect()
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
            Some(problem) => self.accepts(problem.class.name()) || !report.is_refused() && self.accepts("warn"),
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
        assert!(
            report.is_refused() && report.problems.iter().any(|problem| problem.class == ProblemClass::BadConfig),
            "{text:?}"
        );
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
        let found = classes(&report);
        assert!(found.contains(&class) && report.is_refused() == refused, "{what}: {:?}", report.problems);
        let problem =
            report.problems.iter().find(|problem| problem.class.name() == class).expect("a problem of the class");
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

#[test]
fn an_archive_with_a_huge_uncompressed_size_is_not_unpacked() {
    let bytes = zip(
        &[("a.safetensors", &golden::bytes("corpus/files/kohya_te_only_r4a2_fp16.safetensors"))],
        true,
        Some(4_000_000_000),
    );
    let (report, peak) = peak(|| block_on(inspect("x.zip", &bytes, None, None)));
    assert_eq!(classes(&report), ["resource_bomb"]);
    assert!(peak < 24_000_000 + 16 * bytes.len(), "{peak} bytes");
    let inner = zip(&[("a.safetensors", b"x")], false, None);
    let nested = zip(&[("a.pt", &inner)], false, None);
    let report = block_on(inspect("x.zip", &nested, None, None));
    assert_eq!(classes(&report), ["bad_zip", "archive"], "nested archives are not opened");
}
