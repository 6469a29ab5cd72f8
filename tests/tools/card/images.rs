//! Images of full-size models with synthetic weights: without and with a LoRA, with another strength, and with the LoRA
//! at 0, which must give the same image as none.

use super::Result;
use crate::full_size;
use lora_loupe::bench::BUDGET;
use lora_loupe::formats::source::FileSource;
use lora_loupe::gpu::{Gpu, KernelConfig, RooflinePeak, Style, TileChoice, WeightChoice};
use lora_loupe::pipeline::{AdapterChoice, BenchResult, GenerateInputs, Model, Progress, Recipe, Session, Stage};
use lora_loupe::text::Tokenizer;
use lora_loupe::weights::{LoadedAdapter, TensorFile};
use lora_loupe_tests::synthetic;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;
use std::rc::Rc;
use std::time::Instant;

/// Rank of the LoRA.
const RANK: usize = 32;

/// A model and the image that is generated.
struct Subject {
    family: &'static str,
    network: synthetic::Network,
    size: usize,
    steps: usize,
    weights: WeightChoice,
}

/// The two sizes that count.
const SUBJECTS: [Subject; 2] = [
    Subject { family: "sd15", network: synthetic::Network::Sd15, size: 512, steps: 10, weights: WeightChoice::Auto },
    Subject { family: "sdxl", network: synthetic::Network::Sdxl, size: 1024, steps: 4, weights: WeightChoice::Auto },
];

/// Generates the images of both models; with `is_small`, tiny ones in one step, SDXL's with weights that fit a computer's
/// memory.
pub async fn generate(is_small: bool, roof: Option<RooflinePeak>) -> Result<Value> {
    let folder = std::env::temp_dir().join("lora-loupe-card");
    std::fs::create_dir_all(&folder)?;
    let mut results = Results::default();
    let [sd15, sdxl] = SUBJECTS;
    let small =
        [Subject { size: 64, steps: 1, ..sd15 }, Subject { size: 64, steps: 1, weights: WeightChoice::Q8, ..sdxl }];
    for subject in if is_small { &small[..] } else { &SUBJECTS } {
        let done = subject.generate(&folder, roof, &mut results).await;
        if let Err(error) = done {
            results.rows.push(json!([subject.name(), format!("failed: {error}"), null]));
        }
    }
    std::fs::remove_dir_all(&folder)?;
    Ok(json!({ "rows": results.rows, "networks": results.networks, "tuning": results.tuning }))
}

#[derive(Default)]
struct Results {
    /// Image, what, seconds.
    rows: Vec<Value>,
    /// Network, variant, milliseconds, GFLOP/s, share of the roof.
    networks: Vec<Value>,
    tuning: BTreeMap<String, Value>,
}

impl Subject {
    fn name(&self) -> String {
        format!("{} at {}x{}", self.family, self.size, self.size)
    }

    async fn generate(&self, folder: &Path, roof: Option<RooflinePeak>, results: &mut Results) -> Result<()> {
        let (checkpoint, lora) = (folder.join(self.family), folder.join(format!("{}-lora", self.family)));
        let started = Instant::now();
        full_size::make(self.family, &checkpoint)?;
        synthetic::write(&lora, self.network, RANK)?;
        eprintln!("{}: files written in {:.0} s", self.name(), started.elapsed().as_secs_f64());
        for f16_math in [false, true] {
            let gpu = Rc::new(Gpu::open().await?);
            let config = gpu.self_test(&gpu.default_config()).await?;
            if f16_math && !config.f16_math {
                continue;
            }
            let variant = if f16_math { "f16 where tuning finds it faster" } else { "f32" };
            let config = KernelConfig { f16_math, weights: self.weights, ..config };
            self.images(&gpu, config, variant, [&checkpoint, &lora], roof, results).await?;
        }
        std::fs::remove_file(checkpoint)?;
        Ok(std::fs::remove_file(lora)?)
    }

    /// Generates the images with one configuration of the kernels.
    async fn images(
        &self,
        gpu: &Rc<Gpu>,
        config: KernelConfig,
        variant: &str,
        [checkpoint, lora]: [&Path; 2],
        roof: Option<RooflinePeak>,
        results: &mut Results,
    ) -> Result<()> {
        let file = TensorFile::open("model".into(), Rc::new(FileSource::open(checkpoint)?)).await?;
        let mut session = Session::new(gpu.clone(), config, Model::open_files("model", vec![file], Tokenizer::clip())?);
        let file = TensorFile::open("lora".into(), Rc::new(FileSource::open(lora)?)).await?;
        let adapter = LoadedAdapter::open("lora".into(), file, None, &session.model.modules()).await?;
        let mut without = Vec::new();
        let mut different = Vec::new();
        for (what, strength) in [
            ("first image", None),
            ("without LoRA", None),
            ("LoRA of rank 32", Some(1.0)),
            ("strength 0.5", Some(0.5)),
            ("strength 0", Some(0.0)),
        ] {
            let stages = self.image(&mut session, &adapter, strength).await?;
            for (stage, seconds) in &stages.seconds {
                results.rows.push(json!([self.name(), format!("{variant}, {what}: {stage}"), seconds]));
            }
            match strength {
                None => without = stages.rgb,
                Some(0.0) if stages.rgb != without => return Err("strength 0 is not the image without LoRA".into()),
                Some(0.0) => {}
                Some(_) => different.push(stages.rgb != without),
            }
        }
        if different != [true, true] {
            return Err("the LoRA changes nothing".into());
        }
        if let TileChoice::Tuned(tuning) = &session.config.tiles {
            results.tuning.insert(format!("{}, {variant}", self.name()), json!(tuning.best));
        }
        let is_tiled = session.config.style == Style::Tiled;
        let variant = format!("{variant}, {}", if is_tiled { "tiled" } else { "untiled" });
        let mut add = |network: &str, timed: Option<BenchResult>| {
            let Some(BenchResult { rounds, flops }) = timed else { return };
            let ms = rounds.into_iter().fold(f64::INFINITY, f64::min);
            let rate = flops as f64 / ms / 1e6;
            let share = roof.map(|roof| rate * 1e9 / roof.flops);
            results.networks.push(json!([format!("{network}: {}", self.name()), variant, ms, rate, share]));
        };
        add("UNet step with guidance", session.time_unet(BUDGET).await?);
        add("VAE decode", session.time_decoder(BUDGET).await?);
        Ok(())
    }

    /// Generates an image with the LoRA at `strength`, or without.
    async fn image(&self, session: &mut Session, adapter: &LoadedAdapter, strength: Option<f32>) -> Result<Image> {
        let choice = strength.map(|strength| AdapterChoice {
            name: adapter.file.name.clone(),
            sha256: adapter.id.clone(),
            strength,
            text_encoder: None,
            blocks: None,
            hash: None,
        });
        let recipe: Recipe = serde_json::from_value(json!({
            "version": 1, "model": "model", "prompt": "a lighthouse at dusk", "negative": "blurry", "seed": 1,
            "steps": self.steps, "guidance": 5.0, "sampler": "dpmpp_2m", "width": self.size, "height": self.size,
            "adapters": [],
        }))?;
        let recipe = Recipe { adapters: choice.into_iter().collect(), ..recipe };
        let adapters: Vec<&LoadedAdapter> = recipe.adapters.iter().map(|_| adapter).collect();
        let inputs = GenerateInputs { adapters: &adapters, ..GenerateInputs::default() };
        let mut seconds = BTreeMap::new();
        let mut now: Option<(Stage, Instant)> = None;
        let generated = session
            .generate(&recipe, &inputs, &mut |Progress { stage, .. }| {
                if let Some((before, since)) = now.replace((stage, Instant::now())) {
                    *seconds.entry(format!("{before:?}").to_lowercase()).or_insert(0.0) +=
                        since.elapsed().as_secs_f64();
                }
                ControlFlow::Continue(())
            })
            .await?;
        if generated.rgb.iter().all(|value| *value == generated.rgb[0]) {
            return Err("the image has one color".into());
        }
        Ok(Image { rgb: generated.rgb, seconds })
    }
}

struct Image {
    rgb: Vec<u8>,
    seconds: BTreeMap<String, f64>,
}
