//! SwarmUI: `{"sui_image_params": {…}, "sui_models": [{"name", "param", "hash"}], …}` under `parameters` in PNG
//! files, under `UserComment` in others.

use serde_json::{Map, Value};

use super::fields::{Fields, parse_number, text_of};
use super::names::{find_embeddings, set_sampler};
use super::objects::Objects;
use crate::pipeline::recipe::Rng;
use crate::pipeline::recipe_draft::{Mention, Origin, RecipeDraft, file_stem};
use crate::program::Program;
use crate::text::{NetworkKind, extra_networks};

/// Number of hex digits of a model's hash that drafts have.
const HASH_LEN: usize = 10;

pub(super) fn read(objects: &Objects) -> Option<RecipeDraft> {
    let whole = objects.with_keys(&["sui_image_params"])?;
    let Some(Value::Object(parameters)) = whole.get("sui_image_params") else { return None };
    let mut fields = Fields::new(parameters, Origin::SwarmUi, Program::Comfyui);
    let prompt = fields.text("prompt");
    let (prompt, networks) = extra_networks(&prompt);
    let draft = &mut fields.draft;
    draft.prompt = prompt.trim().into();
    draft.rng = Some(Rng::Torch);
    for network in networks {
        match &network.kind {
            NetworkKind::Lora => match Mention::of(&network) {
                Some(mention) => draft.adapters.push(mention),
                None => draft.push_leftover("lora", network.tag, "its strength is not a number"),
            },
            NetworkKind::Unsupported(kind) => {
                draft.push_leftover(kind.clone(), &network.name, "this tag of SwarmUI's prompts is not supported");
            }
        }
    }
    fields.draft.negative = fields.text("negativeprompt").trim().into();
    fields.draft.seed = fields.number("seed");
    fields.draft.steps = fields.number("steps");
    fields.draft.guidance = fields.number("cfgscale");
    fields.draft.size = fields.number("width").zip(fields.number("height"));
    fields.draft.version = fields.some_text("swarm_version").map(|version| format!("SwarmUI {version}"));
    fields.draft.model = fields.some_text("model").map(|path| file_stem(&path).to_owned());
    fields.draft.denoise = fields.number("initimagecreativity");
    let layer: Option<i64> = fields.number("clipstopatlayer");
    fields.draft.clip_skip = layer.and_then(|layer| usize::try_from(layer.unsigned_abs()).ok());
    let sampler = fields.some_text("sampler").or_else(|| fields.some_text("comfyuisampler"));
    let scheduler = fields.some_text("scheduler").or_else(|| fields.some_text("comfyuischeduler"));
    // SwarmUI writes neither if they are its defaults.
    let defaults = (sampler.as_deref().unwrap_or("euler"), scheduler.as_deref().unwrap_or("normal"));
    set_sampler(&mut fields.draft, Some(defaults.0), Some(defaults.1));
    loras(&mut fields);
    fields.ignore(&[
        "aspectratio",
        "images",
        "nopreviews",
        "imageformat",
        "date",
        "generation_time",
        "prep_time",
        "used_wildcards",
        "original_prompt",
        "original_negativeprompt",
        "wildcardseed",
        "automaticvae",
        "personalnote",
        "donotsave",
        "colordepth",
        "sidelength",
        "used_embeddings",
    ]);
    fields.usual(&[("variationseedstrength", &["0", "0.0"]), ("batchsize", &["1"]), ("vae", &["Automatic", "None"])]);
    let mut draft = fields.finish();
    hashes(whole, &mut draft);
    find_embeddings(&mut draft);
    Some(draft)
}

/// `loras` and `loraweights`: lists, or texts with commas.
fn loras(fields: &mut Fields) {
    let names = list(fields.take("loras"));
    let weights = list(fields.take("loraweights"));
    let text_weights = list(fields.take("loratencweights"));
    for (at, name) in names.iter().enumerate() {
        let name = file_stem(&text_of(name)).to_owned();
        let unet = weights.get(at).map_or(Some(1.0), parse_number);
        let Some(unet) = unet else {
            fields.draft.push_leftover("loraweights", &name, "not a strength");
            continue;
        };
        let text_encoder = text_weights.get(at).and_then(parse_number).unwrap_or(unet);
        fields.draft.adapters.push(Mention { name, text_encoder, unet, ..Mention::default() });
    }
}

fn list(value: Option<Value>) -> Vec<Value> {
    match value {
        Some(Value::Array(values)) => values,
        Some(value) => {
            let text = text_of(&value);
            text.split(',').map(str::trim).filter(|part| !part.is_empty()).map(Value::from).collect()
        }
        None => Vec::new(),
    }
}

/// `sui_models`: the hash of each model is the SHA-256 of its tensors, with `0x` before it.
fn hashes(whole: &Map<String, Value>, draft: &mut RecipeDraft) {
    let Some(Value::Array(models)) = whole.get("sui_models") else { return };
    for model in models {
        let text = |key: &str| model.get(key).map(text_of).unwrap_or_default();
        let hash = text("hash").trim_start_matches("0x").to_lowercase();
        let (name, param) = (text("name"), text("param"));
        let name = file_stem(&name);
        if hash.len() < HASH_LEN || !hash.is_ascii() {
            continue;
        }
        match param.as_str() {
            "model" => draft.model_hash = Some(hash[..HASH_LEN].into()),
            "loras" => {
                for adapter in draft.adapters.iter_mut().filter(|adapter| adapter.is_named(name)) {
                    adapter.hash = Some(hash.clone());
                }
            }
            "used_embeddings" => draft.push_embedding(name, Some(hash)),
            _ => {}
        }
    }
}
