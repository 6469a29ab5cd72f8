//! Infotext writer.

use std::collections::HashSet;

use super::{hash_name, names, settings};
use crate::pipeline::recipe::{EmbeddingChoice, Hires, Recipe};
use crate::pipeline::recipe_draft::{EmbeddingMention, Mention, Origin, RecipeDraft, stem, tag_name};
use crate::program::Program;
use crate::text::{Emphasis, NetworkKind, extra_networks};

/// Hex digits of a textual inversion's SHA-256 that the web UI writes.
const EMBEDDING_HASH_LEN: usize = 12;

impl RecipeDraft {
    /// Returns what the infotext of a recipe says. The caller adds the model's hash, which a recipe does not contain.
    pub fn of(recipe: &Recipe) -> RecipeDraft {
        let (mut prompt, mentioned) = match recipe.program {
            Program::Diffusers => (recipe.prompt.clone(), Vec::new()),
            Program::A1111 | Program::Comfyui => extra_networks(&recipe.prompt),
        };
        let negative = recipe.negative.as_deref().unwrap_or_default();
        let chosen = recipe.adapters.iter().map(|choice| Mention {
            name: tag_name(stem(&choice.name)),
            text_encoder: choice.text_encoder.unwrap_or(choice.strength),
            unet: choice.strength,
            hash: choice.hash.clone(),
            blocks: choice.blocks.clone(),
            civitai_version: None,
        });
        let mut adapters: Vec<Mention> = chosen.collect();
        let named: HashSet<String> = adapters.iter().map(|adapter| tag_name(&adapter.name)).collect();
        for network in mentioned.iter().filter(|network| network.kind == NetworkKind::Lora) {
            match Mention::of(network) {
                Some(mention) if !named.contains(&tag_name(&mention.name)) => adapters.push(mention),
                Some(_) => {}
                None => prompt = format!("{prompt} {}", network.tag),
            }
        }
        let embeddings = recipe.embeddings.iter().map(|EmbeddingChoice { name, sha256 }| EmbeddingMention {
            name: hash_name(stem(name)),
            hash: sha256.get(..EMBEDDING_HASH_LEN).map(str::to_owned),
        });
        RecipeDraft {
            origin: Some(Origin::LoraLoupe),
            program: Program::A1111,
            prompt: escape(&prompt, recipe.program),
            negative: escape(negative, recipe.program),
            adapters,
            embeddings: embeddings.collect(),
            steps: Some(recipe.steps),
            sampler: Some(recipe.sampler),
            schedule: recipe.schedule,
            guidance: Some(recipe.guidance),
            seed: Some(recipe.seed),
            size: Some((recipe.width, recipe.height)),
            model: Some(stem(&recipe.model).to_owned()).filter(|name| !name.is_empty()),
            model_hash: None,
            denoise: recipe.denoise,
            masked_area: recipe.masked_area.filter(|_| recipe.masked),
            eta: recipe.eta,
            hires: recipe.hires.clone(),
            clip_skip: Some(recipe.clip_skip.saturating_add(1)),
            rng: Some(recipe.rng),
            web_ui: recipe.web_ui,
            variation: recipe.variation,
            seed_resize: recipe.seed_resize,
            emphasis: Some(recipe.emphasis).filter(|mode| *mode != Emphasis::Original),
            pad_conds: recipe.pad_conds,
            zero_snr: recipe.zero_snr,
            version: Some(concat!("LoRA Loupe ", env!("CARGO_PKG_VERSION")).into()),
            leftovers: Vec::new(),
        }
    }

    /// Returns the text in the web UI's format.
    pub fn to_infotext(&self) -> String {
        let mut text = self.prompt.clone();
        for Mention { name, text_encoder, unet, blocks, .. } in &self.adapters {
            let blocks = blocks.as_ref().map_or(String::new(), |blocks| format!(":lbw={}", tag_name(blocks)));
            let name = tag_name(name);
            let strengths = match text_encoder == unet {
                true => unet.to_string(),
                false => format!("{text_encoder}:{unet}"),
            };
            text += &format!(" <lora:{name}:{strengths}{blocks}>");
        }
        if !self.negative.is_empty() {
            text += &format!("\nNegative prompt: {}", self.negative);
        }
        let fields = self.fields().into_iter().filter_map(|(name, value)| Some(format!("{name}: {}", quote(&value?))));
        let line = fields.collect::<Vec<_>>().join(", ");
        if line.is_empty() { text } else { text + "\n" + &line }
    }

    /// The parameters of the last line; `None` for those that are not set.
    fn fields(&self) -> Vec<(&'static str, Option<String>)> {
        let loras = self.adapters.iter().map(|adapter| (&adapter.name, &adapter.hash));
        let embeddings = self.embeddings.iter().map(|embedding| (&embedding.name, &embedding.hash));
        let size = |(width, height): (usize, usize)| format!("{width}x{height}");
        let upscaler = |hires: &Hires| names::upscaler_label(hires.upscaler, hires.network.as_deref()).into();
        let padding = self.masked_area.and_then(|area| area.padding);
        let settings = self.web_ui.iter().flat_map(settings::fields).map(|(name, value)| (name, Some(value)));
        let mut fields = vec![
            ("Steps", self.steps.map(|steps| steps.to_string())),
            ("Sampler", self.sampler.map(|kind| kind.label().into())),
            ("Schedule type", self.schedule.map(|schedule| names::schedule_label(schedule).into())),
            ("CFG scale", self.guidance.map(|guidance| guidance.to_string())),
            ("Seed", self.seed.map(|seed| seed.to_string())),
            ("Size", self.size.map(size)),
            ("Model hash", self.model_hash.clone()),
            ("Model", self.model.clone()),
            ("Variation seed", self.variation.map(|variation| variation.seed.to_string())),
            ("Variation seed strength", self.variation.map(|variation| variation.strength.to_string())),
            ("Seed resize from", self.seed_resize.map(size)),
            (
                "Denoising strength",
                self.hires.as_ref().map(|hires| hires.denoise).or(self.denoise).map(|share| share.to_string()),
            ),
            ("Mask blur", self.masked_area.filter(|area| area.blur > 0).map(|area| area.blur.to_string())),
            ("Inpaint area", padding.map(|_| "Only masked".into())),
            ("Masked area padding", padding.map(|padding| padding.to_string())),
            (settings::eta_name(self.sampler), self.eta.map(|eta| eta.to_string())),
            ("Clip skip", self.clip_skip.filter(|skip| *skip > 1).map(|skip| skip.to_string())),
            ("RNG", self.rng.map(|rng| names::rng_label(rng).into())),
            ("Emphasis", self.emphasis.map(|mode| mode.label().into())),
            ("Pad conds", Some("True".into()).filter(|_| self.pad_conds)),
            ("Noise Schedule", self.zero_snr.filter(|is_zero| *is_zero).map(|_| "Zero Terminal SNR".into())),
            ("Hires upscale", self.hires.as_ref().map(|hires| hires.scale.to_string())),
            ("Hires steps", self.hires.as_ref().filter(|hires| hires.steps > 0).map(|hires| hires.steps.to_string())),
            ("Hires upscaler", self.hires.as_ref().map(upscaler)),
        ];
        fields.extend(settings);
        fields.extend([
            ("Lora hashes", hashes(loras)),
            ("TI hashes", hashes(embeddings)),
            ("Version", self.version.clone()),
        ]);
        fields
    }
}

/// Lists names with their hashes; `None` without any.
fn hashes<'a>(named: impl Iterator<Item = (&'a String, &'a Option<String>)>) -> Option<String> {
    let pairs = named.filter_map(|(name, hash)| Some(format!("{}: {}", hash_name(name), hash.as_ref()?)));
    Some(pairs.collect::<Vec<_>>().join(", ")).filter(|pairs| !pairs.is_empty())
}

/// Escapes the characters that the web UI reads as weights and prompt editing, and the program does not.
fn escape(prompt: &str, program: Program) -> String {
    let special: &[char] = match program {
        Program::Diffusers => &['\\', '(', ')', '[', ']'],
        Program::Comfyui => &['[', ']'],
        Program::A1111 => &[],
    };
    let mut escaped = String::with_capacity(prompt.len());
    for character in prompt.chars() {
        if special.contains(&character) {
            escaped.push('\\');
        }
        escaped.push(character);
    }
    escaped
}

/// Quotes a value as a JSON string if it would be misread otherwise.
fn quote(value: &str) -> String {
    let needs_quotes = value.contains([',', ':', '\n', '\r']) || value.starts_with('"') || value.trim() != value;
    match serde_json::to_string(value) {
        Ok(quoted) if needs_quotes => quoted,
        _ => value.to_owned(),
    }
}
