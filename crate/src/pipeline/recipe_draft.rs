//! Recipe drafts: what a text or an image says about how it was generated, before the files that it names are found.

use serde::Serialize;
use ts_rs::TS;

use super::recipe::{AdapterChoice, Hires, MaskedAreaSettings, Recipe, Rng, Variation};
use crate::program::Program;
use crate::samplers::{SamplerKind, SigmaSpacing, WebUiSettings};
use crate::text::{Emphasis, ExtraNetwork};

/// A program that writes generation data to images.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, TS)]
pub enum Origin {
    /// AUTOMATIC1111's web UI, and programs that write its format without naming themselves.
    #[serde(rename = "AUTOMATIC1111")]
    A1111,
    /// Stable Diffusion WebUI Forge.
    Forge,
    /// Forge's fork reForge.
    #[serde(rename = "reForge")]
    ReForge,
    /// SD.Next.
    #[serde(rename = "SD.Next")]
    SdNext,
    /// ComfyUI, and nodes of it that save images.
    #[serde(rename = "ComfyUI")]
    Comfyui,
    /// SwarmUI.
    #[serde(rename = "SwarmUI")]
    SwarmUi,
    /// Fooocus.
    Fooocus,
    /// InvokeAI.
    #[serde(rename = "InvokeAI")]
    InvokeAi,
    /// NovelAI.
    #[serde(rename = "NovelAI")]
    NovelAi,
    /// Draw Things.
    #[serde(rename = "Draw Things")]
    DrawThings,
    /// stable-diffusion.cpp.
    #[serde(rename = "stable-diffusion.cpp")]
    SdCpp,
    /// The generator on civitai.com.
    Civitai,
    /// This program.
    #[serde(rename = "LoRA Loupe")]
    LoraLoupe,
}

/// What a text or an image says about how it was generated; absent fields are `None`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, TS)]
pub struct RecipeDraft {
    /// The program that wrote it, if it can be told.
    #[ts(
        type = "\"AUTOMATIC1111\" | \"Forge\" | \"reForge\" | \"SD.Next\" | \"ComfyUI\" | \"SwarmUI\" | \"Fooocus\" | \"InvokeAI\" | \"NovelAI\" | \"Draw Things\" | \"stable-diffusion.cpp\" | \"Civitai\" | \"LoRA Loupe\" | null"
    )]
    pub origin: Option<Origin>,
    /// The program whose rules apply to it.
    pub program: Program,
    /// The prompt without `<lora:…>`.
    pub prompt: String,
    /// The negative prompt.
    pub negative: String,
    /// LoRAs.
    pub adapters: Vec<Mention>,
    /// Textual inversions.
    pub embeddings: Vec<EmbeddingMention>,
    /// Sampling steps.
    pub steps: Option<usize>,
    /// Sampler, by its name in recipes: `euler_a`.
    #[ts(type = "string | null")]
    pub sampler: Option<SamplerKind>,
    /// Schedule type: spacing of the noise levels.
    pub schedule: Option<SigmaSpacing>,
    /// CFG scale.
    pub guidance: Option<f32>,
    /// Seed of the initial noise; a string above 2^53 - 1.
    #[serde(serialize_with = "super::seed::serialize_option")]
    #[ts(type = "number | string | null")]
    pub seed: Option<u64>,
    /// Width and height in pixels.
    pub size: Option<(usize, usize)>,
    /// Name of the base model, without file extension.
    pub model: Option<String>,
    /// First 10 hex digits of the SHA-256 of the model's file.
    pub model_hash: Option<String>,
    /// Denoising strength, 0 to 1.
    pub denoise: Option<f64>,
    /// Inpainting of the masked area alone.
    pub masked_area: Option<MaskedAreaSettings>,
    /// Noise added per step.
    pub eta: Option<f64>,
    /// Hires. fix settings.
    pub hires: Option<Hires>,
    /// Clip skip: the text encoder layer to use, counted from the end; 1, the default, is the last.
    pub clip_skip: Option<usize>,
    /// Random number generator of the noise.
    pub rng: Option<Rng>,
    /// Settings of AUTOMATIC1111's web UI that are not at their defaults.
    pub web_ui: Option<WebUiSettings>,
    /// Variation of the seed's noise.
    pub variation: Option<Variation>,
    /// Width and height in pixels that the seed's noise is resized from.
    pub seed_resize: Option<(usize, usize)>,
    /// Emphasis mode.
    pub emphasis: Option<Emphasis>,
    /// Whether the shorter of prompt and negative prompt is filled up with empty chunks.
    pub pad_conds: bool,
    /// Whether the last timestep of the noise schedule is pure noise.
    pub zero_snr: Option<bool>,
    /// Program and version that wrote the text.
    pub version: Option<String>,
    /// Everything that was not understood.
    pub leftovers: Vec<Leftover>,
}

/// A LoRA that a draft names.
#[derive(Debug, Clone, PartialEq, Default, Serialize, TS)]
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
    /// Number of the file's version on civitai.com.
    #[ts(type = "number | null")]
    pub civitai_version: Option<u64>,
}

/// A textual inversion that a draft names.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, TS)]
pub struct EmbeddingMention {
    /// File name without extension.
    pub name: String,
    /// First hex digits of the SHA-256 of the file.
    pub hash: Option<String>,
}

/// Something that was not understood.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, TS)]
pub struct Leftover {
    /// Name of the setting, or the number and class of a ComfyUI node.
    pub name: String,
    /// Its value, verbatim.
    pub value: String,
    /// Why it has no effect.
    pub reason: String,
}

impl Mention {
    /// Returns the mention of a network whose strengths are the same in all steps.
    pub(super) fn of(network: &ExtraNetwork) -> Option<Mention> {
        let (text_encoder, unet) = network.constant()?;
        let (name, blocks) = (network.name.clone(), network.blocks.clone());
        Some(Mention { name, text_encoder, unet, blocks, ..Mention::default() })
    }

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

impl RecipeDraft {
    /// Adds something that was not understood.
    pub(super) fn push_leftover(&mut self, name: impl Into<String>, value: impl Into<String>, reason: &str) {
        self.leftovers.push(Leftover { name: name.into(), value: value.into(), reason: reason.into() });
    }

    /// Adds a textual inversion unless it is there already.
    pub(super) fn push_embedding(&mut self, name: &str, hash: Option<String>) {
        match self.embeddings.iter_mut().find(|known| known.name == name) {
            Some(known) => known.hash = known.hash.take().or(hash),
            None => self.embeddings.push(EmbeddingMention { name: name.into(), hash }),
        }
    }

    /// Overwrites the recipe's fields with those that the draft contains and keeps the others. `find` returns
    /// the loaded adapter for a mention. Returns the mentions without one.
    ///
    /// If a draft with steps has no "Clip skip" or "Denoising strength", that setting is reset. The web
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
        // The web UIs draw whole positions of the latents.
        let whole = |pixels: usize| pixels / 8 * 8;
        set(&mut recipe.width, &self.size.map(|size| whole(size.0)));
        set(&mut recipe.height, &self.size.map(|size| whole(size.1)));
        set(&mut recipe.rng, &self.rng);
        if self.steps.is_some() {
            recipe.program = self.program;
            recipe.schedule = self.schedule;
            recipe.denoise = self.denoise;
            recipe.eta = self.eta;
            recipe.hires.clone_from(&self.hires);
            recipe.masked = false;
            recipe.masked_area = self.masked_area;
            recipe.web_ui = self.web_ui;
            recipe.variation = self.variation;
            recipe.seed_resize = self.seed_resize;
            recipe.emphasis = self.emphasis.unwrap_or_default();
            recipe.pad_conds = self.pad_conds;
            recipe.zero_snr = self.zero_snr;
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

/// Strips the extension of a weights file, and the folders of its path.
pub fn file_stem(path: &str) -> &str {
    stem(path.rsplit(['/', '\\']).next().unwrap_or(path))
}

/// Strips the extension of a weights file.
pub(super) fn stem(file: &str) -> &str {
    const EXTENSIONS: [&str; 7] = [".safetensors", ".pt", ".pth", ".bin", ".ckpt", ".gguf", ".sft"];
    EXTENSIONS.iter().find_map(|extension| file.strip_suffix(extension)).unwrap_or(file)
}

/// Removes the characters that `<lora:…>` does not allow in a name.
pub(super) fn tag_name(name: &str) -> String {
    name.replace([':', '<', '>', '\n', '\r'], "")
}
