//! Turns an infotext into what it says.

use std::collections::HashMap;
use std::str::FromStr;

use serde_json::{Map, Value};

use super::{Infotext, Leftover, Mention, hash_name, names};
use crate::pipeline::recipe::{Hires, Rng, Upscaler};
use crate::text::{ExtraNetwork, NetworkKind, extra_networks};

/// Parameters that a line must hold to be one of parameters, if it does not begin with `Steps: 20`.
const ENOUGH: usize = 3;
const DIGITS: [char; 10] = ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9'];
const NEGATIVE: &str = "Negative prompt:";

impl From<ExtraNetwork> for Mention {
    fn from(network: ExtraNetwork) -> Mention {
        let ExtraNetwork { name, text_encoder, unet, blocks, .. } = network;
        Mention { name, text_encoder, unet, blocks, hash: None }
    }
}

impl Infotext {
    /// Reads any text. One without parameters is a prompt.
    pub fn read(text: &str) -> Infotext {
        let lines: Vec<&str> = text.lines().map(str::trim).collect();
        let steps = |line: &str| line.strip_prefix("Steps:").is_some_and(|after| after.trim().starts_with(DIGITS));
        let begins = lines.iter().rposition(|line| steps(line));
        let enough = |line: &str| parameters(line).iter().filter(|(name, _)| !name.is_empty()).count() >= ENOUGH;
        let last = || lines.len().checked_sub(1).filter(|last| enough(lines[*last]));
        let line = begins.or_else(last).unwrap_or(lines.len());
        let prompt_end = lines[..line].iter().position(|line| line.starts_with(NEGATIVE)).unwrap_or(line);
        let (prompt, networks) = extra_networks(&lines[..prompt_end].join("\n"));
        let negative = lines[prompt_end..line].join("\n");
        let mut reader = Reader::default();
        reader.info.prompt = prompt.trim().into();
        reader.info.negative = negative.strip_prefix(NEGATIVE).unwrap_or_default().trim().into();
        networks.into_iter().for_each(|network| reader.mention(network));
        for (name, value) in lines[line..].iter().flat_map(|line| parameters(line)) {
            reader.field(&name, &value);
        }
        reader.finish()
    }
}

#[derive(Default)]
struct Reader {
    info: Infotext,
    /// "Automatic" depends on the sampler, which may stand behind it.
    schedule: Option<String>,
    /// Names of LoRAs and their hashes.
    hashes: Vec<(String, String)>,
    hires_scale: Option<f64>,
    hires_steps: Option<usize>,
    hires_upscaler: Option<Upscaler>,
}

impl Reader {
    fn leave(&mut self, name: &str, value: &str, reason: &str) {
        self.info.leftovers.push(Leftover { name: name.into(), value: value.into(), reason: reason.into() });
    }

    fn mention(&mut self, network: ExtraNetwork) {
        match &network.kind {
            NetworkKind::Unsupported(kind) => {
                self.leave(kind, &network.name, "this program cannot apply networks of this kind");
            }
            NetworkKind::Lora => {
                for argument in &network.unread {
                    self.leave(&format!("lora {}", network.name), argument, "is not a strength");
                }
                self.info.adapters.push(network.into());
            }
        }
    }

    fn field(&mut self, name: &str, value: &str) {
        let info = &mut self.info;
        let understood = match name {
            "Steps" => number(&mut info.steps, value, |_| true),
            "CFG scale" => number(&mut info.guidance, value, |scale| scale.is_finite()),
            "Seed" => number(&mut info.seed, value, |_| true),
            "Clip skip" => number(&mut info.clip_skip, value, |skip| *skip > 0),
            "Denoising strength" => number(&mut info.denoise, value, |share| (0.0..=1.0).contains(share)),
            "Eta" => number(&mut info.eta, value, |share| (0.0..=1.0).contains(share)),
            "Hires upscale" => number(&mut self.hires_scale, value, |scale| *scale > 1.0),
            "Hires steps" => number(&mut self.hires_steps, value, |_| true),
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
            "Sampler" => return self.sampler(value),
            "RNG" => return self.rng(value),
            "Lora hashes" => return self.lora_hashes(value),
            "Hashes" => return self.civitai_hashes(value),
            "" => return self.leave(name, value, "is not a setting with a value"),
            _ => return self.leave(name, value, "this program has no such setting"),
        };
        if !understood {
            self.leave(name, value, "is not a value that this setting can have");
        }
    }

    fn sampler(&mut self, label: &str) {
        match names::sampler(label) {
            Some((sampler, schedule)) => {
                self.info.sampler = Some(sampler.name().into());
                self.info.schedule = schedule;
            }
            None => self.leave("Sampler", label, "this program has no such sampler"),
        }
    }

    fn rng(&mut self, value: &str) {
        match value {
            "CPU" => self.info.rng = Some(Rng::Torch),
            "NV" | "GPU" => self.info.rng = Some(Rng::Philox),
            _ => self.leave("RNG", value, "this program has no such generator"),
        }
    }

    /// `name: hash, name: hash`
    fn lora_hashes(&mut self, value: &str) {
        for pair in value.split(',').map(str::trim).filter(|pair| !pair.is_empty()) {
            match pair.split_once(':') {
                Some((name, hash)) => self.hashes.push((name.trim().into(), hash.trim().into())),
                None => self.leave("Lora hashes", pair, "is not a name and a hash"),
            }
        }
    }

    /// `{"model": hash, "lora:name": hash}`, which Civitai's extension writes.
    fn civitai_hashes(&mut self, value: &str) {
        let Ok(hashes) = serde_json::from_str::<Map<String, Value>>(value) else {
            return self.leave("Hashes", value, "is not a list of hashes");
        };
        for (name, hash) in hashes {
            match (name.strip_prefix("lora:"), hash) {
                (Some(lora), Value::String(hash)) => self.hashes.push((lora.into(), hash)),
                (None, Value::String(hash)) if name == "model" => _ = self.info.model_hash.get_or_insert(hash),
                (_, hash) => self.leave("Hashes", &format!("{name}: {hash}"), "this program has no such setting"),
            }
        }
    }

    /// What depends on several fields.
    fn finish(mut self) -> Infotext {
        if let Some(label) = self.schedule.take() {
            match names::schedule(&label, self.info.sampler.as_deref()) {
                Some(schedule) => self.info.schedule = schedule,
                None => self.leave("Schedule type", &label, "this program cannot space noise levels so"),
            }
        }
        if let Some(scale) = self.hires_scale.take() {
            // The web UI has one strength for both, and a second pass takes it.
            let denoise = self.info.denoise.take().unwrap_or(0.75);
            let steps = self.hires_steps.unwrap_or(0);
            let upscaler = self.hires_upscaler.unwrap_or_default();
            self.info.hires = Some(Hires { scale, denoise, steps, upscaler });
        } else {
            let steps = self.hires_steps.take().map(|steps| ("Hires steps", steps.to_string()));
            let upscaler = self.hires_upscaler.take();
            let upscaler = upscaler.map(|it| ("Hires upscaler", names::upscaler_label(it).into()));
            for (name, value) in [steps, upscaler].into_iter().flatten() {
                self.leave(name, &value, "belongs to a second pass that does not say how much larger it is: left out");
            }
            if self.info.leftovers.iter().any(|leftover| leftover.name.starts_with("Hires "))
                && let Some(share) = self.info.denoise.take()
            {
                self.leave("Denoising strength", &share.to_string(), "is that of the second pass, which is left out");
            }
        }
        // The web UI leaves its default out: noise of the graphics card.
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
                // The first hash of a name counts.
                Some(places) => places.drain(..).for_each(|at| self.info.adapters[at].hash = Some(hash.to_lowercase())),
                None => {
                    let reason = "the prompt does not say how strong this LoRA was";
                    self.leave("Lora hashes", &format!("{name}: {hash}"), reason);
                }
            }
        }
        self.info
    }
}

/// Reads a number that may be; the field stays where there is none.
fn number<T: FromStr>(field: &mut Option<T>, value: &str, may_be: impl Fn(&T) -> bool) -> bool {
    let read = value.parse().ok().filter(|number| may_be(number));
    let understood = read.is_some();
    if understood {
        *field = read;
    }
    understood
}

/// The `Name: value` of a line, between commas; a value that is a quoted JSON string, list or object
/// may hold commas itself. What is no such pair has an empty name.
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
        keep_stray(&mut found, &mut stray);
        let after = after.trim_start();
        let length = json_length(after).unwrap_or_else(|| after.find(',').unwrap_or(after.len()));
        let (value, tail) = after.split_at(length);
        let value = value.trim_end();
        let unquoted = if value.starts_with('"') { serde_json::from_str(value).ok() } else { None };
        found.push((name.trim_end().to_owned(), unquoted.unwrap_or_else(|| value.to_owned())));
        rest = tail.strip_prefix(',').unwrap_or(tail);
    }
    stray += rest;
    keep_stray(&mut found, &mut stray);
    found
}

fn keep_stray(found: &mut Vec<(String, String)>, stray: &mut String) {
    let text = stray.trim_matches([' ', ',']);
    if !text.is_empty() {
        found.push((String::new(), text.to_owned()));
    }
    stray.clear();
}

/// Length of the JSON value at the start of a text, if a comma or the end follows.
fn json_length(text: &str) -> Option<usize> {
    if !text.starts_with(['"', '[', '{']) {
        return None;
    }
    let mut values = serde_json::Deserializer::from_str(text).into_iter::<serde::de::IgnoredAny>();
    values.next()?.ok()?;
    let tail = text[values.byte_offset()..].trim_start();
    (tail.is_empty() || tail.starts_with(',')).then_some(text.len() - tail.len())
}
