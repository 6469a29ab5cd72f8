//! Turns what a loader does differently into a sentence that says by how much.

use super::judge::Evidence;
use super::rules::{AlphaPlace, MagnitudeAxis, Loader};
use crate::adapters::{ConfigPlace, Delta, Group};
use crate::model::spelling::Role;
use std::collections::{BTreeMap, HashMap};

/// The change that was read from each group, where one was.
pub type Changes<'a> = Vec<Option<&'a Delta>>;

/// The change that was read from each group.
pub fn changes<'a>(evidence: &Evidence<'a>) -> Changes<'a> {
    let mut by_key: HashMap<&str, &Delta> = HashMap::new();
    for delta in &evidence.adapter.deltas {
        by_key.extend(delta.change.factors().first().map(|factor| (factor.key.as_str(), delta)));
    }
    let of = |group: &Group| group.tensors.values().find_map(|tensor| by_key.get(tensor.name.as_str()).copied());
    evidence.groups.iter().map(of).collect()
}

/// How a loader's effect differs for the groups that it applies; none where it does not.
pub fn note(loader: &Loader, evidence: &Evidence, landed: &[(&Group, Option<&Delta>)]) -> Option<String> {
    let groups: Vec<&Group> = landed.iter().map(|(group, _)| *group).collect();
    let changes: Vec<(&Group, &Delta)> = landed.iter().filter_map(|&(group, delta)| Some((group, delta?))).collect();
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

/// "0.5" or "0.5 to 2"; none where there are no numbers.
fn range(numbers: impl Iterator<Item = f32>) -> Option<String> {
    let (low, high) = numbers.fold((f32::INFINITY, f32::NEG_INFINITY), |(low, high), x| (low.min(x), high.max(x)));
    let short = |x: f32| format!("{}", (f64::from(x) * 1000.0).round() / 1000.0);
    match low {
        _ if low == high => Some(short(low)),
        _ if low < high => Some(format!("{} to {}", short(low), short(high))),
        _ => None,
    }
}

/// An alpha that stands where the loader does not look.
fn alpha(loader: &Loader, evidence: &Evidence, changes: &[(&Group, &Delta)]) -> Option<String> {
    let beside = evidence.config == Some(ConfigPlace::Sidecar);
    let place = if beside { AlphaPlace::Config } else { AlphaPlace::Header };
    if loader.alpha >= place {
        return None;
    }
    let hidden = changes.iter().filter(|(group, delta)| {
        group.get(Role::Alpha).is_none() && delta.alpha.is_some() && delta.scale.is_finite() && delta.scale != 0.0
    });
    let scales: Vec<f32> = hidden.map(|(_, delta)| delta.scale).filter(|&scale| scale != 1.0).collect();
    let factor = range(scales.iter().map(|scale| 1.0 / scale))?;
    let strength = range(scales.iter().copied())?;
    let place = if beside { "adapter_config.json" } else { "the header's metadata" };
    Some(format!(
        "alpha stands in {place}, where {} does not look: the effect is {factor} times what it should be; \
         use strength {strength} for 1, or write alpha into the file.",
        loader.label
    ))
}

/// `.scale` in place of alpha.
fn scale_key(loader: &Loader, groups: &[&Group]) -> Option<String> {
    let count = groups.iter().filter(|group| group.get(Role::Scale).is_some()).count();
    (count > 0 && !loader.takes(".scale")).then(|| {
        format!(
            "{count} layers carry their scale as `.scale`, which {} does not read: it uses alpha / rank, or 1.",
            loader.label
        )
    })
}

fn dora(loader: &Loader, groups: &[&Group]) -> Option<String> {
    let columns = |group: &&&Group| {
        group.get(Role::DoraScale).is_some_and(|tensor| tensor.shape.len() > 1 && tensor.shape[0] == 1)
    };
    let of = |role: Role| groups.iter().filter(move |group| group.get(role).is_some());
    let (in_columns, scales) = (of(Role::DoraScale).filter(columns).count(), of(Role::DoraScale).count());
    let kinds = [
        (in_columns, loader.dora_columns, "dora_scale"),
        (scales - in_columns, loader.dora_rows, "dora_scale"),
        (of(Role::Magnitude).count(), loader.magnitude, "lora_magnitude_vector"),
    ];
    let (count, what, key) = kinds.into_iter().find(|(count, what, _)| *count > 0 && *what != MagnitudeAxis::Exact)?;
    let label = &loader.label;
    Some(match what {
        MagnitudeAxis::Dropped => format!(
            "{label} leaves out {key} in {count} layers: plain LoRA remains, without DoRA's lengths, and the \
             effect is another one at every strength."
        ),
        MagnitudeAxis::AsColumns => format!(
            "The lengths in {count} layers are of rows, and {label} takes them for lengths of columns: \
             these layers come out wrong, without a message."
        ),
        _ => format!(
            "In {count} layers {label} divides by the length of the base's rows and not of the changed ones: \
             the effect is stronger by as much as the change lengthens a row."
        ),
    })
}

fn oft(loader: &Loader, changes: &[(&Group, &Delta)]) -> Option<String> {
    let turned: Vec<&(&Group, &Delta)> =
        changes.iter().filter(|(group, _)| group.get(Role::OftBlocks).is_some()).collect();
    if turned.is_empty() {
        return None;
    }
    let mut notes = Vec::new();
    if loader.oft_strength_twice {
        notes.push(format!("{} applies OFT's strength twice: 0.5 acts as 0.25; use 0.71 for 0.5.", loader.label));
    }
    let limited = turned
        .iter()
        .filter_map(|(_, delta)| Some((delta.alpha.filter(|&alpha| alpha > 0.0)?, *delta.change.shape().first()?)));
    let limits: Vec<(f32, usize)> = limited.collect();
    if let Some(outputs) = range(limits.iter().map(|&(_, outputs)| outputs as f32)).filter(|_| loader.oft_plain_alpha) {
        notes.push(format!(
            "alpha limits the turn {outputs} times tighter there than its trainer meant (alpha, not alpha · outputs)."
        ));
    }
    let rescaled = turned.iter().any(|(group, _)| group.get(Role::Rescale).is_some());
    if rescaled && loader.oft_strength_twice {
        notes.push("It leaves out `rescale`.".into());
    }
    (!notes.is_empty()).then(|| notes.join(" "))
}

/// LoKr of two whole factors: alpha scales nothing, whatever its trainer meant.
fn full_lokr(evidence: &Evidence, groups: &[&Group]) -> Option<String> {
    let whole = groups.iter().filter(|group| {
        group.get(Role::LokrW1).is_some() && group.get(Role::LokrW2).is_some() && group.get(Role::Alpha).is_some()
    });
    let count = whole.count();
    let number = |key: &str| evidence.header.metadata.get(key)?.parse::<f64>().ok();
    let (dim, alpha) = (number("ss_network_dim")?, number("ss_network_alpha")?);
    (count > 0 && alpha > 0.0 && dim < 10_000.0 && dim > alpha).then(|| {
        format!(
            "{count} layers are LoKr of two whole factors, where alpha ({alpha}) is ignored: if the trainer meant \
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
    let off = changes.iter().filter(|(_, delta)| attention(&delta.module.path)).filter_map(|(_, delta)| delta.alpha);
    let off: Vec<f32> = off.filter(|&alpha| alpha != common && alpha != 0.0).collect();
    let factor = range(off.iter().map(|alpha| common / alpha))?;
    Some(format!(
        "{} attention layers get the file's most frequent alpha ({common}) and not their own: {factor} times their effect.",
        off.len()
    ))
}
