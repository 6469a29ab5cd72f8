//! Turns keys of a file and its metadata into the families that its model may belong to, by the table
//! families.toml.

use crate::adapters::Group;
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
    /// Its name for people.
    pub label: String,
    #[serde(default)]
    any: Vec<String>,
    #[serde(default)]
    none: Vec<String>,
    #[serde(default)]
    said: Vec<String>,
    /// Whether names alone show it, in sizes that no table has.
    #[serde(default)]
    pub any_size: bool,
    /// What headers call it: `ss_base_model_version` and `modelspec.architecture`.
    #[serde(default)]
    pub header: Vec<String>,
}

#[derive(Deserialize)]
struct Signatures {
    family: Vec<Signature>,
}

static SIGNATURES: LazyLock<Signatures> =
    LazyLock::new(|| toml::from_str(include_str!("families.toml")).expect("families.toml is checked by a test"));

/// The rows whose layers a file may name, by the parts of its keys, and the row that its metadata names.
pub fn fitting(groups: &[Group], named: Option<&str>) -> Vec<&'static Signature> {
    // Blocks are alike, so few names are left, in one text: a search is prepared once a text.
    let stems: BTreeSet<String> = groups.iter().map(|group| plain(&group.stem)).collect();
    let text = stems.into_iter().fold(String::new(), |text, stem| text + &stem + "\n");
    let fits = |row: &&Signature| {
        let (any, none) = (
            row.any.iter().any(|mark| text.contains(mark.as_str())),
            row.none.iter().any(|mark| text.contains(mark.as_str())),
        );
        any && !none || named == Some(row.name.as_str())
    };
    SIGNATURES.family.iter().filter(fits).collect()
}

/// A stem with `_` for dots and `#` for each number.
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

/// The row of a family.
pub fn row(family: &str) -> Option<&'static Signature> {
    SIGNATURES.family.iter().find(|row| row.name == family)
}

/// What headers call a family: `ss_base_model_version` and `modelspec.architecture`; empty where nobody agrees on it.
pub fn header_words(family: &str) -> &'static [String] {
    row(family).map_or(&[], |row| &row.header)
}

/// Keys of metadata that name the model, the most exact first.
const WORDS: [&str; 4] =
    ["ss_base_model_version", "modelspec.architecture", "general.architecture", "general.base_model.0.name"];

/// The family that metadata names: `sd15`, `flux1`, …
pub fn said(metadata: &BTreeMap<String, String>) -> Option<&'static str> {
    WORDS[..2].iter().filter_map(|key| metadata.get(*key)).find_map(|text| family_of(text)).or_else(|| {
        let config: Value = serde_json::from_str(metadata.get("ot_config")?).ok()?;
        family_of(config.get("model_type")?.as_str()?)
    })
}

/// The family that a word of a header means.
fn family_of(text: &str) -> Option<&'static str> {
    let letters: String = text.to_ascii_lowercase().chars().filter(|letter| !"-_. ".contains(*letter)).collect();
    let fitting = SIGNATURES.family.iter().flat_map(|row| row.said.iter().map(move |start| (row, start)));
    // The longest start counts: hunyuanvideo15 before hunyuanvideo.
    let (row, _) = fitting.filter(|(_, start)| letters.starts_with(*start)).max_by_key(|(_, start)| start.len())?;
    Some(&row.name)
}

/// What the metadata says of the base model, in sentences.
pub fn quoted(metadata: &BTreeMap<String, String>) -> Vec<String> {
    let mut list: Vec<String> =
        WORDS.iter().filter_map(|key| Some(format!("metadata {key} says {:?}", metadata.get(*key)?))).collect();
    let config = metadata.get("ot_config").and_then(|text| serde_json::from_str::<Value>(text).ok());
    let model = config.as_ref().and_then(|config| config.get("model_type")?.as_str());
    list.extend(model.map(|model| format!("OneTrainer's config says {model:?}")));
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
            assert!(published(&row.name) || !row.any.is_empty(), "{} has no marks", row.name);
            let listed = Architecture::families().any(|family| family == row.name);
            assert!(listed || published(&row.name), "{} has no table of layers", row.name);
            assert!(row.any.iter().chain(&row.none).all(|mark| *mark == plain(mark)), "{}", row.name);
            assert!(row.header.iter().all(|word| family_of(word) == Some(&row.name)), "{}: {:?}", row.name, row.header);
        }
        let named = |family: &str| SIGNATURES.family.iter().any(|row| row.name == family);
        assert!(Architecture::families().all(named), "a table of layers that no row leads to is never used");
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
