//! Turns keys and widths of a file into the families that its model may belong to, by the table
//! families.toml.

use crate::adapters::Group;
use serde::Deserialize;
use std::collections::{BTreeMap, HashSet};
use std::sync::LazyLock;

/// A row of families.toml.
#[derive(Debug, Deserialize)]
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
    widths: Vec<usize>,
    #[serde(default)]
    said: Vec<String>,
}

#[derive(Deserialize)]
struct Signatures {
    family: Vec<Signature>,
}

static SIGNATURES: LazyLock<Signatures> =
    LazyLock::new(|| toml::from_str(include_str!("families.toml")).expect("families.toml is checked by a test"));

/// The rows that fit a file, each with what shows it.
pub fn fitting(groups: &[Group]) -> Vec<(&'static Signature, Vec<String>)> {
    // One text for all: a search has to be prepared for each text that is searched.
    let stems = groups.iter().fold(String::new(), |stems, group| stems + &group.stem + "\n").replace('.', "_");
    let axes: HashSet<usize> = groups
        .iter()
        .flat_map(|group| group.tensors.values().flat_map(|tensor| tensor.shape.iter().copied()))
        .collect();
    let has = |mark: &String| {
        let (before, after) = stems.split_at(stems.find(mark.as_str())?);
        let start = before.rfind('\n').map_or(0, |end| end + 1);
        Some(&stems[start..before.len() + after.find('\n')?])
    };
    let fits = |row: &'static Signature| {
        let (Some(stem), None) = (row.any.iter().find_map(has), row.none.iter().find_map(has)) else { return None };
        let width = row.widths.iter().find(|width| axes.contains(width));
        if !row.widths.is_empty() && width.is_none() {
            return None;
        }
        let mut evidence = vec![format!("a layer is called `{stem}`: {}", row.label)];
        evidence.extend(width.map(|width| format!("layers {width} wide: {}", row.label)));
        Some((row, evidence))
    };
    SIGNATURES.family.iter().filter_map(fits).collect()
}

/// The family that metadata names: `sd15`, `flux1`, …
pub fn said(metadata: &BTreeMap<String, String>) -> Option<&'static str> {
    let text = metadata.get("ss_base_model_version").or(metadata.get("modelspec.architecture"))?;
    let starts = |list: &[&str]| list.iter().any(|start| text.starts_with(start));
    let row = SIGNATURES.family.iter().find(|row| row.said.iter().any(|start| text.starts_with(start.as_str())));
    match row {
        Some(row) => Some(&row.name),
        None if starts(&["sd_v1", "stable-diffusion-v1"]) => Some("sd15"),
        None if starts(&["sd_v2", "stable-diffusion-v2"]) => Some("sd21"),
        None if starts(&["sdxl", "stable-diffusion-xl"]) => Some("sdxl"),
        None => None,
    }
}

/// What the metadata says of the base model, in sentences.
pub fn quoted(metadata: &BTreeMap<String, String>) -> Vec<String> {
    ["ss_base_model_version", "modelspec.architecture", "general.architecture", "general.base_model.0.name"]
        .iter()
        .filter_map(|key| Some(format!("metadata {key} says {:?}", metadata.get(*key)?)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Architecture;

    #[test]
    fn the_table_of_families_is_well_formed() {
        for row in &SIGNATURES.family {
            assert!(!row.any.is_empty() && !row.label.is_empty());
            assert!(Architecture::families().any(|family| family == row.name), "{} has no table of layers", row.name);
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
        check("stable-diffusion-3-medium/lora", Some("sd3"));
        check("flux-1-dev/lora", Some("flux1"));
        check("something else", None);
    }
}
