//! Recipes of web UIs as recorded cases have them, and sessions that compute them.
//!
//! A folder of cases has `cases.json` (settings under the web UIs' own names), `latents.safetensors` (final latents
//! by the id of the case), init images `init_MODEL.png`, and `MODEL/` with textual inversions and LoRAs.

use crate::golden::{Tensor, read_tensors};
use lora_loupe::device::Device;
use lora_loupe::formats::source::FileSource;
use lora_loupe::gpu::KernelConfig;
use lora_loupe::pipeline::{Embedding, Folder, GenerateInputs, Model, Recipe, Session, decode_png};
use lora_loupe::samplers::SamplerKind;
use lora_loupe::weights::{LoadedAdapter, TensorFile};
use pollster::block_on;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// The web UI's labels of schedule types, and ComfyUI's ids.
const SCHEDULES: [(&str, &str); 22] = [
    ("Uniform", "timesteps"),
    ("Normal", "timesteps"),
    ("Karras", "karras"),
    ("Exponential", "exponential"),
    ("Polyexponential", "polyexponential"),
    ("SGM Uniform", "sgm_uniform"),
    ("KL Optimal", "kl_optimal"),
    ("Align Your Steps", "ays"),
    ("Simple", "simple"),
    ("DDIM", "ddim_uniform"),
    ("Beta", "beta"),
    ("normal", "timesteps"),
    ("karras", "karras"),
    ("exponential", "exponential"),
    ("sgm_uniform", "sgm_uniform"),
    ("kl_optimal", "kl_optimal"),
    ("simple", "simple"),
    ("ddim_uniform", "ddim_uniform"),
    ("beta", "beta"),
    ("linear_quadratic", "linear_quadratic"),
    ("Turbo", "turbo"),
    ("Align Your Steps 32", "ays32"),
];

/// A folder of cases, with a session for each model that has been used.
pub struct WebUiCases {
    root: PathBuf,
    pipelines: PathBuf,
    /// Settings of each case.
    pub cases: Vec<Value>,
    latents: BTreeMap<String, Tensor>,
    opened: BTreeMap<String, Opened>,
}

/// A model with the files that its recipes use.
struct Opened {
    session: Session,
    embedding: Option<Embedding>,
    adapter: Option<LoadedAdapter>,
    init: Option<Vec<f32>>,
}

impl WebUiCases {
    /// Reads a folder of cases for the models in `pipelines`.
    pub fn open(root: &Path, pipelines: &Path) -> WebUiCases {
        let text = std::fs::read_to_string(root.join("cases.json")).expect("cases.json");
        WebUiCases {
            root: root.to_owned(),
            pipelines: pipelines.to_owned(),
            cases: serde_json::from_str(&text).expect("a list of cases"),
            latents: read_tensors(&root.join("latents.safetensors")),
            opened: BTreeMap::new(),
        }
    }

    /// Generates a case's images and returns their final latents and the recorded ones, both channels last.
    pub fn latents(&mut self, case: &Value) -> Result<(Vec<f32>, Vec<f32>), String> {
        let (root, pipelines) = (self.root.clone(), self.pipelines.clone());
        let expected = self.latents[text(case, "id")].channels_last();
        let model = text(case, "model").to_owned();
        let opened = self.opened.entry(model.clone()).or_insert_with(|| block_on(open(&root, &pipelines, &model)));
        let recipe = recipe(case)?;
        let embeddings: Vec<&Embedding> = opened.embedding.iter().collect();
        let adapters: Vec<&LoadedAdapter> = opened.adapter.iter().collect();
        let init = recipe.denoise.and(opened.init.as_deref());
        let given = GenerateInputs {
            adapters: &adapters,
            embeddings: &embeddings,
            init,
            latents_only: true,
            ..GenerateInputs::default()
        };
        let generated = block_on(opened.session.generate(&recipe, &given, &mut |_| ControlFlow::Continue(())));
        Ok((generated.map_err(|error| error.to_string())?.latents, expected))
    }
}

/// Returns the recipe of a case.
pub fn recipe(case: &Value) -> Result<Recipe, String> {
    let is_comfyui = text(case, "ui") == "comfyui";
    let (sampler, schedule) = (text(case, "sampler"), case.get(if is_comfyui { "scheduler" } else { "schedule" }));
    let kind = match is_comfyui {
        true => SamplerKind::of_comfyui(sampler),
        false => SamplerKind::ALL.into_iter().find(|kind| kind.label() == sampler),
    };
    let sampler = kind.ok_or_else(|| format!("no sampler {sampler}"))?.name();
    let schedule = schedule.and_then(Value::as_str).filter(|name| *name != "Automatic");
    let schedule = schedule.map(|name| SCHEDULES.iter().find(|row| row.0 == name).map_or(name, |row| row.1));
    let mut hires = case.get("hires").cloned();
    if let Some(upscaler) = hires.as_mut().and_then(|hires| hires.get_mut("upscaler")) {
        *upscaler = json!("latent");
    }
    let skipped = match is_comfyui {
        true => case.get("stop_at").and_then(Value::as_i64).map_or(0, |layer| -layer - 1),
        false => case.get("clip_skip").and_then(Value::as_i64).map_or(0, |layer| layer - 1),
    };
    let mut recipe = json!({
        "version": 1, "model": case["model"], "adapters": [], "program": case["ui"], "sampler": sampler,
        "schedule": schedule, "prompt": case["prompt"], "negative": case["negative"], "seed": case["seed"],
        "steps": case["steps"], "guidance": case["cfg"], "width": case["width"], "height": case["height"],
        "eta": case.get("eta"), "batch": case.get("batch").unwrap_or(&json!(1)), "denoise": case.get("denoise"),
        "rng": if case.get("rng") == Some(&json!("NV")) { "philox" } else { "torch" },
        "clip_skip": skipped, "hires": hires, "web_ui": settings(case),
    });
    let option = |name: &str| case.get("opts").and_then(|options| options.get(name));
    if let Some(mode) = option("emphasis").and_then(Value::as_str) {
        recipe["emphasis"] = json!(mode.to_lowercase().replace(' ', "_"));
    }
    recipe["pad_conds"] = json!(option("pad_cond_uncond") == Some(&json!(true)));
    if case.get("embedding").is_some() {
        recipe["embeddings"] = json!([{ "name": "myemb.safetensors", "sha256": "myemb" }]);
    }
    serde_json::from_value(recipe).map_err(|error| error.to_string())
}

/// Returns the settings that are not at the web UI's defaults, under the names of the recipe's fields.
fn settings(case: &Value) -> Value {
    let names = [
        ("s_churn", "s_churn"),
        ("s_tmin", "s_tmin"),
        ("s_tmax", "s_tmax"),
        ("s_noise", "s_noise"),
        ("sigma_min", "sigma_min"),
        ("sigma_max", "sigma_max"),
        ("rho", "rho"),
        ("beta_dist_alpha", "beta_alpha"),
        ("beta_dist_beta", "beta_beta"),
        ("img2img_extra_noise", "extra_noise"),
        ("s_min_uncond", "min_sigma_of_guidance"),
        ("skip_early_cond", "skip_early_guidance"),
        ("eta_noise_seed_delta", "noise_seed_delta"),
        ("always_discard_next_to_last_sigma", "discard_penultimate"),
        ("sgm_noise_multiplier", "sgm_noise_multiplier"),
        ("enable_quantization", "quantize"),
    ];
    let options = case.get("opts").and_then(Value::as_object);
    let known = names.iter().filter_map(|(option, field)| Some(((*field).to_owned(), options?.get(*option)?.clone())));
    let known: serde_json::Map<String, Value> = known.collect();
    if known.is_empty() { Value::Null } else { Value::Object(known) }
}

async fn open(root: &Path, pipelines: &Path, name: &str) -> Opened {
    let folder = Folder::open(&pipelines.join(name)).expect("a pipeline");
    let model = Model::open(name, &folder).await.unwrap_or_else(|error| panic!("{name}: {error}"));
    // Several times as fast as software Vulkan; what it computes differently is in tests/cpu.rs.
    let session = Session::new(Device::cpu(), KernelConfig::CPU, model);
    let file = async |file: &str| {
        let source = FileSource::open(&root.join(name).join(file)).ok()?;
        TensorFile::open(file.into(), Rc::new(source)).await.ok()
    };
    let embedding = match file("myemb.safetensors").await {
        Some(file) => Embedding::open("myemb".into(), &file, &session.text_widths()).await.ok(),
        None => None,
    };
    let adapter = match file("ink.safetensors").await {
        Some(file) => LoadedAdapter::open("ink".into(), file, None, &session.model.modules()).await.ok(),
        None => None,
    };
    let init = std::fs::read(root.join(format!("init_{name}.png"))).ok().map(|bytes| {
        let png = decode_png(&bytes).expect("a PNG");
        png.rgb.iter().map(|&value| f32::from(value) / 127.5 - 1.0).collect()
    });
    Opened { session, embedding, adapter, init }
}

/// Returns a text field of a case.
pub fn text<'a>(case: &'a Value, name: &str) -> &'a str {
    case[name].as_str().unwrap_or_else(|| panic!("{name} of {case}"))
}
