//! A session at work: memory as planned, previews, stops, a lost device, a layer that breaks.

#![cfg(not(target_os = "wasi"))] // needs a graphics processor

use lora_loupe::gpu::{TileChoice, Gpu, F16_VARIANT, KernelConfig, Style};
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
fn memory_is_as_planned_and_nothing_is_made_between_steps() {
    // By the rule no layer is wide enough for Winograd's algorithm; forced, all are that may.
    for (style, choice) in
        [(Style::Untiled, TileChoice::Rule), (Style::Tiled, TileChoice::Rule), (Style::Untiled, TileChoice::Forced(0))]
    {
        pollster::block_on(memory_is_as_planned(style, choice));
    }
}

async fn memory_is_as_planned(style: Style, choice: TileChoice) {
    let mut session = full().await;
    session.gpu.set_style(style);
    session.gpu.choose(choice);
    let (_, recipe, _) = cases("hires").remove(0);
    let recipe = Recipe { steps: 4, ..recipe };
    let gpu = session.gpu.clone();
    let mut steps = Vec::new();
    for picture in 0..2 {
        let mut hear = |progress: Progress| {
            if progress.stage == Stage::Denoise {
                steps.push((picture, progress.step, gpu.resource_stats()));
            }
            ControlFlow::Continue(())
        };
        session.generate(&recipe, &GenerateInputs::default(), &mut hear).await.expect("a picture");
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
    let need = session.model.memory_need(shape, gpu.caps(), &[]).expect("plans");
    assert_eq!(gpu.resource_stats().bytes, need.total(), "{style:?} {:?} {need:?}", gpu.choice());
    assert_eq!(steps[7].2.bytes, need.total());
    // Another picture of the same shape makes nothing at all.
    assert_eq!(steps[7].2.pipelines, gpu.resource_stats().pipelines);
    assert_eq!((steps[3].2.buffers, steps[3].2.bind_groups), (steps[4].2.buffers, steps[4].2.bind_groups));
}

#[test]
fn adapters_take_the_memory_that_is_planned_and_give_it_back() {
    pollster::block_on(async {
        for names in [&["lora_a"][..], &["lora_b"], &["lora_a", "lora_c_kohya"]] {
            for halves in [false, true] {
                adapters_give_back(names, halves).await;
            }
        }
    });
}

async fn adapters_give_back(names: &[&str], halves: bool) {
    let open = async || {
        let session = match halves {
            true => mini::stored(|_, numbers| (Dtype::F16, mini::halves(&numbers))).await,
            false => full().await,
        };
        session.gpu.set_f16_weights(halves);
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
        pictures: 1,
        guided: true,
        height: without.height / 8,
        width: without.width / 8,
        chunks: 1,
        clip_skip: 0,
        starts_from_picture: false,
    };
    let gpu = session.gpu.clone();
    let means = gpu.caps();
    let bare = session.model.memory_need(shape, means, &[]).expect("plans");
    let need = session.model.memory_need(shape, means, &loras).expect("plans");
    assert!(need.adapters > 0 && need.total() > bare.total(), "{names:?}: {need:?}");
    // Portions so small that each part of the work is heard of while its buffers are there.
    gpu.set_submission_flops(500_000);
    let mut most = 0;
    let mut hear = |_: Progress| {
        most = most.max(gpu.resource_stats().bytes);
        ControlFlow::Continue(())
    };
    session.generate(&with_loras, &with(&loras), &mut hear).await.expect("a picture");
    assert_eq!(most, need.total(), "{names:?}, halves {halves}: {need:?}");
    let after = latents(&mut session, &without, &with(&loras)).await;
    assert_eq!(after, latents(&mut open().await, &without, &GenerateInputs::default()).await, "{names:?}: bit by bit");
    assert_eq!(gpu.resource_stats().bytes, bare.total(), "{names:?}, halves {halves}: afterwards");
}

#[test]
fn previews_come_near_the_picture() {
    pollster::block_on(async {
        let mut session = full().await;
        let (_, recipe, _) = cases("hires").remove(0);
        let recipe = Recipe { steps: 6, ..recipe };
        let mut shown = Vec::new();
        let given = GenerateInputs { preview: true, ..GenerateInputs::default() };
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

#[test]
fn stopping_answers_before_the_next_step() {
    pollster::block_on(async {
        let mut session = full().await;
        let recipe = recipe(&case("ddim"));
        let mut seen = 0;
        let result = session
            .generate(&recipe, &GenerateInputs::default(), &mut |progress| {
                seen = progress.step;
                let stop = progress.stage == Stage::Denoise && progress.step == 3;
                if stop { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            })
            .await;
        assert_eq!(result.expect_err("stopped").kind(), "cancelled");
        assert_eq!(seen, 3);
        draw(&mut session, &case("ddim"), &[]).await;
    });
}

#[test]
fn stopping_answers_within_a_call_of_the_network() {
    pollster::block_on(async {
        let mut session = full().await;
        let recipe = recipe(&case("ddim"));
        let mut heard = async |stop: Option<(Stage, usize, usize)>| {
            // Portions as small as those of a slow device with a large model.
            session.gpu.set_submission_flops(500_000);
            let mut heard = Vec::new();
            let hear = &mut |progress: lora_loupe::pipeline::Progress| {
                heard.push((progress.stage, progress.step));
                let now = heard.iter().filter(|&&at| at == (progress.stage, progress.step)).count();
                let is_there = stop == Some((progress.stage, progress.step, now));
                if is_there { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            };
            let drawn = session.generate(&recipe, &GenerateInputs::default(), hear).await;
            (drawn, heard)
        };
        let (whole, all) = heard(None).await;
        let whole = whole.expect("a picture");
        check(&whole, "ddim");
        for (stage, step) in [(Stage::Denoise, 3), (Stage::Decode, 0)] {
            let portions = all.iter().filter(|&&at| at == (stage, step)).count();
            assert!(portions > 8, "{stage:?} takes {portions} portions");
            let (stopped, heard) = heard(Some((stage, step, 3))).await;
            assert_eq!(stopped.map(|_| ()).expect_err("stopped").kind(), "cancelled");
            assert_eq!(heard.last(), Some(&(stage, step)));
            assert_eq!(heard.iter().filter(|&&at| at == (stage, step)).count(), 3, "{stage:?}: no portion later");
        }
        let (again, _) = heard(None).await;
        assert_eq!(again.expect("a picture").latents, whole.latents, "what was stopped leaves no trace");
    });
}

#[test]
fn a_lost_device_costs_time_and_no_picture() {
    pollster::block_on(async {
        let mut session = full().await;
        let lora = adapter(&session, "lora_a").await;
        let case = case("lora_a_0.6");
        let whole = draw(&mut session, &case, &[&lora]).await;
        let recipe = recipe(&case);
        for loss in 0..10 {
            let gpu = session.gpu.clone();
            // Eight steps, then losses before the text, the adapters and in decoding.
            let mut parts = 0;
            let picture = session
                .generate(&recipe, &with(&[&lora]), &mut |_| {
                    if parts == loss + 1 {
                        gpu.lose();
                    }
                    parts += 1;
                    ControlFlow::Continue(())
                })
                .await;
            let picture = picture.unwrap_or_else(|error| panic!("loss {loss}: {error}"));
            assert!(!Rc::ptr_eq(&gpu, &session.gpu), "loss {loss}: the device was opened anew");
            assert_eq!(picture.latents, whole.latents, "loss {loss}");
            assert_eq!(picture.rgb, whole.rgb, "loss {loss}");
        }
    });
}

#[test]
fn a_lost_device_comes_back_as_it_was_found_and_proves_itself_again() {
    pollster::block_on(async {
        let (_, recipe, _) = cases("hires").remove(0);
        let mut session = full().await;
        let found = session.gpu.config();
        // As it is when all is given up, and when nothing is.
        let given_up = KernelConfig {
            style: Style::Tiled,
            f16_weights: true,
            f16_math: false,
            uses_winograd: false,
            has_subgroups: false,
            tile_choice: TileChoice::Forced(2),
        };
        for (config, wants_tuning) in [(given_up, true), (found, false)] {
            session.gpu.set_config(config.clone());
            session.gpu.set_wants_tuning(wants_tuning);
            let gpu = session.gpu.clone();
            let mut hear = |progress: Progress| {
                if progress.stage == Stage::Denoise && Rc::strong_count(&gpu) > 1 {
                    gpu.lose();
                }
                ControlFlow::Continue(())
            };
            session.generate(&recipe, &GenerateInputs::default(), &mut hear).await.expect("a picture");
            assert!(!Rc::ptr_eq(&gpu, &session.gpu), "the device was opened anew");
            assert_eq!(session.gpu.config(), config);
            assert_eq!(session.gpu.wants_tuning(), wants_tuning);
            let again = Gpu::open_like(&gpu).await.expect("the device");
            assert!(again.pipelines_made() > 10, "kernels of the self test");
        }
    });
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
            session.gpu.choose(TileChoice::Forced(F16_VARIANT));
            let drawn = session.generate(&recipe, &GenerateInputs::default(), &mut |_| ControlFlow::Continue(())).await;
            let said = drawn.expect_err("a broken layer").to_string();
            let layer = tensor.trim_end_matches(".weight").trim_end_matches(".bias");
            assert!(said.contains(layer) && said.contains(named), "{said}");
        }
    });
}
