//! The base model, the LoRAs between it and the sampler, and the clip skip between it and the prompts.

use std::collections::HashSet;

use serde_json::Value;

use super::graph::{Link, Node};
use super::trace::Trace;
use crate::pipeline::image_recipe::fields::parse_number;
use crate::pipeline::recipe_draft::{Mention, file_stem};
use crate::text::{NetworkKind, extra_networks};

/// Inputs that name a checkpoint or a UNet.
const CHECKPOINTS: [&str; 5] = ["ckpt_name", "base_ckpt_name", "unet_name", "model_name", "checkpoint"];
/// Inputs that lead on to the model, in nodes of all packs.
const MODEL: [&str; 6] = ["model", "base_model", "pipe", "basic_pipe", "optional_pipe", "sdxl_tuple"];
const CLIP: [&str; 5] = ["clip", "base_clip", "pipe", "basic_pipe", "optional_pipe"];
/// Maximum number of LoRAs of a node.
const MAX_SLOTS: usize = 50;

/// A LoRA with the node and the slot of it that name it.
pub(super) struct LoraUse {
    node: String,
    mention: Mention,
}

impl<'g> Trace<'g> {
    /// Walks from a sampler to the base model. The LoRAs act on the UNet; on the text encoder those do on whose
    /// `clip` the prompts depend.
    pub(super) fn models(&mut self, model: Option<&'g Link>, clip: Option<&'g Link>) {
        let of_unet = model.map_or_else(Vec::new, |link| self.chain(link, &MODEL));
        let of_text = clip.map_or_else(Vec::new, |link| self.chain(link, &CLIP));
        let acts_on_text = |lora: &LoraUse| of_text.iter().any(|other| other.node == lora.node);
        let acts_on_unet = |lora: &LoraUse| of_unet.iter().any(|other| other.node == lora.node);
        let mut adapters: Vec<Mention> = Vec::new();
        for lora in &of_unet {
            let text_encoder = if acts_on_text(lora) { lora.mention.text_encoder } else { 0.0 };
            adapters.push(Mention { text_encoder, ..lora.mention.clone() });
        }
        for lora in of_text.iter().filter(|lora| !acts_on_unet(lora)) {
            adapters.push(Mention { unet: 0.0, ..lora.mention.clone() });
        }
        self.draft.adapters = adapters;
    }

    /// Walks along a chain of nodes to the loader, and returns their LoRAs in the order of their effect.
    fn chain(&mut self, link: &'g Link, inputs: &[&str]) -> Vec<LoraUse> {
        let (mut found, mut seen) = (Vec::new(), HashSet::new());
        let mut next = Some(link);
        while let Some(node) = next.and_then(|link| self.follow(link)) {
            if !seen.insert(&node.id) {
                self.name(node, "it is part of a circle");
                break;
            }
            let loras = self.loras(node);
            let has_loras = !loras.is_empty() || node.is("lora");
            found.extend(loras.into_iter().rev());
            self.clip_skip(node);
            if let Some(name) = self.choice(node, &CHECKPOINTS) {
                self.draft.model.get_or_insert_with(|| file_stem(name).to_owned());
                break;
            }
            next = node.link(inputs);
            let is_pipe = node.is("pipe") || node.is("presampling");
            if !has_loras && !is_pipe && node.class != "CLIPSetLastLayer" {
                self.name_unsupported(node);
            }
        }
        found.reverse();
        found
    }

    /// `CLIPSetLastLayer`, or a loader with the same setting: -1 is the last layer.
    fn clip_skip(&mut self, node: &'g Node) {
        let layer: Option<i64> = self.number(node, &["stop_at_clip_layer", "clip_skip", "base_clip_skip"]);
        if let Some(layer) = layer.filter(|layer| (-24..0).contains(layer)) {
            let skip = usize::try_from(layer.unsigned_abs()).unwrap_or(1);
            self.draft.clip_skip.get_or_insert(skip);
        }
    }

    /// The LoRAs of a node: of its own and of the stacks connected to it.
    fn loras(&mut self, node: &'g Node) -> Vec<LoraUse> {
        let (mut all, mut seen) = (Vec::new(), HashSet::new());
        let mut current = Some(node);
        while let Some(node) = current.filter(|node| seen.insert(&node.id)) {
            let own = self.own_loras(node);
            let named = own
                .into_iter()
                .enumerate()
                .map(|(slot, mention)| LoraUse { node: format!("{}/{slot}", node.id), mention });
            all.splice(0..0, named);
            let link = node.link(&["lora_stack", "optional_lora_stack", "LORA_STACK"]);
            current = link.and_then(|link| self.follow(link));
        }
        all
    }

    fn own_loras(&mut self, node: &'g Node) -> Vec<Mention> {
        let mut found = Vec::new();
        if let Some(name) = self.choice(node, &["lora_name"]) {
            let unet = self.number(node, &["strength_model", "lora_model_strength", "model_strength", "strength"]);
            let text = self.number(node, &["strength_clip", "lora_clip_strength", "clip_strength"]);
            found.extend(self.lora(node, name, unet, text));
        }
        found.extend(self.numbered(node));
        found.extend(self.listed(node));
        let is_block_weighted = node.is("blockweight") || node.is("block weight");
        if is_block_weighted && !found.is_empty() {
            self.name(node, "its block weights are not supported and left out");
        }
        found
    }

    /// A LoRA, unless its strength cannot be told.
    fn lora(&mut self, node: &'g Node, name: &str, unet: Option<f32>, text: Option<f32>) -> Option<Mention> {
        if name == "None" || name.is_empty() {
            return None;
        }
        let Some(unet) = unet else {
            self.name(node, "the strength of its LoRA cannot be told");
            return None;
        };
        let name = file_stem(name).to_owned();
        Some(Mention { name, text_encoder: text.unwrap_or(unet), unet, ..Mention::default() })
    }

    /// LoRAs in numbered inputs: `lora_name_1`, `lora_1_name`, `lora_01`, or an object as of rgthree's loader.
    fn numbered(&mut self, node: &'g Node) -> Vec<Mention> {
        let mut found = Vec::new();
        let count = self.number(node, &["lora_count", "num_loras"]).unwrap_or(MAX_SLOTS).min(MAX_SLOTS);
        let mode = ["input_mode", "mode"].iter().find_map(|name| node.values.get(*name)).and_then(Value::as_str);
        let is_off =
            |value: Option<&Value>| value.is_some_and(|value| matches!(value.as_str(), Some("Off")) || *value == false);
        for at in 1..=count {
            let [lora, name_first, number_first] =
                [format!("lora_{at}"), format!("lora_name_{at}"), format!("lora_{at}_name")];
            let padded = format!("lora_{at:02}");
            if let Some(object) = node.values.get(&lora).and_then(Value::as_object) {
                let name = object.get("lora").and_then(Value::as_str);
                if let Some(name) = name.filter(|_| !is_off(object.get("on"))) {
                    let unet = object.get("strength").and_then(parse_number);
                    let text = object.get("strengthTwo").and_then(parse_number);
                    found.extend(self.lora(node, name, unet, text));
                }
                continue;
            }
            let Some(name) = self.choice(node, &[&name_first, &number_first, &lora, &padded]) else { continue };
            if is_off(node.values.get(&format!("switch_{at}"))) {
                continue;
            }
            let simple = [format!("lora_wt_{at}"), format!("lora_{at}_strength"), format!("strength_{at:02}")];
            let of_unet =
                [format!("model_str_{at}"), format!("model_weight_{at}"), format!("lora_{at}_model_strength")];
            let of_text = [format!("clip_str_{at}"), format!("clip_weight_{at}"), format!("lora_{at}_clip_strength")];
            let mut strength = |names: [String; 3]| self.number(node, &names.each_ref().map(String::as_str));
            let (simple, unet, text) = (strength(simple), strength(of_unet), strength(of_text));
            let (unet, text) = if mode == Some("simple") { (simple.or(unet), None) } else { (unet.or(simple), text) };
            found.extend(self.lora(node, name, unet, text));
        }
        found
    }

    /// LoRAs as tags in a text, and the list of LoRA Manager's nodes.
    fn listed(&mut self, node: &'g Node) -> Vec<Mention> {
        if !node.is("lora") {
            return Vec::new();
        }
        let list =
            node.values.get("loras").map(|loras| loras.get("__value__").unwrap_or(loras)).and_then(Value::as_array);
        if let Some(list) = list {
            let active = list.iter().filter(|lora| lora.get("active").is_none_or(|active| *active == true));
            let parts = active.map(|lora| {
                let strength = |name: &str| lora.get(name).and_then(parse_number);
                let name = lora.get("name").and_then(Value::as_str).unwrap_or_default();
                (name, strength("strength"), strength("clipStrength"))
            });
            let parts: Vec<_> = parts.collect();
            return parts.into_iter().filter_map(|(name, unet, text)| self.lora(node, name, unet, text)).collect();
        }
        let Some(text) = node.values.get("text").and_then(Value::as_str) else { return Vec::new() };
        let networks = extra_networks(text).1.into_iter().filter(|network| network.kind == NetworkKind::Lora);
        let mut mentions = Vec::new();
        for network in networks {
            match Mention::of(&network) {
                Some(mention) => mentions.push(mention),
                None => {
                    let name = format!("node {}", node.id);
                    self.draft.push_leftover(name, &network.tag, "the strength of this LoRA is not a number");
                }
            }
        }
        mentions
    }
}
