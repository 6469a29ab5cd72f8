//! Sessions: memory use as planned, previews, cancellation, device loss and layers with non-finite outputs.

#![cfg(not(target_os = "wasi"))] // needs a GPU

use lora_loupe::gpu::{F16_VARIANT, Gpu, KernelConfig, Style, TileChoice, WeightChoice, Winograd};
use lora_loupe::pipeline::{AdapterChoice, GenerateInputs, Progress, Recipe, Shape, Stage};
use lora_loupe::weights::LoadedAdapter;
use lora_loupe_tests::cases::{case, cases, recipe};
use lora_loupe_tests::draw::{adapter, check, draw, latents, with};
use lora_loupe_tests::mini::{self, full};
use safetensors::Dtype;
use serde_json::Value;
use std::ops::ControlFlow;
use std::rc::Rc;

#[test]
fn memory_is_as_planned_and_steps_create_no_resources() {
    // By the rule no layer has enough channels for Winograd; with a minimum of 0, every supported layer uses it.
    for (style, winograd) in [
        (Style::Untiled, Winograd::ByStyle),
        (Style::Tiled, Winograd::ByStyle),
        (Style::Untiled, Winograd::MinChannels(0)),
    ] {
        pollster::block_on(memory_is_as_planned(style, winograd));
    }
}

async fn memory_is_as_planned(style: Style, winograd: Winograd) {
    let mut session = full().await;
    session.config.style = style;
    session.config.winograd = winograd;
    let (_, recipe, _) = cases("hires").remove(0);
    let recipe = Recipe { steps: 4, ..recipe };
    let gpu = session.gpu().expect("a GPU").clone();
    let mut steps = Vec::new();
    for image in 0..2 {
        let mut on_progress = |progress: Progress| {
            if progress.stage == Stage::Denoise {
                steps.push((image, progress.step, gpu.resource_stats()));
            }
            ControlFlow::Continue(())
        };
        session.generate(&recipe, &GenerateInputs::default(), &mut on_progress).await.expect("an image");
    }
    assert_eq!(steps.len(), 8);
    for pair in steps.windows(2).filter(|pair| pair[1].1 > 1) {
        assert_eq!(pair[0].2, pair[1].2, "between steps {} and {}", pair[0].1, pair[1].1);
    }
    let shape = Shape {
        images: 1,
        guided: true,
        prompts: 1,
        height: recipe.height / 8,
        width: recipe.width / 8,
        chunks: 1,
        clip_skip: 0,
        encodes_image: false,
    };
    let need = session.model.memory_need(shape, &session.config, &[]).expect("plans");
    assert_eq!(gpu.resource_stats().bytes, need.total(), "{style:?} {winograd:?} {need:?}");
    assert_eq!(steps[7].2.bytes, need.total());
    // Another image of the same shape creates no resources.
    assert_eq!(steps[7].2.pipelines, gpu.resource_stats().pipelines);
    assert_eq!((steps[3].2.buffers, steps[3].2.bind_groups), (steps[4].2.buffers, steps[4].2.bind_groups));
}

#[test]
fn adapter_memory_is_as_planned_and_is_released() {
    pollster::block_on(async {
        for names in [&["lora_a"][..], &["lora_b"], &["lora_a", "lora_c_kohya"]] {
            for (is_f16, weights) in [
                (false, WeightChoice::Auto),
                (true, WeightChoice::Auto),
                (true, WeightChoice::F16),
                (true, WeightChoice::Q8),
                (true, WeightChoice::Q4),
                (true, WeightChoice::Streamed),
            ] {
                adapter_memory_is_released(names, is_f16, weights).await;
            }
        }
    });
}

async fn adapter_memory_is_released(names: &[&str], is_f16: bool, weights: WeightChoice) {
    let open = async || {
        let mut session = match is_f16 {
            true => mini::stored(|_, numbers| (Dtype::F16, mini::halves(&numbers))).await,
            false => full().await,
        };
        session.config.f16_weights = is_f16;
        session.config.weights = weights;
        // Tensors are folded by few rows, and a UNet is streamed in parts that need more memory than the text encoder.
        session.model.checkpoint.slice = 1;
        session.model.checkpoint.part = 800_000;
        session
    };
    let mut session = open().await;
    let mut loaded = Vec::new();
    for name in names {
        loaded.push(adapter(&session, name).await);
    }
    let loras: Vec<&LoadedAdapter> = loaded.iter().collect();
    let choice = |name: &&str| AdapterChoice {
        name: (*name).into(),
        sha256: (*name).into(),
        strength: 0.5,
        text_encoder: None,
        blocks: None,
        hash: None,
    };
    let (_, plain, _) = cases("hires").remove(0);
    let with_loras = Recipe { steps: 2, adapters: names.iter().map(choice).collect(), ..plain.clone() };
    let without = Recipe { steps: 2, ..plain };
    let shape = Shape {
        images: 1,
        guided: true,
        prompts: 1,
        height: without.height / 8,
        width: without.width / 8,
        chunks: 1,
        clip_skip: 0,
        encodes_image: false,
    };
    let gpu = session.gpu().expect("a GPU").clone();
    let bare = session.model.memory_need(shape, &session.config, &[]).expect("plans");
    let need = session.model.memory_need(shape, &session.config, &loras).expect("plans");
    assert!(need.adapters > 0, "{names:?}: {need:?}");
    match weights {
        // Folds may take no more than the parameters that are written after them.
        WeightChoice::Streamed => assert!(need.total() >= bare.total(), "{names:?}: {need:?}, {bare:?}"),
        _ => assert!(need.total() > bare.total(), "{names:?}: {need:?}"),
    }
    // Submissions so small that progress is reported while the buffers of each part are allocated.
    gpu.set_submission_flops(500_000);
    let mut peak = 0;
    let mut on_progress = |_: Progress| {
        peak = peak.max(gpu.resource_stats().bytes);
        ControlFlow::Continue(())
    };
    session.generate(&with_loras, &with(&loras), &mut on_progress).await.expect("an image");
    if weights != WeightChoice::Auto {
        // Weights are folded one by one between two reports.
        peak = gpu.resource_stats().peak_bytes;
    }
    assert_eq!(peak, need.total(), "{names:?}, f16 {is_f16}, {weights:?}: {need:?}");
    let after = latents(&mut session, &without, &with(&loras)).await;
    assert_eq!(after, latents(&mut open().await, &without, &GenerateInputs::default()).await, "{names:?}: bit-exact");
    let left = gpu.resource_stats().bytes;
    match weights {
        // The weights of the last part are freed.
        WeightChoice::Streamed => assert!(left < bare.total(), "{names:?}: {left} bytes afterwards, {bare:?}"),
        _ => assert_eq!(left, bare.total(), "{names:?}, f16 {is_f16}, {weights:?}: afterwards"),
    }
}

#[test]
fn previews_approximate_the_image() {
    pollster::block_on(async {
        let mut session = full().await;
        let (_, recipe, _) = cases("hires").remove(0);
        let recipe = Recipe { steps: 6, ..recipe };
        let mut previews = Vec::new();
        let given = GenerateInputs { preview: true, ..GenerateInputs::default() };
        let mut on_progress = |progress: Progress| {
            previews.extend(progress.preview.filter(|_| progress.stage == Stage::Denoise).cloned());
            ControlFlow::Continue(())
        };
        let generated = session.generate(&recipe, &given, &mut on_progress).await.expect("an image");
        assert_eq!(previews.len(), 5, "one after each step but the last");
        let last = &previews[4];
        assert_eq!((last.width, last.height), (recipe.width / 8, recipe.height / 8));
        // The image's mean color at each latent pixel, and a preview's distance from it.
        let mut mean = vec![0.0f64; last.rgb.len()];
        for (i, &value) in generated.rgb.iter().enumerate() {
            let (pixel, channel) = (i / 3, i % 3);
            let (row, column) = (pixel / recipe.width / 8, pixel % recipe.width / 8);
            mean[(row * last.width + column) * 3 + channel] += f64::from(value) / 64.0;
        }
        let off =
            |rgb: &[u8]| rgb.iter().zip(&mean).map(|(a, b)| (f64::from(*a) - b).abs()).sum::<f64>() / mean.len() as f64;
        let grey = vec![(mean.iter().sum::<f64>() / mean.len() as f64) as u8; mean.len()];
        println!("{} levels off, plain grey {}", off(&last.rgb), off(&grey));
        assert!(off(&last.rgb) < off(&grey), "{} against {}", off(&last.rgb), off(&grey));
    });
}

#[test]
fn cancellation_takes_effect_before_the_next_step() {
    pollster::block_on(async {
        let mut session = full().await;
        let recipe = recipe(&case("ddim"));
        let mut last_step = 0;
        let result = session
            .generate(&recipe, &GenerateInputs::default(), &mut |progress| {
                last_step = progress.step;
                let stop = progress.stage == Stage::Denoise && progress.step == 3;
                if stop { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            })
            .await;
        assert_eq!(result.expect_err("stopped").kind(), "cancelled");
        assert_eq!(last_step, 3);
        draw(&mut session, &case("ddim"), &[]).await;
    });
}

#[test]
fn cancellation_takes_effect_within_a_network_call() {
    pollster::block_on(async {
        let mut session = full().await;
        let recipe = recipe(&case("ddim"));
        let mut run = async |stop: Option<(Stage, usize, usize)>| {
            // Submissions as small as on a slow device with a large model.
            session.gpu().expect("a GPU").set_submission_flops(500_000);
            let mut reports = Vec::new();
            let on_progress = &mut |progress: lora_loupe::pipeline::Progress| {
                reports.push((progress.stage, progress.step));
                let count = reports.iter().filter(|&&at| at == (progress.stage, progress.step)).count();
                let is_reached = stop == Some((progress.stage, progress.step, count));
                if is_reached { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            };
            let result = session.generate(&recipe, &GenerateInputs::default(), on_progress).await;
            (result, reports)
        };
        let (whole, all) = run(None).await;
        let whole = whole.expect("an image");
        check(&whole, "ddim");
        for (stage, step) in [(Stage::Denoise, 3), (Stage::Decode, 0)] {
            let submissions = all.iter().filter(|&&at| at == (stage, step)).count();
            assert!(submissions > 8, "{stage:?} takes {submissions} submissions");
            let (stopped, reports) = run(Some((stage, step, 3))).await;
            assert_eq!(stopped.map(|_| ()).expect_err("stopped").kind(), "cancelled");
            assert_eq!(reports.last(), Some(&(stage, step)));
            assert_eq!(
                reports.iter().filter(|&&at| at == (stage, step)).count(),
                3,
                "{stage:?}: no further submission"
            );
        }
        let (again, _) = run(None).await;
        assert_eq!(again.expect("an image").latents, whole.latents, "cancelled runs have no effect on later ones");
    });
}

#[test]
fn images_survive_device_loss() {
    pollster::block_on(async {
        let mut session = full().await;
        let lora = adapter(&session, "lora_a").await;
        let case = case("lora_a_0.6");
        let whole = draw(&mut session, &case, &[&lora]).await;
        let recipe = recipe(&case);
        // A loss at every progress report of an image but the last, after which the GPU has nothing to do.
        let mut places = 0;
        let mut count = |_: Progress| {
            places += 1;
            ControlFlow::Continue(())
        };
        session.generate(&recipe, &with(&[&lora]), &mut count).await.expect("an image");
        for loss in 0..places - 1 {
            let gpu = session.gpu().expect("a GPU").clone();
            let mut reports = 0;
            let generated = session
                .generate(&recipe, &with(&[&lora]), &mut |_| {
                    if reports == loss {
                        gpu.simulate_loss();
                    }
                    reports += 1;
                    ControlFlow::Continue(())
                })
                .await;
            let generated = generated.unwrap_or_else(|error| panic!("loss {loss}: {error}"));
            assert!(!Rc::ptr_eq(&gpu, session.gpu().expect("a GPU")), "loss {loss}: the device was reopened");
            assert_eq!(generated.latents, whole.latents, "loss {loss}");
            assert_eq!(generated.rgb, whole.rgb, "loss {loss}");
        }
    });
}

#[test]
fn a_reopened_device_has_the_same_config_and_runs_the_self_test() {
    pollster::block_on(async {
        let (_, recipe, _) = cases("hires").remove(0);
        let mut session = full().await;
        let original = session.config.clone();
        // With every optimization disabled, and with the original config.
        let reduced = KernelConfig {
            style: Style::Tiled,
            f16_weights: true,
            f16_math: false,
            winograd: Winograd::Disabled,
            subgroups: false,
            tiles: TileChoice::Forced(2),
            ..original.clone()
        };
        for config in [reduced, original] {
            session.config = config.clone();
            let gpu = session.gpu().expect("a GPU").clone();
            let mut on_progress = |progress: Progress| {
                if progress.stage == Stage::Denoise && Rc::strong_count(&gpu) > 1 {
                    gpu.simulate_loss();
                }
                ControlFlow::Continue(())
            };
            session.generate(&recipe, &GenerateInputs::default(), &mut on_progress).await.expect("an image");
            assert!(!Rc::ptr_eq(&gpu, session.gpu().expect("a GPU")), "the device was reopened");
            assert_eq!(session.config, config);
            let (again, same) = Gpu::reopen(&gpu, &config).await.expect("the device");
            assert!(again.pipeline_count() > 10, "kernels of the self-test");
            assert_eq!(same, config);
        }
    });
}

#[test]
fn the_error_names_the_layer_with_non_finite_outputs() {
    pollster::block_on(async {
        let (_, recipe, _) = cases("hires").remove(0);
        for (file, tensor, network) in [
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
            // Layers that also fail in f32 are reported, even if f16 math is disabled first.
            session.config.style = Style::Tiled;
            session.config.tiles = TileChoice::Forced(F16_VARIANT);
            let result =
                session.generate(&recipe, &GenerateInputs::default(), &mut |_| ControlFlow::Continue(())).await;
            let error = result.expect_err("a broken layer").to_string();
            let layer = tensor.trim_end_matches(".weight").trim_end_matches(".bias");
            assert!(error.contains(layer) && error.contains(network), "{error}");
        }
    });
}
