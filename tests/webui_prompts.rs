//! Images of mini-sd15 compared with AUTOMATIC1111's web UI and ComfyUI: prompts, emphasis modes, clip skip and textual
//! inversions, with Euler's method, which both compute as this program does.
//!
//! `golden/webui_prompts/cases.json` has the recipes, `latents.safetensors` the final latents that the web UIs' own code
//! computed for them on a CPU in f32: one case for each kind of syntax. The `webui` program compares larger folders.

#![cfg(not(target_os = "wasi"))] // needs a GPU

use lora_loupe::formats::source::FileSource;
use lora_loupe::pipeline::{Embedding, GenerateInputs, Recipe};
use lora_loupe::weights::TensorFile;
use lora_loupe_tests::compare::rel_rms;
use lora_loupe_tests::draw::{adapter, latents, with};
use lora_loupe_tests::{golden, mini};
use serde_json::{Value, json};
use std::rc::Rc;

/// Returns the distances of the images of a program's cases.
async fn distances(program: &str) -> Vec<(String, f64)> {
    let mut session = mini::full().await;
    let path = golden::path("golden/webui_prompts/myemb.safetensors");
    let source = Rc::new(FileSource::open(&path).expect("an embedding"));
    let file = TensorFile::open("myemb.safetensors".into(), source).await.expect("a header");
    let embedding = Embedding::open("myemb".into(), &file, &session.text_widths()).await.expect("an embedding");
    let given = GenerateInputs { embeddings: &[&embedding], ..GenerateInputs::default() };
    let wanted = golden::tensors("golden/webui_prompts/latents.safetensors");
    let cases = golden::json("golden/webui_prompts/cases.json");
    let mut distances = Vec::new();
    for case in cases.as_array().expect("cases").iter().filter(|case| case["recipe"]["program"] == program) {
        let mut recipe = json!({ "version": 1, "model": "mini-sd15", "adapters": [], "sampler": "euler" });
        let fields = case["recipe"].as_object().expect("a recipe").clone();
        recipe.as_object_mut().expect("a recipe").extend(fields);
        let recipe: Recipe = serde_json::from_value(recipe).expect("a recipe");
        let id = case["id"].as_str().expect("an id");
        let got = latents(&mut session, &recipe, &given).await;
        distances.push((id.to_owned(), rel_rms(&got, &wanted[id].channels_last())));
    }
    distances
}

fn check(distances: &[(String, f64)], limit: f64) {
    let wrong: Vec<String> = distances
        .iter()
        .filter(|(_, distance)| distance.is_nan() || *distance >= limit)
        .map(|(id, far)| format!("{id}: {far:.1e}"))
        .collect();
    let worst = distances.iter().map(|(_, distance)| *distance).fold(0.0, f64::max);
    println!("{} cases, at most {worst:.1e}", distances.len());
    assert!(wrong.is_empty(), "{} of {} cases:\n{}", wrong.len(), distances.len(), wrong.join("\n"));
}

#[test]
fn prompts_are_read_as_in_automatic1111() {
    let distances = pollster::block_on(distances("a1111"));
    assert_eq!(distances.len(), 19);
    // Most agree to 1e-5; a prompt that changes in each step is 3e-4 off.
    check(&distances, 1e-3);
}

#[test]
fn prompts_are_read_as_in_comfyui() {
    let distances = pollster::block_on(distances("comfyui"));
    assert_eq!(distances.len(), 9);
    check(&distances, 1e-4);
}

#[test]
fn a_composed_prompt_of_equal_parts_is_that_prompt() {
    pollster::block_on(async {
        let mut session = mini::full().await;
        let recipe = |prompt: &str| -> Recipe {
            let recipe: Value = json!({
                "version": 1, "model": "mini-sd15", "adapters": [], "sampler": "euler", "program": "a1111",
                "prompt": prompt, "negative": "red", "seed": 7, "steps": 3, "guidance": 7.0, "width": 64, "height": 64
            });
            serde_json::from_value(recipe).expect("a recipe")
        };
        let given = GenerateInputs::default();
        let plain = latents(&mut session, &recipe("a cat"), &given).await;
        let parts = latents(&mut session, &recipe("a cat :0.25 AND a cat :0.75"), &given).await;
        assert!(rel_rms(&parts, &plain) < 1e-5);
        // A part of weight 0 is predicted, but has no effect.
        let without = latents(&mut session, &recipe("a cat AND a hat :0"), &given).await;
        assert!(rel_rms(&without, &plain) < 1e-5);
        let composed = latents(&mut session, &recipe("a cat AND a hat"), &given).await;
        assert!(rel_rms(&composed, &plain) > 1e-2);
    });
}

#[test]
fn the_strength_of_a_lora_changes_between_steps() {
    pollster::block_on(async {
        let mut session = mini::full().await;
        let lora = adapter(&session, "lora_a").await;
        let loras = [&lora];
        let mut latents = async |prompt: &str| {
            let recipe: Recipe = serde_json::from_value(json!({
                "version": 1, "model": "mini-sd15", "adapters": [], "sampler": "euler", "program": "a1111",
                "prompt": prompt, "negative": "red", "seed": 7, "steps": 4, "guidance": 7.0, "width": 64, "height": 64
            }))
            .expect("a recipe");
            latents(&mut session, &recipe, &with(&loras)).await
        };
        let without = latents("a cat").await;
        let constant = latents("a cat<lora:lora_a:1>").await;
        assert!(rel_rms(&constant, &without) > 1e-2);
        // The web UI counts no completed step in the first two calls, so that step 1 is the beginning.
        assert_eq!(latents("a cat<lora:lora_a:1:stop=1>").await, without);
        assert_eq!(latents("a cat<lora:lora_a:1:start=1>").await, constant);
        assert_eq!(latents("a cat<lora:lora_a:te=1:unet=1@0,1@1>").await, constant);
        // In the last of 4 calls it counts 2 completed steps: step 3 is reached there, step 4 never.
        assert_eq!(latents("a cat<lora:lora_a:1:start=4>").await, without);
        let late = latents("a cat<lora:lora_a:1:start=3>").await;
        assert!(rel_rms(&late, &without) > 1e-4 && rel_rms(&late, &constant) > 1e-3);
        let growing = latents("a cat<lora:lora_a:0@0,1@1>").await;
        assert!(rel_rms(&growing, &without) > 1e-3 && rel_rms(&growing, &constant) > 1e-3);
        let twice = latents("a cat<lora:lora_a:0.25><lora:lora_a:0.75>").await;
        assert!(rel_rms(&twice, &constant) < 1e-5);
        assert_eq!(latents("a cat").await, without);
    });
}
