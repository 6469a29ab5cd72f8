//! Turns the ranks and alphas of a result into the texts that programs read them from: diffusers'
//! `lora_adapter_metadata` and sd-scripts' `ss_network_…`.

use super::names::Target;
use super::pairs::KeyScheme;
use crate::adapters::{Delta, GGUF_KEY, METADATA_KEY};
use crate::model::{Component, Module};
use crate::num::to_whole;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// Ranks and alphas of a result's LoRA layers.
#[derive(Debug, Default)]
pub(super) struct PeftNotes {
    layers: BTreeMap<Component, Vec<Note>>,
}

#[derive(Debug)]
struct Note {
    path: String,
    rank: usize,
    alpha: f32,
    dora: bool,
}

impl PeftNotes {
    /// Notes a layer.
    pub fn add(&mut self, delta: &Delta, rank: usize, alpha: f32, dora: bool) {
        // transformers 5 has no text_model before its names; PEFT compares the ends of names.
        let path = delta.module.path.trim_start_matches("text_model.").to_owned();
        let note = Note { path, rank, alpha, dora };
        self.layers.entry(delta.component).or_default().push(note);
    }

    /// Notes a LoRA whose alpha is its rank.
    pub fn note(&mut self, component: Component, module: &Module, rank: usize) {
        let path = module.path.trim_start_matches("text_model.").to_owned();
        self.layers.entry(component).or_default().push(Note { path, rank, alpha: rank as f32, dora: false });
    }

    /// The fields of a `LoraConfig` for each network, flat, with the network's name before each:
    /// the most common rank and alpha, and patterns for layers with others.
    pub fn text(&self) -> String {
        let mut fields = Map::new();
        for (component, notes) in &self.layers {
            let mut put = |field: &str, value: Value| fields.insert(format!("{component}.{field}"), value);
            let rank = most_common(notes.iter().map(|note| note.rank)).unwrap_or(1);
            let alpha = most_common(notes.iter().map(|note| note.alpha.to_bits())).map_or(1.0, f32::from_bits);
            let ranks = notes.iter().filter(|note| note.rank != rank).map(|note| (note.path.clone(), json!(note.rank)));
            let alphas = notes.iter().filter(|note| note.alpha != alpha);
            let alphas = alphas.map(|note| (note.path.clone(), number(note.alpha)));
            let (ranks, alphas): (Map<_, _>, Map<_, _>) = (ranks.collect(), alphas.collect());
            let targets: Vec<&str> = notes.iter().map(|note| note.path.as_str()).collect();
            put("r", json!(rank));
            put("lora_alpha", number(alpha));
            put("rank_pattern", Value::Object(ranks));
            put("alpha_pattern", Value::Object(alphas));
            put("target_modules", json!(targets));
            put("use_dora", json!(notes.iter().any(|note| note.dora)));
            put("use_rslora", json!(false));
            put("lora_bias", json!(false));
        }
        Value::Object(fields).to_string()
    }

    /// Puts the text where a result under this naming has it, and takes away what spoke for the scale
    /// before. `configured` is whether a config spoke for one of the inputs: a result under the same
    /// names then says its scale itself, wherever it is put.
    pub fn replace(&self, metadata: &mut BTreeMap<String, String>, naming: KeyScheme, configured: bool) {
        let had = metadata.remove(METADATA_KEY).is_some();
        metadata.remove(GGUF_KEY);
        let wants = match naming {
            KeyScheme::Target(target, _) => target == Target::Peft,
            KeyScheme::Own => had || configured,
        };
        if wants {
            metadata.insert(METADATA_KEY.into(), self.text());
        }
    }

    /// Says in sd-scripts' metadata, where a file has them, that it is a LoRA of these ranks now.
    pub fn describe(&self, metadata: &mut BTreeMap<String, String>) {
        let notes = || self.layers.values().flatten();
        let one = |values: Vec<String>| match values.split_first() {
            Some((first, rest)) if rest.iter().all(|other| other == first) => first.clone(),
            _ => "Dynamic".into(),
        };
        let dims = one(notes().map(|note| note.rank.to_string()).collect());
        let alphas = one(notes().map(|note| note.alpha.to_string()).collect());
        for (key, value) in
            [("ss_network_module", "networks.lora".to_owned()), ("ss_network_dim", dims), ("ss_network_alpha", alphas)]
        {
            metadata.entry(key.into()).and_modify(|text| *text = value);
        }
        metadata.remove("ss_network_args");
    }
}

/// The text for the tensors of a file that the config beside it, `sidecar`, speaks for: its fields for
/// each of the networks that the file changes, or as they are where none is known.
pub(super) fn carried(sidecar: &str, components: &BTreeSet<Component>) -> String {
    let fields: Map<String, Value> = serde_json::from_str(sidecar).unwrap_or_default();
    if components.is_empty() {
        return Value::Object(fields).to_string();
    }
    let of = |component: &Component| {
        let named = |(field, value): (&String, &Value)| (format!("{component}.{field}"), value.clone());
        fields.iter().map(named).collect::<Vec<_>>()
    };
    Value::Object(components.iter().flat_map(of).collect()).to_string()
}

/// A whole number where it is one, as PEFT's configs have it.
fn number(value: f32) -> Value {
    if value.fract() == 0.0 && value.abs() < 1e9 { json!(to_whole(value.into())) } else { json!(value) }
}

/// Of equals the first.
fn most_common<T: Ord + Copy>(values: impl Iterator<Item = T>) -> Option<T> {
    let mut counts: BTreeMap<T, usize> = BTreeMap::new();
    values.for_each(|value| *counts.entry(value).or_default() += 1);
    counts.into_iter().reduce(|best, next| if next.1 > best.1 { next } else { best }).map(|(value, _)| value)
}
