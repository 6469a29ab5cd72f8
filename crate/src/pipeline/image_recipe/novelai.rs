//! NovelAI: `Software: NovelAI`, the prompt under `Description`, an object under `Comment`.

use serde_json::Value;

use super::fields::{Fields, text_of};
use super::objects::Objects;
use crate::pipeline::infotext::{sampler_named, schedule_named};
use crate::pipeline::recipe_draft::{Origin, RecipeDraft};
use crate::program::Program;

/// Keys that do not determine the image.
const IGNORED: [&str; 17] = [
    "n_samples",
    "request_type",
    "signed_hash",
    "v4_prompt",
    "v4_negative_prompt",
    "version",
    "params_version",
    "legacy",
    "legacy_v3_extend",
    "legacy_uc",
    "hide_debug_overlay",
    "lora_unet_weights",
    "lora_clip_weights",
    "use_coords",
    "stream",
    "image_format",
    "add_original_image",
];
/// Settings that have no effect at these values.
const USUAL: [(&str, &[&str]); 11] = [
    ("uncond_scale", &["1.0", "1", "0.0", "0"]),
    ("cfg_rescale", &["0.0", "0"]),
    ("noise", &["0.0", "0"]),
    ("controlnet_strength", &["1.0", "1"]),
    ("dynamic_thresholding_percentile", &["0.999"]),
    ("dynamic_thresholding_mimic_scale", &["10.0", "10"]),
    ("skip_cfg_below_sigma", &["0.0", "0"]),
    ("deliberate_euler_ancestral_bug", &["false"]),
    ("prefer_brownian", &["true"]),
    ("cfg_sched_eligibility", &["enable_for_post_summer_samplers"]),
    ("explike_fine_detail", &["false"]),
];

pub(super) fn read(objects: &Objects) -> Option<RecipeDraft> {
    let is_named = objects.software.iter().any(|software| software.starts_with("NovelAI"));
    let keys: &[&str] = if is_named { &["sampler", "seed"] } else { &["uc", "sampler", "seed", "scale", "steps"] };
    let object =
        objects.find(|object| object.keyword == "Comment" && keys.iter().all(|key| object.map.contains_key(*key)))?;
    let mut fields = Fields::new(&object.map, Origin::NovelAi, Program::A1111);
    let prompt = fields.text("prompt");
    let negative = fields.text("uc");
    fields.draft.prompt = weights(&prompt);
    fields.draft.negative = weights(&negative);
    if [&prompt, &negative].iter().any(|text| has_number_weights(text)) {
        fields.draft.push_leftover("prompt", "", "weights like `1.2::word::` are not supported and read as text");
    }
    fields.draft.seed = fields.number("seed");
    fields.draft.steps = fields.number("steps");
    fields.draft.guidance = fields.number("scale");
    fields.draft.size = fields.number("width").zip(fields.number("height"));
    fields.draft.denoise = fields.number("strength");
    if let Some(sampler) = fields.some_text("sampler") {
        let name = sampler.strip_prefix("k_").unwrap_or(&sampler).replace("_ancestral", "_a").replace("dpm_2", "dpm2");
        match sampler_named(&name) {
            Some((kind, _)) => fields.draft.sampler = Some(kind),
            None => fields.draft.push_leftover("sampler", sampler, "unsupported sampler"),
        }
    }
    if let Some(schedule) = fields.some_text("noise_schedule") {
        match (schedule.as_str(), schedule_named(&schedule, None).flatten()) {
            ("native", _) => {}
            (_, Some(spacing)) => fields.draft.schedule = Some(spacing),
            _ => fields.draft.push_leftover("noise_schedule", schedule, "unsupported schedule type"),
        }
    }
    let characters = object.map.get("v4_prompt").and_then(|prompt| prompt.pointer("/caption/char_captions"));
    if characters.and_then(Value::as_array).is_some_and(|list| !list.is_empty()) {
        fields.draft.push_leftover("v4_prompt", "", "prompts of single characters are not supported");
    }
    let is_several = object.map.get("n_samples").and_then(Value::as_u64).is_some_and(|n| n > 1);
    if is_several {
        let samples = object.map.get("n_samples").map(text_of).unwrap_or_default();
        fields.draft.push_leftover("n_samples", samples, "the image is one of several that were drawn at once");
    }
    fields.draft.push_leftover(
        "model",
        "NovelAI",
        "NovelAI's models and noise are its own: the image cannot be drawn again, only one like it",
    );
    fields.ignore(&IGNORED);
    fields.usual(&USUAL);
    Some(fields.finish())
}

/// Writes `{x}` as `(x:1.05)` and `[x]` as `(x:0.952)`; round brackets, which have no meaning in NovelAI, are escaped.
fn weights(text: &str) -> String {
    let mut result = String::with_capacity(text.len());
    let mut open = Vec::new();
    let last = [text.rfind('}'), text.rfind(']')];
    for (at, character) in text.char_indices() {
        match character {
            '{' if last[0] > Some(at) => {
                open.push('}');
                result.push('(');
            }
            '[' if last[1] > Some(at) => {
                open.push(']');
                result.push('(');
            }
            '}' | ']' if open.last() == Some(&character) => {
                open.pop();
                result += if character == '}' { ":1.05)" } else { ":0.952)" };
            }
            '(' | ')' | '[' | ']' => {
                result.push('\\');
                result.push(character);
            }
            other => result.push(other),
        }
    }
    // Brackets that stay open weigh the rest of the text.
    for bracket in open.into_iter().rev() {
        result += if bracket == '}' { ":1.05)" } else { ":0.952)" };
    }
    result
}

/// Returns whether a text has weights of NovelAI's fourth model: `1.2::word::`.
fn has_number_weights(text: &str) -> bool {
    text.split("::").next().is_some_and(|before| before.len() < text.len())
        && text.contains(|c: char| c.is_ascii_digit())
}
