//! Turns PEFT's adapter_config.json, or its copy in a header, into the alpha of each layer.

use crate::model::Component;
use serde::Deserialize;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// The fields of a PEFT `LoraConfig` that change a delta's scale.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct PeftConfig {
    /// Default alpha.
    pub lora_alpha: Option<f32>,
    /// alpha of layers whose path ends in (or matches) the key.
    #[serde(default)]
    pub alpha_pattern: BTreeMap<String, f32>,
    /// alpha is divided by the square root of the rank (Kalajdzievski 2023).
    #[serde(default)]
    pub use_rslora: bool,
}

impl PeftConfig {
    /// alpha of the layer with this path inside its network.
    pub fn alpha(&self, path: &str) -> Option<f32> {
        let special = self.alpha_pattern.iter().find(|(pattern, _)| matches(pattern, path));
        special.map(|(_, &alpha)| alpha).or(self.lora_alpha)
    }

    /// What the product of the factors is multiplied by.
    pub fn scale(&self, alpha: f32, rank: usize) -> f32 {
        alpha / if self.use_rslora { (rank as f32).sqrt() } else { rank as f32 }
    }
}

/// One config for the whole file, or one for each network.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct PeftConfigs {
    whole: Option<PeftConfig>,
    parts: BTreeMap<Component, PeftConfig>,
}

impl PeftConfigs {
    /// Reads the text of adapter_config.json.
    pub fn parse(text: &str) -> Result<PeftConfigs, serde_json::Error> {
        Ok(PeftConfigs { whole: Some(serde_json::from_str(text)?), parts: BTreeMap::new() })
    }

    /// Reads diffusers' `lora_adapter_metadata`: the fields of each network's config, flat, with
    /// the network's name before each.
    pub fn parse_metadata(text: &str) -> Result<PeftConfigs, serde_json::Error> {
        let fields: Map<String, Value> = serde_json::from_str(text)?;
        let mut parts = BTreeMap::new();
        for component in [Component::Unet, Component::TextEncoder, Component::TextEncoder2] {
            let of_part: Map<String, Value> = fields
                .iter()
                .filter_map(|(key, value)| {
                    let field = key.strip_prefix(component.name())?.strip_prefix('.')?;
                    Some((field.to_owned(), value.clone()))
                })
                .collect();
            if !of_part.is_empty() {
                parts.insert(component, serde_json::from_value(Value::Object(of_part))?);
            }
        }
        let whole = fields.contains_key("lora_alpha").then(|| serde_json::from_str(text)).transpose()?;
        Ok(PeftConfigs { whole, parts })
    }

    /// The config that speaks for a network.
    pub fn of(&self, component: Component) -> Option<&PeftConfig> {
        self.parts.get(&component).or(self.whole.as_ref())
    }
}

/// PEFT's rule: the pattern, a regular expression, matches the whole path or what follows a dot.
/// Understood are `.`, `.*`, `\.`, `^` and `$`, which is what its configs use.
fn matches(pattern: &str, path: &str) -> bool {
    let pattern = pattern.strip_suffix('$').unwrap_or(pattern);
    if let Some(anchored) = pattern.strip_prefix('^') {
        return matches_here(anchored, path);
    }
    matches_here(pattern, path)
        || path.char_indices().filter(|&(_, c)| c == '.').any(|(at, _)| matches_here(pattern, &path[at + 1..]))
}

/// One step of a pattern.
enum Step {
    Exactly(char),
    Any,
    Run,
}

fn steps(pattern: &str) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut chars = pattern.chars().peekable();
    while let Some(c) = chars.next() {
        steps.push(match c {
            '.' if chars.next_if_eq(&'*').is_some() => Step::Run,
            '.' => Step::Any,
            '\\' => Step::Exactly(chars.next().unwrap_or('\\')),
            c => Step::Exactly(c),
        });
    }
    steps
}

/// Whether the pattern matches exactly `text`. Going back to the last `.*` alone suffices, so the
/// time is at most the product of both lengths.
fn matches_here(pattern: &str, text: &str) -> bool {
    let (steps, text) = (steps(pattern), text.chars().collect::<Vec<_>>());
    let (mut step, mut at) = (0, 0);
    let mut retry = None;
    while at < text.len() {
        match steps.get(step) {
            Some(Step::Run) => {
                retry = Some((step, at));
                step += 1;
            }
            Some(Step::Any) => (step, at) = (step + 1, at + 1),
            Some(Step::Exactly(c)) if *c == text[at] => (step, at) = (step + 1, at + 1),
            _ => {
                let Some((run, from)) = retry else { return false };
                retry = Some((run, from + 1));
                (step, at) = (run + 1, from + 1);
            }
        }
    }
    steps[step..].iter().all(|step| matches!(step, Step::Run))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_peft_matches_them() {
        let path = "mid_block.attentions.0.transformer_blocks.0.attn2.to_k";
        for (pattern, expect) in [
            ("to_k", true),
            ("o_k", false),
            ("attn2.to_k", true),
            ("attn1.to_k", false),
            ("mid_block.*to_k", true),
            ("^mid_block\\..*attn2\\.to_k$", true),
            ("^attn2.to_k", false),
            ("transformer_blocks.0", false),
            ("a.b", false),
        ] {
            assert_eq!(matches(pattern, path), expect, "{pattern}");
        }
    }

    #[test]
    fn each_network_has_its_own_alpha_in_a_header() {
        let text = r#"{"unet.lora_alpha": 3, "unet.alpha_pattern": {"to_v": 5}, "text_encoder.lora_alpha": 8, "text_encoder.use_rslora": true}"#;
        let configs = PeftConfigs::parse_metadata(text).expect("valid");
        let unet = configs.of(Component::Unet).expect("a config");
        assert_eq!((unet.alpha("a.to_q"), unet.alpha("a.to_v")), (Some(3.0), Some(5.0)));
        let text = configs.of(Component::TextEncoder).expect("a config");
        assert_eq!(text.scale(8.0, 4), 4.0);
        assert!(configs.of(Component::TextEncoder2).is_none());
    }
}
