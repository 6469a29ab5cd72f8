//! Generation of golden cases, and comparison of the results with diffusers'.

use crate::cases::recipe;
use crate::compare::{LATENTS, close, max_abs};
use crate::golden;
use lora_loupe::formats::source::FileSource;
use lora_loupe::pipeline::{GenerateInputs, GeneratedImages, Recipe, Session};
use lora_loupe::samplers::ScheduleConfig;
use lora_loupe::weights::{LoadedAdapter, TensorFile};
use std::ops::ControlFlow;
use std::rc::Rc;

/// Returns the final latents of a recipe.
pub async fn latents(session: &mut Session, recipe: &Recipe, given: &GenerateInputs<'_>) -> Vec<f32> {
    let result = session.generate(recipe, given, &mut |_| ControlFlow::Continue(())).await;
    result.unwrap_or_else(|error| panic!("{error}")).latents
}

/// Opens one of the golden LoRAs for mini-sd15.
pub async fn adapter(session: &Session, name: &str) -> LoadedAdapter {
    let path = golden::path(&format!("golden/loras/mini-sd15/{name}.safetensors"));
    let source = Rc::new(FileSource::open(&path).expect("a LoRA"));
    let file = TensorFile::open(name.into(), source).await.expect("a header");
    LoadedAdapter::open(name.into(), file, None, &session.model.modules()).await.expect("an adapter")
}

/// Returns inputs with these adapters only.
pub fn with<'a>(adapters: &'a [&'a LoadedAdapter]) -> GenerateInputs<'a> {
    GenerateInputs { adapters, ..GenerateInputs::default() }
}

/// Generates a case's image with the scheduler config that it was recorded with.
pub async fn draw(session: &mut Session, case: &serde_json::Value, adapters: &[&LoadedAdapter]) -> GeneratedImages {
    session.model.schedule = ScheduleConfig::from_json(&case["scheduler_config"].to_string()).expect("a schedule");
    let recipe = recipe(case);
    let generated = session.generate(&recipe, &with(adapters), &mut |_| ControlFlow::Continue(())).await;
    generated.unwrap_or_else(|error| panic!("{}: {error}", case["name"]))
}

/// Panics if latents, image or PNG are further from diffusers' than the goldens allow.
pub fn check(generated: &GeneratedImages, name: &str) {
    let golden = golden::tensors(&format!("golden/e2e/mini-sd15/{name}.safetensors"));
    close(name, &generated.latents, &golden["final_latents"].channels_last(), LATENTS);
    if let Some(image) = golden.get("image") {
        assert!(max_abs(&generated.image, &image.channels_last()) <= 2e-3, "{name}: image");
    }
    let file = std::fs::File::open(golden::path(&format!("golden/e2e/mini-sd15/{name}.png"))).expect("a PNG");
    let mut reader = png::Decoder::new(std::io::BufReader::new(file)).read_info().expect("a PNG");
    let mut wanted = vec![0; reader.output_buffer_size().expect("a size")];
    reader.next_frame(&mut wanted).expect("pixels");
    assert_eq!(wanted.len(), generated.rgb.len(), "{name}: size");
    let off: Vec<u8> = wanted.iter().zip(&generated.rgb).map(|(a, b)| a.abs_diff(*b)).collect();
    assert!(off.iter().all(|&levels| levels <= 1), "{name}: {:?} levels off", off.iter().max());
    assert!(off.iter().filter(|&&levels| levels > 0).count() * 100 <= off.len(), "{name}: over 1 % of values off");
}
