//! What a loader does with each group of a file by its general rules or those of a special code path.

use super::rules::{LoadPath, Loader, Name};
use crate::adapters::Group;
use crate::model::spelling::{ModuleMatch, Role};

/// Result of loading one group.
pub(super) enum KeyOutcome<'a> {
    /// The change is applied, perhaps without tensors that only scale it.
    Applied,
    /// The family has no such layer.
    NoLayer,
    /// The loader does not look up the key.
    NotLookedUp(&'a ModuleMatch<'a>),
    /// The loader does not read tensors with this suffix.
    Unreadable(&'a str),
    /// A tensor lacks its counterpart, or their ranks differ: no program can compute the change.
    Incomplete,
    /// The suffix is supported but the loader cannot compute the change: the layer is skipped.
    Fails(&'a str),
}

/// Returns the suffix of a tensor's key after its group's stem.
pub(super) fn ending<'a>(group: &Group, name: &'a str) -> &'a str {
    name.get(group.stem.len()..).unwrap_or(name)
}

/// Returns the suffixes of all keys of a group.
pub(super) fn endings(group: &Group) -> Vec<&str> {
    group.tensors.values().map(|tensor| ending(group, &tensor.name)).collect()
}

/// Returns whether a tensor holds a change instead of only scaling or limiting one.
fn holds_change(role: Role) -> bool {
    !matches!(
        role,
        Role::Alpha | Role::Scale | Role::DoraScale | Role::Magnitude | Role::Rescale | Role::OnInput | Role::LoraBias
    )
}

/// The rules of a loader that apply to one file.
pub(super) struct ActiveRules<'a> {
    pub(super) loader: &'a Loader,
    pub(super) path: Option<&'a LoadPath>,
    pub(super) names: Vec<&'a Name>,
    /// Whether the loader converts the whole file.
    pub(super) is_converted: bool,
}

impl<'a> ActiveRules<'a> {
    pub(super) fn of(loader: &'a Loader, path: Option<&'a LoadPath>, family: &str, keys: &[&str]) -> ActiveRules<'a> {
        let of_path = path.and_then(|path| path.names(family, keys));
        let names = of_path.unwrap_or_else(|| loader.names_for(family, keys));
        ActiveRules { loader, path, names, is_converted: path.is_none() && loader.is_converted(keys) }
    }

    pub(super) fn takes(&self, ending: &str) -> bool {
        let of_path = self.path.and_then(|path| path.takes(ending));
        of_path.unwrap_or_else(|| self.loader.takes(ending, self.is_converted))
    }

    /// Returns the version since which the loader applies such layers of a family, if it is known.
    pub(super) fn since(&self, family: &str, applied: &[(&Group, &ModuleMatch)]) -> Option<&'a str> {
        let of_layer = |(group, found): &(&Group, &ModuleMatch)| {
            let mut names = self.names.iter().filter(|name| name.fits(&group.stem, found)).map(|name| &name.since);
            if names.clone().all(Option::is_some) { names.next()?.as_deref() } else { None }
        };
        let of_path = self.path.and_then(|path| path.since.as_deref());
        let is_named = |(group, _): &(&Group, &ModuleMatch)| endings(group).iter().any(|end| end.contains(".default"));
        let of_names = self.loader.default_since.as_deref().filter(|_| applied.iter().any(is_named));
        of_path.or(of_names).or_else(|| applied.iter().find_map(of_layer)).or(self
            .loader
            .since
            .get(family)
            .map(String::as_str))
    }
}

pub(super) fn key_outcome<'a>(
    active: &ActiveRules,
    group: &'a Group,
    found: &'a Option<ModuleMatch<'a>>,
    is_incomplete: bool,
) -> KeyOutcome<'a> {
    let loader = active.loader;
    let Some(found) = found else { return KeyOutcome::NoLayer };
    if !active.names.iter().any(|name| name.fits(&group.stem, found)) {
        return KeyOutcome::NotLookedUp(found);
    }
    for (&role, tensor) in &group.tensors {
        let ending = ending(group, &tensor.name);
        if holds_change(role) && !active.takes(ending) {
            return KeyOutcome::Unreadable(ending);
        }
    }
    // A tensor that only scales a change has no effect without one.
    if !group.tensors.keys().any(|&role| holds_change(role)) {
        let first = group.tensors.values().next().map_or("", |tensor| ending(group, &tensor.name));
        return KeyOutcome::Unreadable(first);
    }
    let boft = group.get(Role::OftBlocks).is_some_and(|tensor| tensor.shape.len() == 4);
    if loader.boft_needs_alpha && boft && group.get(Role::Alpha).is_none() {
        return KeyOutcome::Unreadable(".oft_blocks");
    }
    // The first layout has b1 (rank, inputs) and b2 (outputs, rank).
    let is_old_layout = || {
        let pair = group.get(Role::GloraB1).zip(group.get(Role::GloraB2));
        pair.is_some_and(|(b1, b2)| b1.shape.first() == b2.shape.get(1) && b1.shape.first() < b1.shape.get(1))
    };
    if loader.glora_old_only && group.get(Role::GloraB1).is_some() && !is_old_layout() {
        return KeyOutcome::Fails(".b1.weight");
    }
    if loader.tucker_lokr_fails && group.get(Role::LokrT2).is_some() {
        return KeyOutcome::Fails(".lokr_t2");
    }
    if loader.dora_on_pairs_only && group.get(Role::DoraScale).is_some() && group.get(Role::Up).is_none() {
        return KeyOutcome::Unreadable(".dora_scale");
    }
    if is_incomplete { KeyOutcome::Incomplete } else { KeyOutcome::Applied }
}

pub(super) fn count_applied(outcomes: &[KeyOutcome]) -> usize {
    outcomes.iter().filter(|outcome| matches!(outcome, KeyOutcome::Applied)).count()
}

/// Returns the first group that the loader finds but cannot read, with the suffix.
pub(super) fn unreadable<'a>(groups: &'a [Group], outcomes: &'a [KeyOutcome<'a>]) -> Option<(&'a Group, &'a str)> {
    groups.iter().zip(outcomes).find_map(|(group, outcome)| match outcome {
        KeyOutcome::Unreadable(ending) => Some((group, *ending)),
        _ => None,
    })
}
