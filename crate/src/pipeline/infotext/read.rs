//! Infotext parser.

use std::collections::HashMap;
use std::str::FromStr;

use serde_json::{Map, Value};

use super::fields::parameters;
use super::{civitai, hash_name, names, settings};
use crate::pipeline::recipe::{Hires, MaskedAreaSettings, Rng, Upscaler, Variation};
use crate::pipeline::recipe_draft::{Mention, Origin, RecipeDraft};
use crate::program::Program;
use crate::samplers::SamplerKind;
use crate::text::{ExtraNetwork, NetworkKind, extra_networks};

/// Minimum number of parameters in a last line that does not begin with `Steps: 20` to count as parameters.
const MIN_PARAMETERS: usize = 3;
const DIGITS: [char; 10] = ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9'];
const NEGATIVE: &str = "Negative prompt:";
/// Parameters of which a text that is an infotext has at least two.
const USUAL: [&str; 8] = ["Steps", "Sampler", "CFG scale", "Seed", "Size", "Model", "Model hash", "Version"];

/// Returns whether a text is an infotext: its last lines hold at least two of the usual parameters. JSON never is.
pub fn is_infotext(text: &str) -> bool {
    if text.trim_start().starts_with(['{', '[']) && serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok() {
        return false;
    }
    let lines = lines(text);
    let found = lines[text_end(&lines)..].iter().flat_map(|line| parameters(line));
    let mut found: Vec<String> = found.map(|(name, _)| name).filter(|name| USUAL.contains(&name.as_str())).collect();
    found.sort();
    found.dedup();
    found.len() >= 2
}

/// Reads an infotext. A text without parameters is read as a prompt; see [`is_infotext`].
pub fn read_infotext(text: &str) -> RecipeDraft {
    let lines = lines(text);
    let text_end = text_end(&lines);
    let prompt_end = lines[..text_end].iter().position(|line| line.starts_with(NEGATIVE)).unwrap_or(text_end);
    let (prompt, networks) = extra_networks(&lines[..prompt_end].join("\n"));
    let negative = lines[prompt_end..text_end].join("\n");
    let mut reader = Reader::default();
    reader.info.program = Program::A1111;
    reader.info.prompt = prompt.trim().into();
    reader.info.negative = negative.strip_prefix(NEGATIVE).unwrap_or_default().trim().into();
    networks.into_iter().for_each(|network| reader.mention(network));
    for (name, value) in lines[text_end..].iter().flat_map(|line| parameters(line)) {
        reader.field(&name, &value);
    }
    reader.finish()
}

/// The lines of a text. A site may have joined them to one, which is split before the negative prompt and the
/// parameters.
fn lines(text: &str) -> Vec<&str> {
    let text = text.trim();
    let steps = |line: &str| {
        let after_steps = |at: usize| line[at + "Steps:".len()..].trim_start().starts_with(DIGITS);
        line.rmatch_indices("Steps:").map(|(at, _)| at).find(|&at| line[..at].ends_with(' ') && after_steps(at))
    };
    let mut lines: Vec<&str> = text.lines().map(str::trim).collect();
    let has_parameters = lines.iter().any(|line| is_steps_line(line));
    // Civitai leaves the line of an empty negative prompt open: `Negative prompt: Steps: 23, …`.
    let open = lines.iter().rposition(|line| line.starts_with(NEGATIVE) || lines.len() == 1);
    if let Some(at) = open.filter(|_| !has_parameters)
        && let Some(start) = steps(lines[at])
    {
        let (before, parameters) = lines[at].split_at(start);
        let (prompt, negative) = before.split_at(before.find(NEGATIVE).unwrap_or(before.len()));
        lines.splice(at..=at, [prompt.trim(), negative.trim(), parameters]);
    }
    lines
}

fn is_steps_line(line: &str) -> bool {
    line.strip_prefix("Steps:").is_some_and(|after| after.trim().starts_with(DIGITS))
}

/// Returns the number of lines before the parameters.
fn text_end(lines: &[&str]) -> usize {
    let count = |line: &str| parameters(line).iter().filter(|(name, _)| !name.is_empty()).count();
    let last_line = || lines.len().checked_sub(1).filter(|last| count(lines[*last]) >= MIN_PARAMETERS);
    lines.iter().rposition(|line| is_steps_line(line)).or_else(last_line).unwrap_or(lines.len())
}

#[derive(Default)]
struct Reader {
    info: RecipeDraft,
    /// "Schedule type", resolved at the end: "Automatic" depends on the sampler, which may follow it.
    schedule: Option<String>,
    /// LoRA names with their hashes.
    hashes: Vec<(String, String)>,
    hires_scale: Option<f64>,
    hires_steps: Option<usize>,
    /// "Hires resize", which some texts have instead of a factor.
    hires_size: Option<(usize, usize)>,
    hires_upscaler: Option<Upscaler>,
    /// The name of a network that is the upscaler.
    hires_network: Option<String>,
    variation_seed: Option<u64>,
    variation_strength: Option<f64>,
    mask_blur: Option<usize>,
    is_masked_area: bool,
    masked_area_padding: Option<usize>,
    /// `App`, which SD.Next writes.
    app: Option<String>,
    has_civitai_resources: bool,
}

impl Reader {
    fn push_leftover(&mut self, name: &str, value: &str, reason: &str) {
        self.info.push_leftover(name, value, reason);
    }

    /// Adds a network to the list, or leaves it in the prompt if its strength changes.
    fn mention(&mut self, network: ExtraNetwork) {
        match &network.kind {
            NetworkKind::Unsupported(kind) => {
                self.push_leftover(kind, &network.name, "this kind of network is not supported");
            }
            NetworkKind::Lora => {
                for argument in &network.unread {
                    self.push_leftover(&format!("lora {}", network.name), argument, "not a strength");
                }
                match Mention::of(&network) {
                    Some(mention) => self.info.adapters.push(mention),
                    None => self.info.prompt = [self.info.prompt.as_str(), &network.tag].join(" ").trim().into(),
                }
            }
        }
    }

    fn field(&mut self, name: &str, value: &str) {
        let info = &mut self.info;
        let is_valid = match name {
            "Steps" => parse_field(&mut info.steps, value, |_| true),
            "CFG scale" => parse_field(&mut info.guidance, value, |scale| scale.is_finite()),
            "Seed" => parse_field(&mut info.seed, value, |_| true),
            "Clip skip" => parse_field(&mut info.clip_skip, value, |skip| *skip > 0),
            "Denoising strength" => parse_field(&mut info.denoise, value, |share| (0.0..=1.0).contains(share)),
            "Eta" | "Eta DDIM" => parse_field(&mut info.eta, value, |share| (0.0..=1.0).contains(share)),
            "Hires upscale" => parse_field(&mut self.hires_scale, value, |scale| *scale > 1.0),
            "Hires steps" => parse_field(&mut self.hires_steps, value, |_| true),
            "Hires upscaler" => return self.upscaler(value),
            "Hires resize" => parse_size(&mut self.hires_size, value),
            "Variation seed" => parse_field(&mut self.variation_seed, value, |_| true),
            "Variation seed strength" => {
                parse_field(&mut self.variation_strength, value, |share| (0.0..=1.0).contains(share))
            }
            "Mask blur" => parse_field(&mut self.mask_blur, value, |blur| *blur <= 256),
            "Inpaint area" if value == "Only masked" => return self.is_masked_area = true,
            "Masked area padding" => parse_field(&mut self.masked_area_padding, value, |padding| *padding <= 1024),
            "Seed resize from" => parse_size(&mut info.seed_resize, value),
            "Size" => parse_size(&mut info.size, value),
            "Model" => return info.model = Some(value.into()),
            "Model hash" => return info.model_hash = Some(value.into()),
            "Version" => return info.version = Some(value.into()),
            "App" => return self.app = Some(value.into()),
            "Civitai resources" => return self.civitai_resources(value),
            "Civitai metadata" if value == "{}" => return,
            "TI hashes" => return self.embedding_hashes(value),
            "TI" => return value.split(',').for_each(|name| info.push_embedding(name.trim(), None)),
            "Schedule type" => return self.schedule = Some(value.into()),
            "Emphasis" => parse_field(&mut info.emphasis, value, |_| true),
            "Pad conds" if value == "True" => {
                info.pad_conds = true;
                true
            }
            "Noise Schedule" if value == "Zero Terminal SNR" => {
                info.zero_snr = Some(true);
                true
            }
            "Sampler" => return self.sampler(value),
            "RNG" => return self.rng(value),
            "Lora hashes" => return self.lora_hashes(value),
            "Hashes" => return self.civitai_hashes(value),
            "" => return self.push_leftover(name, value, "not a setting with a value"),
            _ => match settings::set(&mut info.web_ui, name, value) {
                Some(is_valid) => is_valid,
                None => return self.push_leftover(name, value, "unsupported setting"),
            },
        };
        if !is_valid {
            self.push_leftover(name, value, "invalid value");
        }
    }

    fn sampler(&mut self, label: &str) {
        match names::sampler_named(label) {
            Some((sampler, schedule)) => {
                self.info.sampler = Some(sampler);
                self.info.schedule = schedule;
            }
            None => self.push_leftover("Sampler", label, "unsupported sampler"),
        }
    }

    /// Any other label is that of an upscaling network, which works on pixels.
    fn upscaler(&mut self, label: &str) {
        let Some((upscaler, is_another)) = names::upscaler(label) else {
            self.hires_network = Some(names::network(label).into());
            return self.hires_upscaler = Some(Upscaler::Pixels);
        };
        self.hires_upscaler = Some(upscaler);
        if is_another {
            let reason = match upscaler {
                Upscaler::Latent => "unsupported upscaler: latents are interpolated linearly instead",
                Upscaler::Pixels => "unsupported upscaler: pixels are interpolated instead",
            };
            self.push_leftover("Hires upscaler", label, reason);
        }
    }

    fn rng(&mut self, value: &str) {
        match value {
            "CPU" | "cpu" => self.info.rng = Some(Rng::Torch),
            "NV" | "GPU" | "cuda" => self.info.rng = Some(Rng::Philox),
            "CPU+NV" => self.info.rng = Some(Rng::TorchPhilox),
            _ => self.push_leftover("RNG", value, "unsupported random number generator"),
        }
    }

    /// `name: hash, name: hash`; Fooocus adds the strength: `name: hash: 0.5`.
    fn lora_hashes(&mut self, value: &str) {
        for pair in value.split(',').map(str::trim).filter(|pair| !pair.is_empty()) {
            let parts: Vec<&str> = pair.split(':').map(str::trim).collect();
            let strength =
                parts.last().and_then(|part| part.parse::<f32>().ok()).filter(|strength| strength.is_finite());
            match (parts.as_slice(), strength) {
                ([name, hash], _) => self.hashes.push(((*name).into(), (*hash).into())),
                ([name, hash, _], Some(strength)) => self.info.adapters.push(Mention {
                    name: (*name).into(),
                    text_encoder: strength,
                    unet: strength,
                    hash: Some(hash.to_lowercase()),
                    ..Mention::default()
                }),
                _ => self.push_leftover("Lora hashes", pair, "not a name with a hash"),
            }
        }
    }

    /// `name: hash, name: hash`
    fn embedding_hashes(&mut self, value: &str) {
        for pair in value.split(',').map(str::trim).filter(|pair| !pair.is_empty()) {
            match pair.split_once(':') {
                Some((name, hash)) => self.info.push_embedding(name.trim(), Some(hash.trim().to_lowercase())),
                None => self.push_leftover("TI hashes", pair, "not a name with a hash"),
            }
        }
    }

    /// `{"model": hash, "lora:name": hash, "embed:name": hash}`, which Civitai's extension writes.
    fn civitai_hashes(&mut self, value: &str) {
        let Ok(hashes) = serde_json::from_str::<Map<String, Value>>(value) else {
            return self.push_leftover("Hashes", value, "not a JSON object of hashes");
        };
        for (name, hash) in hashes {
            match (name.split_once(':'), hash) {
                (Some(("lora", lora)), Value::String(hash)) => self.hashes.push((lora.into(), hash)),
                (Some(("embed", embedding)), Value::String(hash)) => {
                    self.info.push_embedding(embedding, Some(hash.to_lowercase()));
                }
                (None, Value::String(hash)) if name == "model" => _ = self.info.model_hash.get_or_insert(hash),
                (_, hash) => self.push_leftover("Hashes", &format!("{name}: {hash}"), "unsupported setting"),
            }
        }
    }

    fn civitai_resources(&mut self, value: &str) {
        let Some(resources) = civitai::resources(value) else {
            return self.push_leftover("Civitai resources", value, "not a JSON list of resources");
        };
        self.has_civitai_resources = true;
        for (kind, name) in resources.others {
            self.push_leftover(&format!("Civitai resource ({kind})"), &name, "this kind of resource is not supported");
        }
        if let Some(model) = resources.models.into_iter().next() {
            _ = self.info.model.get_or_insert(model);
        }
        // The generator writes no tags; other tools list the LoRAs of the tags again.
        if self.info.adapters.is_empty() {
            self.info.adapters = resources.adapters;
        }
        for embedding in resources.embeddings {
            self.info.push_embedding(&embedding.name, None);
        }
    }

    /// Returns the program that wrote the text.
    fn origin(&self) -> Option<Origin> {
        let version = self.info.version.as_deref().unwrap_or_default();
        let is_numbered = |prefix| version.strip_prefix(prefix).is_some_and(|rest: &str| rest.starts_with(DIGITS));
        match version {
            _ if self.app.as_deref().is_some_and(|app| app.starts_with("SD.Next")) => Some(Origin::SdNext),
            "ComfyUI" if self.has_civitai_resources => Some(Origin::Civitai),
            "ComfyUI" => Some(Origin::Comfyui),
            "stable-diffusion.cpp" => Some(Origin::SdCpp),
            _ if version.starts_with("Fooocus") => Some(Origin::Fooocus),
            _ if version.starts_with("LoRA Loupe") => Some(Origin::LoraLoupe),
            _ if version.to_lowercase().contains("reforge") => Some(Origin::ReForge),
            _ if is_numbered("f") || version.starts_with("neo") => Some(Origin::Forge),
            _ if is_numbered("v") => Some(Origin::A1111),
            "" if self.has_civitai_resources => Some(Origin::Civitai),
            // Web UIs before 1.3 wrote no version.
            "" if self.info.steps.is_some() => Some(Origin::A1111),
            _ => None,
        }
    }

    /// Takes the factor of the second pass from its size, if both sides have the same.
    fn resize(&mut self) {
        let Some((width, height)) = self.hires_size.take() else { return };
        let factors = self.info.size.filter(|size| size.0 > 0 && size.1 > 0);
        let factors = factors.map(|size| (width as f64 / size.0 as f64, height as f64 / size.1 as f64));
        match factors.filter(|(wide, high)| *wide > 1.0 && (wide - high).abs() < 0.01) {
            Some((factor, _)) => _ = self.hires_scale.get_or_insert(factor),
            None => {
                self.push_leftover("Hires resize", &format!("{width}x{height}"), "it changes the shape of the image")
            }
        }
    }

    /// Resolves the settings that depend on several fields.
    fn finish(mut self) -> RecipeDraft {
        if let Some(label) = self.schedule.take() {
            match names::schedule_named(&label, self.info.sampler) {
                Some(schedule) => self.info.schedule = schedule,
                None => self.push_leftover("Schedule type", &label, "unsupported schedule type"),
            }
        }
        let padding = self.is_masked_area.then(|| self.masked_area_padding.unwrap_or(32));
        if self.is_masked_area || self.mask_blur.is_some() {
            self.info.masked_area = Some(MaskedAreaSettings { padding, blur: self.mask_blur.unwrap_or(0) });
        }
        match (self.variation_seed.take(), self.variation_strength.take()) {
            (Some(seed), Some(strength)) => self.info.variation = Some(Variation { seed, strength }),
            (Some(seed), None) => self.push_leftover("Variation seed", &seed.to_string(), "its strength is missing"),
            (None, Some(strength)) => {
                self.push_leftover("Variation seed strength", &strength.to_string(), "its seed is missing");
            }
            (None, None) => {}
        }
        self.resize();
        if let Some(scale) = self.hires_scale.take() {
            // The web UI has one denoising strength; with Hires. fix it applies to the second pass.
            let denoise = self.info.denoise.take().unwrap_or(0.75);
            let steps = self.hires_steps.unwrap_or(0);
            let upscaler = self.hires_upscaler.unwrap_or_default();
            self.info.hires = Some(Hires { scale, denoise, steps, upscaler, network: self.hires_network.take() });
        } else {
            let steps = self.hires_steps.take().map(|steps| ("Hires steps", steps.to_string()));
            let upscaler = self.hires_upscaler.take();
            let network = self.hires_network.as_deref();
            let upscaler = upscaler.map(|it| ("Hires upscaler", names::upscaler_label(it, network).into()));
            for (name, value) in [steps, upscaler].into_iter().flatten() {
                self.push_leftover(name, &value, "Hires. fix is ignored without `Hires upscale`");
            }
            if self.info.leftovers.iter().any(|leftover| leftover.name.starts_with("Hires "))
                && let Some(share) = self.info.denoise.take()
            {
                self.push_leftover("Denoising strength", &share.to_string(), "belongs to Hires. fix, which is ignored");
            }
        }
        self.info.origin = self.origin();
        if matches!(self.info.origin, Some(Origin::Forge | Origin::ReForge)) && self.info.steps.is_some() {
            // They take the nearest timestep of a σ.
            self.info.web_ui.get_or_insert_default().quantize = true;
        }
        if self.info.rng.is_none() && self.info.steps.is_some() {
            let draws_on_device = self.info.sampler.is_some_and(SamplerKind::draws_on_device_in_comfyui);
            self.info.rng = self.info.origin.and_then(|origin| default_rng(origin, draws_on_device));
        }
        let mut places: HashMap<String, Vec<usize>> = HashMap::new();
        for (place, adapter) in self.info.adapters.iter().enumerate() {
            places.entry(hash_name(&adapter.name)).or_default().push(place);
        }
        for (name, hash) in std::mem::take(&mut self.hashes) {
            match places.get_mut(&hash_name(&name)) {
                // The first hash of a name is used.
                Some(places) => places.drain(..).for_each(|at| self.info.adapters[at].hash = Some(hash.to_lowercase())),
                None => {
                    let reason = "the prompt does not mention this LoRA, so its strength is unknown";
                    self.push_leftover("Lora hashes", &format!("{name}: {hash}"), reason);
                }
            }
        }
        self.info
    }
}

/// Returns the noise generator of a program that does not name it. The web UI leaves it out at its default, the
/// graphics card; Civitai and ComfyUI draw the initial noise on the processor, and some samplers' on the graphics card.
fn default_rng(origin: Origin, draws_on_device: bool) -> Option<Rng> {
    match origin {
        Origin::Comfyui | Origin::Civitai if draws_on_device => Some(Rng::TorchPhilox),
        Origin::A1111 | Origin::Forge | Origin::ReForge | Origin::SdNext | Origin::SdCpp => Some(Rng::Philox),
        Origin::Comfyui | Origin::Fooocus | Origin::Civitai => Some(Rng::Torch),
        _ => None,
    }
}

/// Parses `512x768` into a field and returns whether it is valid; otherwise the field stays unchanged.
fn parse_size(field: &mut Option<(usize, usize)>, value: &str) -> bool {
    let size = value.split_once('x').and_then(|(w, h)| Some((w.trim().parse().ok()?, h.trim().parse().ok()?)));
    *field = size.or(*field);
    size.is_some()
}

/// Parses a number into a field and returns whether it is valid; otherwise the field stays unchanged.
fn parse_field<T: FromStr>(field: &mut Option<T>, value: &str, is_allowed: impl Fn(&T) -> bool) -> bool {
    let parsed = value.parse().ok().filter(|number| is_allowed(number));
    let is_valid = parsed.is_some();
    if is_valid {
        *field = parsed;
    }
    is_valid
}
