//! Key and metadata signatures of model families, from the table families.toml.

use crate::adapters::Group;
use crate::model::toml_table;
use crate::sentence::{Sentence, sentence};
use serde::Deserialize;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

/// A row of families.toml.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Signature {
    /// `flux1`, …
    pub name: String,
    /// Display name.
    pub label: String,
    #[serde(default)]
    any: Vec<String>,
    #[serde(default)]
    none: Vec<String>,
    #[serde(default)]
    said: Vec<String>,
    /// Whether keys alone identify the family, at sizes that are in no table.
    #[serde(default)]
    pub any_size: bool,
    /// Whether its LoRAs are so few that a file which fits another family as well is likely for that one.
    #[serde(default)]
    pub rare: bool,
    /// Its names in headers: `ss_base_model_version` and `modelspec.architecture`.
    #[serde(default)]
    pub header: Vec<String>,
}

#[derive(Deserialize)]
struct Signatures {
    family: Vec<Signature>,
}

static SIGNATURES: LazyLock<Signatures> = LazyLock::new(|| {
    toml_table::parse(embedded!("analysis/families.toml")).expect("families.toml is checked by a test")
});

/// Returns the rows whose patterns match a file's keys, and the row of the family named by its metadata.
pub fn fitting(groups: &[Group], claimed: Option<&str>) -> Vec<&'static Signature> {
    // Equal blocks collapse to few stems, joined to one text: a string search has a setup cost per text.
    let stems: BTreeSet<String> = groups.iter().map(|group| plain(&group.stem)).collect();
    let text = stems.into_iter().fold(String::new(), |text, stem| text + &stem + "\n");
    let fits = |row: &&Signature| {
        let (any, none) = (
            row.any.iter().any(|pattern| text.contains(pattern.as_str())),
            row.none.iter().any(|pattern| text.contains(pattern.as_str())),
        );
        any && !none || claimed == Some(row.name.as_str())
    };
    SIGNATURES.family.iter().filter(fits).collect()
}

/// Replaces dots of a stem by `_` and numbers by `#`.
pub(super) fn plain(stem: &str) -> String {
    let mut out = String::with_capacity(stem.len());
    for letter in stem.chars() {
        match letter {
            '.' => out.push('_'),
            digit if digit.is_ascii_digit() => {
                if !out.ends_with('#') {
                    out.push('#');
                }
            }
            other => out.push(other),
        }
    }
    out
}

/// Returns the row of a family.
pub fn row(family: &str) -> Option<&'static Signature> {
    SIGNATURES.family.iter().find(|row| row.name == family)
}

/// Returns a family's names in headers, `ss_base_model_version` and `modelspec.architecture`; empty if there is no
/// common convention.
fn header_words(family: &str) -> &'static [String] {
    row(family).map_or(&[], |row| &row.header)
}

/// Returns the metadata keys whose value names another family than `family`, with the family's own name for each.
pub fn wrong_names(metadata: &BTreeMap<String, String>, family: &str) -> Vec<(&'static str, &'static str)> {
    let names_other = |key: &str| {
        let named = metadata.get(key).and_then(|text| family_of(text));
        named.is_some_and(|named| named != family)
    };
    let words = MODEL_KEYS.into_iter().zip(header_words(family));
    words.filter(|(key, _)| names_other(key)).map(|(key, word)| (key, word.as_str())).collect()
}

/// Metadata keys that name the model, the most exact first.
const MODEL_KEYS: [&str; 4] =
    ["ss_base_model_version", "modelspec.architecture", "general.architecture", "general.base_model.0.name"];

/// Returns the family that the metadata names: `sd15`, `flux1`, …
pub fn said(metadata: &BTreeMap<String, String>) -> Option<&'static str> {
    MODEL_KEYS[..2].iter().filter_map(|key| metadata.get(*key)).find_map(|text| family_of(text)).or_else(|| {
        let config: Value = serde_json::from_str(metadata.get("ot_config")?).ok()?;
        family_of(config.get("model_type")?.as_str()?)
    })
}

/// Returns the family that a metadata value names.
fn family_of(text: &str) -> Option<&'static str> {
    let letters: String = text.to_ascii_lowercase().chars().filter(|letter| !"-_. ".contains(*letter)).collect();
    let fitting = SIGNATURES.family.iter().flat_map(|row| row.said.iter().map(move |start| (row, start)));
    // The longest prefix wins: hunyuanvideo15 before hunyuanvideo.
    let (row, _) = fitting.filter(|(_, start)| letters.starts_with(*start)).max_by_key(|(_, start)| start.len())?;
    Some(&row.name)
}

/// Returns the metadata about the base model as evidence.
pub fn quoted(metadata: &BTreeMap<String, String>) -> Vec<Sentence> {
    let quote = |key: &&str| Some(sentence!("evidence.metadata", key = *key, value = metadata.get(*key)?));
    let mut list: Vec<Sentence> = MODEL_KEYS.iter().filter_map(quote).collect();
    let config = metadata.get("ot_config").and_then(|text| serde_json::from_str::<Value>(text).ok());
    let model = config.as_ref().and_then(|config| config.get("model_type")?.as_str());
    list.extend(model.map(|model| sentence!("evidence.onetrainer", value = model)));
    list
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Architecture, FamilyId};

    #[test]
    fn the_table_of_families_is_well_formed() {
        let published = |name: &str| FamilyId::ALL.iter().any(|id| id.name() == name);
        for row in &SIGNATURES.family {
            assert!(!row.label.is_empty());
            assert!(published(&row.name) || !row.any.is_empty(), "{} has no patterns", row.name);
            let listed = Architecture::families().any(|family| family == row.name);
            assert!(listed || published(&row.name), "{} has no table of layers", row.name);
            assert!(row.any.iter().chain(&row.none).all(|pattern| *pattern == plain(pattern)), "{}", row.name);
            assert!(row.header.iter().all(|word| family_of(word) == Some(&row.name)), "{}: {:?}", row.name, row.header);
        }
        let named = |family: &str| SIGNATURES.family.iter().any(|row| row.name == family);
        assert!(Architecture::families().all(named), "a table of layers without a row is never used");
    }

    #[test]
    fn metadata_names_families() {
        let check = |text: &str, family| {
            assert_eq!(said(&BTreeMap::from([("modelspec.architecture".into(), text.into())])), family, "{text}");
        };
        check("stable-diffusion-xl-v1-base/lora", Some("sdxl"));
        check("stable-diffusion-xl-v1-refiner/lora", Some("sdxl_refiner"));
        check("stable-diffusion-3-medium/lora", Some("sd3"));
        check("flux-1-dev/lora", Some("flux1"));
        check("Flux.2-klein-9b", Some("flux2"));
        check("hunyuan-video", Some("hunyuan_video"));
        check("hunyuan-video-1.5", Some("hunyuan_video15"));
        check("something else", None);
        let onetrainer = BTreeMap::from([("ot_config".to_owned(), r#"{"model_type": "Z_IMAGE"}"#.to_owned())]);
        assert_eq!(said(&onetrainer), Some("z_image"));
    }
}
