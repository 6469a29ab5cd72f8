//! The effect of an edit on what each loader applies: the layers that the original file changes, counted again in the
//! edited one.

use super::{AppliedLayers, LoaderVerdict};
use crate::adapters::Group;
use crate::analysis::family::{Detected, Layers};
use crate::analysis::report::Report;
use crate::model::spelling::ModuleMatch;
use crate::model::{Component, ModuleSource};
use serde::Serialize;
use std::collections::{HashMap, HashSet};
use ts_rs::TS;

/// Layers of a file that a loader applies before and after an edit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, TS)]
pub struct LoaderEffect {
    /// Identifier of the loader: `comfyui`, …
    pub loader: String,
    /// Its display name.
    pub label: String,
    /// Number of the original file's layers that it applies.
    pub before: usize,
    /// Number of these layers that it applies in the edited file.
    pub after: usize,
    /// Number of layers that the original file changes.
    pub total: usize,
    /// Layers that it applies in the original file but not in the edited one.
    #[serde(skip)]
    #[ts(skip)]
    pub lost: usize,
}

/// Returns the changed weights of each group's layer, as the most finely split implementation names them: a fused layer
/// has those of its parts, so that it can be compared with them.
pub fn weights(groups: &[Group], family: &Detected) -> Vec<Vec<String>> {
    let mut parts: HashMap<(Component, &str), Vec<&str>> = HashMap::new();
    if let Some(Layers::Architecture(architecture, _)) = family.layers {
        for (component, module) in architecture.modules_of(ModuleSource::Diffusers) {
            parts.entry((component, &module.ldm)).or_default().push(&module.path);
        }
    }
    let found = family.found.iter().copied().chain(std::iter::repeat(None));
    let weights = |(group, found): (&Group, Option<ModuleMatch>)| {
        let Some(ModuleMatch { component, module, .. }) = found else { return vec![group.stem.clone()] };
        let fused = match family.layers {
            Some(Layers::Architecture(architecture, _)) => architecture.fused_by_trainer(&module.path),
            _ => Vec::new(),
        };
        if let Some(Layers::Architecture(architecture, _)) = family.layers
            && let Some(part) = architecture.named_by_trainer(&module.path)
        {
            return vec![format!("{component}.{}", part.path)];
        }
        if !fused.is_empty() {
            return fused.iter().map(|part| format!("{component}.{}", part.path)).collect();
        }
        match parts.get(&(component, module.ldm.as_str())) {
            Some(parts) if module.path == module.ldm && !parts.contains(&module.path.as_str()) => {
                parts.iter().map(|part| format!("{component}.{part}")).collect()
            }
            _ => vec![format!("{component}.{}", module.path)],
        }
    };
    groups.iter().zip(found).map(weights).collect()
}

impl AppliedLayers {
    /// Returns whether the loader at this index applies each layer of `original` here, under whatever names: a layer
    /// counts as applied if all of its weights are.
    fn keeps(&self, original: &AppliedLayers, at: usize) -> Vec<bool> {
        let here = self.by_loader.get(at).map_or(&[][..], Vec::as_slice);
        let applied = self.weights.iter().zip(here).filter(|(_, applied)| **applied);
        let applied: HashSet<&str> = applied.flat_map(|(weights, _)| weights.iter().map(String::as_str)).collect();
        let is_kept = |weights: &Vec<String>| weights.iter().all(|weight| applied.contains(weight.as_str()));
        original.weights.iter().map(is_kept).collect()
    }

    /// Returns how many of its layers the loader at this index applies, and how many of these are lost in an edited file.
    fn lost(&self, edited: &AppliedLayers, at: usize) -> (usize, usize) {
        let before = self.by_loader.get(at).map_or(&[][..], Vec::as_slice);
        let lost = before.iter().zip(edited.keeps(self, at)).filter(|(before, kept)| **before && !kept).count();
        (count(before), lost)
    }
}

fn count(layers: &[bool]) -> usize {
    layers.iter().filter(|applied| **applied).count()
}

/// Returns the effect of an edit on every loader, from the reports on the original file and on the edited one.
pub fn effects(original: &Report, edited: &Report) -> Vec<LoaderEffect> {
    let effect = |(at, LoaderVerdict { loader, label, .. }): (usize, &LoaderVerdict)| {
        let (before, lost) = original.applied.lost(&edited.applied, at);
        let (after, total) = (count(&edited.applied.keeps(&original.applied, at)), original.applied.weights.len());
        LoaderEffect { loader: loader.clone(), label: label.clone(), before, after, total, lost }
    };
    original.loaders.iter().enumerate().map(effect).collect()
}

/// Returns whether a loader loses a layer by an edit if the file is for another of the families that it fits.
pub fn harms_others(original: &Report, edited: &Report) -> bool {
    let judged = |family: &str| {
        let mut all = std::iter::once(&edited.applied).chain(&edited.applied.others);
        all.find(|applied| applied.family == family)
    };
    original.applied.others.iter().any(|before| {
        let loaders = 0..original.loaders.len();
        judged(&before.family).is_none_or(|after| loaders.clone().any(|at| before.lost(after, at).1 > 0))
    })
}
