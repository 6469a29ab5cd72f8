//! InvokeAI: an object under `invokeai_metadata`, or under `sd-metadata` before version 3.

use serde_json::{Map, Value};

use super::fields::{Fields, parse_number, text_of};
use super::objects::Objects;
use crate::pipeline::recipe::Rng;
use crate::pipeline::recipe_draft::{Mention, Origin, RecipeDraft, file_stem};
use crate::program::Program;
use crate::samplers::{SamplerKind, SigmaSpacing};

pub(super) fn read(objects: &Objects) -> Option<RecipeDraft> {
    let current = |keyword: &str| matches!(keyword, "invokeai_metadata" | "invokeai");
    if let Some(object) = objects.find(|object| current(&object.keyword) || is_current(&object.map)) {
        return Some(version_3(&object.map));
    }
    objects.find(|object| object.keyword == "sd-metadata").and_then(|object| version_2(&object.map))
}

fn is_current(map: &Map<String, Value>) -> bool {
    ["positive_prompt", "generation_mode", "cfg_scale", "scheduler"].iter().all(|key| map.contains_key(*key))
}

fn version_3(map: &Map<String, Value>) -> RecipeDraft {
    let mut fields = Fields::new(map, Origin::InvokeAi, Program::Diffusers);
    fields.draft.prompt = fields.text("positive_prompt");
    fields.draft.negative = fields.text("negative_prompt");
    fields.draft.seed = fields.number("seed");
    fields.draft.steps = fields.number("steps");
    fields.draft.guidance = fields.number("cfg_scale");
    fields.draft.size = fields.number("width").zip(fields.number("height"));
    fields.draft.version = fields.some_text("app_version").map(|version| format!("InvokeAI {version}"));
    // InvokeAI counts the layers that are skipped, web UIs the layer that is used.
    fields.draft.clip_skip = fields.number::<usize>("clip_skip").map(|skipped| skipped.saturating_add(1));
    fields.draft.rng = Some(Rng::Torch);
    let device = fields.text("rand_device");
    if !matches!(device.as_str(), "" | "cpu") {
        fields.draft.push_leftover("rand_device", device, "noise of this device cannot be drawn here");
    }
    let mode = fields.text("generation_mode");
    let strength = fields.number("strength");
    fields.draft.denoise = strength.filter(|_| mode.contains("img2img") || mode.contains("inpaint"));
    if let Some(scheduler) = fields.some_text("scheduler") {
        set_scheduler(&mut fields.draft, &scheduler);
    }
    let model = fields.take("model");
    fields.draft.model = model.as_ref().and_then(name_of);
    for lora in fields.take("loras").as_ref().and_then(Value::as_array).into_iter().flatten() {
        let model = lora.get("model").or_else(|| lora.get("lora"));
        let name = model.and_then(name_of).unwrap_or_default();
        match lora.get("weight").and_then(parse_number) {
            Some(unet) => fields.draft.adapters.push(Mention { name, text_encoder: unet, unet, ..Mention::default() }),
            None => fields.draft.push_leftover("loras", name, "not a strength"),
        }
    }
    fields.ignore(&["canvas_v2_metadata", "ref_images", "init_image", "_canvas_objects"]);
    let same_style = |key: &str, prompt: &str| map.get(key).map(text_of).is_some_and(|text| text == prompt);
    for (key, prompt) in [("positive_style_prompt", "positive_prompt"), ("negative_style_prompt", "negative_prompt")] {
        if map.get(prompt).map(text_of).is_some_and(|prompt| same_style(key, &prompt)) {
            fields.ignore(&[key]);
        }
    }
    fields.usual(&[("cfg_rescale_multiplier", &["0", "0.0"]), ("hrf_enabled", &["false"])]);
    let mut draft = fields.finish();
    check_weights(&mut draft);
    draft
}

/// A model's name: that of an object, or the value itself.
fn name_of(model: &Value) -> Option<String> {
    let name = ["name", "model_name"].into_iter().find_map(|key| model.get(key)).unwrap_or(model);
    name.as_str().map(|name| file_stem(name).to_owned())
}

/// `{"model_weights": …, "image": {"prompt": [{"prompt", "weight"}], "sampler": "k_euler_a", …}}`; the negative prompt
/// stands in square brackets within the prompt.
fn version_2(map: &Map<String, Value>) -> Option<RecipeDraft> {
    let Some(Value::Object(image)) = map.get("image") else { return None };
    let mut fields = Fields::new(image, Origin::InvokeAi, Program::Diffusers);
    let prompt = match fields.take("prompt")? {
        Value::Array(parts) => {
            if parts.len() > 1 {
                fields.draft.push_leftover("prompt", parts.len().to_string(), "blended prompts are not supported");
            }
            parts.first().and_then(|part| part.get("prompt")).map(text_of).unwrap_or_default()
        }
        other => text_of(&other),
    };
    let (prompt, negative) = split_negative(&prompt);
    (fields.draft.prompt, fields.draft.negative) = (prompt, negative);
    fields.draft.seed = fields.number("seed");
    fields.draft.steps = fields.number("steps");
    fields.draft.guidance = fields.number("cfg_scale");
    fields.draft.size = fields.number("width").zip(fields.number("height"));
    fields.draft.rng = Some(Rng::Torch);
    if let Some(sampler) = fields.some_text("sampler") {
        set_scheduler(&mut fields.draft, sampler.strip_prefix("k_").unwrap_or(&sampler));
    }
    fields.draft.model = map.get("model_weights").map(text_of);
    fields.draft.version = map.get("app_version").map(|version| format!("InvokeAI {}", text_of(version)));
    fields.ignore(&["type", "orig_hash", "rand_device"]);
    fields.usual(&[("threshold", &["0"]), ("perlin", &["0"])]);
    let mut draft = fields.finish();
    check_weights(&mut draft);
    Some(draft)
}

fn split_negative(prompt: &str) -> (String, String) {
    let (mut positive, mut negative, mut rest) = (String::new(), Vec::new(), prompt);
    while let Some((before, (inside, after))) = rest.split_once('[').and_then(|(a, b)| Some((a, b.split_once(']')?))) {
        positive += before;
        negative.push(inside.trim());
        rest = after;
    }
    ((positive + rest).trim().into(), negative.join(", "))
}

/// Sets the sampler from diffusers' schedulers in InvokeAI's names, in which `_k` stands for Karras.
fn set_scheduler(draft: &mut RecipeDraft, scheduler: &str) {
    let (name, is_karras) = match scheduler.strip_suffix("_k") {
        Some(name) => (name, true),
        None => (scheduler, false),
    };
    let own = match name {
        "kdpm_2" | "dpm_2" => "dpm2",
        "kdpm_2_a" | "dpm_2_a" => "dpm2_a",
        other => other,
    };
    match own.parse::<SamplerKind>() {
        Ok(sampler) => {
            draft.sampler = Some(sampler);
            draft.schedule = is_karras.then_some(SigmaSpacing::Karras);
        }
        Err(_) => draft.push_leftover("scheduler", scheduler, "unsupported sampler"),
    }
}

/// InvokeAI's weights, `(red)1.3` and `red++`, differ from those of all programs here.
fn check_weights(draft: &mut RecipeDraft) {
    let is_weight = |pair: &[char]| matches!(pair, [')', '0'..='9' | '+' | '-'] | ['+', '+'] | ['-', '-']);
    for (name, text) in [("positive_prompt", draft.prompt.clone()), ("negative_prompt", draft.negative.clone())] {
        let characters: Vec<char> = text.chars().collect();
        if characters.windows(2).any(is_weight) {
            draft.push_leftover(
                name,
                "",
                "InvokeAI's weights (`word++`, `(word)1.2`) are not supported and read as text",
            );
        }
    }
}
