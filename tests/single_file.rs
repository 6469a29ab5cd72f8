//! Full-size single-file checkpoints with real headers and synthetic data: model detection and the location of every
//! tensor. The keys are those that diffusers' converters accept.

use lora_loupe::analysis::BaseShapes;
use lora_loupe::device::Device;
use lora_loupe::edit::{BakeEdit, Edit, EditInput, MergePart, MergeVerdict, Strengths, apply, verify};
use lora_loupe::formats::source::ReadFuture;
use lora_loupe::formats::{ByteSource, Dtype, Header, TensorInfo};
use lora_loupe::gpu::{Gpu, KernelConfig};
use lora_loupe::model::{Clip, Family, FamilyId, Module, Unet, UnetConfig};
use lora_loupe::pipeline::{Folder, Model, Shape};
use lora_loupe::plan::Layout;
use lora_loupe::text::Tokenizer;
use lora_loupe::weights::{TensorFile, Weights};
use lora_loupe_tests::golden;
use lora_loupe_tests::imagined::{Shapes, SyntheticCheckpoint, number, open, shapes, synthetic_checkpoint};
use std::collections::BTreeMap;
use std::ops::{ControlFlow, Range};
use std::rc::Rc;

fn numbers(from: u64, count: usize) -> Vec<f32> {
    (from..from + count as u64).map(number).collect()
}

#[test]
fn every_family_is_detected_and_every_tensor_found() {
    // The published counts: UNets 859,520,964, 865,910,724 and 2,567,463,684; text encoders
    // 123,060,480, 340,387,840 and 123,060,480 + 694,659,840; VAE 83,653,863.
    for (family, id, parameters) in [
        ("sd15", FamilyId::Sd15, 1_066_235_307),
        ("sd21", FamilyId::Sd21, 1_289_952_427),
        ("sdxl", FamilyId::Sdxl, 3_468_837_867u64),
    ] {
        let model = open(&shapes(family), &[], &[]).unwrap_or_else(|error| panic!("{family}: {error}"));
        assert_eq!(model.family(), id);
        // Text encoders, UNet and VAE; Model::parameters does not count the VAE encoder.
        let vae = Family::published_vae(id).expect("a config");
        let encoder: u64 = vae.encoder.modules().iter().map(|module| module.parameters()).sum();
        assert_eq!(model.parameters() + encoder, parameters, "{family}");
        assert_eq!(model.spec.text_encoders().len(), if family == "sdxl" { 2 } else { 1 });
    }
}

#[test]
fn text_encoders_with_the_names_of_early_transformers_are_found() {
    let early = |key: &str| key.replace("cond_stage_model.transformer.text_model.", "cond_stage_model.transformer.");
    let shapes: Shapes = shapes("sd15").into_iter().map(|(key, shape)| (early(&key), shape)).collect();
    let key = "cond_stage_model.transformer.encoder.layers.3.self_attn.k_proj.bias";
    let (_, offsets) = synthetic_checkpoint(&shapes, &[]);
    let model = open(&shapes, &[], &[]).expect("a model");
    let name = "text_encoder.text_model.encoder.layers.3.self_attn.k_proj.bias";
    let got = pollster::block_on(model.checkpoint.read(name, Layout::Plain)).expect("a tensor");
    assert_eq!(got, numbers(offsets[key], 768));
}

#[test]
fn fused_and_transposed_weights_are_read_correctly() {
    let shapes = shapes("sdxl");
    let (_, offsets) = synthetic_checkpoint(&shapes, &[]);
    let model = open(&shapes, &[], &[]).expect("a model");
    let read = |name: &str| pollster::block_on(model.checkpoint.read(name, Layout::Plain)).expect("a tensor");
    let in_proj = offsets["conditioner.embedders.1.model.transformer.resblocks.3.attn.in_proj_weight"];
    for (third, name) in ["q_proj", "k_proj", "v_proj"].into_iter().enumerate() {
        let got = read(&format!("text_encoder_2.text_model.encoder.layers.3.self_attn.{name}.weight"));
        assert!(got == numbers(in_proj + (third * 1280 * 1280) as u64, 1280 * 1280), "{name}");
    }
    let bias = offsets["conditioner.embedders.1.model.transformer.resblocks.3.attn.in_proj_bias"];
    let got = read("text_encoder_2.text_model.encoder.layers.3.self_attn.k_proj.bias");
    assert_eq!(got, numbers(bias + 1280, 1280));
    let stored = numbers(offsets["conditioner.embedders.1.model.text_projection"], 1280 * 1280);
    let transposed = read("text_encoder_2.text_projection.weight");
    assert!((0..1280 * 1280).all(|i| transposed[i] == stored[i % 1280 * 1280 + i / 1280]));
    let conv = read("unet.down_blocks.1.attentions.1.transformer_blocks.1.attn2.to_k.weight");
    let offset = offsets["model.diffusion_model.input_blocks.5.1.transformer_blocks.1.attn2.to_k.weight"];
    assert!(conv == numbers(offset, 640 * 2048));
}

#[test]
fn base_shapes_have_every_layer_of_the_family() {
    for (family, id) in [("sd15", FamilyId::Sd15), ("sd21", FamilyId::Sd21), ("sdxl", FamilyId::Sdxl)] {
        let (file, _) = synthetic_checkpoint(&shapes(family), &[]);
        let header = pollster::block_on(Header::read(&file)).expect("a header");
        let base = BaseShapes::of(&[(None, &header)]).expect("a model");
        assert_eq!(base.family, id);
        let published = Family::published(id).expect("a published config");
        let want: Vec<_> = published.modules().iter().map(|(of, module)| (*of, &*module.path)).collect();
        let got: Vec<_> = base.modules.iter().map(|(of, module)| (*of, &*module.path)).collect();
        assert_eq!(got, want, "{family}");
    }
}

/// Returns a rank-1 LoRA with kohya keys; all elements of a layer's lora_up and lora_down have the given values.
fn rank_one(layers: &[(&str, f32, f32)], width: usize) -> Vec<u8> {
    let (mut tensors, mut data) = (Vec::new(), Vec::new());
    for &(layer, up, down) in layers {
        for (part, shape, value) in [("lora_up", vec![width, 1], up), ("lora_down", vec![1, width], down)] {
            let start = 4 * data.len() as u64;
            let bytes = start..start + 4 * width as u64;
            tensors.push(TensorInfo::contiguous(format!("{layer}.{part}.weight"), Dtype::F32, shape, bytes));
            data.extend(std::iter::repeat_n(value, width));
        }
    }
    let mut file = Vec::new();
    Header::of(tensors, BTreeMap::new()).write(&mut file).expect("memory");
    file.extend(data.iter().flat_map(|x| x.to_le_bytes()));
    file
}

#[test]
fn fused_and_transposed_weights_are_baked_correctly() {
    const WIDTH: usize = 1280;
    let is_selected = |key: &String| key.contains("embedders.1.model.transformer.resblocks.0.");
    let mut selected = shapes("sdxl");
    selected.retain(|key, _| is_selected(key) || key == "conditioner.embedders.1.model.text_projection");
    let (model, offsets) = synthetic_checkpoint(&selected, &[]);
    let attention = "lora_te2_text_model_encoder_layers_0_self_attn";
    let layers = [(&*format!("{attention}_k_proj"), 0.5, 1.0), (&*format!("{attention}_v_proj"), 1.0, 2.0)];
    let lora = rank_one(&layers, WIDTH);
    let mut projection_lora = rank_one(&[("lora_te2_text_projection", 1.0, 1.0)], WIDTH);
    // Changes only the first output: a row of the layer's weight, which is a column of the stored tensor.
    let data = projection_lora.len() - 8 * WIDTH;
    projection_lora[data + 4..data + 4 * WIDTH].fill(0);
    let mut out = Vec::new();
    let inputs = [
        EditInput::file("model", &model, None),
        EditInput::file("lora", &lora, None),
        EditInput::file("projection", &projection_lora, None),
    ];
    let part = MergePart { strength: 1.0, strengths: Strengths::default() };
    let edit = Edit::Bake(BakeEdit { parts: vec![part.clone(), part] });
    pollster::block_on(apply(&edit, &inputs, &mut out, &mut |_| ControlFlow::Continue(()))).expect("a baked model");
    let header = pollster::block_on(Header::read(&out)).expect("a file");
    let change = |key: &str| {
        let key = format!("conditioner.embedders.1.model.{key}");
        let tensor = header.get(&key).expect("the tensor");
        let after = pollster::block_on(tensor.read(&out)).expect("numbers");
        let before = numbers(offsets[&key], after.len());
        after.iter().zip(before).map(|(after, before)| after - before).collect::<Vec<f32>>()
    };
    let in_proj = change("transformer.resblocks.0.attn.in_proj_weight");
    for (third, want) in [0.0, 0.5, 2.0].into_iter().enumerate() {
        let part = &in_proj[third * WIDTH * WIDTH..(third + 1) * WIDTH * WIDTH];
        assert!(part.iter().all(|&x| (x - want).abs() < 2e-3), "third {third} changes by {want}, up to f16 rounding");
    }
    let transposed = change("text_projection");
    assert!((0..WIDTH * WIDTH).all(|i| (transposed[i] - f32::from(u8::from(i % WIDTH == 0))).abs() < 2e-3));
    assert!(change("transformer.resblocks.0.attn.in_proj_bias").iter().all(|&x| x == 0.0));
}

/// Two layers of OpenCLIP's fused attention, in f16: what `bake` writes is bit-exact, one changed bit is rounding, and
/// another strength, a missing LoRA and a changed tensor that no LoRA touches are reported with their figures.
#[test]
fn a_merged_model_is_verified() {
    const WIDTH: usize = 1280;
    let mut selected = shapes("sdxl");
    selected.retain(|key, _| key.contains("embedders.1.model.transformer.resblocks.0."));
    let (model, _) = synthetic_checkpoint(&selected, &[]);
    let attention = "lora_te2_text_model_encoder_layers_0_self_attn";
    let lora =
        rank_one(&[(&*format!("{attention}_k_proj"), 0.5, 1.0), (&*format!("{attention}_v_proj"), 1.0, 2.0)], WIDTH);
    let (base, adapter) = (EditInput::file("base", &model, None), EditInput::file("lora", &lora, None));
    let part = |strength| MergePart { strength, strengths: Strengths::default() };
    let mut merged = Vec::new();
    let edit = Edit::Bake(BakeEdit { parts: vec![part(0.75)] });
    let inputs = [base.clone(), adapter.clone()];
    pollster::block_on(apply(&edit, &inputs, &mut merged, &mut |_| ControlFlow::Continue(()))).expect("a baked model");
    let verified = |merged: &dyn ByteSource, strength| {
        let input = EditInput::file("merged", merged, None);
        let adapters = std::slice::from_ref(&adapter);
        pollster::block_on(verify(&input, &base, adapters, &[part(strength)])).expect("two models of one family")
    };
    let exact = verified(&merged, 0.75);
    assert_eq!((exact.verdict, exact.touched, exact.exact, exact.largest_ulps), (MergeVerdict::Exact, 2, 2, 0));
    assert_eq!((exact.exact_elements, exact.largest_error), (2 * (WIDTH * WIDTH) as u64, 0.0));
    assert!(exact.untouched > 10 && exact.equal == exact.untouched && exact.missing.is_empty(), "{exact:?}");

    let stronger = verified(&merged, 0.5);
    assert!(!stronger.holds() && (stronger.factor.expect("a change") - 1.5).abs() < 0.01, "{stronger:?}");
    assert!((stronger.largest_error - 0.5).abs() < 0.01 && stronger.equal == stronger.untouched, "{stronger:?}");
    let absent = verified(&model, 0.75);
    assert_eq!((absent.verdict, absent.exact, absent.factor), (MergeVerdict::Different, 0, Some(0.0)));

    let header = pollster::block_on(Header::read(&merged)).expect("a file");
    let start = |end: &str| {
        let tensor = header.tensors.iter().find(|tensor| tensor.name.ends_with(end)).expect("the tensor");
        tensor.bytes.start as usize
    };
    let mut changed = merged.clone();
    changed[start("attn.in_proj_weight") + 2 * WIDTH * WIDTH] ^= 1; // the first element of k_proj
    let rounded = verified(&changed, 0.75);
    assert_eq!((rounded.verdict, rounded.exact, rounded.rounded), (MergeVerdict::Rounded, 1, 1));
    assert_eq!((rounded.exact_elements, rounded.largest_ulps), (exact.elements - 1, 1));
    changed[start("ln_1.weight")] ^= 1;
    let others = verified(&changed, 0.75);
    assert_eq!((others.untouched - others.equal, others.changed.len()), (1, 1), "{others:?}");
    assert!(others.changed[0].ends_with("layer_norm1.weight"), "{:?}", others.changed);
}

#[test]
fn the_prediction_type_is_detected() {
    let predicts_v = |family: &str, metadata: &[(&str, &str)], extra: &[&str]| {
        let mut shapes = shapes(family);
        shapes.extend(extra.iter().map(|key| ((*key).to_owned(), vec![1])));
        let schedule = open(&shapes, metadata, &[]).expect("a model").schedule;
        (
            format!("{:?}", schedule.prediction_type.expect("a type")) == "VPrediction",
            schedule.rescale_betas_zero_snr == Some(true),
        )
    };
    assert_eq!(predicts_v("sd15", &[], &[]), (false, false));
    assert_eq!(predicts_v("sd21", &[], &[]), (true, false), "2.x is the 768 model unless the metadata says otherwise");
    assert_eq!(predicts_v("sd21", &[("modelspec.architecture", "stable-diffusion-v2-512")], &[]), (false, false));
    assert_eq!(predicts_v("sdxl", &[], &["v_pred", "ztsnr"]), (true, true));
    assert_eq!(predicts_v("sdxl", &[("modelspec.prediction_type", "epsilon")], &[]), (false, false));
}

/// Returns the UNet keys of sd_xl_refiner_1.0.safetensors from its published config.
fn refiner() -> Shapes {
    let config = r#"{"sample_size": 128, "in_channels": 4, "out_channels": 4, "layers_per_block": 2,
        "block_out_channels": [384, 768, 1536, 1536], "attention_head_dim": [6, 12, 24, 24],
        "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"],
        "up_block_types": ["UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"],
        "transformer_layers_per_block": 4, "cross_attention_dim": 1280, "use_linear_projection": true,
        "addition_embed_type": "text_time", "addition_time_embed_dim": 256,
        "projection_class_embeddings_input_dim": 2560, "norm_num_groups": 32, "norm_eps": 1e-5}"#;
    let unet = Unet::new(&UnetConfig::parse(config).expect("a config"));
    let named = |module: &&Module| (format!("model.diffusion_model.{}.weight", module.ldm), module.weight_shape());
    let mut shapes: Shapes = unet.modules().iter().map(named).collect();
    assert_eq!(shapes["model.diffusion_model.label_emb.0.0.weight"], [1536, 2560]);
    shapes.insert("conditioner.embedders.0.model.text_projection".into(), vec![1280, 1280]);
    shapes
}

#[test]
fn folders_of_unsupported_models_are_identified() {
    let refusal = |index: &str, text_encoder: &str, channels: usize| {
        let mut files: Vec<(String, Rc<dyn ByteSource>)> = Vec::new();
        let mut add = |path: &str, text: String| files.push((path.into(), Rc::new(text.into_bytes())));
        add("model_index.json", format!(r#"{{"_class_name": "{index}"}}"#));
        for file in ["unet/config.json", "vae/config.json"] {
            let text = golden::text(&format!("golden/pipelines/mini-sd15/{file}"));
            add(file, text.replacen(r#""in_channels": 4"#, &format!(r#""in_channels": {channels}"#), 1));
        }
        add(
            &format!("{text_encoder}/config.json"),
            golden::text("golden/pipelines/mini-sd15/text_encoder/config.json"),
        );
        pollster::block_on(Model::open("model", &Folder::new(files))).err().expect("a refusal").to_string()
    };
    let check = |error: String, kind: &str| assert!(error.contains(kind), "{error}");
    check(refusal("StableDiffusionXLImg2ImgPipeline", "text_encoder_2", 4), "this is the SDXL refiner");
    check(refusal("StableDiffusionInpaintPipeline", "text_encoder", 8), "this is an image-editing model");
    check(refusal("StableDiffusionUpscalePipeline", "text_encoder", 7), "this is a StableDiffusionUpscalePipeline");
    check(refusal("StableDiffusionPipeline", "text_encoder", 4), "the model folder has no text_encoder/");
}

#[test]
fn unsupported_files_are_identified() {
    let refusal = |shapes: &Shapes| open(shapes, &[], &[]).err().expect("a refusal").to_string();
    for family in ["sd15", "sd21", "sdxl"] {
        for (channels, kind) in [(8, "InstructPix2Pix"), (7, "upscaler"), (5, "depth-to-image"), (6, "unknown")] {
            let mut other = shapes(family);
            other.insert("model.diffusion_model.input_blocks.0.0.weight".into(), vec![320, channels, 3, 3]);
            let error = refusal(&other);
            assert!(
                error.contains(kind) && error.contains(&format!("{channels} input channels instead of 4")),
                "{error}"
            );
        }
    }
    let error = refusal(&refiner());
    assert!(error.contains("the SDXL refiner") && error.contains("base model"), "{error}");
    let mut scaled = shapes("sdxl");
    scaled.insert("model.diffusion_model.middle_block.1.proj_in.scale_weight".into(), vec![1280]);
    assert!(refusal(&scaled).contains("scale_weight"), "{}", refusal(&scaled));

    let mut small = shapes("sd15");
    for block in [1, 2] {
        small.insert(format!("model.diffusion_model.input_blocks.{block}.0.in_layers.2.weight"), vec![64, 320, 3, 3]);
    }
    assert!(refusal(&small).contains("diffusers folder"), "{}", refusal(&small));

    let mut damaged = shapes("sd15");
    damaged.remove("model.diffusion_model.output_blocks.5.1.proj_out.weight");
    assert!(refusal(&damaged).contains("up_blocks.1.attentions.2.proj_out.weight"), "{}", refusal(&damaged));

    let lora = BTreeMap::from([("lora_unet_x.lora_up.weight".to_owned(), vec![2, 2])]);
    assert!(refusal(&lora).contains("has no UNet"), "{}", refusal(&lora));
}

#[test]
fn a_missing_vae_is_an_error_and_a_separate_one_is_used() {
    let (vae, rest): (Shapes, Shapes) =
        shapes("sd15").into_iter().partition(|(key, _)| key.starts_with("first_stage_model."));
    assert!(open(&rest, &[], &[]).err().expect("a refusal").to_string().contains("VAE"));
    let bare = vae.iter().map(|(key, shape)| (key["first_stage_model.".len()..].to_owned(), shape.clone())).collect();
    assert_eq!(open(&rest, &[], std::slice::from_ref(&bare)).expect("a model").family(), FamilyId::Sd15);
}

#[test]
fn stable_diffusion_1_5_needs_at_most_2_4_gb() {
    let model = open(&shapes("sd15"), &[], &[]).expect("a model");
    let shape = |height, width| Shape {
        images: 1,
        guided: true,
        prompts: 1,
        height,
        width,
        chunks: 1,
        clip_skip: 0,
        encodes_image: false,
    };
    let need = model.memory_need(shape(64, 64), &KernelConfig::BASELINE, &[]).expect("plans");
    println!("512x512: {need:?}, {} in total", need.total());
    assert!(need.total() <= 2_400_000_000, "{need:?}");
    assert!(need.weights > 1_800_000_000, "UNet and VAE decoder are included");
    let larger = model.memory_need(shape(96, 96), &KernelConfig::BASELINE, &[]).expect("plans");
    println!("768x768: {larger:?}, {} in total", larger.total());
    assert!(larger.total() > need.total());
}

/// A file that records the size of its largest read.
struct RecordingSource {
    file: SyntheticCheckpoint,
    max_read: std::cell::Cell<u64>,
}

impl ByteSource for RecordingSource {
    fn len(&self) -> u64 {
        self.file.len()
    }

    fn read(&self, range: Range<u64>) -> ReadFuture<'_> {
        self.max_read.set(self.max_read.get().max(range.end - range.start));
        self.file.read(range)
    }
}

#[test]
#[cfg_attr(target_os = "wasi", ignore = "needs a GPU")]
fn weights_are_read_in_slices_and_reordered() {
    pollster::block_on(async {
        let shapes = shapes("sd15");
        let (file, offsets) = synthetic_checkpoint(&shapes, &[]);
        let source = Rc::new(RecordingSource { file, max_read: 0.into() });
        let file = TensorFile::open("model".into(), source.clone()).await.expect("a header");
        let mut model = Model::open_files("model", vec![file], Tokenizer::clip()).expect("a model");
        let gpu = Rc::new(Gpu::open().await.expect("a Vulkan device; software Vulkan counts"));
        // 3x3, 4 to 320 channels: slices of eight rows.
        let name = "unet.conv_in.weight";
        let offset = offsets["model.diffusion_model.input_blocks.0.0.weight"];
        let (row, channels) = (9 * 4, 4);
        model.checkpoint.slice = 8 * row as u64 + 1;
        source.max_read.set(0);
        for f16_weights in [false, true] {
            let config = KernelConfig { f16_weights, ..gpu.default_config() };
            let device = Device::from(gpu.clone());
            let mut weights = Weights::default();
            weights.load(&device, &config, &model.checkpoint, name, Layout::Ohwi).await.expect("a tensor");
            let got = weights.get(name).expect("a weight").read().await.expect("numbers");
            assert_eq!(got.len(), 320 * row);
            for (at, &got) in got.iter().enumerate() {
                let (output, tap, input) = (at / row, at / channels % 9, at % channels);
                let wanted = number(offset + (output * row + input * 9 + tap) as u64);
                assert_eq!(got, wanted, "element {at}, f16 weights: {f16_weights}");
            }
        }
        assert_eq!(source.max_read.get(), 2 * 8 * row as u64, "bytes per read");
    });
}

/// Returns the shapes of layers under names that `name` makes of them.
fn named(modules: &[&Module], name: impl Fn(&Module) -> String) -> Shapes {
    let parts = |module: &&Module| {
        let weight = (format!("{}.weight", name(module)), module.weight_shape());
        let bias = module.bias.then(|| (format!("{}.bias", name(module)), vec![module.bias_len()]));
        [Some(weight), bias].into_iter().flatten().collect::<Vec<_>>()
    };
    modules.iter().flat_map(parts).collect()
}

/// Returns the shapes whose keys start with `prefix`, without it.
fn without(shapes: &Shapes, prefix: &str) -> Shapes {
    shapes.iter().filter_map(|(key, shape)| Some((key.strip_prefix(prefix)?.to_owned(), shape.clone()))).collect()
}

#[test]
fn a_unet_is_opened_with_its_text_encoders_and_vae_in_files_of_their_own() {
    for (text, id) in [("sd15", FamilyId::Sd15), ("sd21", FamilyId::Sd21), ("sdxl", FamilyId::Sdxl)] {
        let family = Family::published(id).expect("a config");
        let whole = shapes(text);
        let ldm = without(&whole, "model.diffusion_model.");
        let diffusers = named(&family.unet.modules(), |module| module.path.clone());
        let vae = without(&whole, "first_stage_model.");
        let transformers = |clip: &Clip| named(&clip.modules(), |module| module.path.clone());
        let mut parts = vec![transformers(&family.text_encoder)];
        parts.extend(family.text_encoder_2.as_ref().map(transformers));
        parts.push(vae.clone());
        for unet in [ldm, diffusers] {
            let model = open(&unet, &[], &parts).unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!(model.family(), id);
            // In any order, and with OpenCLIP's own names.
            let mut reversed: Vec<Shapes> = parts.iter().rev().cloned().chain([unet.clone()]).collect();
            if id != FamilyId::Sd15 {
                let prefix =
                    if id == FamilyId::Sd21 { "cond_stage_model.model." } else { "conditioner.embedders.1.model." };
                *reversed.iter_mut().rev().nth(if id == FamilyId::Sd21 { 1 } else { 2 }).expect("an encoder") =
                    without(&whole, prefix);
                reversed.rotate_left(1);
            }
            let model = open(&reversed[0], &[], &reversed[1..]).unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!(model.family(), id);
            let refusal = open(&unet, &[], &[]).err().expect("a refusal").to_string();
            assert!(refusal.contains("no VAE") && refusal.contains("CLIP"), "{refusal}");
            assert_eq!(refusal.contains("bigG"), id == FamilyId::Sdxl, "{refusal}");
        }
        let refusal = open(&whole, &[], &[parts[0].clone(), parts[0].clone()]).err().expect("a refusal").to_string();
        assert!(refusal.contains("another file"), "{refusal}");
    }
}

/// Names that stable-diffusion.cpp's converter gave: matrices of transformers are 1x1 kernels, the second text encoder
/// has transformers' names but for OpenCLIP's fused matrices, whose parts are numbered.
#[test]
fn checkpoints_that_stable_diffusion_cpp_converted_are_opened() {
    for (text, id) in [("sd21", FamilyId::Sd21), ("sdxl", FamilyId::Sdxl)] {
        let family = Family::published(id).expect("a config");
        let split = |prefix: &str, clip: &Clip| -> Shapes {
            let name = |key: String| match key.as_str() {
                "text_projection.weight" => "text_model.text_projection".to_owned(),
                _ => {
                    let fused = |key: String, part: &str, number: &str| match key.rsplit_once(&format!(".{part}.")) {
                        Some((layer, rest)) => format!("{layer}.in_proj.{rest}{number}"),
                        None => key,
                    };
                    fused(fused(fused(key, "q_proj", ""), "k_proj", ".1"), "v_proj", ".2")
                }
            };
            let shapes = named(&clip.modules(), |module| module.path.clone());
            shapes.into_iter().map(|(key, shape)| (format!("{prefix}{}", name(key)), shape)).collect()
        };
        let mut converted = shapes(text);
        converted.retain(|key, _| !key.starts_with("cond_stage_model.") && !key.starts_with("conditioner."));
        for (key, shape) in &mut converted {
            if key.ends_with("proj_in.weight") || key.ends_with("proj_out.weight") {
                shape.resize(4, 1);
            }
        }
        match &family.text_encoder_2 {
            None => converted.extend(split("cond_stage_model.transformer.", &family.text_encoder)),
            Some(second) => {
                let first = named(&family.text_encoder.modules(), |module| {
                    format!("cond_stage_model.transformer.{}", module.path)
                });
                converted.extend(first);
                converted.extend(split("cond_stage_model.1.transformer.", second));
            }
        }
        let (_, offsets) = synthetic_checkpoint(&converted, &[]);
        let model = open(&converted, &[], &[]).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(model.family(), id);
        let (encoder, prefix, width) = match id {
            FamilyId::Sdxl => ("text_encoder_2", "cond_stage_model.1.transformer.", 1280),
            _ => ("text_encoder", "cond_stage_model.transformer.", 1024),
        };
        let name = format!("{encoder}.text_model.encoder.layers.3.self_attn.v_proj.bias");
        let read = pollster::block_on(model.checkpoint.read(&name, Layout::Plain)).expect("a tensor");
        let offset = offsets[&format!("{prefix}text_model.encoder.layers.3.self_attn.in_proj.bias.2")];
        assert_eq!(read, numbers(offset, width));
    }
}

/// A scaled f8 layer: its elements are multiplied by the layer's scale.
#[test]
fn scaled_weights_are_multiplied_by_their_scale() {
    let mut scaled = shapes("sd15");
    let layer = "model.diffusion_model.middle_block.1.transformer_blocks.0.attn1.to_k";
    scaled.insert(format!("{layer}.scale_weight"), vec![]);
    let (_, offsets) = synthetic_checkpoint(&scaled, &[]);
    let model = open(&scaled, &[], &[]).expect("a model");
    let name = "unet.mid_block.attentions.0.transformer_blocks.0.attn1.to_k.weight";
    let read = pollster::block_on(model.checkpoint.read(name, Layout::Plain)).expect("a tensor");
    let scale = number(offsets[&format!("{layer}.scale_weight")]);
    assert!(scale != 1.0 && scale != 0.0, "{scale}");
    let expected: Vec<f32> =
        numbers(offsets[&format!("{layer}.weight")], 1280 * 1280).iter().map(|element| element * scale).collect();
    assert!(read == expected);
}
