//! Draw Things: an object in the XMP document's `exif:UserComment`: `c` is the prompt, `uc` the negative one.

use serde_json::Value;

use super::fields::{Fields, parse_number, text_of};
use super::objects::Objects;
use crate::pipeline::infotext::sampler_named;
use crate::pipeline::recipe::Rng;
use crate::pipeline::recipe_draft::{Mention, Origin, RecipeDraft, file_stem};
use crate::program::Program;
use crate::samplers::SigmaSpacing;

pub(super) fn read(objects: &Objects) -> Option<RecipeDraft> {
    let map = objects.with_keys(&["c", "seed", "steps", "scale", "sampler"])?;
    let mut fields = Fields::new(map, Origin::DrawThings, Program::A1111);
    fields.draft.prompt = fields.text("c");
    fields.draft.negative = fields.text("uc");
    fields.draft.seed = fields.number("seed");
    fields.draft.steps = fields.number("steps");
    fields.draft.guidance = fields.number("scale");
    let size = fields.text("size");
    fields.draft.size =
        size.split_once('x').and_then(|(width, height)| Some((width.parse().ok()?, height.parse().ok()?)));
    fields.draft.model = fields.some_text("model").map(|file| model_name(&file));
    let strength: Option<f64> = fields.number("strength");
    fields.draft.denoise = strength.filter(|strength| *strength < 1.0);
    if let Some(sampler) = fields.some_text("sampler") {
        set_sampler(&mut fields.draft, &sampler);
    }
    let seed_mode = fields.text("seed_mode");
    match seed_mode.as_str() {
        "Torch CPU Compatible" => fields.draft.rng = Some(Rng::Torch),
        "NVIDIA GPU Compatible" => fields.draft.rng = Some(Rng::Philox),
        _ => fields.draft.push_leftover("seed_mode", seed_mode, "this kind of noise cannot be drawn here"),
    }
    for lora in fields.take("lora").as_ref().and_then(Value::as_array).into_iter().flatten() {
        let name = lora.get("model").map(text_of).unwrap_or_default();
        let name = model_name(&name);
        match lora.get("weight").and_then(parse_number) {
            Some(unet) => fields.draft.adapters.push(Mention { name, text_encoder: unet, unet, ..Mention::default() }),
            None => fields.draft.push_leftover("lora", name, "not a strength"),
        }
    }
    fields.draft.version = Some("Draw Things".into());
    fields.ignore(&["v2", "profile", "sharpness"]);
    fields.usual(&[("mask_blur", &["0", "0.0", "1.5", "2.5"]), ("hires_fix", &["false"]), ("shift", &["1", "1.0"])]);
    Some(fields.finish())
}

/// The name of a model before Draw Things converted its file: without the suffixes that it adds.
fn model_name(file: &str) -> String {
    let name = file_stem(file);
    let name = ["_f16", "_f32", "_q8p", "_q6p_q8p"].iter().find_map(|suffix| name.strip_suffix(suffix)).unwrap_or(name);
    name.strip_suffix("_lora").unwrap_or(name).to_owned()
}

/// A label like those of web UIs, with `Trailing` or `AYS` for the schedule.
fn set_sampler(draft: &mut RecipeDraft, label: &str) {
    let (name, schedule) = match label.strip_suffix(" AYS") {
        Some(name) => (name, Some(SigmaSpacing::Ays)),
        None => (label, None),
    };
    match sampler_named(name) {
        Some((kind, spacing)) => {
            draft.sampler = Some(kind);
            draft.schedule = schedule.or(spacing);
        }
        None => draft.push_leftover("sampler", label, "unsupported sampler"),
    }
}
