//! Golden cases as recipes, networks and network inputs.

use crate::golden::{self, Tensor};
use lora_loupe::pipeline::{AdapterChoice, Network, Recipe, Rng, timestep_embedding};
use lora_loupe::program::Program;
use serde_json::Value;
use std::collections::BTreeMap;

/// Returns the recipe of an end-to-end case. The SHA-256 of an adapter is its name in the goldens.
pub fn recipe(case: &Value) -> Recipe {
    let loras = case["lora"].as_array().cloned().unwrap_or_default();
    let adapters = loras.iter().map(|lora| {
        let name = lora[0].as_str().expect("a name").to_owned();
        let strength = lora[1].as_f64().expect("a strength") as f32;
        AdapterChoice { sha256: name.clone(), name, strength, text_encoder: None, blocks: None, hash: None }
    });
    let text = |name: &str| case[name].as_str().unwrap_or_else(|| panic!("{name} of {}", case["name"])).to_owned();
    let integer = |name: &str| case[name].as_u64().unwrap_or_else(|| panic!("{name} of {}", case["name"]));
    let sampler = text("sched");
    Recipe {
        version: 1,
        model: "golden".into(),
        adapters: adapters.collect(),
        prompt: text("prompt"),
        negative: case["negative"].as_str().map(str::to_owned),
        seed: integer("seed"),
        steps: integer("steps") as usize,
        guidance: case["cfg"].as_f64().expect("guidance") as f32,
        // Spacing and Karras come from the recorded scheduler config.
        sampler: ["_karras", "_trailing", "_leading", "_4steps"]
            .into_iter()
            .fold(sampler.as_str(), |name, suffix| name.split(suffix).next().unwrap_or(name))
            .parse()
            .expect("a sampler"),
        width: case["hw"][1].as_u64().expect("a width") as usize,
        height: case["hw"][0].as_u64().expect("a height") as usize,
        schedule: None,
        spacing: None,
        rng: Rng::Torch,
        program: Program::Diffusers,
        web_ui: None,
        variation: None,
        seed_resize: None,
        clip_skip: 0,
        emphasis: Default::default(),
        pad_conds: false,
        prediction: None,
        zero_snr: None,
        guidance_rescale: 0.0,
        batch: if case["batch"] == "num_images" { 2 } else { 1 },
        denoise: case["strength"].as_f64(),
        eta: None,
        masked: false,
        masked_area: None,
        hires: None,
        embeddings: Vec::new(),
    }
}

/// Returns the end-to-end case of this name.
pub fn case(name: &str) -> Value {
    let cases = golden::json("golden/e2e/mini-sd15/cases.json");
    cases
        .as_array()
        .expect("cases")
        .iter()
        .find(|case| case["name"] == name)
        .unwrap_or_else(|| panic!("{name}"))
        .clone()
}

/// Returns the golden/runner cases of one kind, each with a basic recipe and diffusers' final latents.
pub fn cases(kind: &str) -> Vec<(Value, Recipe, Vec<f32>)> {
    let file = golden::json("golden/runner/cases.json");
    let latents = golden::tensors("golden/runner/latents.safetensors");
    let common = &file["common"];
    let integer = |name: &str| common[name].as_u64().expect("an integer");
    let recipe = |case: &Value| Recipe {
        version: 1,
        model: "mini-sd15".into(),
        adapters: Vec::new(),
        prompt: case["prompt"].as_str().or(common["prompt"].as_str()).expect("a prompt").into(),
        negative: common["negative"].as_str().map(str::to_owned),
        seed: integer("seed"),
        steps: case["steps"].as_u64().unwrap_or(4) as usize,
        guidance: common["guidance"].as_f64().expect("guidance") as f32,
        sampler: case["sampler"].as_str().unwrap_or("ddim").parse().expect("a sampler"),
        width: integer("width") as usize,
        height: integer("height") as usize,
        schedule: None,
        spacing: None,
        eta: None,
        rng: Rng::Torch,
        program: Program::Diffusers,
        web_ui: None,
        variation: None,
        seed_resize: None,
        clip_skip: 0,
        emphasis: Default::default(),
        pad_conds: false,
        prediction: None,
        zero_snr: None,
        guidance_rescale: 0.0,
        batch: 1,
        denoise: None,
        masked: false,
        masked_area: None,
        hires: None,
        embeddings: Vec::new(),
    };
    let listed = file["cases"].as_array().expect("cases").iter().enumerate();
    let listed = listed.filter(|(_, case)| case["kind"] == kind);
    listed.map(|(i, case)| (case.clone(), recipe(case), latents[&i.to_string()].channels_last())).collect()
}

/// Returns network inputs keyed by name.
pub fn given<const N: usize>(list: [(&str, Vec<f32>); N]) -> BTreeMap<String, Vec<f32>> {
    list.into_iter().map(|(name, data)| (name.to_owned(), data)).collect()
}

/// Returns a UNet call: its shape and its inputs.
pub fn unet_case(golden: &BTreeMap<String, Tensor>, case: &str) -> (Network, BTreeMap<String, Vec<f32>>) {
    let get = |name: &str| &golden[&format!("{case}.{name}")];
    let &[batch, _, height, width] = get("sample").shape.as_slice() else { panic!("{case}: sample") };
    let time = timestep_embedding(get("timestep").data[0], 16).repeat(batch);
    let text = get("encoder_hidden_states").data.clone();
    let inputs = given([("sample", get("sample").channels_last()), ("time", time), ("text", text)]);
    (Network::Unet { batch, height, width, tokens: 77 }, inputs)
}
