//! Notes on how a loader's effect differs from the intended one, and by how much.

use super::evidence::Evidence;
use super::rules::{AlphaPlace, LoadPath, Loader, MagnitudeAxis};
use crate::adapters::{ConfigSource, Delta, Group};
use crate::model::spelling::Role;
use crate::num::parse_number;
use crate::sentence::{Sentence, Value, rounded, sentence};
use std::collections::{BTreeMap, HashMap};

/// The delta read from each group, if any.
pub type Changes<'a> = Vec<Option<&'a Delta>>;

/// Returns the delta read from each group, if any.
pub fn changes<'a>(evidence: &Evidence<'a>) -> Changes<'a> {
    let mut by_key: HashMap<&str, &Delta> = HashMap::new();
    for delta in &evidence.adapter.deltas {
        by_key.extend(delta.change.factors().first().map(|factor| (factor.key.as_str(), delta)));
    }
    let of = |group: &Group| group.tensors.values().find_map(|tensor| by_key.get(tensor.name.as_str()).copied());
    evidence.groups.iter().map(of).collect()
}

/// Returns how a loader's effect differs for the groups that it applies, on one of its code paths; `None` if it does not.
pub fn note(
    loader: &Loader,
    path: Option<&LoadPath>,
    evidence: &Evidence,
    applied: &[(&Group, Option<&Delta>)],
) -> Option<Sentence> {
    let groups: Vec<&Group> = applied.iter().map(|(group, _)| *group).collect();
    let changes: Vec<(&Group, &Delta)> = applied.iter().filter_map(|&(group, delta)| Some((group, delta?))).collect();
    let notes = [
        alpha(loader, evidence, &changes),
        dropped_alpha(loader, &changes).filter(|_| path.is_some_and(|path| path.drops_alpha)),
        zero_alpha(&loader.label, evidence, &changes).filter(|_| path.is_none_or(|path| !path.drops_alpha)),
        scale_key(loader, &groups),
        dora(loader, &groups),
        oft(loader, &changes),
        full_lokr(evidence, &groups),
        misplaced(loader, evidence, &changes),
    ];
    Sentence::joined(notes.into_iter().flatten().collect())
}

/// Returns "0.5" or "0.5 to 2"; `None` without values.
fn range(values: impl Iterator<Item = f32>) -> Option<Value> {
    Value::range(values.map(f64::from))
}

/// An alpha in a place that the loader does not read.
fn alpha(loader: &Loader, evidence: &Evidence, changes: &[(&Group, &Delta)]) -> Option<Sentence> {
    let in_sidecar = evidence.configs.place() == Some(ConfigSource::Sidecar);
    let place = if in_sidecar { AlphaPlace::Config } else { AlphaPlace::Header };
    if loader.alpha >= place {
        return None;
    }
    let hidden = changes.iter().filter(|(group, delta)| {
        group.get(Role::Alpha).is_none() && delta.alpha.is_some() && delta.scale.is_finite() && delta.scale != 0.0
    });
    let id = if in_sidecar { "strength.alpha_config" } else { "strength.alpha_header" };
    at_scale_1(id, loader, hidden.map(|(_, delta)| delta.scale))
}

/// Alpha tensors that are not read.
fn dropped_alpha(loader: &Loader, changes: &[(&Group, &Delta)]) -> Option<Sentence> {
    let stored = changes
        .iter()
        .filter(|(group, delta)| group.get(Role::Alpha).is_some() && delta.scale.is_finite() && delta.scale != 0.0);
    at_scale_1("strength.alpha_dropped", loader, stored.map(|(_, delta)| delta.scale))
}

/// Layers whose alpha tensor is 0: every loader that reads it multiplies their change by 0.
pub fn zero_alpha(label: &str, evidence: &Evidence, changes: &[(&Group, &Delta)]) -> Option<Sentence> {
    let stored = changes.iter().filter(|(group, _)| group.get(Role::Alpha).is_some());
    let count = stored.filter(|(_, delta)| evidence.zero_alpha.contains(&delta.path())).count();
    (count > 0).then(|| sentence!("strength.zero_alpha", n = count, loader = label))
}

/// Returns the sentence on layers of these scales that a loader applies at scale 1; `None` if that is their scale.
fn at_scale_1(id: &str, loader: &Loader, scales: impl Iterator<Item = f32>) -> Option<Sentence> {
    let scales: Vec<f32> = scales.filter(|&scale| scale != 1.0).collect();
    let factor = range(scales.iter().map(|scale| 1.0 / scale))?;
    let strength = range(scales.iter().copied())?;
    Some(sentence!(id, loader = &loader.label, factor = factor, strength = strength))
}

/// `.scale` instead of alpha.
fn scale_key(loader: &Loader, groups: &[&Group]) -> Option<Sentence> {
    let count = groups.iter().filter(|group| group.get(Role::Scale).is_some()).count();
    (count > 0 && !loader.takes(".scale", false))
        .then(|| sentence!("strength.scale_key", n = count, loader = &loader.label))
}

fn dora(loader: &Loader, groups: &[&Group]) -> Option<Sentence> {
    let has_columns = |group: &&&Group| {
        group.get(Role::DoraScale).is_some_and(|tensor| tensor.shape.len() > 1 && tensor.shape[0] == 1)
    };
    let with = |role: Role| groups.iter().filter(move |group| group.get(role).is_some());
    let (per_column, scales) = (with(Role::DoraScale).filter(has_columns).count(), with(Role::DoraScale).count());
    let kinds = [
        (per_column, loader.dora_columns, "dora_scale"),
        (scales - per_column, loader.dora_rows, "dora_scale"),
        (with(Role::Magnitude).count(), loader.magnitude, "lora_magnitude_vector"),
    ];
    let (count, axis, key) = kinds.into_iter().find(|(count, axis, _)| *count > 0 && *axis != MagnitudeAxis::Exact)?;
    let label = &loader.label;
    Some(match axis {
        MagnitudeAxis::Dropped => sentence!("strength.dora_dropped", n = count, loader = label, key = key),
        MagnitudeAxis::AsColumns => sentence!("strength.dora_columns", n = count, loader = label),
        _ => sentence!("strength.dora_base_norm", n = count, loader = label),
    })
}

fn oft(loader: &Loader, changes: &[(&Group, &Delta)]) -> Option<Sentence> {
    let rotations: Vec<&(&Group, &Delta)> =
        changes.iter().filter(|(group, _)| group.get(Role::OftBlocks).is_some()).collect();
    if rotations.is_empty() {
        return None;
    }
    let mut notes = Vec::new();
    if loader.oft_strength_twice {
        notes.push(sentence!("strength.oft_twice", loader = &loader.label));
    }
    let limits = rotations
        .iter()
        .filter_map(|(_, delta)| Some((delta.alpha.filter(|&alpha| alpha > 0.0)?, *delta.change.shape().first()?)));
    let limits: Vec<(f32, usize)> = limits.collect();
    if let Some(outputs) = range(limits.iter().map(|&(_, outputs)| outputs as f32)).filter(|_| loader.oft_plain_alpha) {
        notes.push(sentence!("strength.oft_alpha", outputs = outputs));
    }
    let has_rescale = rotations.iter().any(|(group, _)| group.get(Role::Rescale).is_some());
    if has_rescale && loader.oft_strength_twice {
        notes.push(sentence!("strength.no_rescale"));
    }
    Sentence::joined(notes)
}

/// LoKr with two full factors: alpha has no effect, whatever the trainer meant.
fn full_lokr(evidence: &Evidence, groups: &[&Group]) -> Option<Sentence> {
    let full = groups.iter().filter(|group| {
        group.get(Role::LokrW1).is_some() && group.get(Role::LokrW2).is_some() && group.get(Role::Alpha).is_some()
    });
    let count = full.count();
    let setting = |key: &str| parse_number(evidence.header.metadata.get(key)?);
    let (dim, alpha) = (setting("ss_network_dim")?, setting("ss_network_alpha")?);
    (count > 0 && alpha > 0.0 && dim < 10_000.0 && dim > alpha).then(|| {
        let factor = rounded(dim / alpha, 2);
        sentence!("strength.full_lokr", n = count, alpha = alpha, dim = dim, factor = factor)
    })
}

/// diffusers scales attention layers by the file's most frequent alpha.
fn misplaced(loader: &Loader, evidence: &Evidence, changes: &[(&Group, &Delta)]) -> Option<Sentence> {
    let keys: Vec<&str> = evidence.header.tensors.iter().map(|tensor| tensor.name.as_str()).collect();
    if !loader.misplaces_alphas || !loader.is_converted(&keys) {
        return None;
    }
    let mut counts: BTreeMap<u32, usize> = BTreeMap::new();
    for alpha in changes.iter().filter_map(|(_, delta)| delta.alpha) {
        *counts.entry(alpha.to_bits()).or_default() += 1;
    }
    let common = f32::from_bits(*counts.iter().max_by_key(|(_, count)| **count)?.0);
    let attention = |path: &str| [".to_q", ".to_k", ".to_v", ".to_out"].iter().any(|part| path.contains(part));
    let alphas = changes.iter().filter(|(_, delta)| attention(&delta.module.path)).filter_map(|(_, delta)| delta.alpha);
    let replaced: Vec<f32> = alphas.filter(|&alpha| alpha != common && alpha != 0.0).collect();
    let factor = range(replaced.iter().map(|alpha| common / alpha))?;
    Some(sentence!("strength.common_alpha", n = replaced.len(), alpha = common, factor = factor))
}
