//! Turns names and shapes of an adapter's tensors into the family of models it was made for.
//!
//! Shapes count before metadata, which is often wrong or missing: names say which networks are
//! possible, the kind of layers and their widths decide between them, and metadata breaks ties.

use crate::adapters::{Group, locate};
use crate::model::spelling::Role;
use crate::model::{Component, Family, FamilyId, Kind, Module};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::sync::LazyLock;

/// The family of models that a file was made for.
#[derive(Debug, Clone, PartialEq)]
pub struct Detected {
    /// `sd15`, …, or `unknown`.
    pub name: String,
    /// Its name for people.
    pub label: String,
    /// What says so.
    pub evidence: Vec<String>,
    /// The family, where its layers are listed.
    pub id: Option<FamilyId>,
    /// Whether the sizes are those of the published model.
    pub published_sizes: bool,
}

/// Names the family of a file's groups. `base` is the model that the file is meant for, if known.
pub fn detect(
    groups: &[Group],
    metadata: &BTreeMap<String, String>,
    base: Option<(FamilyId, &[(Component, &Module)])>,
) -> Detected {
    let mut best: Option<Fit> = None;
    for id in FamilyId::ALL {
        let Ok(family) = Family::published(id) else { continue };
        let mut fit = Fit::of(id, groups, &family.modules());
        if let Some((_, modules)) = base.filter(|&(base, _)| base == id) {
            fit.at_base = Fit::of(id, groups, modules).sizes;
        }
        fit.said = said(metadata) == Some(id);
        if best.as_ref().is_none_or(|best| fit.score() > best.score()) {
            best = Some(fit);
        }
    }
    match best.filter(|fit| fit.named > 0 && fit.named * 2 >= groups.len()) {
        Some(fit) => fit.detected(groups.len(), metadata),
        None => foreign(groups, metadata),
    }
}

/// The family that the metadata names.
fn said(metadata: &BTreeMap<String, String>) -> Option<FamilyId> {
    let text = metadata.get("ss_base_model_version").or(metadata.get("modelspec.architecture"))?;
    let starts = |list: &[&str]| list.iter().any(|start| text.starts_with(start));
    if starts(&["sd_v1", "stable-diffusion-v1"]) {
        Some(FamilyId::Sd15)
    } else if starts(&["sd_v2", "stable-diffusion-v2"]) {
        Some(FamilyId::Sd21)
    } else if starts(&["sdxl", "stable-diffusion-xl"]) {
        Some(FamilyId::Sdxl)
    } else {
        None
    }
}

/// How well a family explains a file.
struct Fit {
    id: FamilyId,
    /// Groups whose layer the family has.
    named: usize,
    unet: usize,
    /// Of those, with a convolution's tensors for a linear layer or the other way round.
    wrong_kind: usize,
    /// Of those, with the layer's input width.
    sizes: usize,
    sized: usize,
    /// The same, in the base that the file is meant for.
    at_base: usize,
    /// Whether the metadata names the family.
    said: bool,
    cross: Option<(usize, usize)>,
    proj_in: Option<bool>,
    last_text_layer: Option<usize>,
    second_encoder: usize,
}

impl Fit {
    fn of(id: FamilyId, groups: &[Group], modules: &[(Component, &Module)]) -> Fit {
        let mut fit = Fit {
            id,
            named: 0,
            unet: 0,
            wrong_kind: 0,
            sizes: 0,
            sized: 0,
            at_base: 0,
            said: false,
            cross: None,
            proj_in: None,
            last_text_layer: None,
            second_encoder: 0,
        };
        for (group, found) in groups.iter().zip(locate(groups, modules)) {
            if let Some(found) = found {
                fit.take(group, found.component, found.module);
            }
        }
        fit
    }

    fn take(&mut self, group: &Group, component: Component, module: &Module) {
        self.named += 1;
        match component {
            Component::Unet => self.unet += 1,
            Component::TextEncoder2 => self.second_encoder += 1,
            _ => self.last_text_layer = self.last_text_layer.max(layer_number(&module.path)),
        }
        let Some((found, axes)) = input_width(group) else { return };
        let (wanted, conv) = match module.kind {
            Kind::Linear { inputs, .. } => (inputs, false),
            Kind::Conv { inputs, .. } => (inputs, true),
            _ => return,
        };
        self.sized += 1;
        self.sizes += usize::from(found == wanted);
        self.wrong_kind += usize::from(axes.is_some_and(|axes| (axes == 4) != conv));
        if module.path.ends_with("attn2.to_k") || module.path.ends_with("attn2.to_v") {
            self.cross = Some((found, wanted));
        }
        if module.path.ends_with("proj_in") {
            self.proj_in = axes.map(|axes| axes == 4);
        }
    }

    fn score(&self) -> (usize, usize, usize, bool) {
        (self.named - self.wrong_kind.min(self.named), self.at_base, self.sizes, self.said)
    }

    fn detected(self, groups: usize, metadata: &BTreeMap<String, String>) -> Detected {
        let label = self.id.label();
        let mut evidence = vec![format!("{} of {groups} layers have names of {label}", self.named)];
        match self.cross {
            Some((found, wanted)) if found == wanted => {
                evidence.push(format!("cross-attention input {found} wide: {label}"));
            }
            Some((found, wanted)) => {
                evidence.push(format!("cross-attention input {found} wide, where {label} has {wanted}"));
            }
            None => {}
        }
        match self.proj_in {
            Some(true) => evidence.push("proj_in is a 1x1 convolution: Stable Diffusion 1.x".into()),
            Some(false) => evidence.push("proj_in is linear: Stable Diffusion 2.x or XL".into()),
            None => {}
        }
        if let Some(last) = self.last_text_layer {
            evidence.push(format!("text encoder layers up to number {last}"));
        }
        if self.second_encoder > 0 {
            evidence.push(format!("{} layers of a second text encoder: Stable Diffusion XL", self.second_encoder));
        }
        let published_sizes = self.sizes * 2 > self.sized;
        if self.sized > 0 && !published_sizes {
            evidence.push(format!(
                "the sizes are not those of the published {label}: a small or changed model of that family"
            ));
        }
        evidence.extend(metadata_evidence(metadata));
        Detected { name: self.id.name().into(), label: label.into(), evidence, id: Some(self.id), published_sizes }
    }
}

fn metadata_evidence(metadata: &BTreeMap<String, String>) -> Vec<String> {
    ["ss_base_model_version", "modelspec.architecture"]
        .iter()
        .filter_map(|key| Some(format!("metadata {key} says {:?}", metadata.get(*key)?)))
        .collect()
}

/// The number in `….layers.7.…`.
fn layer_number(path: &str) -> Option<usize> {
    path.split_once("layers.")?.1.split('.').next()?.parse().ok()
}

/// Input channels that a group's tensors show, and the axes of the tensor that keeps a kernel.
fn input_width(group: &Group) -> Option<(usize, Option<usize>)> {
    let shape = |role| group.get(role).map(|tensor| tensor.shape.as_slice());
    if let Some(shape) = shape(Role::Down).or(shape(Role::Diff)) {
        return Some((*shape.get(1)?, Some(shape.len())));
    }
    Some((*shape(Role::HadaW1B)?.get(1)?, None))
}

/// A row of families.toml.
#[derive(Deserialize)]
struct Signature {
    name: String,
    label: String,
    #[serde(default)]
    any: Vec<String>,
    #[serde(default)]
    none: Vec<String>,
    #[serde(default)]
    widths: Vec<usize>,
}

#[derive(Deserialize)]
struct Signatures {
    family: Vec<Signature>,
}

static SIGNATURES: LazyLock<Signatures> =
    LazyLock::new(|| toml::from_str(include_str!("families.toml")).expect("families.toml is checked by a test"));

/// The family of a file for a network whose layers are not listed.
fn foreign(groups: &[Group], metadata: &BTreeMap<String, String>) -> Detected {
    let stems: Vec<String> = groups.iter().map(|group| group.stem.replace('.', "_")).collect();
    let has = |mark: &String| stems.iter().find(|stem| stem.contains(mark.as_str()));
    let wide =
        |width: usize| groups.iter().any(|group| group.tensors.values().any(|tensor| tensor.shape.contains(&width)));
    for row in &SIGNATURES.family {
        let (Some(stem), None) = (row.any.iter().find_map(has), row.none.iter().find_map(has)) else { continue };
        let width = row.widths.iter().find(|&&width| wide(width));
        if !row.widths.is_empty() && width.is_none() {
            continue;
        }
        let mut evidence = vec![format!("a layer is called `{stem}`: {}", row.label)];
        evidence.extend(width.map(|width| format!("layers {width} wide: {}", row.label)));
        evidence.extend(metadata_evidence(metadata));
        return Detected {
            name: row.name.clone(),
            label: row.label.clone(),
            evidence,
            id: None,
            published_sizes: true,
        };
    }
    Detected {
        name: "unknown".into(),
        label: "an unknown model".into(),
        evidence: metadata_evidence(metadata),
        id: None,
        published_sizes: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_families_is_well_formed() {
        assert!(SIGNATURES.family.iter().all(|row| !row.any.is_empty() && !row.label.is_empty()));
    }
}
