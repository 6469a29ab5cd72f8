//! Plans and memory of published models at common image sizes, which must not depend on the pointer width.
//!
//! `cargo xtask test` runs this on the native target and on wasm32, whose `usize` has 32 bits as in a browser.
//! `UPDATE=1 cargo test -p lora-loupe-tests --test native_size` updates tests/golden/native_size.json.

use lora_loupe::gpu::{KernelConfig, Style};
use lora_loupe::pipeline::Shape;
use lora_loupe_tests::{golden, imagined};
use serde_json::{Value, json};

/// Family, width and height in pixels.
const SIZES: [(&str, usize, usize); 7] = [
    ("sd15", 512, 512),
    ("sd15", 512, 768),
    ("sd15", 768, 768),
    ("sd21", 768, 768),
    ("sdxl", 1024, 1024),
    ("sdxl", 1216, 832),
    ("sdxl", 2048, 2048),
];

/// Returns a GPU with bindings of 128 MiB, and the software rasterizer of headless Chromium.
fn devices() -> [(&'static str, KernelConfig); 2] {
    let card = KernelConfig::BASELINE;
    let software =
        KernelConfig { max_binding: 1 << 30, f16_weights: false, style: Style::Untiled, ..KernelConfig::BASELINE };
    [("card", card), ("software", software)]
}

fn planned() -> Value {
    let rows = SIZES.iter().flat_map(|&(family, width, height)| {
        let model = imagined::open(&imagined::shapes(family), &[], &[]).expect("a model");
        let multiple = model.size_multiple();
        let shape = Shape {
            images: 1,
            guided: true,
            prompts: 1,
            height: height / multiple,
            width: width / multiple,
            chunks: 1,
            clip_skip: 0,
            encodes_image: true,
        };
        devices().map(|(device, config)| {
            let need = model.memory_need(shape, &config, &[]).expect("plans");
            json!({
                "model": family,
                "size": format!("{width}x{height}"),
                "device": device,
                "plans": model.plan_needs(shape, &config).expect("plans"),
                "memory": { "weights": need.weights, "temporaries": need.temporaries, "others": need.others },
            })
        })
    });
    rows.collect()
}

#[test]
fn plans_do_not_depend_on_the_pointer_width() {
    let planned = planned();
    if std::env::var_os("UPDATE").is_some() {
        let text = serde_json::to_string_pretty(&planned).expect("JSON") + "\n";
        std::fs::write(golden::path("golden/native_size.json"), text).expect("a writable file");
    }
    let golden = golden::json("golden/native_size.json");
    let rows = |value: &Value| value.as_array().expect("rows").clone();
    assert_eq!(rows(&planned).len(), rows(&golden).len());
    for (now, then) in rows(&planned).into_iter().zip(rows(&golden)) {
        assert_eq!(now, then, "a plan changed: if this is intended, run the test with UPDATE=1");
    }
}

#[test]
fn vae_strips_are_not_too_small() {
    for row in planned().as_array().expect("rows") {
        let steps = |name: &str| {
            let plans = row["plans"].as_array().expect("plans");
            plans.iter().find(|plan| plan["name"] == name).and_then(|plan| plan["steps"].as_u64()).expect("a plan")
        };
        // Strips of a single row would take tens of thousands of steps.
        let (decoder, encoder) = (steps("vae_decoder"), steps("vae_encoder"));
        assert!(decoder < 8000 && encoder < 8000, "{} {}: {decoder} {encoder}", row["model"], row["size"]);
    }
}
