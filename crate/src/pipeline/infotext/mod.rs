//! Infotext: the generation parameters that AUTOMATIC1111's web UI stores under `parameters` in a PNG.
//!
//! ```text
//! a cat <lora:ink:0.8>
//! Negative prompt: blurry
//! Steps: 20, Sampler: Euler a, CFG scale: 7, Seed: 1, Size: 512x512, …
//! ```
//! Reading never fails: everything that is not understood is listed with the reason.

mod names;
mod png_text;
mod read;

use std::collections::HashSet;
use std::fmt;

use serde::Serialize;
use ts_rs::TS;

use super::recipe::{AdapterChoice, Hires, Recipe, Rng};
use crate::samplers::{SamplerKind, SigmaSpacing};
use crate::text::{NetworkKind, extra_networks};

pub use png_text::png_parameters;

/// The contents of an infotext; absent fields are `None`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, TS)]
pub struct Infotext {
    /// The prompt without `<lora:…>`.
    pub prompt: String,
    /// The negative prompt.
    pub negative: String,
    /// LoRAs mentioned in the prompt.
    pub adapters: Vec<Mention>,
    /// Sampling steps.
    pub steps: Option<usize>,
    /// Sampler, by its name in recipes: `euler_a`.
    #[ts(type = "string | null")]
    pub sampler: Option<SamplerKind>,
    /// Schedule type: spacing of the noise levels.
    #[ts(
        type = "\"timesteps\" | \"karras\" | \"exponential\" | \"sgm_uniform\" | \"simple\" | \"beta\" | \"ays\" | \"polyexponential\" | \"kl_optimal\" | \"ddim_uniform\" | \"linear_quadratic\" | null"
    )]
    pub schedule: Option<SigmaSpacing>,
    /// CFG scale.
    pub guidance: Option<f32>,
    /// Seed of the initial noise.
    #[ts(type = "number | null")]
    pub seed: Option<u64>,
    /// Width and height in pixels.
    pub size: Option<(usize, usize)>,
    /// Name of the base model, without file extension.
    pub model: Option<String>,
    /// First 10 hex digits of the SHA-256 of the model's file.
    pub model_hash: Option<String>,
    /// Denoising strength, 0 to 1.
    pub denoise: Option<f64>,
    /// Noise added per step.
    pub eta: Option<f64>,
    /// Hires. fix settings.
    pub hires: Option<Hires>,
    /// Clip skip: the text encoder layer to use, counted from the end; 1, the default, is the last.
    pub clip_skip: Option<usize>,
    /// Random number generator of the noise.
    pub rng: Option<Rng>,
    /// Program and version that wrote the text.
    pub version: Option<String>,
    /// Fields that were not understood.
    pub leftovers: Vec<Leftover>,
}

/// A LoRA mentioned in the prompt.
#[derive(Debug, Clone, PartialEq, Serialize, TS)]
pub struct Mention {
    /// File name without extension.
    pub name: String,
    /// Strength in the text encoder.
    pub text_encoder: f32,
    /// Strength in the UNet.
    pub unet: f32,
    /// Block weights, as sd-webui-lora-block-weight writes them.
    pub blocks: Option<String>,
    /// First hex digits of the SHA-256 of the file without its header (12, the web UI) or of the whole file
    /// (10, Civitai).
    pub hash: Option<String>,
}

/// A field that was not understood.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, TS)]
pub struct Leftover {
    /// Name of the setting.
    pub name: String,
    /// Its value, verbatim.
    pub value: String,
    /// Why it has no effect.
    pub reason: String,
}

impl Mention {
    /// Returns whether this mentions the given file. Like the web UI, compares names without extension.
    pub fn is_named(&self, file: &str) -> bool {
        tag_name(&self.name) == tag_name(stem(file))
    }

    /// Returns whether this mentions the file with the given hash, of either kind that [`hash`](Self::hash)
    /// may be.
    pub fn has_hash(&self, hash: &str) -> bool {
        self.hash
            .as_ref()
            .is_some_and(|prefix| prefix.len() >= 8 && hash.len() >= prefix.len() && hash.starts_with(prefix.as_str()))
    }
}

impl Infotext {
    /// Returns the infotext of a recipe. The caller adds the model's hash, which a recipe does not contain.
    pub fn of(recipe: &Recipe) -> Infotext {
        let (prompt, mentioned) = extra_networks(&recipe.prompt);
        let chosen = recipe.adapters.iter().map(|choice| Mention {
            name: tag_name(stem(&choice.name)),
            text_encoder: choice.text_encoder.unwrap_or(choice.strength),
            unet: choice.strength,
            hash: choice.hash.clone(),
            blocks: choice.blocks.clone(),
        });
        let mut adapters: Vec<Mention> = chosen.collect();
        let named: HashSet<String> = adapters.iter().map(|adapter| tag_name(&adapter.name)).collect();
        let others = mentioned.into_iter().filter(|network| network.kind == NetworkKind::Lora);
        adapters.extend(others.filter(|network| !named.contains(&tag_name(&network.name))).map(Mention::from));
        Infotext {
            prompt,
            negative: recipe.negative.clone().unwrap_or_default(),
            adapters,
            steps: Some(recipe.steps),
            sampler: Some(recipe.sampler),
            schedule: recipe.schedule,
            guidance: Some(recipe.guidance),
            seed: Some(recipe.seed),
            size: Some((recipe.width, recipe.height)),
            model: Some(stem(&recipe.model).to_owned()).filter(|name| !name.is_empty()),
            model_hash: None,
            denoise: recipe.denoise,
            eta: recipe.eta,
            hires: recipe.hires,
            clip_skip: Some(recipe.clip_skip.saturating_add(1)),
            rng: Some(recipe.rng),
            version: Some(concat!("LoRA Loupe ", env!("CARGO_PKG_VERSION")).into()),
            leftovers: Vec::new(),
        }
    }

    /// Overwrites the recipe's fields with those that the text contains and keeps the others. `find` returns
    /// the loaded adapter for a mention. Returns the mentions without one.
    ///
    /// If a text with parameters has no "Clip skip" or "Denoising strength", that setting is reset. The web
    /// UI ignores "Clip skip" with SDXL; the caller has to handle this.
    pub fn restore(
        &self,
        recipe: &mut Recipe,
        find: &mut dyn FnMut(&Mention) -> Option<AdapterChoice>,
    ) -> Vec<Mention> {
        fn set<T: Clone>(field: &mut T, value: &Option<T>) {
            if let Some(value) = value {
                field.clone_from(value);
            }
        }
        recipe.prompt.clone_from(&self.prompt);
        recipe.negative = Some(self.negative.clone()).filter(|negative| !negative.is_empty());
        set(&mut recipe.steps, &self.steps);
        set(&mut recipe.sampler, &self.sampler);
        set(&mut recipe.guidance, &self.guidance);
        set(&mut recipe.seed, &self.seed);
        set(&mut recipe.model, &self.model);
        set(&mut recipe.width, &self.size.map(|size| size.0));
        set(&mut recipe.height, &self.size.map(|size| size.1));
        set(&mut recipe.rng, &self.rng);
        if self.steps.is_some() {
            recipe.schedule = self.schedule;
            recipe.denoise = self.denoise;
            recipe.eta = self.eta;
            recipe.hires = self.hires;
            recipe.masked = false;
            recipe.clip_skip = self.clip_skip.unwrap_or(1).saturating_sub(1);
        }
        recipe.adapters.clear();
        let mut missing = Vec::new();
        for mention in &self.adapters {
            match find(mention) {
                Some(choice) => recipe.adapters.push(AdapterChoice {
                    strength: mention.unet,
                    text_encoder: Some(mention.text_encoder).filter(|strength| *strength != mention.unet),
                    blocks: mention.blocks.clone(),
                    ..choice
                }),
                None => missing.push(mention.clone()),
            }
        }
        missing
    }
}

/// Writes the text in the web UI's format.
impl fmt::Display for Infotext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.prompt)?;
        for Mention { name, text_encoder, unet, blocks, .. } in &self.adapters {
            let blocks = blocks.as_ref().map_or(String::new(), |blocks| format!(":lbw={}", tag_name(blocks)));
            let name = tag_name(name);
            match text_encoder == unet {
                true => write!(f, " <lora:{name}:{unet}{blocks}>")?,
                false => write!(f, " <lora:{name}:{text_encoder}:{unet}{blocks}>")?,
            }
        }
        if !self.negative.is_empty() {
            write!(f, "\nNegative prompt: {}", self.negative)?;
        }
        let hashes = self.adapters.iter().filter_map(|adapter| {
            let hash = adapter.hash.as_ref()?;
            Some(format!("{}: {hash}", hash_name(&adapter.name)))
        });
        let hashes = hashes.collect::<Vec<_>>().join(", ");
        let fields = [
            ("Steps", self.steps.map(|steps| steps.to_string())),
            ("Sampler", self.sampler.map(|kind| kind.label().into())),
            ("Schedule type", self.schedule.map(|schedule| names::schedule_label(schedule).into())),
            ("CFG scale", self.guidance.map(|guidance| guidance.to_string())),
            ("Seed", self.seed.map(|seed| seed.to_string())),
            ("Size", self.size.map(|(width, height)| format!("{width}x{height}"))),
            ("Model hash", self.model_hash.clone()),
            ("Model", self.model.clone()),
            (
                "Denoising strength",
                self.hires.map(|hires| hires.denoise).or(self.denoise).map(|share| share.to_string()),
            ),
            ("Eta", self.eta.map(|eta| eta.to_string())),
            ("Clip skip", self.clip_skip.filter(|skip| *skip > 1).map(|skip| skip.to_string())),
            ("RNG", self.rng.map(|rng| names::rng_label(rng).into())),
            ("Hires upscale", self.hires.map(|hires| hires.scale.to_string())),
            ("Hires steps", self.hires.filter(|hires| hires.steps > 0).map(|hires| hires.steps.to_string())),
            ("Hires upscaler", self.hires.map(|hires| names::upscaler_label(hires.upscaler).into())),
            ("Lora hashes", Some(hashes).filter(|hashes| !hashes.is_empty())),
            ("Version", self.version.clone()),
        ];
        let line = fields.into_iter().filter_map(|(name, value)| Some(format!("{name}: {}", quote(&value?))));
        let line = line.collect::<Vec<_>>().join(", ");
        if line.is_empty() { Ok(()) } else { write!(f, "\n{line}") }
    }
}

/// Quotes a value as a JSON string if it would be misread otherwise.
fn quote(value: &str) -> String {
    let needs_quotes = value.contains([',', ':', '\n', '\r']) || value.starts_with('"') || value.trim() != value;
    match serde_json::to_string(value) {
        Ok(quoted) if needs_quotes => quoted,
        _ => value.to_owned(),
    }
}

/// Strips the extension of a weights file.
fn stem(file: &str) -> &str {
    const EXTENSIONS: [&str; 5] = [".safetensors", ".pt", ".pth", ".bin", ".ckpt"];
    EXTENSIONS.iter().find_map(|extension| file.strip_suffix(extension)).unwrap_or(file)
}

/// Removes the characters that `<lora:…>` does not allow in a name.
fn tag_name(name: &str) -> String {
    name.replace([':', '<', '>', '\n', '\r'], "")
}

/// Removes the characters that `Lora hashes` does not allow in a name.
fn hash_name(name: &str) -> String {
    tag_name(name).replace(',', "").trim().to_owned()
}
