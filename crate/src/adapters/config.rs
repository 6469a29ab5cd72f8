//! Configs that set the alpha of a file's layers: PEFT's adapter_config.json, diffusers' copy of it in the header, and
//! GGUF's single alpha.

use crate::formats::Header;
use crate::model::{Component, json};
use crate::num::{parse_number, to_f32};
use crate::sentence::{Sentence, sentence};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::fmt;

/// The fields of a PEFT config that change a delta. Those that another algorithm may use with another type are `None`
/// then.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub struct PeftConfig {
    /// The algorithm: `LORA`, `IA3`, …
    #[serde(default, deserialize_with = "lenient")]
    pub peft_type: Option<String>,
    /// Default alpha.
    pub lora_alpha: Option<f32>,
    /// Default alpha of LoHa and LoKr.
    #[serde(default)]
    pub alpha: Option<f32>,
    /// Default rank.
    #[serde(default, deserialize_with = "lenient")]
    pub r: Option<usize>,
    /// Rank of the layers whose path ends in (or matches) the key.
    #[serde(default, deserialize_with = "lenient")]
    pub rank_pattern: Option<BTreeMap<String, usize>>,
    /// AdaLoRA: rank before layers were pruned.
    #[serde(default, deserialize_with = "lenient")]
    pub init_r: Option<usize>,
    /// OFT: whether the Cayley transform is approximated by a Neumann series.
    #[serde(default, deserialize_with = "lenient")]
    pub use_cayley_neumann: Option<bool>,
    /// OFT: number of terms of this series.
    #[serde(default, deserialize_with = "lenient")]
    pub num_cayley_neumann_terms: Option<usize>,
    /// OFT: whether `eps` limits the rotations.
    #[serde(default, deserialize_with = "lenient")]
    pub coft: Option<bool>,
    /// OFT: limit of the rotations.
    #[serde(default, deserialize_with = "lenient")]
    pub eps: Option<f64>,
    /// HRA: whether the reflections are orthonormalized.
    #[serde(default, rename = "apply_GS", deserialize_with = "lenient")]
    pub apply_gs: Option<bool>,
    /// (IA)³: endings of the names of layers whose inputs are scaled, or a pattern of these names.
    #[serde(default, deserialize_with = "lenient")]
    feedforward_modules: Option<Feedforward>,
    /// The variant of some algorithms: `mini` or `bat` of MiSS.
    #[serde(default, deserialize_with = "lenient")]
    pub init_weights: Option<String>,
    /// VeRA: seed of the projections.
    #[serde(default, deserialize_with = "lenient")]
    pub projection_prng_key: Option<u64>,
    /// alpha of the layers whose path ends in (or matches) the key.
    #[serde(default)]
    pub alpha_pattern: BTreeMap<String, f32>,
    /// Whether alpha is divided by the square root of the rank (Kalajdzievski 2023).
    #[serde(default)]
    pub use_rslora: bool,
}

/// Names of (IA)³'s feed-forward layers.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(untagged)]
enum Feedforward {
    Endings(Vec<String>),
    Pattern(String),
}

/// Reads a field, or `None` if it has another type.
fn lenient<'de, D: Deserializer<'de>, T: DeserializeOwned>(field: D) -> Result<Option<T>, D::Error> {
    Ok(json::read(Value::deserialize(field)?).ok())
}

impl PeftConfig {
    /// Returns the alpha of the layer with this path inside its network.
    pub fn alpha(&self, path: &str) -> Option<f32> {
        let matching = self.alpha_pattern.iter().find(|(pattern, _)| matches(pattern, path));
        let default = if self.is_lycoris() { self.alpha } else { self.lora_alpha };
        matching.map(|(_, &alpha)| alpha).or(default)
    }

    /// Returns whether the algorithm is one that PEFT took over from LyCORIS with the names of its tensors.
    pub fn is_lycoris(&self) -> bool {
        matches!(self.peft_type.as_deref(), Some("LOHA" | "LOKR"))
    }

    /// Returns the multiplier of the product of the factors for the layer with this path; `rank` is the factors'
    /// rank, which LoKr may lack. `None` if neither gives a rank.
    pub fn scale(&self, alpha: f32, rank: Option<usize>, path: &str) -> Option<f32> {
        Some(match self.peft_type.as_deref() {
            Some("ADALORA") => {
                let initial = self.init_r.or(rank)? as f32;
                (if alpha > 0.0 { alpha } else { initial }) / (initial + 1e-5)
            }
            Some("LOKR") => alpha / self.rank(path).or(rank)? as f32,
            _ if self.use_rslora => alpha / (rank? as f32).sqrt(),
            _ => alpha / rank? as f32,
        })
    }

    /// Returns the rank of the layer with this path inside its network.
    fn rank(&self, path: &str) -> Option<usize> {
        let pattern = self.rank_pattern.iter().flatten().find(|(pattern, _)| matches(pattern, path));
        pattern.map(|(_, &rank)| rank).or(self.r)
    }

    /// Returns whether the layer with this name is a feed-forward layer of (IA)³, whose inputs are scaled.
    pub fn is_feedforward(&self, name: &str) -> bool {
        match &self.feedforward_modules {
            Some(Feedforward::Endings(endings)) => endings.iter().any(|ending| name.ends_with(ending)),
            Some(Feedforward::Pattern(pattern)) => {
                matches_here(pattern, name.strip_prefix("base_model.model.").unwrap_or(name))
            }
            None => false,
        }
    }
}

/// Metadata key under which diffusers stores the configs of a file's networks.
pub const METADATA_KEY: &str = "lora_adapter_metadata";

/// PEFT's rank where a config has none.
const PEFT_RANK: usize = 8;

/// Metadata key under which llama.cpp stores the single alpha of a file.
pub const GGUF_KEY: &str = "adapter.lora.alpha";

/// Source of a config.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConfigSource {
    /// [`METADATA_KEY`] in the header.
    Metadata,
    /// [`GGUF_KEY`] in the header.
    Gguf,
    /// adapter_config.json next to the file.
    Sidecar,
}

/// Error for a config that cannot be read.
#[derive(Debug, Clone, PartialEq)]
pub struct ConfigError {
    /// Source of the config.
    pub place: ConfigSource,
    /// Reason that it cannot be read.
    pub reason: String,
}

impl ConfigError {
    /// Returns the sentence in reports: what is wrong and what to do.
    pub fn sentence(&self) -> Sentence {
        let reason = &self.reason;
        match self.place {
            ConfigSource::Metadata => sentence!("file.bad_header_config", key = METADATA_KEY, reason = reason),
            ConfigSource::Gguf => sentence!("file.bad_header_config", key = GGUF_KEY, reason = reason),
            ConfigSource::Sidecar => sentence!("file.bad_config", reason = reason),
        }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.sentence().clause())
    }
}

impl std::error::Error for ConfigError {}

/// The config of a file, or one config per network.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct PeftConfigs {
    shared: Option<PeftConfig>,
    parts: BTreeMap<Component, PeftConfig>,
    place: Option<ConfigSource>,
}

impl PeftConfigs {
    /// Returns the configs of a file with this `header`; `sidecar` is the text of the adapter_config.json next to it.
    /// The header takes precedence, since the sidecar may belong to another file. Most files have no config: their
    /// alphas are tensors.
    ///
    /// # Errors
    /// Returns an error for the first config in this order that cannot be read.
    pub fn resolve(header: &Header, sidecar: Option<&str>) -> Result<PeftConfigs, ConfigError> {
        type Parse = fn(&str) -> Result<PeftConfigs, String>;
        let stored = |key: &str| header.metadata.get(key).map(String::as_str);
        let places: [(ConfigSource, Option<&str>, Parse); 3] = [
            (ConfigSource::Metadata, stored(METADATA_KEY), PeftConfigs::from_metadata),
            (ConfigSource::Gguf, stored(GGUF_KEY), PeftConfigs::from_gguf_alpha),
            (ConfigSource::Sidecar, sidecar, PeftConfigs::from_sidecar),
        ];
        for (place, text, parse) in places {
            let Some(text) = text else { continue };
            let read = parse(text).and_then(PeftConfigs::checked);
            let configs = read.map_err(|reason| ConfigError { place, reason })?;
            if configs != PeftConfigs::default() {
                return Ok(PeftConfigs { place: Some(place), ..configs });
            }
        }
        Ok(PeftConfigs::default())
    }

    /// Returns the source of the configs, or `None` if the file has none.
    pub fn place(&self) -> Option<ConfigSource> {
        self.place
    }

    /// Parses the text of adapter_config.json.
    fn from_sidecar(text: &str) -> Result<PeftConfigs, String> {
        Ok(PeftConfigs { shared: Some(json::parse(text)?), ..PeftConfigs::default() })
    }

    /// Parses GGUF's alpha.
    fn from_gguf_alpha(text: &str) -> Result<PeftConfigs, String> {
        let alpha = parse_number(text).map(to_f32).ok_or_else(|| format!("`{text}` is not a number"))?;
        let shared = PeftConfig { lora_alpha: Some(alpha), ..PeftConfig::default() };
        Ok(PeftConfigs { shared: Some(shared), ..PeftConfigs::default() })
    }

    /// Parses diffusers' `lora_adapter_metadata`: the fields of each network's config in one flat object, prefixed with
    /// the network's name.
    fn from_metadata(text: &str) -> Result<PeftConfigs, String> {
        let fields = json::parse_object(text)?;
        let mut parts = BTreeMap::new();
        for component in Component::ALL {
            let part: Map<String, Value> = fields
                .iter()
                .filter_map(|(key, value)| {
                    let field = key.strip_prefix(component.name())?.strip_prefix('.')?;
                    Some((field.to_owned(), value.clone()))
                })
                .collect();
            if !part.is_empty() {
                parts.insert(component, json::read(Value::Object(part))?);
            }
        }
        let is_flat = fields.contains_key("lora_alpha");
        let shared = is_flat.then(|| json::read(Value::Object(fields))).transpose()?;
        Ok(PeftConfigs { shared, parts, place: None })
    }

    /// Returns the configs, or an error if an alpha is not finite.
    fn checked(self) -> Result<PeftConfigs, String> {
        let configs = self.shared.iter().chain(self.parts.values());
        let mut alphas = configs
            .flat_map(|config| config.lora_alpha.iter().chain(&config.alpha).chain(config.alpha_pattern.values()));
        match alphas.find(|alpha| !alpha.is_finite()) {
            Some(alpha) => Err(format!("alpha is {alpha}")),
            None => Ok(self),
        }
    }

    /// Returns the rank for which PEFT prepares the layer with this path when it reads the header's config.
    pub fn prepared_rank(&self, component: Component, path: &str) -> Option<usize> {
        let rank = || self.of(component).and_then(|config| config.rank(path)).unwrap_or(PEFT_RANK);
        (self.place == Some(ConfigSource::Metadata)).then(rank)
    }

    /// Returns the config of a network.
    pub fn of(&self, component: Component) -> Option<&PeftConfig> {
        self.parts.get(&component).or(self.shared.as_ref())
    }
}

/// Returns whether the path matches under PEFT's rule: the pattern, a regular expression, matches the whole path or
/// the part after a dot. Supports `.`, `.*`, `\.`, `^` and `$`, which are those that its configs use.
fn matches(pattern: &str, path: &str) -> bool {
    let pattern = pattern.strip_suffix('$').unwrap_or(pattern);
    if let Some(anchored) = pattern.strip_prefix('^') {
        return matches_here(anchored, path);
    }
    matches_here(pattern, path)
        || path.char_indices().filter(|&(_, c)| c == '.').any(|(at, _)| matches_here(pattern, &path[at + 1..]))
}

/// One token of a pattern.
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

/// Returns whether the pattern matches all of `text`. Backtracking to the last `.*` suffices, so the time is at most
/// the product of both lengths.
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
    fn header_metadata_sets_the_alpha_per_network() {
        let text = r#"{"unet.lora_alpha": 3, "unet.alpha_pattern": {"to_v": 5}, "text_encoder.lora_alpha": 8, "text_encoder.use_rslora": true}"#;
        let configs = PeftConfigs::from_metadata(text).expect("valid");
        let unet = configs.of(Component::Unet).expect("a config");
        assert_eq!((unet.alpha("a.to_q"), unet.alpha("a.to_v")), (Some(3.0), Some(5.0)));
        let text = configs.of(Component::TextEncoder).expect("a config");
        assert_eq!(text.scale(8.0, Some(4), "a"), Some(4.0));
        assert!(configs.of(Component::TextEncoder2).is_none());
        let flux = PeftConfigs::from_metadata(r#"{"transformer.lora_alpha": 2}"#).expect("valid");
        assert_eq!(flux.of(Component::Transformer).and_then(|config| config.lora_alpha), Some(2.0));
    }

    /// Resolves the configs of a header with these metadata and of a sidecar.
    fn resolved(metadata: &[(&str, &str)], sidecar: Option<&str>) -> Result<PeftConfigs, ConfigError> {
        let metadata = metadata.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        PeftConfigs::resolve(&Header::of(Vec::new(), metadata.collect()), sidecar)
    }

    #[test]
    fn the_header_takes_precedence_over_the_sidecar() {
        let check = |metadata: &[(&str, &str)], sidecar: Option<&str>, place, alpha| {
            let configs = resolved(metadata, sidecar).expect("readable configs");
            let found = configs.of(Component::Unet).and_then(|config| config.lora_alpha);
            assert_eq!((configs.place(), found), (place, alpha), "{metadata:?} {sidecar:?}");
        };
        let (metadata, gguf) = ((METADATA_KEY, r#"{"unet.lora_alpha": 3}"#), (GGUF_KEY, "4"));
        let sidecar = Some(r#"{"lora_alpha": 5}"#);
        check(&[], None, None, None);
        check(&[metadata, gguf], sidecar, Some(ConfigSource::Metadata), Some(3.0));
        check(&[gguf], sidecar, Some(ConfigSource::Gguf), Some(4.0));
        check(&[], sidecar, Some(ConfigSource::Sidecar), Some(5.0));
        check(&[(METADATA_KEY, "{}")], sidecar, Some(ConfigSource::Sidecar), Some(5.0));
    }

    #[test]
    fn an_unreadable_config_is_an_error_with_its_source() {
        let check = |metadata: &[(&str, &str)], sidecar, place| {
            let error = resolved(metadata, sidecar).expect_err("no config");
            assert_eq!(error.place, place, "{error}");
        };
        check(&[(METADATA_KEY, "[]")], None, ConfigSource::Metadata);
        for alpha in ["", "x", "NaN", "inf", "1e99", r#"8, "use_rslora": true"#] {
            check(&[(GGUF_KEY, alpha)], None, ConfigSource::Gguf);
        }
        for text in ["", "[]", r#"{"lora_alpha": "x"}"#, r#"{"lora_alpha": 1e99}"#, r#"{"alpha_pattern": {"a": 1e99}}"#]
        {
            check(&[], Some(text), ConfigSource::Sidecar);
        }
    }
}
