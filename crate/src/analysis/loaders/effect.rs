//! The effect of an edit on what each loader applies: the layers that the original file changes, counted again in the
//! edited one.

use super::LoaderVerdict;
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
        match parts.get(&(component, module.ldm.as_str())) {
            Some(parts) if module.path == module.ldm && !parts.contains(&module.path.as_str()) => {
                parts.iter().map(|part| format!("{component}.{part}")).collect()
            }
            _ => vec![format!("{component}.{}", module.path)],
        }
    };
    groups.iter().zip(found).map(weights).collect()
}

/// Returns the effect of an edit on every loader, from the reports on the original file and on the edited one. A layer
/// counts as applied in the edited file if all of its weights are, under whatever names.
pub fn effects(original: &Report, edited: &Report) -> Vec<LoaderEffect> {
    let weights = &original.applied.weights;
    let effect = |(at, verdict): (usize, &LoaderVerdict)| {
        let LoaderVerdict { loader, label, .. } = verdict;
        let before = original.applied.by_loader.get(at).map_or(&[][..], Vec::as_slice);
        let same = edited.loaders.iter().position(|verdict| verdict.loader == *loader);
        let after = same.and_then(|at| edited.applied.by_loader.get(at)).map_or(&[][..], Vec::as_slice);
        let applied = edited.applied.weights.iter().zip(after).filter(|(_, applied)| **applied);
        let applied: HashSet<&str> = applied.flat_map(|(weights, _)| weights.iter().map(String::as_str)).collect();
        let kept: Vec<bool> =
            weights.iter().map(|weights| weights.iter().all(|weight| applied.contains(weight.as_str()))).collect();
        let count = |layers: &[bool]| layers.iter().filter(|applied| **applied).count();
        let lost = before.iter().zip(&kept).filter(|(before, kept)| **before && !**kept).count();
        let (loader, label) = (loader.clone(), label.clone());
        LoaderEffect { loader, label, before: count(before), after: count(&kept), total: weights.len(), lost }
    };
    original.loaders.iter().enumerate().map(effect).collect()
}
