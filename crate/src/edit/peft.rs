//! Header metadata with the ranks and alphas of a result: diffusers' `lora_adapter_metadata` and
//! sd-scripts' `ss_network_…`.

use super::names::Target;
use super::pairs::KeyScheme;
use crate::adapters::{Delta, GGUF_KEY, METADATA_KEY};
use crate::model::{Component, Module};
use crate::num::to_whole;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// Ranks and alphas of a result's LoRA layers.
#[derive(Debug, Default)]
pub(super) struct PeftMetadata {
    layers: BTreeMap<Component, Vec<Note>>,
}

#[derive(Debug)]
struct Note {
    path: String,
    rank: usize,
    alpha: f32,
    dora: bool,
}

impl PeftMetadata {
    /// Records a layer.
    pub fn add(&mut self, delta: &Delta, rank: usize, alpha: f32, dora: bool) {
        // transformers 5 has no `text_model.` prefix; PEFT matches module names by suffix.
        let path = delta.module.path.trim_start_matches("text_model.").to_owned();
        let note = Note { path, rank, alpha, dora };
        self.layers.entry(delta.component).or_default().push(note);
    }

    /// Records a LoRA layer whose alpha equals its rank.
    pub fn note(&mut self, component: Component, module: &Module, rank: usize) {
        let path = module.path.trim_start_matches("text_model.").to_owned();
        self.layers.entry(component).or_default().push(Note { path, rank, alpha: rank as f32, dora: false });
    }

    /// Returns the `LoraConfig` fields of all networks as one flat JSON object, prefixed with the network's
    /// name: the most common rank and alpha, and patterns for layers with other values.
    pub fn text(&self) -> String {
        let mut fields = Map::new();
        for (component, notes) in &self.layers {
            let mut put = |field: &str, value: Value| fields.insert(format!("{component}.{field}"), value);
            let rank = most_common(notes.iter().map(|note| note.rank)).unwrap_or(1);
            let alpha = most_common(notes.iter().map(|note| note.alpha.to_bits())).map_or(1.0, f32::from_bits);
            let ranks = notes.iter().filter(|note| note.rank != rank).map(|note| (note.path.clone(), json!(note.rank)));
            let alphas = notes.iter().filter(|note| note.alpha != alpha);
            let alphas = alphas.map(|note| (note.path.clone(), json_number(note.alpha)));
            let (ranks, alphas): (Map<_, _>, Map<_, _>) = (ranks.collect(), alphas.collect());
            let targets: Vec<&str> = notes.iter().map(|note| note.path.as_str()).collect();
            put("r", json!(rank));
            put("lora_alpha", json_number(alpha));
            put("rank_pattern", Value::Object(ranks));
            put("alpha_pattern", Value::Object(alphas));
            put("target_modules", json!(targets));
            put("use_dora", json!(notes.iter().any(|note| note.dora)));
            put("use_rslora", json!(false));
            put("lora_bias", json!(false));
        }
        Value::Object(fields).to_string()
    }

    /// Replaces the scale settings in `metadata` with those of a result with these keys. `configured` is
    /// whether the scale of an input came from a config: a result that keeps its keys then stores the
    /// scale in its own header, so that it does not depend on a config file next to it.
    pub fn replace(&self, metadata: &mut BTreeMap<String, String>, scheme: KeyScheme, configured: bool) {
        let had_config = metadata.remove(METADATA_KEY).is_some();
        metadata.remove(GGUF_KEY);
        let needs_config = match scheme {
            KeyScheme::Target(target, _) => target == Target::Peft,
            KeyScheme::Own => had_config || configured,
        };
        if needs_config {
            metadata.insert(METADATA_KEY.into(), self.text());
        }
    }

    /// Updates sd-scripts' network module, dim and alpha, if the file has them.
    pub fn describe(&self, metadata: &mut BTreeMap<String, String>) {
        let notes = || self.layers.values().flatten();
        let common = |values: Vec<String>| match values.split_first() {
            Some((first, rest)) if rest.iter().all(|other| other == first) => first.clone(),
            _ => "Dynamic".into(),
        };
        let dims = common(notes().map(|note| note.rank.to_string()).collect());
        let alphas = common(notes().map(|note| note.alpha.to_string()).collect());
        for (key, value) in
            [("ss_network_module", "networks.lora".to_owned()), ("ss_network_dim", dims), ("ss_network_alpha", alphas)]
        {
            metadata.entry(key.into()).and_modify(|text| *text = value);
        }
        metadata.remove("ss_network_args");
    }
}

/// Returns the header metadata for a file with the config `sidecar` next to it: the config's fields for
/// each network that the file changes, or unprefixed if no network is known.
pub(super) fn carried(sidecar: &str, components: &BTreeSet<Component>) -> String {
    let fields: Map<String, Value> = serde_json::from_str(sidecar).unwrap_or_default();
    if components.is_empty() {
        return Value::Object(fields).to_string();
    }
    let fields_of = |component: &Component| {
        let prefixed = |(field, value): (&String, &Value)| (format!("{component}.{field}"), value.clone());
        fields.iter().map(prefixed).collect::<Vec<_>>()
    };
    Value::Object(components.iter().flat_map(fields_of).collect()).to_string()
}

/// Returns a JSON number, as an integer if the value is whole, as in PEFT's configs.
fn json_number(value: f32) -> Value {
    if value.fract() == 0.0 && value.abs() < 1e9 { json!(to_whole(value.into())) } else { json!(value) }
}

/// Returns the most common value; on ties the smallest.
fn most_common<T: Ord + Copy>(values: impl Iterator<Item = T>) -> Option<T> {
    let mut counts: BTreeMap<T, usize> = BTreeMap::new();
    values.for_each(|value| *counts.entry(value).or_default() += 1);
    counts.into_iter().reduce(|best, next| if next.1 > best.1 { next } else { best }).map(|(value, _)| value)
}
