//! Infotext parser.

use std::collections::HashMap;
use std::str::FromStr;

use serde_json::{Map, Value};

use super::{Infotext, Leftover, Mention, hash_name, names};
use crate::pipeline::recipe::{Hires, Rng, Upscaler};
use crate::text::{ExtraNetwork, NetworkKind, extra_networks};

/// Minimum number of parameters in a last line that does not begin with `Steps: 20` to count as parameters.
const MIN_PARAMETERS: usize = 3;
const DIGITS: [char; 10] = ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9'];
const NEGATIVE: &str = "Negative prompt:";

impl Infotext {
    /// Parses any text. A text without parameters is a prompt.
    pub fn read(text: &str) -> Infotext {
        let lines: Vec<&str> = text.lines().map(str::trim).collect();
        let has_steps = |line: &str| line.strip_prefix("Steps:").is_some_and(|after| after.trim().starts_with(DIGITS));
        let steps_line = lines.iter().rposition(|line| has_steps(line));
        let count = |line: &str| parameters(line).iter().filter(|(name, _)| !name.is_empty()).count();
        let last_line = || lines.len().checked_sub(1).filter(|last| count(lines[*last]) >= MIN_PARAMETERS);
        let text_end = steps_line.or_else(last_line).unwrap_or(lines.len());
        let prompt_end = lines[..text_end].iter().position(|line| line.starts_with(NEGATIVE)).unwrap_or(text_end);
        let (prompt, networks) = extra_networks(&lines[..prompt_end].join("\n"));
        let negative = lines[prompt_end..text_end].join("\n");
        let mut reader = Reader::default();
        reader.info.prompt = prompt.trim().into();
        reader.info.negative = negative.strip_prefix(NEGATIVE).unwrap_or_default().trim().into();
        networks.into_iter().for_each(|network| reader.mention(network));
        for (name, value) in lines[text_end..].iter().flat_map(|line| parameters(line)) {
            reader.field(&name, &value);
        }
        reader.finish()
    }
}

#[derive(Default)]
struct Reader {
    info: Infotext,
    /// "Schedule type", resolved at the end: "Automatic" depends on the sampler, which may follow it.
    schedule: Option<String>,
    /// LoRA names with their hashes.
    hashes: Vec<(String, String)>,
    hires_scale: Option<f64>,
    hires_steps: Option<usize>,
    hires_upscaler: Option<Upscaler>,
}

impl Reader {
    fn push_leftover(&mut self, name: &str, value: &str, reason: &str) {
        self.info.leftovers.push(Leftover { name: name.into(), value: value.into(), reason: reason.into() });
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
            "Eta" => parse_field(&mut info.eta, value, |share| (0.0..=1.0).contains(share)),
            "Hires upscale" => parse_field(&mut self.hires_scale, value, |scale| *scale > 1.0),
            "Hires steps" => parse_field(&mut self.hires_steps, value, |_| true),
            "Hires upscaler" => {
                self.hires_upscaler = names::upscaler(value);
                self.hires_upscaler.is_some()
            }
            "Size" => {
                let size = value.split_once('x').and_then(|(w, h)| Some((w.parse().ok()?, h.parse().ok()?)));
                info.size = size.or(info.size);
                size.is_some()
            }
            "Model" => return info.model = Some(value.into()),
            "Model hash" => return info.model_hash = Some(value.into()),
            "Version" => return info.version = Some(value.into()),
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
            _ => return self.push_leftover(name, value, "unsupported setting"),
        };
        if !is_valid {
            self.push_leftover(name, value, "invalid value");
        }
    }

    fn sampler(&mut self, label: &str) {
        match names::sampler(label) {
            Some((sampler, schedule)) => {
                self.info.sampler = Some(sampler);
                self.info.schedule = schedule;
            }
            None => self.push_leftover("Sampler", label, "unsupported sampler"),
        }
    }

    fn rng(&mut self, value: &str) {
        match value {
            "CPU" => self.info.rng = Some(Rng::Torch),
            "NV" | "GPU" => self.info.rng = Some(Rng::Philox),
            _ => self.push_leftover("RNG", value, "unsupported random number generator"),
        }
    }

    /// `name: hash, name: hash`
    fn lora_hashes(&mut self, value: &str) {
        for pair in value.split(',').map(str::trim).filter(|pair| !pair.is_empty()) {
            match pair.split_once(':') {
                Some((name, hash)) => self.hashes.push((name.trim().into(), hash.trim().into())),
                None => self.push_leftover("Lora hashes", pair, "not a name with a hash"),
            }
        }
    }

    /// `{"model": hash, "lora:name": hash}`, which Civitai's extension writes.
    fn civitai_hashes(&mut self, value: &str) {
        let Ok(hashes) = serde_json::from_str::<Map<String, Value>>(value) else {
            return self.push_leftover("Hashes", value, "not a JSON object of hashes");
        };
        for (name, hash) in hashes {
            match (name.strip_prefix("lora:"), hash) {
                (Some(lora), Value::String(hash)) => self.hashes.push((lora.into(), hash)),
                (None, Value::String(hash)) if name == "model" => _ = self.info.model_hash.get_or_insert(hash),
                (_, hash) => self.push_leftover("Hashes", &format!("{name}: {hash}"), "unsupported setting"),
            }
        }
    }

    /// Resolves the settings that depend on several fields.
    fn finish(mut self) -> Infotext {
        if let Some(label) = self.schedule.take() {
            match names::schedule(&label, self.info.sampler) {
                Some(schedule) => self.info.schedule = schedule,
                None => self.push_leftover("Schedule type", &label, "unsupported schedule type"),
            }
        }
        if let Some(scale) = self.hires_scale.take() {
            // The web UI has one denoising strength; with Hires. fix it applies to the second pass.
            let denoise = self.info.denoise.take().unwrap_or(0.75);
            let steps = self.hires_steps.unwrap_or(0);
            let upscaler = self.hires_upscaler.unwrap_or_default();
            self.info.hires = Some(Hires { scale, denoise, steps, upscaler });
        } else {
            let steps = self.hires_steps.take().map(|steps| ("Hires steps", steps.to_string()));
            let upscaler = self.hires_upscaler.take();
            let upscaler = upscaler.map(|it| ("Hires upscaler", names::upscaler_label(it).into()));
            for (name, value) in [steps, upscaler].into_iter().flatten() {
                self.push_leftover(name, &value, "Hires. fix is ignored without `Hires upscale`");
            }
            if self.info.leftovers.iter().any(|leftover| leftover.name.starts_with("Hires "))
                && let Some(share) = self.info.denoise.take()
            {
                self.push_leftover("Denoising strength", &share.to_string(), "belongs to Hires. fix, which is ignored");
            }
        }
        // The web UI omits RNG at its default, the GPU.
        let of_web_ui =
            |version: &String| version.strip_prefix(['v', 'f']).is_some_and(|rest| rest.starts_with(DIGITS));
        if self.info.rng.is_none() && self.info.steps.is_some() && self.info.version.as_ref().is_none_or(of_web_ui) {
            self.info.rng = Some(Rng::Philox);
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

/// Parses a number into a field and returns whether it is valid; otherwise the field stays unchanged.
fn parse_field<T: FromStr>(field: &mut Option<T>, value: &str, is_allowed: impl Fn(&T) -> bool) -> bool {
    let parsed = value.parse().ok().filter(|number| is_allowed(number));
    let is_valid = parsed.is_some();
    if is_valid {
        *field = parsed;
    }
    is_valid
}

/// Splits a line into its comma-separated `Name: value` pairs. A value that is a JSON string, list or object
/// may itself contain commas. Text outside such pairs is returned with an empty name.
fn parameters(line: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut rest = line;
    let mut stray = String::new();
    while let Some((before, after)) = rest.split_once(':') {
        let in_name = |c: char| c.is_alphanumeric() || matches!(c, '_' | ' ' | '-' | '/');
        let name = before.trim_end_matches(in_name).len();
        let name = name + before[name..].len() - before[name..].trim_start_matches([' ', '-', '/']).len();
        let (before, name) = before.split_at(name);
        if name.chars().nth(1).is_none() {
            stray += &rest[..rest.len() - after.len()];
            rest = after;
            continue;
        }
        stray += before;
        push_stray(&mut found, &mut stray);
        let after = after.trim_start();
        let length = json_length(after).unwrap_or_else(|| after.find(',').unwrap_or(after.len()));
        let (value, tail) = after.split_at(length);
        let value = value.trim_end();
        let unquoted = if value.starts_with('"') { serde_json::from_str(value).ok() } else { None };
        found.push((name.trim_end().to_owned(), unquoted.unwrap_or_else(|| value.to_owned())));
        rest = tail.strip_prefix(',').unwrap_or(tail);
    }
    stray += rest;
    push_stray(&mut found, &mut stray);
    found
}

fn push_stray(found: &mut Vec<(String, String)>, stray: &mut String) {
    let text = stray.trim_matches([' ', ',']);
    if !text.is_empty() {
        found.push((String::new(), text.to_owned()));
    }
    stray.clear();
}

/// Returns the length of the JSON value at the start of a text, if a comma or the end follows.
fn json_length(text: &str) -> Option<usize> {
    if !text.starts_with(['"', '[', '{']) {
        return None;
    }
    let mut values = serde_json::Deserializer::from_str(text).into_iter::<serde::de::IgnoredAny>();
    values.next()?.ok()?;
    let tail = text[values.byte_offset()..].trim_start();
    (tail.is_empty() || tail.starts_with(',')).then_some(text.len() - tail.len())
}
