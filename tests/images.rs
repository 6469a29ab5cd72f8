//! Images of mini-sd15 compared with diffusers: samplers, sizes, guidance, CLIP skip, both kernel styles, and configs
//! of early models.

#![cfg(not(target_os = "wasi"))] // needs a GPU

use lora_loupe::gpu::Style;
use lora_loupe::pipeline::{GenerateInputs, Model, Recipe};
use lora_loupe_tests::cases::{case, cases};
use lora_loupe_tests::compare::{LATENTS, close};
use lora_loupe_tests::draw::{adapter, check, draw, latents};
use lora_loupe_tests::mini::{self, full};
use lora_loupe_tests::numbers::numbers;
use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use serde_json::Value;

#[test]
fn images_match_diffusers() {
    pollster::block_on(async {
        let mut session = full().await;
        for name in ["ddim", "euler", "ddim_cfg7.5_20steps", "euler_nocfg", "euler_no_negative", "euler_othersize"] {
            let generated = draw(&mut session, &case(name), &[]).await;
            check(&generated, name);
        }
    });
}

#[test]
fn images_with_tiled_kernels_match_diffusers() {
    pollster::block_on(async {
        let mut session = full().await;
        session.config.style = Style::Tiled;
        let lora = adapter(&session, "lora_a").await;
        for name in ["ddim", "lora_a_1.0", "lora_a_-0.5"] {
            check(&draw(&mut session, &case(name), &[&lora]).await, name);
        }
    });
}

#[test]
fn clip_skip_low_guidance_and_tcd_match_the_pipelines() {
    pollster::block_on(async {
        let mut session = full().await;
        for (case, recipe, wanted) in cases("asked") {
            let guidance = case["guidance"].as_f64().expect("guidance") as f32;
            let clip_skip = case["clip_skip"].as_u64().expect("an integer") as usize;
            let recipe = Recipe { guidance, clip_skip, ..recipe };
            let got = latents(&mut session, &recipe, &GenerateInputs::default()).await;
            close(&format!("{case}"), &got, &wanted, LATENTS);
        }
    });
}

#[test]
fn a_unet_with_guidance_embedding_matches_diffusers() {
    pollster::block_on(async {
        let (case, recipe, wanted) = cases("told guidance").remove(0);
        let width = case["width"].as_u64().expect("a width") as usize;
        let with_guidance = |path: &str, bytes: Vec<u8>| match path {
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
                let projection = TensorView::new(Dtype::F32, vec![time, width], &projection).expect("a tensor");
                let views =
                    file.tensors().into_iter().chain([("time_embedding.cond_proj.weight".to_owned(), projection)]);
                safetensors::serialize(views, None).expect("a file")
            }
            _ => bytes,
        };
        let mut session = mini::session(with_guidance).await;
        let recipe = Recipe { guidance: case["guidance"].as_f64().expect("guidance") as f32, ..recipe };
        close(
            "guidance embedding",
            &latents(&mut session, &recipe, &GenerateInputs::default()).await,
            &wanted,
            LATENTS,
        );
    });
}

#[test]
fn early_configs_get_the_pipelines_defaults() {
    let changed = |path: &str, bytes: Vec<u8>| match path {
        "scheduler/scheduler_config.json" => {
            let mut config: serde_json::Value = serde_json::from_slice(&bytes).expect("a config");
            config
                .as_object_mut()
                .expect("fields")
                .retain(|field, _| field != "clip_sample" && field != "steps_offset");
            config.to_string().into_bytes()
        }
        _ => bytes,
    };
    let open = |folder| pollster::block_on(Model::open("mini", &folder)).expect("a model").schedule;
    assert_eq!(open(mini::folder(changed)), open(mini::folder(|_, bytes| bytes)));
}
