//! A pipeline of a folder of goldens (pipelines/, e2e/ and loras/ with diffusers' outputs) and its end-to-end cases.

use crate::cases::recipe;
use crate::compare::rel_rms;
use crate::golden::read_tensors;
use lora_loupe::device::Device;
use lora_loupe::formats::source::FileSource;
use lora_loupe::gpu::KernelConfig;
use lora_loupe::pipeline::{Folder, GenerateInputs, Model, Session, decode_png};
use lora_loupe::samplers::ScheduleConfig;
use lora_loupe::weights::{LoadedAdapter, TensorFile};
use serde_json::Value;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// An opened pipeline with all of its LoRAs.
pub struct EndToEnd {
    session: Session,
    adapters: Vec<LoadedAdapter>,
    /// Folder of the outputs.
    outputs: PathBuf,
}

impl EndToEnd {
    /// Opens the pipeline `name` of the goldens in `root`.
    pub async fn open(root: &Path, name: &str, device: impl Into<Device>, config: KernelConfig) -> EndToEnd {
        let folder = Folder::open(&root.join("pipelines").join(name)).expect("a pipeline");
        let model = Model::open(name, &folder).await.unwrap_or_else(|error| panic!("{name}: {error}"));
        let session = Session::new(device, config, model);
        let mut adapters = Vec::new();
        for entry in std::fs::read_dir(root.join("loras").join(name)).into_iter().flatten().flatten() {
            let id = entry.path().file_stem().expect("a name").to_string_lossy().into_owned();
            let source = Rc::new(FileSource::open(&entry.path()).expect("a LoRA"));
            let file = TensorFile::open(id.clone(), source).await.expect("a header");
            adapters.push(LoadedAdapter::open(id, file, None, &session.model.modules()).await.expect("an adapter"));
        }
        EndToEnd { session, adapters, outputs: root.join("e2e").join(name) }
    }

    /// Returns the cases that a recipe can express: those with one prompt, diffusers' sizes and the model's weights.
    pub fn cases(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(self.outputs.join("cases.json")).expect("cases.json");
        // Python writes infinities, which are not valid JSON.
        let cases: Vec<Value> = serde_json::from_str(&text.replace("-Infinity", "null")).expect("cases");
        let is_recipe = |case: &Value| {
            case["batch"] != "prompts"
                && case.get("variant").is_none()
                && case.get("prompt_2").is_none_or(Value::is_null)
                && !case["name"].as_str().expect("a name").contains("prompt2")
        };
        cases.into_iter().filter(is_recipe).collect()
    }

    /// Generates a case's images and returns the distance of their latents from diffusers'.
    pub async fn distance(&mut self, case: &Value) -> Result<f64, String> {
        let recipe = recipe(case);
        let schedule = ScheduleConfig::from_json(&case["scheduler_config"].to_string());
        self.session.model.schedule = schedule.map_err(|error| error.to_string())?;
        let init = recipe.denoise.map(|_| {
            let bytes = std::fs::read(self.outputs.join("init_image.png")).expect("init_image.png");
            let png = decode_png(&bytes).expect("a PNG");
            png.rgb.iter().map(|&value| f32::from(value) / 127.5 - 1.0).collect::<Vec<f32>>()
        });
        let adapters: Vec<&LoadedAdapter> = self.adapters.iter().collect();
        let given = GenerateInputs { adapters: &adapters, init: init.as_deref(), ..GenerateInputs::default() };
        let generated = self.session.generate(&recipe, &given, &mut |_| ControlFlow::Continue(())).await;
        let generated = generated.map_err(|error| error.to_string())?;
        let name = case["name"].as_str().expect("a name");
        let expected = &read_tensors(&self.outputs.join(format!("{name}.safetensors")))["final_latents"];
        Ok(rel_rms(&generated.latents, &expected.channels_last()))
    }
}
