//! Turns an end-to-end case of the goldens into a recipe.

use lora_loupe::pipeline::{AdapterChoice, Recipe, Rng};
use lora_loupe::text::Syntax;
use serde_json::Value;

/// The recipe of a case; adapters are identified by the goldens' names for them.
pub fn recipe(case: &Value) -> Recipe {
    let loras = case["lora"].as_array().cloned().unwrap_or_default();
    let adapters = loras.iter().map(|lora| {
        let name = lora[0].as_str().expect("a name").to_owned();
        let strength = lora[1].as_f64().expect("a strength") as f32;
        AdapterChoice { sha256: name.clone(), name, strength, text_encoder: None, blocks: None, hash: None }
    });
    let text = |name: &str| case[name].as_str().unwrap_or_else(|| panic!("{name} of {}", case["name"])).to_owned();
    let number = |name: &str| case[name].as_u64().unwrap_or_else(|| panic!("{name} of {}", case["name"]));
    let sampler = text("sched");
    Recipe {
        version: 1,
        model: "golden".into(),
        adapters: adapters.collect(),
        prompt: text("prompt"),
        negative: case["negative"].as_str().map(str::to_owned),
        seed: number("seed"),
        steps: number("steps") as usize,
        guidance: case["cfg"].as_f64().expect("guidance") as f32,
        // The recorded scheduler config says the rest: spacing, Karras.
        sampler: sampler
            .split("_karras")
            .next()
            .and_then(|name| name.split("_trailing").next())
            .and_then(|name| name.split("_leading").next())
            .unwrap_or_default()
            .to_owned(),
        width: case["hw"][1].as_u64().expect("a width") as usize,
        height: case["hw"][0].as_u64().expect("a height") as usize,
        schedule: None,
        spacing: None,
        rng: Rng::Torch,
        syntax: Syntax::Plain,
        clip_skip: 0,
        batch: if case["batch"] == "num_images" { 2 } else { 1 },
        denoise: case["strength"].as_f64(),
        eta: None,
        masked: false,
        hires: None,
        embeddings: Vec::new(),
    }
}
