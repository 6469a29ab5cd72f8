//! LoRAs and textual inversions on mini-sd15 compared with diffusers: strengths, block strengths, and a LoRA baked into
//! the model.

#![cfg(not(target_os = "wasi"))] // needs a GPU

use lora_loupe::edit::{BakeEdit, Edit, EditInput, MergePart, apply};
use lora_loupe::formats::ByteSource;
use lora_loupe::formats::source::FileSource;
use lora_loupe::model::Component;
use lora_loupe::pipeline::{AdapterChoice, Embedding, EmbeddingChoice, GenerateInputs, PipelineError, Recipe, Session};
use lora_loupe::program::Program;
use lora_loupe::weights::{LoadedAdapter, TensorFile};
use lora_loupe_tests::cases::{case, cases};
use lora_loupe_tests::compare::{LATENTS, close, rel_rms};
use lora_loupe_tests::containers::{Entry, entry, safetensors};
use lora_loupe_tests::draw::{adapter, check, draw, latents};
use lora_loupe_tests::golden;
use lora_loupe_tests::mini::{self, full};
use lora_loupe_tests::numbers::numbers;
use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use std::ops::ControlFlow;
use std::rc::Rc;

#[test]
fn loras_match_diffusers() {
    pollster::block_on(async {
        let mut session = full().await;
        let loaded = [
            adapter(&session, "lora_a").await,
            adapter(&session, "lora_b").await,
            adapter(&session, "lora_c_kohya").await,
        ];
        let all: Vec<&LoadedAdapter> = loaded.iter().collect();
        let before = draw(&mut session, &case("ddim"), &all).await;
        // The order covers changed strengths, changed sets of adapters and sets used before.
        for name in [
            "lora_a_1.0",
            "lora_a_0.6",
            "lora_a_-0.5",
            "lora_a_0.7_plus_b_0.4",
            "lora_b_1.0",
            "lora_b_-0.5",
            "lora_c_kohya_0.8",
            "lora_a_1.0",
        ] {
            let generated = draw(&mut session, &case(name), &all).await;
            check(&generated, name);
            assert!(generated.applied.iter().all(|applied| applied.matched > 0 && applied.leftovers == 0), "{name}");
        }
        let after = draw(&mut session, &case("ddim"), &all).await;
        assert_eq!(before.latents, after.latents, "without adapters the original weights are restored bit-exactly");
    });
}

#[test]
fn strength_zero_is_bit_exact_and_strength_changes_create_no_pipelines() {
    pollster::block_on(async {
        let mut session = full().await;
        let lora = adapter(&session, "lora_a").await;
        let mut case = case("lora_a_1.0");
        let none = draw(&mut session, &self::case("ddim"), &[&lora]).await;
        let full = draw(&mut session, &case, &[&lora]).await;
        let made = session.gpu().expect("a GPU").pipeline_count();
        case["lora"][0][1] = 0.0.into();
        let zero = draw(&mut session, &case, &[&lora]).await;
        assert_eq!(zero.latents, none.latents);
        assert!(rel_rms(&full.latents, &none.latents) > 1e-3, "the LoRA changes the image");
        case["lora"][0][1] = 0.3.into();
        draw(&mut session, &case, &[&lora]).await;
        assert_eq!(session.gpu().expect("a GPU").pipeline_count(), made, "another strength creates no pipeline");
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
fn block_strengths_match_diffusers() {
    pollster::block_on(async {
        let mut session = full().await;
        let source = FileSource::open(&golden::path("golden/loras/mini-sd15/lora_b.safetensors")).expect("a LoRA");
        let file = TensorFile::open("lora_b.safetensors".into(), Rc::new(source)).await.expect("a header");
        let modules = session.model.modules();
        let loaded = LoadedAdapter::open("b".into(), file, None, &modules).await.expect("an adapter");
        let given = GenerateInputs { adapters: &[&loaded], ..GenerateInputs::default() };
        for (case, recipe, wanted) in cases("blocks") {
            let strength = case["strength"].as_f64().expect("a strength") as f32;
            let whole = Recipe { adapters: vec![choice("b", strength, None)], ..recipe.clone() };
            let without_blocks = latents(&mut session, &whole, &given).await;
            assert!(rel_rms(&without_blocks, &wanted) > 1e-3, "block strengths have an effect");
            let made = session.gpu().expect("a GPU").pipeline_count();
            let recipe = Recipe { adapters: vec![choice("b", strength, case["blocks"].as_str())], ..whole };
            close(&format!("{case}"), &latents(&mut session, &recipe, &given).await, &wanted, LATENTS);
            assert_eq!(
                session.gpu().expect("a GPU").pipeline_count(),
                made,
                "other block strengths create no pipeline"
            );

            let prompt =
                format!("{} <lora:lora_b:{strength}:lbw={}>", recipe.prompt, case["blocks"].as_str().expect("blocks"));
            let chosen = Recipe { program: Program::A1111, ..recipe.clone() };
            let wanted = latents(&mut session, &chosen, &given).await;
            let in_prompt = Recipe { adapters: Vec::new(), prompt, ..chosen };
            // The prompt keeps the space before the tag.
            close("lbw", &latents(&mut session, &in_prompt, &given).await, &wanted, LATENTS);
            let wrong = Recipe { adapters: vec![choice("b", 1.0, Some("1,2"))], ..in_prompt };
            let refused = session.generate(&wrong, &given, &mut |_| ControlFlow::Continue(())).await;
            assert!(refused.expect_err("two numbers").to_string().contains("block weights"));
        }
    });
}

#[test]
fn a_baked_model_matches_its_lora() {
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
                let strip = |(name, view): (String, _)| {
                    let name = name.strip_prefix(part)?.strip_prefix('.')?;
                    Some((name.to_owned(), view))
                };
                safetensors::serialize(baked.tensors().into_iter().filter_map(strip), None).expect("a file")
            }
            _ => bytes,
        };
        let mut session = mini::session(change).await;
        close("baked", &latents(&mut session, &recipe, &GenerateInputs::default()).await, &wanted, LATENTS);
    });
}

/// Opens `inkstyle.safetensors`, an embedding of `vectors` vectors.
async fn embedding(session: &Session, key: &str, width: usize, vectors: usize) -> Result<Embedding, PipelineError> {
    let data: Vec<u8> = numbers(21, vectors * width, 1.0, 0.0).iter().flat_map(|x| (x * 0.1).to_le_bytes()).collect();
    let view = TensorView::new(Dtype::F32, vec![vectors, width], &data).expect("a tensor");
    let bytes = safetensors::serialize([(key, view)], None).expect("a file");
    let file = TensorFile::open("inkstyle.safetensors".into(), Rc::new(bytes)).await.expect("a header");
    Embedding::open("e".into(), &file, &session.text_widths()).await
}

#[test]
fn textual_inversions_match_diffusers() {
    pollster::block_on(async {
        let mut session = full().await;
        let width = session.text_widths()[0].1;
        for (case, recipe, wanted) in cases("inversion") {
            let vectors = case["vectors"].as_u64().expect("a number") as usize;
            let embedding = embedding(&session, "emb_params", width, vectors).await.expect("an embedding");
            let choice = EmbeddingChoice { name: "inkstyle.safetensors".into(), sha256: "e".into() };
            let recipe = Recipe { embeddings: vec![choice], ..recipe };
            let given = GenerateInputs { embeddings: &[&embedding], ..GenerateInputs::default() };
            let got = latents(&mut session, &recipe, &given).await;
            close(&format!("{case}"), &got, &wanted, LATENTS);
            if vectors == 3 {
                // The web UI's syntax recognizes the plain name as well.
                let a1111 = Recipe { program: Program::A1111, ..recipe.clone() };
                // Its images differ from diffusers' by the scale of the initial noise, sqrt(1 + σ²) instead of σ.
                let with = latents(&mut session, &a1111, &given).await;
                close("a1111", &with, &wanted, 5e-3);
                let without = Recipe { embeddings: Vec::new(), ..a1111 };
                assert!(rel_rms(&latents(&mut session, &without, &given).await, &with) > 1e-3, "it has an effect");
            }
            let without = Recipe { embeddings: Vec::new(), ..recipe };
            assert!(
                rel_rms(&latents(&mut session, &without, &given).await, &wanted) > 1e-3,
                "the embedding has an effect"
            );
        }
        let error = embedding(&session, "emb_params", width + 8, 2).await.expect_err("another width").to_string();
        assert!(error.contains("another base model") && error.contains("inkstyle"), "{error}");
        let token = embedding(&session, "<ink>", width, 1).await.expect("diffusers' format");
        assert_eq!(token.names, ["inkstyle", "<ink>"]);
    });
}

#[test]
fn embeddings_bundled_with_a_lora_are_used() {
    pollster::block_on(async {
        let mut session = full().await;
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
        let modules = session.model.modules();
        let loaded = LoadedAdapter::open("l".into(), file, None, &modules).await.expect("a LoRA");
        let recipe = Recipe { adapters: vec![choice("l", 0.5, None)], ..recipe };
        let given = GenerateInputs { adapters: &[&loaded], ..GenerateInputs::default() };
        close("bundled", &latents(&mut session, &recipe, &given).await, &wanted, LATENTS);
    });
}

/// Two pairs for one layer are an error, and of two adapters the error names the one that does not fit.
#[test]
fn an_adapter_that_does_not_fit_is_an_error_that_names_it() {
    pollster::block_on(async {
        let mut session = full().await;
        let (width, recipe) = (session.text_widths()[0].1, cases("blocks").remove(0).1);
        let layer = "text_model.encoder.layers.0.self_attn.q_proj";
        let pair = |stem: &str, up: &str, down: &str, width: usize| {
            [entry(&format!("{stem}{up}"), &[width, 2]), entry(&format!("{stem}{down}"), &[2, width])]
        };
        let kohya = |width| {
            let stem = format!("lora_te_{}", layer.replace('.', "_"));
            pair(&stem, ".lora_up.weight", ".lora_down.weight", width)
        };
        let peft = pair(&format!("text_encoder.{layer}"), ".lora_B.weight", ".lora_A.weight", width);
        let load = async |session: &Session, name: &str, tensors: &[Entry]| {
            let file = TensorFile::open(name.into(), Rc::new(safetensors(&[], tensors))).await.expect("a header");
            LoadedAdapter::open(name.into(), file, None, &session.model.modules()).await.expect("an adapter")
        };
        let good = load(&session, "good", &kohya(width)[..]).await;
        let twice = load(&session, "twice", &[kohya(width), peft.clone()].concat()).await;
        let narrow = load(&session, "narrow", &kohya(width - 8)[..]).await;
        for (second, expected) in [(&twice, peft[0].0.as_str()), (&narrow, "another base model")] {
            let adapters = vec![choice("good", 1.0, None), choice(&second.id, 1.0, None)];
            let recipe = Recipe { adapters, ..recipe.clone() };
            let given = GenerateInputs { adapters: &[&good, second], ..GenerateInputs::default() };
            let refused = session.generate(&recipe, &given, &mut |_| ControlFlow::Continue(())).await;
            let error = refused.expect_err("an adapter that does not fit").to_string();
            assert!(error.contains(&format!("adapter {}", second.id)) && error.contains(expected), "{error}");
        }
    });
}
