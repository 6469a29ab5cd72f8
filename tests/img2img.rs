//! Image-to-image on mini-sd15 compared with diffusers: inpainting, second passes (hires fix) and batches; resizing
//! compared with PyTorch.

#![cfg(not(target_os = "wasi"))] // needs a GPU

use lora_loupe::pipeline::{Filter, GenerateInputs, Hires, Progress, Recipe, Stage, Upscaler, UpscalerFile, resize};
use lora_loupe::program::Program;
use lora_loupe::weights::TensorFile;
use lora_loupe_tests::cases::cases;
use lora_loupe_tests::compare::{LATENTS, close, max_abs, rel_rms};
use lora_loupe_tests::draw::latents;
use lora_loupe_tests::golden::{self, Tensor};
use lora_loupe_tests::mini::{self, full};
use lora_loupe_tests::numbers::numbers;
use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use std::ops::ControlFlow;
use std::rc::Rc;

fn init_image(recipe: &Recipe) -> Vec<f32> {
    let data = numbers(11, 3 * recipe.height * recipe.width, 1.0, 0.0).iter().map(|x| x * 0.9).collect();
    Tensor { shape: vec![1, 3, recipe.height, recipe.width], data }.channels_last()
}

fn striped_mask(recipe: &Recipe) -> Vec<f32> {
    let is_masked = |i: usize| (i % recipe.width + 2 * (i / recipe.width)) % 24 < 12;
    (0..recipe.height * recipe.width).map(|i| f32::from(is_masked(i))).collect()
}

#[test]
fn inpainting() {
    pollster::block_on(async {
        let mut session = full().await;
        for (case, recipe, wanted) in cases("inpaint") {
            let init = init_image(&recipe);
            let mask = striped_mask(&recipe);
            let recipe = Recipe { denoise: case["strength"].as_f64(), masked: true, ..recipe };
            let given = GenerateInputs { init: Some(&init), mask: Some(&mask), ..GenerateInputs::default() };
            let got = latents(&mut session, &recipe, &given).await;
            close(&format!("{case}"), &got, &wanted, LATENTS);

            let unmasked = Recipe { masked: false, ..recipe.clone() };
            let other = latents(&mut session, &unmasked, &GenerateInputs { mask: None, ..given }).await;
            assert!(rel_rms(&other, &wanted) > 1e-2, "the mask has an effect");
            let given = GenerateInputs { mask: None, ..given };
            let result = session.generate(&recipe, &given, &mut |_| ControlFlow::Continue(())).await;
            assert!(result.expect_err("no mask").to_string().contains("the mask"));
        }
    });
}

/// Returns the UNet's file with a conv_in that also reads the mask and the masked image, as in tests/make/runner.py.
fn with_inpainting_conv_in(bytes: &[u8]) -> Vec<u8> {
    let file = SafeTensors::deserialize(bytes).expect("weights");
    let channels = file.tensor("conv_in.weight").expect("conv_in").shape()[0];
    let weight = numbers(31, channels * 9 * 9, 1.0, 0.0);
    let weight: Vec<u8> = weight.iter().flat_map(|value| (value * 0.2).to_le_bytes()).collect();
    let tensors = file.iter().map(|(name, view)| match name {
        "conv_in.weight" => {
            (name, TensorView::new(Dtype::F32, vec![channels, 9, 3, 3], weight.as_slice()).expect("a tensor"))
        }
        _ => (name, view),
    });
    safetensors::serialize(tensors, None).expect("a file")
}

#[test]
fn inpainting_models_read_the_mask_and_the_masked_image() {
    let change = |path: &str, bytes: Vec<u8>| match path {
        "unet/config.json" => {
            let text = String::from_utf8(bytes).expect("text");
            assert!(text.contains(r#""in_channels": 4"#));
            text.replace(r#""in_channels": 4"#, r#""in_channels": 9"#).into_bytes()
        }
        _ if path.starts_with("unet/") && path.ends_with(".safetensors") => with_inpainting_conv_in(&bytes),
        _ => bytes,
    };
    pollster::block_on(async {
        let mut session = mini::session(change).await;
        let all = cases("inpainting model");
        assert_eq!(all.len(), 3);
        for (case, recipe, wanted) in all {
            let init = init_image(&recipe);
            let mask = striped_mask(&recipe);
            let batch = case["images"].as_u64().expect("an integer") as usize;
            let recipe = Recipe { denoise: case["strength"].as_f64(), masked: true, batch, ..recipe };
            let given = GenerateInputs { init: Some(&init), mask: Some(&mask), ..GenerateInputs::default() };
            let got = latents(&mut session, &recipe, &given).await;
            close(&format!("{case}"), &got, &wanted, LATENTS);
            // Without a mask, all of the image is masked; without an image too.
            let unmasked = Recipe { masked: false, denoise: None, ..recipe.clone() };
            let other = latents(&mut session, &unmasked, &GenerateInputs::default()).await;
            assert!(rel_rms(&other, &wanted) > 1e-2, "the mask has an effect");
        }
    });
}

#[test]
fn batches_from_one_image() {
    pollster::block_on(async {
        let mut session = full().await;
        for (case, recipe, wanted) in cases("from image") {
            let init = init_image(&recipe);
            let batch = case["images"].as_u64().expect("an integer") as usize;
            let recipe = Recipe { denoise: case["strength"].as_f64(), batch, ..recipe };
            let got =
                latents(&mut session, &recipe, &GenerateInputs { init: Some(&init), ..GenerateInputs::default() })
                    .await;
            close(&format!("{case}"), &got, &wanted, LATENTS);
        }
    });
}

#[test]
fn hires_fix_by_an_upscaling_network() {
    pollster::block_on(async {
        let mut session = full().await;
        let (_, recipe, _) = cases("hires").remove(0);
        let source = Rc::new(golden::bytes("golden/upscalers/compact.pth"));
        let upscaler = UpscalerFile::open(TensorFile::open("compact.pth".into(), source).await.expect("a file"));
        let upscaler = upscaler.expect("a network");
        let hires = |network: Option<&str>| Hires {
            scale: 1.5,
            denoise: 0.5,
            steps: 2,
            upscaler: Upscaler::Pixels,
            network: network.map(str::to_owned),
        };
        for program in [Program::Diffusers, Program::A1111] {
            let recipe = |network| Recipe { program, hires: Some(hires(network)), ..recipe.clone() };
            let given = GenerateInputs { upscaler: Some(&upscaler), ..GenerateInputs::default() };
            let by_network = latents(&mut session, &recipe(Some("compact")), &given).await;
            let interpolated = latents(&mut session, &recipe(None), &given).await;
            assert!(rel_rms(&by_network, &interpolated) > 1e-2, "the network has an effect");
            let mut stages = Vec::new();
            let mut on_progress = |progress: Progress| {
                stages.push(progress.stage);
                ControlFlow::Continue(())
            };
            let image = session.generate(&recipe(Some("compact")), &given, &mut on_progress).await.expect("an image");
            assert_eq!((image.height, image.width), recipe(None).size_times(1.5, 8));
            assert!(stages.contains(&Stage::Upscale));
            let none = GenerateInputs::default();
            let result = session.generate(&recipe(Some("other")), &none, &mut |_| ControlFlow::Continue(())).await;
            assert!(result.expect_err("no file").to_string().contains("the upscaler other, which is not open"));
        }
    });
}

#[test]
fn hires_fix() {
    pollster::block_on(async {
        let mut session = full().await;
        for (case, recipe, wanted) in cases("hires") {
            let value = |name: &str| case[name].as_f64().expect("a number");
            let hires = Hires {
                scale: value("scale"),
                denoise: value("strength"),
                steps: value("second") as usize,
                upscaler: Upscaler::Latent,
                network: None,
            };
            let recipe = Recipe { hires: Some(hires.clone()), ..recipe };
            let got = latents(&mut session, &recipe, &GenerateInputs::default()).await;
            close(&format!("{case}"), &got, &wanted, LATENTS);

            let pixels = Recipe { hires: Some(Hires { upscaler: Upscaler::Pixels, ..hires }), ..recipe.clone() };
            let result =
                session.generate(&pixels, &GenerateInputs::default(), &mut |_| ControlFlow::Continue(())).await;
            let image = result.expect("an image");
            assert_eq!((image.height, image.width), recipe.size_times(hires.scale, 8));
            assert_eq!(image.rgb.len(), image.height * image.width * 3);
            assert!(rel_rms(&image.latents, &wanted) > 1e-2, "upscaled pixels give another initial image");
        }
        let (_, recipe, _) = cases("hires").remove(0);
        let hires = Hires { scale: 0.9, denoise: 0.5, steps: 0, upscaler: Upscaler::Latent, network: None };
        assert!(
            Recipe { hires: Some(hires), ..recipe }
                .check(8)
                .expect_err("a scale below 1")
                .to_string()
                .contains("scale")
        );
    });
}

#[test]
fn resizing_agrees_with_pytorch() {
    // torch.nn.functional.interpolate of arange(6).reshape(1, 1, 2, 3) ** 2 to (3, 5).
    let map: Vec<f32> = (0..6).map(|i| (i * i) as f32).collect();
    let linear = [0.0, 0.4, 1.0, 2.8, 4.0, 4.5, 6.1000004, 8.5, 12.1, 14.5, 9.0, 11.8, 16.0, 21.400002, 25.0];
    assert!(max_abs(&resize(&map, (2, 3), (3, 5), Filter::Linear), &linear) < 1e-5);
    let constant = vec![0.7; 5 * 4 * 3];
    let large = resize(&constant, (5, 4), (11, 7), Filter::Cubic);
    assert_eq!(large.len(), 11 * 7 * 3);
    assert!(large.iter().all(|value| (value - 0.7).abs() < 1e-6), "bicubic resizing keeps a constant");
}
