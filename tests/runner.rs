//! Inpainting, second passes, textual inversions and strengths of blocks against diffusers, on mini-sd15.

use lora_loupe::edit::{BakeEdit, Edit, EditInput, MergePart, apply};
use lora_loupe::formats::ByteSource;
use lora_loupe::formats::source::FileSource;
use lora_loupe::gpu::{Choice, HALVES, Means, Style};
use lora_loupe::model::Component;
use lora_loupe::pipeline::{
    AdapterChoice, Embedding, EmbeddingChoice, Filter, Given, Hires, PipelineError, Progress, Recipe, Rng, Session,
    Shape, Stage, Upscaler, resize,
};
use lora_loupe::text::Syntax;
use lora_loupe::weights::{LoadedAdapter, TensorFile};
use lora_loupe_tests::compare::{close, max_abs, rel_rms};
use lora_loupe_tests::golden::{self, Tensor};
use lora_loupe_tests::mini;
use lora_loupe_tests::numbers::numbers;
use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use serde_json::Value;
use std::ops::ControlFlow;
use std::rc::Rc;

/// The goldens' "expected" limit for end-to-end latents in f32.
const LATENTS: f64 = 2e-5;

async fn session() -> Session {
    mini::session(|_, bytes| bytes).await
}

/// The cases of one kind, each with a plain recipe and diffusers' latents.
fn cases(kind: &str) -> Vec<(Value, Recipe, Vec<f32>)> {
    let file = golden::json("golden/runner/cases.json");
    let latents = golden::tensors("golden/runner/latents.safetensors");
    let common = &file["common"];
    let number = |name: &str| common[name].as_u64().expect("a number");
    let recipe = |case: &Value| Recipe {
        version: 1,
        model: "mini-sd15".into(),
        adapters: Vec::new(),
        prompt: case["prompt"].as_str().or(common["prompt"].as_str()).expect("a prompt").into(),
        negative: common["negative"].as_str().map(str::to_owned),
        seed: number("seed"),
        steps: case["steps"].as_u64().unwrap_or(4) as usize,
        guidance: common["guidance"].as_f64().expect("guidance") as f32,
        sampler: case["sampler"].as_str().unwrap_or("ddim").into(),
        width: number("width") as usize,
        height: number("height") as usize,
        schedule: None,
        spacing: None,
        eta: None,
        rng: Rng::Torch,
        syntax: Syntax::Plain,
        clip_skip: 0,
        batch: 1,
        denoise: None,
        masked: false,
        hires: None,
        embeddings: Vec::new(),
    };
    let listed = file["cases"].as_array().expect("cases").iter().enumerate();
    let listed = listed.filter(|(_, case)| case["kind"] == kind);
    listed.map(|(i, case)| (case.clone(), recipe(case), latents[&i.to_string()].channels_last())).collect()
}

async fn latents(session: &mut Session, recipe: &Recipe, given: &Given<'_>) -> Vec<f32> {
    let drawn = session.generate(recipe, given, &mut |_| ControlFlow::Continue(())).await;
    drawn.unwrap_or_else(|error| panic!("{error}")).latents
}

fn picture(recipe: &Recipe) -> Vec<f32> {
    let data = numbers(11, 3 * recipe.height * recipe.width, 1.0, 0.0).iter().map(|x| x * 0.9).collect();
    Tensor { shape: vec![1, 3, recipe.height, recipe.width], data }.channels_last()
}

#[test]
fn inpainting() {
    pollster::block_on(async {
        let mut session = session().await;
        for (case, recipe, wanted) in cases("inpaint") {
            let init = picture(&recipe);
            let mask: Vec<f32> = (0..recipe.height * recipe.width)
                .map(|i| if (i % recipe.width + 2 * (i / recipe.width)) % 24 < 12 { 1.0 } else { 0.0 })
                .collect();
            let recipe = Recipe { denoise: case["strength"].as_f64(), masked: true, ..recipe };
            let given = Given { init: Some(&init), mask: Some(&mask), ..Given::default() };
            let got = latents(&mut session, &recipe, &given).await;
            close(&format!("{case}"), &got, &wanted, LATENTS);

            let unmasked = Recipe { masked: false, ..recipe.clone() };
            let other = latents(&mut session, &unmasked, &Given { mask: None, ..given }).await;
            assert!(rel_rms(&other, &wanted) > 1e-2, "the mask acts");
            let given = Given { mask: None, ..given };
            let lost = session.generate(&recipe, &given, &mut |_| ControlFlow::Continue(())).await;
            assert!(lost.expect_err("no mask").to_string().contains("the mask"));
        }
    });
}

#[test]
fn second_passes() {
    pollster::block_on(async {
        let mut session = session().await;
        for (case, recipe, wanted) in cases("hires") {
            let number = |name: &str| case[name].as_f64().expect("a number");
            let hires = Hires {
                scale: number("scale"),
                denoise: number("strength"),
                steps: number("second") as usize,
                upscaler: Upscaler::Latent,
            };
            let recipe = Recipe { hires: Some(hires), ..recipe };
            let got = latents(&mut session, &recipe, &Given::default()).await;
            close(&format!("{case}"), &got, &wanted, LATENTS);

            let pixels = Recipe { hires: Some(Hires { upscaler: Upscaler::Pixels, ..hires }), ..recipe.clone() };
            let drawn = session.generate(&pixels, &Given::default(), &mut |_| ControlFlow::Continue(())).await;
            let drawn = drawn.expect("a picture");
            assert_eq!((drawn.height, drawn.width), recipe.size_times(hires.scale, 8));
            assert_eq!(drawn.rgb.len(), drawn.height * drawn.width * 3);
            assert!(rel_rms(&drawn.latents, &wanted) > 1e-2, "pixels are another start");
        }
        let (_, recipe, _) = cases("hires").remove(0);
        let hires = Hires { scale: 0.9, denoise: 0.5, steps: 0, upscaler: Upscaler::Latent };
        assert!(Recipe { hires: Some(hires), ..recipe }.check(8).expect_err("smaller").to_string().contains("scale"));
    });
}

#[test]
fn enlargements_are_pytorchs() {
    // torch.nn.functional.interpolate of arange(6).reshape(1, 1, 2, 3) ** 2 to (3, 5).
    let map: Vec<f32> = (0..6).map(|i| (i * i) as f32).collect();
    let linear = [0.0, 0.4, 1.0, 2.8, 4.0, 4.5, 6.1000004, 8.5, 12.1, 14.5, 9.0, 11.8, 16.0, 21.400002, 25.0];
    assert!(max_abs(&resize(&map, (2, 3), (3, 5), Filter::Linear), &linear) < 1e-5);
    let constant = vec![0.7; 5 * 4 * 3];
    let large = resize(&constant, (5, 4), (11, 7), Filter::Cubic);
    assert_eq!(large.len(), 11 * 7 * 3);
    assert!(large.iter().all(|value| (value - 0.7).abs() < 1e-6), "a cubic keeps what is even");
}

/// An embedding file of `vectors` vectors, `inkstyle.safetensors` unless named otherwise.
async fn embedding(session: &Session, key: &str, width: usize, vectors: usize) -> Result<Embedding, PipelineError> {
    let data: Vec<u8> = numbers(21, vectors * width, 1.0, 0.0).iter().flat_map(|x| (x * 0.1).to_le_bytes()).collect();
    let view = TensorView::new(Dtype::F32, vec![vectors, width], &data).expect("a tensor");
    let bytes = safetensors::serialize([(key, view)], None).expect("a file");
    let file = TensorFile::open("inkstyle.safetensors".into(), Rc::new(bytes)).await.expect("a header");
    Embedding::open("e".into(), &file, &session.text_widths()).await
}

#[test]
fn textual_inversions() {
    pollster::block_on(async {
        let mut session = session().await;
        let width = session.text_widths()[0].1;
        for (case, recipe, wanted) in cases("inversion") {
            let vectors = case["vectors"].as_u64().expect("a number") as usize;
            let embedding = embedding(&session, "emb_params", width, vectors).await.expect("an embedding");
            let choice = EmbeddingChoice { name: "inkstyle.safetensors".into(), sha256: "e".into() };
            let recipe = Recipe { embeddings: vec![choice], ..recipe };
            let given = Given { embeddings: &[&embedding], ..Given::default() };
            let got = latents(&mut session, &recipe, &given).await;
            close(&format!("{case}"), &got, &wanted, LATENTS);
            if vectors == 3 {
                // The web UI's syntax finds the same bare name.
                let a1111 = Recipe { syntax: Syntax::A1111, ..recipe.clone() };
                close("a1111", &latents(&mut session, &a1111, &given).await, &wanted, LATENTS);
            }
            let without = Recipe { embeddings: Vec::new(), ..recipe };
            assert!(rel_rms(&latents(&mut session, &without, &given).await, &wanted) > 1e-3, "the vectors act");
        }
        let misfit = embedding(&session, "emb_params", width + 8, 2).await.expect_err("another width").to_string();
        assert!(misfit.contains("another base model") && misfit.contains("inkstyle"), "{misfit}");
        let token = embedding(&session, "<ink>", width, 1).await.expect("diffusers' form");
        assert_eq!(token.names, ["inkstyle", "<ink>"]);
    });
}

#[test]
fn a_lora_brings_its_embeddings_along() {
    pollster::block_on(async {
        let mut session = session().await;
        let width = session.text_widths()[0].1;
        let (case, recipe, wanted) = cases("inversion").remove(0);
        let vectors = case["vectors"].as_u64().expect("a number") as usize;
        let floats = |data: &[f32]| data.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<u8>>();
        let embedding: Vec<f32> = numbers(21, vectors * width, 1.0, 0.0).iter().map(|x| x * 0.1).collect();
        let (embedding, zeros) = (floats(&embedding), floats(&vec![0.0; width]));
        let parts = [
            ("bundle_emb.inkstyle.string_to_param.*", vec![vectors, width], &embedding),
            ("lora_te_text_model_encoder_layers_0_self_attn_q_proj.lora_up.weight", vec![width, 1], &zeros),
            ("lora_te_text_model_encoder_layers_0_self_attn_q_proj.lora_down.weight", vec![1, width], &zeros),
        ];
        let views = parts
            .iter()
            .map(|(name, shape, data)| (*name, TensorView::new(Dtype::F32, shape.clone(), data).expect("a tensor")));
        let bytes = safetensors::serialize(views, None).expect("a file");
        let file = TensorFile::open("style.safetensors".into(), Rc::new(bytes)).await.expect("a header");
        let modules = session.model.networks.modules();
        let loaded = LoadedAdapter::open("l".into(), file, None, &modules).await.expect("a LoRA");
        let recipe = Recipe { adapters: vec![choice("l", 0.5, None)], ..recipe };
        let given = Given { adapters: &[&loaded], ..Given::default() };
        close("bundled", &latents(&mut session, &recipe, &given).await, &wanted, LATENTS);
    });
}

fn choice(id: &str, strength: f32, blocks: Option<&str>) -> AdapterChoice {
    AdapterChoice {
        name: id.into(),
        sha256: id.into(),
        strength,
        text_encoder: None,
        blocks: blocks.map(str::to_owned),
        hash: None,
    }
}

#[test]
fn strengths_of_blocks() {
    pollster::block_on(async {
        let mut session = session().await;
        let source = FileSource::open(&golden::path("golden/loras/mini-sd15/lora_b.safetensors")).expect("a LoRA");
        let file = TensorFile::open("lora_b.safetensors".into(), Rc::new(source)).await.expect("a header");
        let modules = session.model.networks.modules();
        let loaded = LoadedAdapter::open("b".into(), file, None, &modules).await.expect("an adapter");
        let given = Given { adapters: &[&loaded], ..Given::default() };
        for (case, recipe, wanted) in cases("blocks") {
            let strength = case["strength"].as_f64().expect("a strength") as f32;
            let whole = Recipe { adapters: vec![choice("b", strength, None)], ..recipe.clone() };
            let without_blocks = latents(&mut session, &whole, &given).await;
            assert!(rel_rms(&without_blocks, &wanted) > 1e-3, "blocks act");
            let made = session.gpu.pipelines_made();
            let recipe = Recipe { adapters: vec![choice("b", strength, case["blocks"].as_str())], ..whole };
            close(&format!("{case}"), &latents(&mut session, &recipe, &given).await, &wanted, LATENTS);
            assert_eq!(session.gpu.pipelines_made(), made, "no pipeline is made for other blocks");

            let said =
                format!("{} <lora:lora_b:{strength}:lbw={}>", recipe.prompt, case["blocks"].as_str().expect("blocks"));
            let in_prompt = Recipe { adapters: Vec::new(), prompt: said, syntax: Syntax::A1111, ..recipe };
            // A space stands before the mark.
            close("lbw", &latents(&mut session, &in_prompt, &given).await, &wanted, LATENTS);
            let wrong = Recipe { adapters: vec![choice("b", 1.0, Some("1,2"))], ..in_prompt };
            let refused = session.generate(&wrong, &given, &mut |_| ControlFlow::Continue(())).await;
            assert!(refused.expect_err("two numbers").to_string().contains("block strengths"));
        }
    });
}

#[test]
fn a_baked_model_draws_what_its_lora_drew() {
    pollster::block_on(async {
        let (case, recipe, wanted) = cases("blocks").remove(0);
        let parts: Vec<(Component, Vec<u8>)> = [
            (Component::TextEncoder, "text_encoder/model.safetensors"),
            (Component::Unet, "unet/diffusion_pytorch_model.safetensors"),
        ]
        .map(|(part, file)| {
            (part, std::fs::read(golden::path("golden/pipelines/mini-sd15").join(file)).expect("weights"))
        })
        .into();
        let lora = std::fs::read(golden::path("golden/loras/mini-sd15/lora_b.safetensors")).expect("a LoRA");
        let files = parts.iter().map(|(part, bytes)| (Some(*part), bytes as &dyn ByteSource)).collect();
        let inputs =
            [EditInput { name: "mini-sd15", files, config: None }, EditInput::file("lora_b.safetensors", &lora, None)];
        let strengths = case["blocks"].as_str().expect("blocks").parse().expect("strengths");
        let part = MergePart { strength: case["strength"].as_f64().expect("a strength") as f32, strengths };
        let mut out = Vec::new();
        let edit = Edit::Bake(BakeEdit { parts: vec![part] });
        apply(&edit, &inputs, &mut out, &mut |_| ControlFlow::Continue(())).await.expect("a baked model");

        let baked = SafeTensors::deserialize(&out).expect("a file");
        let change = |path: &str, bytes: Vec<u8>| match path.split_once('/') {
            Some((part @ ("unet" | "text_encoder"), file)) if file.ends_with(".safetensors") => {
                let own = |(name, view): (String, _)| {
                    let name = name.strip_prefix(part)?.strip_prefix('.')?;
                    Some((name.to_owned(), view))
                };
                safetensors::serialize(baked.tensors().into_iter().filter_map(own), None).expect("a file")
            }
            _ => bytes,
        };
        let mut session = mini::session(change).await;
        close("baked", &latents(&mut session, &recipe, &Given::default()).await, &wanted, LATENTS);
    });
}

#[test]
fn several_pictures_from_one() {
    pollster::block_on(async {
        let mut session = session().await;
        for (case, recipe, wanted) in cases("from picture") {
            let init = picture(&recipe);
            let pictures = case["pictures"].as_u64().expect("a number") as usize;
            let recipe = Recipe { denoise: case["strength"].as_f64(), batch: pictures, ..recipe };
            let got = latents(&mut session, &recipe, &Given { init: Some(&init), ..Given::default() }).await;
            close(&format!("{case}"), &got, &wanted, LATENTS);
        }
    });
}

#[test]
fn clip_skip_low_guidance_and_tcd_are_read_as_pipelines_read_them() {
    pollster::block_on(async {
        let mut session = session().await;
        for (case, recipe, wanted) in cases("asked") {
            let guidance = case["guidance"].as_f64().expect("guidance") as f32;
            let clip_skip = case["clip_skip"].as_u64().expect("a number") as usize;
            let recipe = Recipe { guidance, clip_skip, ..recipe };
            let got = latents(&mut session, &recipe, &Given::default()).await;
            close(&format!("{case}"), &got, &wanted, LATENTS);
            // The web UIs leave layers out for both prompts.
            let web = latents(&mut session, &Recipe { syntax: Syntax::A1111, ..recipe }, &Given::default()).await;
            assert_eq!(rel_rms(&web, &wanted) > 1e-3, clip_skip > 0 && guidance > 1.0, "{case}");
        }
    });
}

/// The nearest code of an eight-bit type whose codes from 0 up to `last` stand for growing numbers.
fn eight_bits(value: f32, number: fn(u8) -> f32, last: u8) -> u8 {
    let size = value.abs();
    let above = (0..last).find(|&code| number(code) >= size).unwrap_or(last);
    let below = above.saturating_sub(1);
    let (up, down) = (number(above) - size, size - number(below));
    let code = if up < down || up == down && above % 2 == 0 { above } else { below };
    code | u8::from(value.is_sign_negative()) << 7
}

/// Four bits of exponent and three of mantissa.
fn e4m3fn(code: u8) -> f32 {
    let (exponent, mantissa) = (i32::from(code >> 3), f32::from(code & 7) / 8.0);
    if exponent == 0 { mantissa * 2f32.powi(-6) } else { (1.0 + mantissa) * 2f32.powi(exponent - 7) }
}

/// The upper half of an f16.
fn e5m2(code: u8) -> f32 {
    half::f16::from_bits(u16::from(code) << 8).to_f32()
}

#[test]
fn rounded_weights_draw_as_their_numbers_do() {
    pollster::block_on(async {
        for (case, recipe, wanted) in cases("rounded") {
            let eight = |numbers: Vec<f32>, number: fn(u8) -> f32, last: u8| {
                numbers.iter().map(|&value| eight_bits(value, number, last)).collect::<Vec<u8>>()
            };
            let store = |_: &str, numbers: Vec<f32>| match case["dtype"].as_str() {
                Some("float8_e4m3fn") => (Dtype::F8_E4M3, eight(numbers, e4m3fn, 0x7e)),
                Some("float8_e5m2") => (Dtype::F8_E5M2, eight(numbers, e5m2, 0x7b)),
                _ => (Dtype::BF16, numbers.iter().flat_map(|&x| half::bf16::from_f32(x).to_le_bytes()).collect()),
            };
            for keeps_halves in [false, true] {
                let mut session = mini::stored(store).await;
                session.gpu.set_keeps_halves(keeps_halves);
                let got = latents(&mut session, &recipe, &Given::default()).await;
                close(&format!("{case}, halves kept: {keeps_halves}"), &got, &wanted, LATENTS);
            }
            let whole = latents(&mut self::session().await, &recipe, &Given::default()).await;
            assert!(rel_rms(&whole, &wanted) > 1e-3, "rounding changes the picture");
        }
    });
}

#[test]
fn a_network_that_is_told_the_guidance() {
    pollster::block_on(async {
        let (case, recipe, wanted) = cases("told guidance").remove(0);
        let width = case["width"].as_u64().expect("a width") as usize;
        let told = |path: &str, bytes: Vec<u8>| match path {
            "unet/config.json" => {
                let mut config: Value = serde_json::from_slice(&bytes).expect("a config");
                config["time_cond_proj_dim"] = width.into();
                config.to_string().into_bytes()
            }
            "unet/diffusion_pytorch_model.safetensors" => {
                let file = SafeTensors::deserialize(&bytes).expect("weights");
                let time = file.tensor("time_embedding.linear_1.weight").expect("a tensor").shape()[1];
                let numbers = numbers(31, time * width, 1.0, 0.0);
                let projection: Vec<u8> = numbers.iter().flat_map(|x| x.to_le_bytes()).collect();
                let own = TensorView::new(Dtype::F32, vec![time, width], &projection).expect("a tensor");
                let views = file.tensors().into_iter().chain([("time_embedding.cond_proj.weight".to_owned(), own)]);
                safetensors::serialize(views, None).expect("a file")
            }
            _ => bytes,
        };
        let mut session = mini::session(told).await;
        let recipe = Recipe { guidance: case["guidance"].as_f64().expect("guidance") as f32, ..recipe };
        close("told", &latents(&mut session, &recipe, &Given::default()).await, &wanted, LATENTS);
    });
}

#[test]
fn memory_is_as_planned_and_nothing_is_made_between_steps() {
    // By the rule no layer is wide enough for Winograd's algorithm; forced, all are that may.
    for (style, choice) in
        [(Style::Direct, Choice::Rule), (Style::Tiled, Choice::Rule), (Style::Direct, Choice::Forced(0))]
    {
        pollster::block_on(memory_is_as_planned(style, choice));
    }
}

async fn memory_is_as_planned(style: Style, choice: Choice) {
    let mut session = session().await;
    session.gpu.set_style(style);
    session.gpu.choose(choice);
    let (_, recipe, _) = cases("hires").remove(0);
    let recipe = Recipe { steps: 4, ..recipe };
    let gpu = session.gpu.clone();
    let mut steps = Vec::new();
    for picture in 0..2 {
        let mut hear = |progress: Progress| {
            if progress.stage == Stage::Denoise {
                steps.push((picture, progress.step, gpu.made()));
            }
            ControlFlow::Continue(())
        };
        session.generate(&recipe, &Given::default(), &mut hear).await.expect("a picture");
    }
    assert_eq!(steps.len(), 8);
    for pair in steps.windows(2).filter(|pair| pair[1].1 > 1) {
        assert_eq!(pair[0].2, pair[1].2, "between steps {} and {}", pair[0].1, pair[1].1);
    }
    let shape = Shape {
        pictures: 1,
        guided: true,
        height: recipe.height / 8,
        width: recipe.width / 8,
        chunks: 1,
        clip_skip: 0,
        starts_from_picture: false,
    };
    let need = session.model.memory_need(shape, gpu.means()).expect("plans");
    assert_eq!(gpu.made().bytes, need.total(), "{style:?} {:?} {need:?}", gpu.choice());
    assert_eq!(steps[7].2.bytes, need.total());
    // Another picture of the same shape makes nothing at all.
    assert_eq!(steps[7].2.pipelines, gpu.made().pipelines);
    assert_eq!((steps[3].2.buffers, steps[3].2.bind_groups), (steps[4].2.buffers, steps[4].2.bind_groups));
}

#[test]
fn the_layer_that_breaks_is_named() {
    pollster::block_on(async {
        let (_, recipe, _) = cases("hires").remove(0);
        for (file, tensor, named) in [
            ("unet/diffusion_pytorch_model.safetensors", "down_blocks.1.resnets.0.conv2.weight", "UNet"),
            ("vae/diffusion_pytorch_model.safetensors", "decoder.up_blocks.0.resnets.1.conv1.weight", "VAE"),
            ("text_encoder/model.safetensors", "text_model.encoder.layers.1.mlp.fc2.bias", "text encoder"),
        ] {
            let broken = |path: &str, mut bytes: Vec<u8>| {
                if path == file {
                    let head = 8 + u64::from_le_bytes(bytes[..8].try_into().expect("8 bytes")) as usize;
                    let header: Value = serde_json::from_slice(&bytes[8..head]).expect("a header");
                    let start = head + header[tensor]["data_offsets"][0].as_u64().expect("a place") as usize;
                    bytes[start..start + 4].copy_from_slice(&f32::INFINITY.to_le_bytes());
                }
                bytes
            };
            let mut session = mini::session(broken).await;
            // What is broken in f32 too is named, also where halves are blamed first.
            session.gpu.set_style(Style::Tiled);
            session.gpu.choose(Choice::Forced(HALVES));
            let drawn = session.generate(&recipe, &Given::default(), &mut |_| ControlFlow::Continue(())).await;
            let said = drawn.expect_err("a broken layer").to_string();
            let layer = tensor.trim_end_matches(".weight").trim_end_matches(".bias");
            assert!(said.contains(layer) && said.contains(named), "{said}");
        }
    });
}

#[test]
fn halves_are_for_calls_of_the_unet_alone() {
    pollster::block_on(async {
        let session = session().await;
        // With strips too: 1 MiB holds no whole map of the VAE.
        for max_binding in [Means::COMMON.max_binding, 1 << 20] {
            let shape = Shape {
                pictures: 1,
                guided: true,
                height: 24,
                width: 24,
                chunks: 1,
                clip_skip: 0,
                starts_from_picture: true,
            };
            let plans = session.model.plans(shape, Means { max_binding, ..Means::COMMON }).expect("plans");
            let allowing: Vec<&str> =
                plans.iter().filter(|plan| plan.allows_halves).map(|plan| plan.name.as_str()).collect();
            assert_eq!((plans.len(), allowing), (5, vec!["unet"]));
        }
    });
}

#[test]
fn a_network_whose_maps_are_beyond_halves_is_drawn_without_them() {
    pollster::block_on(async {
        // Every map that no norm has touched goes past the 65504 of f16.
        let grown = |name: &str, numbers: Vec<f32>| {
            let factor = if name.starts_with("conv_in.") { 1e6 } else { 1.0 };
            (Dtype::F32, numbers.iter().flat_map(|x| (x * factor).to_le_bytes()).collect::<Vec<u8>>())
        };
        let (_, recipe, _) = cases("hires").remove(0);
        let mut session = mini::stored(grown).await;
        session.gpu.set_style(Style::Tiled);
        let wanted = latents(&mut session, &recipe, &Given::default()).await;

        let mut session = mini::stored(grown).await;
        session.gpu.set_style(Style::Tiled);
        session.gpu.choose(Choice::Forced(HALVES));
        assert_eq!(session.gpu.multiplies_halves(), session.gpu.info().shader_f16);
        assert_eq!(latents(&mut session, &recipe, &Given::default()).await, wanted);
        assert!(!session.gpu.multiplies_halves(), "they are given up, or were never offered");
    });
}

#[test]
fn previews_come_near_the_picture() {
    pollster::block_on(async {
        let mut session = session().await;
        let (_, recipe, _) = cases("hires").remove(0);
        let recipe = Recipe { steps: 6, ..recipe };
        let mut shown = Vec::new();
        let given = Given { preview: true, ..Given::default() };
        let mut hear = |progress: Progress| {
            shown.extend(progress.preview.filter(|_| progress.stage == Stage::Denoise).cloned());
            ControlFlow::Continue(())
        };
        let picture = session.generate(&recipe, &given, &mut hear).await.expect("a picture");
        assert_eq!(shown.len(), 5, "one after each step but the last");
        let last = &shown[4];
        assert_eq!((last.width, last.height), (recipe.width / 8, recipe.height / 8));
        // The picture's mean colour in each latent's place, and how far a preview is from it.
        let mut mean = vec![0.0f64; last.rgb.len()];
        for (i, &value) in picture.rgb.iter().enumerate() {
            let (pixel, colour) = (i / 3, i % 3);
            let (row, column) = (pixel / recipe.width / 8, pixel % recipe.width / 8);
            mean[(row * last.width + column) * 3 + colour] += f64::from(value) / 64.0;
        }
        let off =
            |rgb: &[u8]| rgb.iter().zip(&mean).map(|(a, b)| (f64::from(*a) - b).abs()).sum::<f64>() / mean.len() as f64;
        let grey = vec![(mean.iter().sum::<f64>() / mean.len() as f64) as u8; mean.len()];
        println!("{} levels off, plain grey {}", off(&last.rgb), off(&grey));
        assert!(off(&last.rgb) < off(&grey), "{} against {}", off(&last.rgb), off(&grey));
    });
}
