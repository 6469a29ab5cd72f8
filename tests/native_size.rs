//! Plans of published models at the sizes that people draw: the same to the number on every word size.
//!
//! `cargo xtask test` runs this on the machine's own target and on wasm32, whose `usize` has 32 bits as in a browser.
//! `UPDATE=1 cargo test -p lora-loupe-tests --test native_size` writes tests/golden/native_size.json anew.

use lora_loupe::gpu::{DeviceCaps, Style};
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

/// A graphics card that binds 128 MiB, and the software renderer of headless Chromium.
fn devices() -> [(&'static str, DeviceCaps); 2] {
    let software = DeviceCaps { max_binding: 1 << 30, f16_weights: false, style: Style::Untiled, winograd: 64 };
    [("card", DeviceCaps::BASELINE), ("software", software)]
}

fn planned() -> Value {
    let rows = SIZES.iter().flat_map(|&(family, width, height)| {
        let model = imagined::open(&imagined::shapes(family), &[], None).expect("a model");
        let multiple = model.size_multiple();
        let shape = Shape {
            pictures: 1,
            guided: true,
            height: height / multiple,
            width: width / multiple,
            chunks: 1,
            clip_skip: 0,
            starts_from_picture: true,
        };
        devices().map(|(device, means)| {
            let need = model.memory_need(shape, means, &[]).expect("plans");
            json!({
                "model": family,
                "size": format!("{width}x{height}"),
                "device": device,
                "plans": model.plan_needs(shape, means).expect("plans"),
                "memory": { "weights": need.weights, "temporaries": need.temporaries, "others": need.others },
            })
        })
    });
    rows.collect()
}

#[test]
fn plans_are_the_same_on_every_word_size() {
    let planned = planned();
    if std::env::var_os("UPDATE").is_some() {
        let text = serde_json::to_string_pretty(&planned).expect("JSON") + "\n";
        std::fs::write(golden::path("golden/native_size.json"), text).expect("it can be written");
    }
    let golden = golden::json("golden/native_size.json");
    let rows = |value: &Value| value.as_array().expect("rows").clone();
    assert_eq!(rows(&planned).len(), rows(&golden).len());
    for (now, then) in rows(&planned).into_iter().zip(rows(&golden)) {
        assert_eq!(now, then, "a plan changed: run this test with UPDATE=1 where that is meant");
    }
}

#[test]
fn a_vae_is_cut_into_strips_that_are_worth_a_launch() {
    for row in planned().as_array().expect("rows") {
        let steps = |name: &str| {
            let plans = row["plans"].as_array().expect("plans");
            plans.iter().find(|plan| plan["name"] == name).and_then(|plan| plan["steps"].as_u64()).expect("a plan")
        };
        // Strips of one row would be tens of thousands.
        let (decoder, encoder) = (steps("vae_decoder"), steps("vae_encoder"));
        assert!(decoder < 8000 && encoder < 8000, "{} {}: {decoder} {encoder}", row["model"], row["size"]);
    }
}
