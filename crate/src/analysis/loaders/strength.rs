//! Notes on how a loader's effect differs from the intended one, and by how much.

use super::evidence::Evidence;
use super::rules::{AlphaPlace, Loader, MagnitudeAxis};
use crate::adapters::{ConfigSource, Delta, Group};
use crate::model::spelling::Role;
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

/// Returns how a loader's effect differs for the groups that it applies; `None` if it does not.
pub fn note(loader: &Loader, evidence: &Evidence, applied: &[(&Group, Option<&Delta>)]) -> Option<String> {
    let groups: Vec<&Group> = applied.iter().map(|(group, _)| *group).collect();
    let changes: Vec<(&Group, &Delta)> = applied.iter().filter_map(|&(group, delta)| Some((group, delta?))).collect();
    let notes = [
        alpha(loader, evidence, &changes),
        scale_key(loader, &groups),
        dora(loader, &groups),
        oft(loader, &changes),
        full_lokr(evidence, &groups),
        misplaced(loader, evidence, &changes),
    ];
    let notes: Vec<String> = notes.into_iter().flatten().collect();
    (!notes.is_empty()).then(|| notes.join(" "))
}

/// Formats "0.5" or "0.5 to 2"; `None` without values.
fn range(values: impl Iterator<Item = f32>) -> Option<String> {
    let (low, high) = values.fold((f32::INFINITY, f32::NEG_INFINITY), |(low, high), x| (low.min(x), high.max(x)));
    let short = |x: f32| format!("{}", (f64::from(x) * 1000.0).round() / 1000.0);
    match low {
        _ if low == high => Some(short(low)),
        _ if low < high => Some(format!("{} to {}", short(low), short(high))),
        _ => None,
    }
}

/// An alpha in a place that the loader does not read.
fn alpha(loader: &Loader, evidence: &Evidence, changes: &[(&Group, &Delta)]) -> Option<String> {
    let in_sidecar = evidence.config == Some(ConfigSource::Sidecar);
    let place = if in_sidecar { AlphaPlace::Config } else { AlphaPlace::Header };
    if loader.alpha >= place {
        return None;
    }
    let hidden = changes.iter().filter(|(group, delta)| {
        group.get(Role::Alpha).is_none() && delta.alpha.is_some() && delta.scale.is_finite() && delta.scale != 0.0
    });
    let scales: Vec<f32> = hidden.map(|(_, delta)| delta.scale).filter(|&scale| scale != 1.0).collect();
    let factor = range(scales.iter().map(|scale| 1.0 / scale))?;
    let strength = range(scales.iter().copied())?;
    let place = if in_sidecar { "adapter_config.json" } else { "the header's metadata" };
    Some(format!(
        "alpha is stored in {place}, which {} does not read: the effect is {factor} times the intended one; \
         use strength {strength} instead of 1, or write alpha into the file.",
        loader.label
    ))
}

/// `.scale` instead of alpha.
fn scale_key(loader: &Loader, groups: &[&Group]) -> Option<String> {
    let count = groups.iter().filter(|group| group.get(Role::Scale).is_some()).count();
    (count > 0 && !loader.takes(".scale")).then(|| {
        format!(
            "{count} layers store their scale as `.scale`, which {} does not read: it uses alpha / rank, or 1.",
            loader.label
        )
    })
}

fn dora(loader: &Loader, groups: &[&Group]) -> Option<String> {
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
        MagnitudeAxis::Dropped => format!(
            "{label} ignores {key} in {count} layers: it applies plain LoRA without DoRA's magnitudes, so the \
             effect differs at every strength."
        ),
        MagnitudeAxis::AsColumns => format!(
            "{label} applies the per-row DoRA magnitudes of {count} layers to columns: these layers are wrong, \
             without a message."
        ),
        _ => format!(
            "In {count} layers {label} divides by the row norms of the base weight instead of the changed one: \
             the effect is too strong by as much as the change increases these norms."
        ),
    })
}

fn oft(loader: &Loader, changes: &[(&Group, &Delta)]) -> Option<String> {
    let rotations: Vec<&(&Group, &Delta)> =
        changes.iter().filter(|(group, _)| group.get(Role::OftBlocks).is_some()).collect();
    if rotations.is_empty() {
        return None;
    }
    let mut notes = Vec::new();
    if loader.oft_strength_twice {
        notes.push(format!("{} applies OFT strength twice: 0.5 acts as 0.25; use 0.71 to get 0.5.", loader.label));
    }
    let limits = rotations
        .iter()
        .filter_map(|(_, delta)| Some((delta.alpha.filter(|&alpha| alpha > 0.0)?, *delta.change.shape().first()?)));
    let limits: Vec<(f32, usize)> = limits.collect();
    if let Some(outputs) = range(limits.iter().map(|&(_, outputs)| outputs as f32)).filter(|_| loader.oft_plain_alpha) {
        notes.push(format!(
            "alpha limits the rotation {outputs} times more tightly than in training (alpha, not alpha · outputs)."
        ));
    }
    let has_rescale = rotations.iter().any(|(group, _)| group.get(Role::Rescale).is_some());
    if has_rescale && loader.oft_strength_twice {
        notes.push("It ignores `rescale`.".into());
    }
    (!notes.is_empty()).then(|| notes.join(" "))
}

/// LoKr with two full factors: alpha has no effect, whatever the trainer meant.
fn full_lokr(evidence: &Evidence, groups: &[&Group]) -> Option<String> {
    let full = groups.iter().filter(|group| {
        group.get(Role::LokrW1).is_some() && group.get(Role::LokrW2).is_some() && group.get(Role::Alpha).is_some()
    });
    let count = full.count();
    let setting = |key: &str| evidence.header.metadata.get(key)?.parse::<f64>().ok();
    let (dim, alpha) = (setting("ss_network_dim")?, setting("ss_network_alpha")?);
    (count > 0 && alpha > 0.0 && dim < 10_000.0 && dim > alpha).then(|| {
        format!(
            "{count} layers are LoKr with two full factors, where alpha ({alpha}) is ignored: if the trainer meant \
             alpha / {dim}, the effect is {} times too strong.",
            (dim / alpha * 100.0).round() / 100.0
        )
    })
}

/// diffusers scales attention layers by the file's most frequent alpha.
fn misplaced(loader: &Loader, evidence: &Evidence, changes: &[(&Group, &Delta)]) -> Option<String> {
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
    Some(format!(
        "{} attention layers get the file's most frequent alpha ({common}) instead of their own: \
         {factor} times the intended effect.",
        replaced.len()
    ))
}
