//! Fooocus: one object under `parameters` in PNG files, under `UserComment` in others.

use serde_json::Value;

use super::fields::{Fields, parse_number, text_of};
use super::names::set_sampler;
use super::objects::Objects;
use crate::pipeline::recipe::Rng;
use crate::pipeline::recipe_draft::{Mention, Origin, RecipeDraft, file_stem};
use crate::program::Program;

pub(super) fn read(objects: &Objects) -> Option<RecipeDraft> {
    let map = objects.with_keys(&["base_model", "guidance_scale", "prompt"])?;
    let mut fields = Fields::new(map, Origin::Fooocus, Program::Comfyui);
    fields.draft.rng = Some(Rng::Torch);
    fields.draft.prompt = prompt(&mut fields, "prompt", "full_prompt");
    fields.draft.negative = prompt(&mut fields, "negative_prompt", "full_negative_prompt");
    fields.draft.seed = fields.number("seed");
    fields.draft.steps = fields.number("steps");
    fields.draft.guidance = fields.number("guidance_scale");
    fields.draft.clip_skip = fields.number("clip_skip");
    fields.draft.model = fields.some_text("base_model").map(|path| file_stem(&path).to_owned());
    fields.draft.model_hash = fields.some_text("base_model_hash");
    fields.draft.version = fields.some_text("version");
    let size = fields.text("resolution");
    fields.draft.size = pair(&size);
    if fields.draft.size.is_none() && !size.is_empty() {
        fields.draft.push_leftover("resolution", size, "invalid value");
    }
    let (sampler, scheduler) = (fields.some_text("sampler"), fields.some_text("scheduler"));
    set_sampler(&mut fields.draft, sampler.as_deref(), scheduler.as_deref());
    loras(&mut fields);
    // The styles and the expansion are part of the full prompts.
    fields.ignore(&["styles", "prompt_expansion", "metadata_scheme", "created_by", "performance"]);
    fields.usual(&[
        ("refiner_model", &["None"]),
        ("vae", &["Default (model)"]),
        ("inpaint_method", &["None"]),
        ("adaptive_cfg", &["7.0", "7"]),
    ]);
    if fields.draft.leftovers.is_empty() || map.get("refiner_model").is_none_or(|model| model == "None") {
        fields.ignore(&["refiner_switch"]);
    }
    Some(fields.finish())
}

/// The full prompt if there is one: the texts of the styles, one per line.
fn prompt(fields: &mut Fields, key: &str, full_key: &str) -> String {
    let raw = fields.text(key);
    let full = fields.take(full_key);
    let texts: Vec<String> = full.as_ref().and_then(Value::as_array).into_iter().flatten().map(text_of).collect();
    let texts: Vec<&str> = texts.iter().map(|text| text.trim()).filter(|text| !text.is_empty()).collect();
    if texts.len() > 1 {
        let reason = "these texts are encoded each by itself there and as one here, so the image differs";
        fields.draft.push_leftover(full_key, format!("{} texts", texts.len()), reason);
    }
    if texts.is_empty() { raw } else { texts.join("\n") }
}

/// `(1152, 896)`
fn pair(text: &str) -> Option<(usize, usize)> {
    let (width, height) = text.trim_matches(['(', ')']).split_once(',')?;
    Some((width.trim().parse().ok()?, height.trim().parse().ok()?))
}

/// `"loras": [[name, strength, hash], …]` or `"lora_combined_1": "name : strength"`.
fn loras(fields: &mut Fields) {
    let list = fields.take("loras");
    let list = list.as_ref().and_then(Value::as_array).cloned().unwrap_or_default();
    for at in 1..=20 {
        let text = fields.text(&format!("lora_combined_{at}"));
        let Some((name, strength)) = text.rsplit_once(" : ").filter(|_| list.is_empty()) else { continue };
        push(fields, name, parse_number(&Value::from(strength)), None);
    }
    for lora in &list {
        let part = |at: usize| lora.get(at).map(text_of);
        let (name, hash) = (part(0).unwrap_or_default(), part(2));
        push(fields, &name, lora.get(1).and_then(parse_number), hash);
    }
}

fn push(fields: &mut Fields, name: &str, strength: Option<f32>, hash: Option<String>) {
    let Some(strength) = strength else {
        return fields.draft.push_leftover("loras", name, "not a strength");
    };
    let hash = hash.filter(|hash| !hash.is_empty()).map(|hash| hash.to_lowercase());
    let name = file_stem(name).to_owned();
    fields.draft.adapters.push(Mention { name, text_encoder: strength, unet: strength, hash, ..Mention::default() });
}
