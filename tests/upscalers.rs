//! Upscaling networks against spandrel: recognized by keys and shapes, on the definition, the GPU and the CPU; tiles
//! against AUTOMATIC1111's web UI's, Lanczos' filter against Pillow.

use lora_loupe::device::{Device, Runner, Tensor};
use lora_loupe::formats::ByteSource;
use lora_loupe::gpu::{Gpu, KernelConfig};
use lora_loupe::model::{UpscalerError, UpscalerNet};
use lora_loupe::num::{host_len, numel, to_byte};
use lora_loupe::pipeline::{Channels, DecodedImage, Enlarger, PipelineError, Tiling, UpscalerFile, is_named, lanczos};
use lora_loupe::plan::{Plan, UPSCALER, interpret, upscaler, upscaler_strip};
use lora_loupe::weights::TensorFile;
use lora_loupe_tests::compare::{close, max_abs};
use lora_loupe_tests::golden;
use lora_loupe_tests::numbers::numbers;
use pollster::block_on;
use safetensors::{Dtype, tensor::TensorView};
use serde_json::Value;
use std::collections::BTreeMap;
use std::rc::Rc;

/// Tolerance of networks whose sums are in another order.
const NETWORK: f64 = 5e-6;

/// A network of tests/golden/upscalers with its image.
struct Case {
    name: String,
    /// The file's entry.
    entry: Value,
    shapes: BTreeMap<String, Vec<usize>>,
    weights: BTreeMap<String, Vec<f32>>,
    size: (usize, usize),
    image: Vec<f32>,
    wanted: Vec<f32>,
}

fn usizes(value: &Value) -> Vec<usize> {
    value.as_array().expect("a list").iter().map(|number| number.as_u64().expect("a number") as usize).collect()
}

fn cases() -> Vec<Case> {
    let outputs = golden::tensors("golden/upscalers/outputs.safetensors");
    let list = golden::json("golden/upscalers/cases.json");
    let case = |(entry, index): (&Value, u32)| {
        let shapes = entry["shapes"].as_object().expect("shapes").iter();
        let shapes: BTreeMap<String, Vec<usize>> = shapes.map(|(key, shape)| (key.clone(), usizes(shape))).collect();
        let seed = 1000 * (index + 1);
        let size = usizes(&entry["size"]);
        Case {
            name: entry["name"].as_str().expect("a name").into(),
            entry: entry.clone(),
            weights: weights(seed, &shapes),
            shapes,
            size: (size[0], size[1]),
            image: numbers(seed - 1, 3 * size[0] * size[1], 0.5, 0.5),
            wanted: outputs[&index.to_string()].data.clone(),
        }
    };
    list.as_array().expect("a list").iter().zip(0..).map(case).collect()
}

/// Returns the weights as make/upscalers.py computes them.
fn weights(seed: u32, shapes: &BTreeMap<String, Vec<usize>>) -> BTreeMap<String, Vec<f32>> {
    let values = |(index, (key, shape)): (u32, (&String, &Vec<usize>))| {
        let (scale, shift) = match shape.as_slice() {
            [_, rest @ ..] if shape.len() == 4 => ((3.0 / numel(rest) as f64).sqrt() as f32, 0.0),
            _ if key.ends_with("bias") => (0.1, 0.0),
            _ => (0.15, 0.25),
        };
        (key.clone(), numbers(seed + index, host_len(numel(shape)), scale, shift))
    };
    (0..).zip(shapes).map(values).collect()
}

fn net(shapes: &BTreeMap<String, Vec<usize>>) -> Result<UpscalerNet, UpscalerError> {
    UpscalerNet::of(shapes.iter().map(|(key, shape)| (key.as_str(), shape.as_slice())))
}

/// Returns up to 512 evenly spaced values.
fn sample(values: &[f32]) -> Vec<f32> {
    let count = values.len().min(512);
    let last = (values.len() - 1) as f64;
    let mut indices: Vec<usize> =
        (0..count).map(|at| (at as f64 * last / (count.max(2) - 1) as f64).round_ties_even() as usize).collect();
    indices.dedup();
    indices.iter().map(|&index| values[index]).collect()
}

/// Returns the weight of a plan in its layout.
fn arranged(case: &Case, plan: &Plan, name: &str) -> Option<Vec<f32>> {
    let key = name.strip_prefix(UPSCALER)?.strip_prefix('.')?;
    let (_, layout, _) = plan.weights().find(|(weight, ..)| *weight == name)?;
    Some(layout.arrange(case.weights.get(key)?.clone(), &case.shapes[key]))
}

async fn on_device(device: &Device, config: &KernelConfig, case: &Case, plan: &Plan) -> Vec<f32> {
    let mut tensors: BTreeMap<String, Tensor> = BTreeMap::new();
    for (name, ..) in plan.weights() {
        let data = arranged(case, plan, name).expect("a weight");
        tensors.insert(name.into(), device.upload(name, &data).await.expect("a tensor"));
    }
    let runner = Runner::new(device, config, plan, &|name| tensors.get(name).cloned()).await.expect("a runner");
    runner.set("image", &case.image).expect("an image");
    runner.set_scalars(&vec![1.0; plan.scalars.len()]);
    runner.compute_cancellable::<PipelineError>("enlarged", &mut || Ok(())).await.expect("an image")
}

#[test]
fn networks_agree_with_spandrel() {
    block_on(async {
        let gpu = if cfg!(target_os = "wasi") { None } else { Some(Gpu::open().await.expect("a GPU")) };
        let config = gpu.as_ref().map(Gpu::default_config);
        let gpu = gpu.map(|gpu| Device::Gpu(Rc::new(gpu)));
        for case in cases() {
            let net = net(&case.shapes).unwrap_or_else(|error| panic!("{}: {error}", case.name));
            assert_eq!(net.scale as u64, case.entry["scale"].as_u64().expect("a scale"), "{}", case.name);
            let is_plus = case.entry["tags"].as_array().expect("tags").contains(&"ESRGAN+".into());
            let name = case.entry["architecture"].as_str().expect("a name");
            let wanted = if is_plus { "ESRGAN+" } else { name.strip_prefix("Real").unwrap_or(name) };
            assert!(net.architecture().ends_with(wanted), "{}: {}", case.name, net.architecture());
            let plan = upscaler(&net, case.size.0, case.size.1).expect("a plan");
            let mut give = |name: &str| match name {
                "image" => Some(case.image.clone()),
                _ => arranged(&case, &plan, name),
            };
            let result = interpret(&plan, &mut give, &vec![1.0; plan.scalars.len()]).expect("a run");
            close(&case.name, &sample(&result["enlarged"]), &case.wanted, NETWORK);
            let fused = plan.clone().fuse_epilogues();
            let on_cpu = on_device(&Device::cpu(), &KernelConfig::CPU, &case, &fused).await;
            close(&format!("{} on the CPU", case.name), &on_cpu, &result["enlarged"], NETWORK);
            if let (Some(gpu), Some(config)) = (&gpu, &config) {
                let on_gpu = on_device(gpu, config, &case, &fused).await;
                close(&format!("{} on the GPU", case.name), &on_gpu, &result["enlarged"], NETWORK);
            }
            // Strips of few rows, also of the maps of the input's size.
            if fused.steps.iter().all(|step| step.label != "pixel_unshuffle") {
                let largest = plan.values.iter().map(|value| numel(&value.shape)).max().unwrap_or(0);
                let strips = plan.clone().strip_mined((largest / 2).max(7000)).expect("strips").fuse_epilogues();
                let in_strips = on_device(&Device::cpu(), &KernelConfig::CPU, &case, &strips).await;
                close(&format!("{} in strips", case.name), &in_strips, &result["enlarged"], NETWORK);
            }
        }
    });
}

#[test]
fn tiles_of_the_default_size_stay_whole_but_for_the_enlarged_maps() {
    let case = cases().remove(0);
    let plan = upscaler(&net(&case.shapes).expect("a network"), 192, 192).expect("a plan");
    let limit = upscaler_strip(&plan, 128 << 20);
    assert_eq!(4 * limit, 32 << 20);
    let maps = plan.values.iter().filter(|value| value.shape.len() == 4 && value.shape[1] == 192);
    assert!(maps.into_iter().all(|value| value.numel() <= limit));
}

/// Returns a file of these tensors, under keys with `prefix`.
fn file(case: &Case, prefix: &str) -> Rc<dyn ByteSource> {
    let bytes = |values: &[f32]| values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>();
    let data: Vec<(String, Vec<u8>)> =
        case.weights.iter().map(|(key, values)| (format!("{prefix}{key}"), bytes(values))).collect();
    let views = data.iter().map(|(key, bytes)| {
        let shape = case.shapes[&key[prefix.len()..]].clone();
        (key.as_str(), TensorView::new(Dtype::F32, shape, bytes).expect("a tensor"))
    });
    Rc::new(safetensors::serialize(views, None).expect("a file"))
}

fn opened(name: &str, source: Rc<dyn ByteSource>) -> Result<UpscalerFile, PipelineError> {
    UpscalerFile::open(block_on(TensorFile::open(name.into(), source)).expect("a file"))
}

fn pixels(values: &[f32]) -> Vec<u8> {
    values.iter().map(|value| to_byte(value.clamp(0.0, 1.0) * 255.0)).collect()
}

fn enlarge(upscaler: &UpscalerFile, image: &DecodedImage, tiling: Tiling, channels: Channels) -> DecodedImage {
    let device = Device::cpu();
    let mut enlarger = Enlarger::new(&device, &KernelConfig::CPU, upscaler, tiling, channels);
    block_on(enlarger.once(image, &mut |_, _| Ok(()))).expect("an image")
}

fn floats(bytes: &[u8]) -> Vec<f32> {
    bytes.iter().map(|&byte| f32::from(byte)).collect()
}

#[test]
fn files_are_read_with_any_prefix_and_sizes_are_padded() {
    let case = cases().into_iter().find(|case| case.name == "Real-ESRGAN x2").expect("the case");
    let (height, width) = case.size;
    let image = DecodedImage { width, height, rgb: pixels(&case.image) };
    let whole = Tiling { size: 0, overlap: 0 };
    let plain = enlarge(&opened("a.safetensors", file(&case, "")).expect("a network"), &image, whole, Channels::Rgb);
    let nested = opened("a.safetensors", file(&case, "params_ema.module.")).expect("a network");
    assert_eq!(enlarge(&nested, &image, whole, Channels::Rgb).rgb, plain.rgb);
    // An odd size is mirrored to an even one: what it adds is cut off.
    let odd = DecodedImage {
        width: width - 1,
        height,
        rgb: image.rgb.chunks_exact(3 * width).flat_map(|row| &row[..3 * (width - 1)]).copied().collect(),
    };
    let mirrored = DecodedImage {
        width,
        height,
        rgb: odd
            .rgb
            .chunks_exact(3 * (width - 1))
            .flat_map(|row| [row, &row[3 * (width - 3)..][..3]].concat())
            .collect(),
    };
    let (small, large) =
        (enlarge(&nested, &odd, whole, Channels::Rgb), enlarge(&nested, &mirrored, whole, Channels::Rgb));
    assert_eq!((small.width, small.height), (2 * (width - 1), 2 * height));
    let cut: Vec<u8> = large.rgb.chunks_exact(6 * width).flat_map(|row| &row[..6 * (width - 1)]).copied().collect();
    assert_eq!(small.rgb, cut);
}

#[test]
fn tiles_of_a_pth_file_are_those_of_the_web_ui() {
    let outputs = golden::tensors("golden/upscalers/outputs.safetensors");
    let source = Rc::new(golden::bytes("golden/upscalers/compact.pth"));
    let upscaler = opened("compact.pth", source).expect("a network");
    assert_eq!((upscaler.net.architecture(), upscaler.net.scale), ("Real-ESRGAN Compact", 2));
    let image = || DecodedImage { width: 31, height: 20, rgb: pixels(&numbers(89999, 20 * 31 * 3, 0.5, 0.5)) };
    let tiling = Tiling { size: 12, overlap: 3 };
    let tiled = enlarge(&upscaler, &image(), tiling, Channels::Bgr);
    // A value at the border of two bytes may round to either.
    let off = |a: &[u8], b: &[f32]| a.iter().zip(b).filter(|(a, b)| f32::from(**a) != **b).count();
    assert!(max_abs(&floats(&tiled.rgb), &outputs["tiled"].data) <= 1.0);
    assert!(off(&tiled.rgb, &outputs["tiled"].data) <= 4);
    let untiled = enlarge(&upscaler, &image(), Tiling { size: 0, overlap: 0 }, Channels::Bgr);
    assert!(max_abs(&floats(&untiled.rgb), &outputs["untiled"].data) <= 1.0);
    assert!(off(&untiled.rgb, &outputs["untiled"].data) <= 4);
    // The tiles' borders differ from the whole by as much as the web UI's do.
    let seams = off(&tiled.rgb, &floats(&untiled.rgb));
    assert!(seams.abs_diff(off(&untiled.rgb, &outputs["tiled"].data)) <= 8 && seams > 0, "{seams}");
    let rgb = enlarge(&upscaler, &image(), tiling, Channels::Rgb).rgb;
    assert!(max_abs(&floats(&rgb), &outputs["tiled"].data) > 8.0, "the order of the channels counts");
    // Twice, since one doubling is too small for the size, then by Lanczos.
    let device = Device::cpu();
    let mut enlarger = Enlarger::new(&device, &KernelConfig::CPU, &upscaler, tiling, Channels::Bgr);
    let mut passes = 0;
    let mut on_tile = |done, _| {
        passes += usize::from(done == 0);
        Ok(())
    };
    let larger = block_on(enlarger.enlarge(image(), (93, 60), &mut on_tile)).expect("an image");
    assert_eq!((larger.width, larger.height), (93, 60));
    drop(enlarger);
    assert!(passes >= 2, "{passes}");
}

#[test]
fn lanczos_filter_is_pillows() {
    let outputs = golden::tensors("golden/upscalers/outputs.safetensors");
    let bytes = outputs["tiled"].data.iter().map(|&value| to_byte(value)).collect();
    let image = DecodedImage { width: 62, height: 40, rgb: bytes };
    assert_eq!(floats(&lanczos(image, (75, 33)).rgb), outputs["lanczos"].data);
}

#[test]
fn other_files_are_refused_by_name() {
    let check = |keys: &[&str], wanted: &str| {
        let shapes = keys.iter().map(|key| ((*key).to_owned(), vec![8, 8, 3, 3])).collect();
        let error = net(&shapes).expect_err("not one of ours").to_string();
        assert!(error.contains(wanted), "{keys:?}: {error}");
    };
    check(&["conv_first.weight", "layers.0.residual_group.blocks.0.attn.qkv.weight"], "SwinIR");
    let hat = [
        "layers.0.residual_group.blocks.0.attn.qkv.weight",
        "layers.0.residual_group.blocks.0.conv_block.cab.0.weight",
    ];
    check(&hat, "HAT");
    check(&["params.conv_first.weight", "params.layers.0.blocks.0.ffn.sg.norm.weight"], "DAT");
    check(&["lora_unet_mid_block.lora_up.weight"], "no known upscaler");
    check(&["body.0.weight", "body.1.weight"], "`body.0`");
    // Every tensor of a network is needed, with its shape.
    for case in cases() {
        for key in case.shapes.keys().filter(|key| key.ends_with("weight")) {
            let mut shapes = case.shapes.clone();
            shapes.insert(key.clone(), vec![5, 7]);
            assert!(net(&shapes).is_err(), "{}: {key}", case.name);
        }
    }
}

#[test]
fn names_in_recipes_are_those_of_files() {
    assert!(is_named("4x-UltraSharp", "4x-UltraSharp.pth") && is_named("4x-ultrasharp", "4x-UltraSharp.safetensors"));
    assert!(is_named("4x-UltraSharp.pth", "4x-UltraSharp.pth"));
    assert!(!is_named("4x", "4x-UltraSharp.pth"));
}
