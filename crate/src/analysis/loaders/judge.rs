//! Verdicts: the result of applying a loader's rules to a file's groups.

use super::rules::{self, FamilySupport, LoadPath, Loader, Name, Unreadable};
use super::strength::{self, Changes};
use super::{LoaderStatus, LoaderVerdict};
use crate::adapters::{Adapter, ConfigSource, Group};
use crate::analysis::family::Detected;
use crate::analysis::report::{Problem, Severity};
use crate::formats::Header;
use crate::model::Component;
use crate::model::spelling::{ModuleMatch, NamingScheme, Role};
use std::collections::{BTreeMap, HashMap, HashSet};

/// Everything known about a file.
#[derive(Clone, Copy)]
pub struct Evidence<'a> {
    /// File name.
    pub file: &'a str,
    /// Header with all tensors.
    pub header: &'a Header,
    /// Groups that change a layer.
    pub groups: &'a [Group],
    /// The layer of each group, in the detected family.
    pub found: &'a [Option<ModuleMatch<'a>>],
    /// The detected family.
    pub family: &'a Detected,
    /// The file's deltas, read against the family.
    pub adapter: &'a Adapter,
    /// Problems of the file.
    pub problems: &'a [Problem],
    /// Location of its PEFT config.
    pub config: Option<ConfigSource>,
}

/// Result of loading one group.
enum KeyOutcome<'a> {
    /// The change is applied, perhaps without tensors that only scale it.
    Applied,
    /// The family has no such layer.
    NoLayer,
    /// The loader does not look up the key.
    NotLookedUp(&'a ModuleMatch<'a>),
    /// The loader does not read tensors with this suffix.
    Unreadable(&'a str),
    /// The suffix is supported but the loader cannot compute the change: the layer is skipped.
    Fails(&'a str),
}

/// Returns the verdict of every loader, and of this program, on a file.
pub fn verdicts(evidence: &Evidence) -> Vec<LoaderVerdict> {
    let places = TensorPlaces::of(evidence);
    let changes = strength::changes(evidence);
    let mut list: Vec<LoaderVerdict> =
        rules::all().iter().map(|loader| judge(loader, evidence, &places, &changes)).collect();
    list.push(own_verdict(evidence));
    list
}

/// The group and key suffix of each tensor in the file.
struct TensorPlaces<'a> {
    /// Distinct suffixes.
    endings: Vec<&'a str>,
    /// For each tensor in file order, the indices of its group and its suffix, if it has a group.
    tensors: Vec<Option<(usize, usize)>>,
}

impl<'a> TensorPlaces<'a> {
    fn of(evidence: &Evidence<'a>) -> TensorPlaces<'a> {
        let mut endings: Vec<&str> = Vec::new();
        let mut by_name: HashMap<&str, (usize, usize)> = HashMap::with_capacity(evidence.header.tensors.len());
        for (index, group) in evidence.groups.iter().enumerate() {
            for tensor in group.tensors.values() {
                let ending = ending(group, &tensor.name);
                let suffix = endings.iter().position(|known| *known == ending).unwrap_or_else(|| {
                    endings.push(ending);
                    endings.len() - 1
                });
                by_name.insert(&tensor.name, (index, suffix));
            }
        }
        let tensors = evidence.header.tensors.iter().map(|tensor| by_name.get(tensor.name.as_str()).copied());
        TensorPlaces { tensors: tensors.collect(), endings }
    }
}

/// Returns the suffix of a tensor's key after its group's stem.
fn ending<'a>(group: &Group, name: &'a str) -> &'a str {
    name.get(group.stem.len()..).unwrap_or(name)
}

/// Returns whether a tensor holds a change instead of only scaling or limiting one.
fn holds_change(role: Role) -> bool {
    !matches!(
        role,
        Role::Alpha | Role::Scale | Role::DoraScale | Role::Magnitude | Role::Rescale | Role::OnInput | Role::LoraBias
    )
}

/// The rules of a loader that apply to one file.
struct ActiveRules<'a> {
    loader: &'a Loader,
    path: Option<&'a LoadPath>,
    names: Vec<&'a Name>,
}

impl<'a> ActiveRules<'a> {
    fn of(loader: &'a Loader, path: Option<&'a LoadPath>, family: &str) -> ActiveRules<'a> {
        let names = path.and_then(|path| path.names(family)).unwrap_or_else(|| loader.names_for(family));
        ActiveRules { loader, path, names }
    }

    fn takes(&self, ending: &str) -> bool {
        self.path.and_then(|path| path.takes(ending)).unwrap_or_else(|| self.loader.takes(ending))
    }
}

fn key_outcome<'a>(active: &ActiveRules, group: &'a Group, found: &'a Option<ModuleMatch<'a>>) -> KeyOutcome<'a> {
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
    KeyOutcome::Applied
}

fn judge(loader: &Loader, evidence: &Evidence, places: &TensorPlaces, changes: &Changes) -> LoaderVerdict {
    let total = evidence.groups.len();
    let verdict = |status, applied, reason: String, log: Option<String>| LoaderVerdict {
        loader: loader.name.clone(),
        label: loader.label.clone(),
        version: format!("{} (rules of {})", loader.version, loader.read),
        status,
        applied,
        total,
        reason,
        log: log.filter(|log| !log.is_empty()),
        strength_note: None,
    };
    let family = evidence.family.name.as_str();
    let label = &evidence.family.label;
    let runs = if evidence.family.layers.is_some() { loader.runs(family) } else { FamilySupport::NotKnown };
    let unsupported = match runs {
        FamilySupport::WithAdapters => None,
        FamilySupport::WithoutAdapters => {
            Some((LoaderStatus::Refused, format!("{} does not load LoRAs for {label}.", loader.label)))
        }
        FamilySupport::Not => Some((LoaderStatus::Refused, format!("{} does not support {label}.", loader.label))),
        FamilySupport::NotKnown if family == "unknown" => {
            Some((LoaderStatus::Unknown, "The base model of this file is unknown.".into()))
        }
        FamilySupport::NotKnown => {
            Some((LoaderStatus::Unknown, format!("{} has not been checked with {label}.", loader.label)))
        }
    };
    if let Some((status, reason)) = unsupported {
        return verdict(status, 0, reason, None);
    }
    let bundled = |name: &str| name.starts_with("bundle_emb.");
    let keys: Vec<&str> = evidence
        .header
        .tensors
        .iter()
        .map(|tensor| tensor.name.as_str())
        .filter(|name| !(loader.ignores_bundles && bundled(name)))
        .collect();
    if let Some(refusal) = loader.refusal(&keys, family, evidence.file) {
        let reason = format!("The whole file is refused: {}.", refusal.reason);
        return verdict(LoaderStatus::Refused, 0, reason, Some(refusal.log));
    }
    let path = loader.way(family, &keys);
    let active = ActiveRules::of(loader, path, family);
    let outcomes: Vec<KeyOutcome> =
        evidence.groups.iter().zip(evidence.found).map(|(group, found)| key_outcome(&active, group, found)).collect();
    if let Some(path) = path {
        return judge_load_path(path, &active, evidence, (&keys, &outcomes, places), changes, verdict);
    }
    if let Some((group, ending)) =
        unreadable(evidence.groups, &outcomes).filter(|_| loader.unreadable == Unreadable::Refuse)
    {
        let endings: Vec<&str> = group.tensors.values().map(|tensor| self::ending(group, &tensor.name)).collect();
        let log = loader.unreadable(&endings, &format!("{}{ending}", group.stem));
        let reason = format!("The whole file is refused: it does not read tensors that end with `{ending}`.");
        return verdict(LoaderStatus::Refused, 0, reason, Some(log));
    }
    let takes: Vec<bool> = places.endings.iter().map(|ending| active.takes(ending)).collect();
    let dropped = |name: &str| bundled(name) && (loader.ignores_bundles || loader.reads_bundles);
    let (mut used, mut unmatched, mut strays) = (0, Vec::new(), Vec::new());
    for (tensor, place) in evidence.header.tensors.iter().zip(&places.tensors) {
        match place {
            Some((group, ending)) if matches!(outcomes[*group], KeyOutcome::Applied) && takes[*ending] => used += 1,
            Some(_) => unmatched.push(tensor.name.as_str()),
            None if dropped(&tensor.name) => {}
            None => {
                unmatched.push(&tensor.name);
                strays.push(tensor.name.as_str());
            }
        }
    }
    let applied = outcomes.iter().filter(|outcome| matches!(outcome, KeyOutcome::Applied)).count();
    if let Some(log) = loader.nothing_of_network().filter(|_| applied > 0 && misses_network(&outcomes, evidence)) {
        let reason = format!("The whole file is refused: {}", reasons(loader, evidence, &outcomes));
        return verdict(LoaderStatus::Refused, 0, reason, Some(log.into()));
    }
    if let Some(limit) = loader.refuse_unmatched_over.filter(|&limit| unmatched.len() > limit) {
        let reason = format!(
            "The whole file is refused: {} keys are unmatched, and the limit is {limit}. {}",
            unmatched.len(),
            if applied < total { reasons(loader, evidence, &outcomes) } else { skipped_keys(&strays) }
        );
        let log = loader.refuse_log.as_ref().map(|log| log.replace("{file}", evidence.file));
        return verdict(LoaderStatus::Refused, 0, reason, log);
    }
    let line = |key: &str| {
        let stem = evidence.groups.iter().find(|group| key.starts_with(&group.stem)).map_or(key, |group| &group.stem);
        let text = loader.unmatched.replace("{key}", key).replace("{stem}", stem).replace("{file}", evidence.file);
        (!text.is_empty()).then_some(text)
    };
    let counted =
        loader.total_log.as_ref().filter(|_| !unmatched.is_empty()).map(|log| {
            log.replace("{applied_keys}", &used.to_string()).replace("{total_keys}", &keys.len().to_string())
        });
    let log = counted.or_else(|| unmatched.first().and_then(|key| line(key)));
    let mut judged = match applied {
        0 => match loader.nothing(&keys) {
            Some((log, stops)) => {
                let status = if stops { LoaderStatus::Refused } else { LoaderStatus::Ignored };
                verdict(status, 0, reasons(loader, evidence, &outcomes), Some(with_network_names(log, evidence)))
            }
            None => verdict(LoaderStatus::Ignored, 0, reasons(loader, evidence, &outcomes), log),
        },
        applied if applied < total => verdict(LoaderStatus::Partly, applied, reasons(loader, evidence, &outcomes), log),
        applied => verdict(LoaderStatus::Applied, applied, skipped_keys(&strays), log),
    };
    judged.strength_note = note(loader, evidence, &outcomes, changes);
    judged
}

/// Returns how the strength of the applied layers differs.
fn note(loader: &Loader, evidence: &Evidence, outcomes: &[KeyOutcome], changes: &Changes) -> Option<String> {
    let applied = (0..outcomes.len()).filter(|&at| matches!(outcomes[at], KeyOutcome::Applied));
    let applied: Vec<_> = applied.map(|at| (&evidence.groups[at], changes[at])).collect();
    if applied.is_empty() { None } else { strength::note(loader, evidence, &applied) }
}

/// Returns the verdict on a file that a loader reads by a special code path.
fn judge_load_path(
    path: &LoadPath,
    active: &ActiveRules,
    evidence: &Evidence,
    (keys, outcomes, places): (&[&str], &[KeyOutcome], &TensorPlaces),
    changes: &Changes,
    verdict: impl Fn(LoaderStatus, usize, String, Option<String>) -> LoaderVerdict,
) -> LoaderVerdict {
    let loader = active.loader;
    let line =
        |text: Option<&str>, key: &str| text.map(|text| text.replace("{key}", key).replace("{file}", evidence.file));
    let refused = |why: &str, log: Option<String>| {
        verdict(LoaderStatus::Refused, 0, format!("The whole file is refused: {why}"), log)
    };
    let first = keys.first().copied().unwrap_or_default();
    if let Some(why) = &path.refuse {
        return refused(&format!("{why}."), line(path.log.as_deref(), first));
    }
    if let Some(key) = path.lacking(keys) {
        let why = format!("`{key}` does not contain \"{}\".", path.need.as_deref().unwrap_or_default());
        return refused(&why, line(Some(path.need_log()), key));
    }
    // The log line names the first unused key in file order.
    let unused = |(tensor, place): &(&crate::formats::TensorInfo, &Option<(usize, usize)>)| match place {
        Some((group, _)) => (!matches!(outcomes[*group], KeyOutcome::Applied)).then(|| tensor.name.clone()),
        None => Some(tensor.name.clone()),
    };
    let unused = evidence.header.tensors.iter().zip(&places.tensors).find_map(|pair| unused(&pair));
    let log = |key: Option<String>| key.and_then(|key| line(path.log.as_deref().or(Some(&loader.unmatched)), &key));
    if let Some((group, ending)) = unreadable(evidence.groups, outcomes).filter(|_| path.refuse_unreadable) {
        let endings: Vec<&str> = group.tensors.values().map(|tensor| self::ending(group, &tensor.name)).collect();
        let key = format!("{}{ending}", group.stem);
        let text = line(path.log.as_deref(), &key).unwrap_or_else(|| loader.unreadable(&endings, &key));
        return refused(&format!("it does not read tensors that end with `{ending}`."), Some(text));
    }
    let has_unmatched =
        outcomes.iter().any(|outcome| matches!(outcome, KeyOutcome::NotLookedUp(_) | KeyOutcome::NoLayer));
    if path.refuse_unnamed && (has_unmatched || places.tensors.contains(&None)) {
        let why = reasons(loader, evidence, outcomes);
        return refused(if why.is_empty() { "it accepts no other keys." } else { &why }, log(unused));
    }
    let applied = outcomes.iter().filter(|outcome| matches!(outcome, KeyOutcome::Applied)).count();
    if applied == 0 {
        let why = reasons(loader, evidence, outcomes);
        let stops = path.stops_at_nothing(keys);
        let text = if stops { loader.nothing_of_network() } else { loader.silent() };
        let text = text.map(|text| with_network_names(text, evidence)).or(log(unused));
        return verdict(if stops { LoaderStatus::Refused } else { LoaderStatus::Ignored }, 0, why, text);
    }
    let status = if applied == outcomes.len() { LoaderStatus::Applied } else { LoaderStatus::Partly };
    let strays: Vec<&str> = evidence
        .header
        .tensors
        .iter()
        .zip(&places.tensors)
        .filter(|(_, place)| place.is_none())
        .map(|(tensor, _)| tensor.name.as_str())
        .collect();
    let why = if status == LoaderStatus::Applied { skipped_keys(&strays) } else { reasons(loader, evidence, outcomes) };
    LoaderVerdict {
        strength_note: note(loader, evidence, outcomes, changes),
        ..verdict(status, applied, why, log(unused))
    }
}

/// Fills the class and the component of the family's network into a log line of diffusers.
fn with_network_names(line: &str, evidence: &Evidence) -> String {
    let (network, part) = match rules::network(&evidence.family.name) {
        Some(network) => (network, "transformer"),
        None => ("UNet2DConditionModel", "unet"),
    };
    line.replace("{network}", network).replace("{part}", part)
}

/// Returns the first group that the loader finds but cannot read, with the suffix.
fn unreadable<'a>(groups: &'a [Group], outcomes: &'a [KeyOutcome<'a>]) -> Option<(&'a Group, &'a str)> {
    groups.iter().zip(outcomes).find_map(|(group, outcome)| match outcome {
        KeyOutcome::Unreadable(ending) => Some((group, *ending)),
        _ => None,
    })
}

/// Returns whether no layer of one of the file's networks is looked up.
fn misses_network(outcomes: &[KeyOutcome], evidence: &Evidence) -> bool {
    let mut matched: BTreeMap<Component, bool> = BTreeMap::new();
    for (outcome, found) in outcomes.iter().zip(evidence.found) {
        if let Some(found) = found {
            *matched.entry(found.component).or_default() |= !matches!(outcome, KeyOutcome::NotLookedUp(_));
        }
    }
    matched.values().any(|matched| !matched)
}

/// Formats the keys of no layer that are skipped although every layer is applied.
fn skipped_keys(strays: &[&str]) -> String {
    match strays {
        [] => String::new(),
        [key] => format!("Only `{key}` is skipped; it changes no layer."),
        [key, ..] => format!("{} keys are skipped, the first is `{key}`; they change no layer.", strays.len()),
    }
}

/// Returns why layers are not applied: each reason with its number of layers, and advice.
fn reasons(loader: &Loader, evidence: &Evidence, outcomes: &[KeyOutcome]) -> String {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for (group, outcome) in evidence.groups.iter().zip(outcomes) {
        let reason = match outcome {
            KeyOutcome::Applied => continue,
            KeyOutcome::NoLayer => format!("do not exist in {}", evidence.family.label),
            KeyOutcome::NotLookedUp(found) => unmatched_reason(group, found),
            KeyOutcome::Unreadable(ending) => format!("are stored as `{ending}`, which it does not support"),
            KeyOutcome::Fails(ending) => format!("are stored as `{ending}`, which it supports but fails to compute"),
        };
        *counts.entry(reason).or_default() += 1;
    }
    let mut sorted: Vec<(String, usize)> = counts.into_iter().collect();
    sorted.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let parts: Vec<String> = sorted.iter().map(|(reason, count)| format!("{count} layers {reason}")).collect();
    let advice = if outcomes.iter().any(|outcome| matches!(outcome, KeyOutcome::NotLookedUp(_))) {
        format!(" Convert the file's keys for {}.", loader.label)
    } else if outcomes.iter().any(|outcome| matches!(outcome, KeyOutcome::Unreadable(_) | KeyOutcome::Fails(_))) {
        " Convert the file to plain LoRA.".into()
    } else {
        String::new()
    };
    if parts.is_empty() { String::new() } else { format!("{}.{advice}", parts.join("; ")) }
}

fn unmatched_reason(group: &Group, found: &ModuleMatch) -> String {
    let scheme = match found.names {
        NamingScheme::Diffusers => "diffusers keys",
        NamingScheme::AttnProcs => "diffusers attention processor keys",
        NamingScheme::Ldm | NamingScheme::Native => "the original model's keys",
        NamingScheme::Trainer => "a trainer's keys for parts of layers",
        NamingScheme::Place => return "have an index instead of a key, which it does not look up".into(),
    };
    let format = if group.peft { " in PEFT format" } else { "" };
    match found.prefix {
        "" => format!("have {scheme} without a prefix{format}, which it does not look up"),
        prefix => format!("have {scheme} with prefix `{prefix}`{format}, which it does not look up"),
    }
}

/// Returns the verdict of this program's own runner.
fn own_verdict(evidence: &Evidence) -> LoaderVerdict {
    let total = evidence.groups.len();
    let paths: HashSet<String> = evidence.adapter.deltas.iter().map(|delta| delta.path()).collect();
    let refused = evidence.problems.iter().find(|problem| problem.severity == Severity::Refuse);
    let applied = if refused.is_some() || evidence.family.id.is_none() { 0 } else { paths.len().min(total) };
    let (status, reason) = match (refused, evidence.family.id) {
        (None, None) if evidence.family.name == "unknown" => {
            (LoaderStatus::Unknown, "The base model of this file is unknown.".into())
        }
        (Some(problem), _) => (LoaderStatus::Refused, problem.message.clone()),
        (None, None) => (LoaderStatus::Refused, format!("LoRA Loupe cannot run {}.", evidence.family.label)),
        (None, Some(_)) if applied == total => (LoaderStatus::Applied, String::new()),
        (None, Some(_)) => {
            (LoaderStatus::Partly, format!("{} layers do not exist in {}.", total - applied, evidence.family.label))
        }
    };
    LoaderVerdict {
        loader: "this_page".into(),
        label: "LoRA Loupe".into(),
        version: env!("CARGO_PKG_VERSION").into(),
        status,
        applied,
        total,
        reason,
        log: None,
        strength_note: None,
    }
}
