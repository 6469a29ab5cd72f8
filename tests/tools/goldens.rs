//! Compares generated images with a folder of goldens (pipelines/, e2e/ and loras/ with diffusers' outputs):
//! `cargo run -p lora-loupe-tests --bin goldens -- DIR [NAME…]`.

use lora_loupe::formats::source::FileSource;
use lora_loupe::gpu::Gpu;
use lora_loupe::pipeline::{Folder, GenerateInputs, Model, Session, decode_png};
use lora_loupe::samplers::ScheduleConfig;
use lora_loupe::weights::{LoadedAdapter, TensorFile};
use lora_loupe_tests::cases::recipe;
use lora_loupe_tests::compare::rel_rms;
use lora_loupe_tests::golden::{Tensor, read_tensors};
use std::ops::ControlFlow;
use std::path::Path;
use std::rc::Rc;

/// The goldens' tolerance for latents in f32.
const LIMIT: f64 = 2e-4;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let root = arguments.next().expect("a folder of goldens");
    let only: Vec<String> = arguments.collect();
    let root = Path::new(&root);
    let (mut passed, mut failed) = (0, 0);
    for entry in std::fs::read_dir(root.join("e2e")).expect("e2e/").flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if only.is_empty() || only.contains(&name) {
            let (ok, bad) = pollster::block_on(pipeline(root, &name));
            passed += ok;
            failed += bad;
        }
    }
    println!("{passed} passed, {failed} failed");
    std::process::exit(i32::from(failed > 0 || passed == 0));
}

async fn pipeline(root: &Path, name: &str) -> (usize, usize) {
    let folder = Folder::open(&root.join("pipelines").join(name)).expect("a pipeline");
    let model = Model::open(name, &folder).await.unwrap_or_else(|error| panic!("{name}: {error}"));
    let gpu = Gpu::open().await.expect("a device");
    let config = gpu.default_config();
    let mut session = Session::new(Rc::new(gpu), config, model);
    let mut adapters = Vec::new();
    for entry in std::fs::read_dir(root.join("loras").join(name)).into_iter().flatten().flatten() {
        let id = entry.path().file_stem().expect("a name").to_string_lossy().into_owned();
        let file = TensorFile::open(id.clone(), Rc::new(FileSource::open(&entry.path()).expect("a LoRA")))
            .await
            .expect("a header");
        adapters.push(LoadedAdapter::open(id, file, None, &session.model.modules()).await.expect("an adapter"));
    }
    let loaded: Vec<&LoadedAdapter> = adapters.iter().collect();
    let e2e = root.join("e2e").join(name);
    let text = std::fs::read_to_string(e2e.join("cases.json")).expect("cases.json");
    // Python writes infinities, which are not valid JSON.
    let cases: Vec<serde_json::Value> = serde_json::from_str(&text.replace("-Infinity", "null")).expect("cases");
    let (mut passed, mut failed) = (0, 0);
    for case in cases {
        let id = case["name"].as_str().expect("a name");
        // Cases with several prompts or other weights cannot be expressed as a recipe.
        if case["batch"] == "prompts"
            || case.get("variant").is_some()
            || case.get("prompt_2").is_some_and(|p| !p.is_null())
            || id.contains("prompt2")
        {
            println!("{name} {id}: not a recipe");
            continue;
        }
        let recipe = recipe(&case);
        session.model.schedule = ScheduleConfig::from_json(&case["scheduler_config"].to_string()).expect("a schedule");
        let init = recipe.denoise.map(|_| {
            let png = decode_png(&std::fs::read(e2e.join("init_image.png")).expect("init_image.png")).expect("a PNG");
            png.rgb.iter().map(|&value| f32::from(value) / 127.5 - 1.0).collect::<Vec<f32>>()
        });
        let given = GenerateInputs { adapters: &loaded, init: init.as_deref(), ..GenerateInputs::default() };
        let result = session.generate(&recipe, &given, &mut |_| ControlFlow::Continue(())).await;
        let distance = match result {
            Ok(generated) => {
                let golden: &Tensor = &read_tensors(&e2e.join(format!("{id}.safetensors")))["final_latents"];
                rel_rms(&generated.latents, &golden.channels_last())
            }
            Err(error) => {
                println!("{name} {id}: {error}");
                f64::INFINITY
            }
        };
        let ok = distance <= LIMIT;
        println!("{name} {id}: {distance:.1e}{}", if ok { "" } else { "  FAILED" });
        if ok { passed += 1 } else { failed += 1 }
    }
    (passed, failed)
}
