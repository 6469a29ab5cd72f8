//! Turns a file's groups and a loader's rules into a verdict.

use super::rules::{self, Loader, Name, Runs, Unreadable, LoadPath};
use super::strength::{self, Changes};
use super::{LoaderStatus, LoaderVerdict};
use crate::adapters::{Adapter, ConfigPlace, Group};
use crate::analysis::family::Detected;
use crate::analysis::report::{Problem, Severity};
use crate::formats::Header;
use crate::model::Component;
use crate::model::spelling::{ModuleMatch, NamingScheme, Role};
use std::collections::{BTreeMap, HashMap, HashSet};

/// What is known of a file.
#[derive(Clone, Copy)]
pub struct Evidence<'a> {
    /// Its name.
    pub file: &'a str,
    /// Its tensors.
    pub header: &'a Header,
    /// Its groups that change something.
    pub groups: &'a [Group],
    /// The layer of each group, in the family that it was made for.
    pub found: &'a [Option<ModuleMatch<'a>>],
    /// The family.
    pub family: &'a Detected,
    /// What it changes, read against the family.
    pub adapter: &'a Adapter,
    /// What is wrong with it.
    pub problems: &'a [Problem],
    /// The config that speaks for it.
    pub config: Option<ConfigPlace>,
}

/// What a loader does with one group.
enum KeyOutcome<'a> {
    /// It changes its layer, perhaps without tensors that only scale the change.
    Applied,
    /// The family has no such layer.
    NoLayer,
    /// The loader does not look the name up.
    Unnamed(&'a ModuleMatch<'a>),
    /// It does not read tensors with this ending.
    Unreadable(&'a str),
    /// It reads them and cannot compute the change: the layer is left out.
    Fails(&'a str),
}

/// What every loader, and this program, does with a file.
pub fn verdicts(evidence: &Evidence) -> Vec<LoaderVerdict> {
    let places = Places::of(evidence);
    let changes = strength::changes(evidence);
    let mut list: Vec<LoaderVerdict> =
        rules::all().iter().map(|loader| judge(loader, evidence, &places, &changes)).collect();
    list.push(own(evidence));
    list
}

/// Where each tensor of the file belongs.
struct Places<'a> {
    /// The endings that there are.
    endings: Vec<&'a str>,
    /// For each tensor in the file's order: its group and its ending, where it has a group.
    tensors: Vec<Option<(usize, usize)>>,
}

impl<'a> Places<'a> {
    fn of(evidence: &Evidence<'a>) -> Places<'a> {
        let mut endings: Vec<&str> = Vec::new();
        let mut by_name: HashMap<&str, (usize, usize)> = HashMap::with_capacity(evidence.header.tensors.len());
        for (index, group) in evidence.groups.iter().enumerate() {
            for tensor in group.tensors.values() {
                let ending = ending(group, &tensor.name);
                let place = endings.iter().position(|known| *known == ending).unwrap_or_else(|| {
                    endings.push(ending);
                    endings.len() - 1
                });
                by_name.insert(&tensor.name, (index, place));
            }
        }
        let tensors = evidence.header.tensors.iter().map(|tensor| by_name.get(tensor.name.as_str()).copied());
        Places { tensors: tensors.collect(), endings }
    }
}

/// The ending of a tensor of a group.
fn ending<'a>(group: &Group, name: &'a str) -> &'a str {
    name.get(group.stem.len()..).unwrap_or(name)
}

/// Whether a tensor carries a change, and does not only scale or bound one.
fn carries(role: Role) -> bool {
    !matches!(
        role,
        Role::Alpha | Role::Scale | Role::DoraScale | Role::Magnitude | Role::Rescale | Role::OnInput | Role::LoraBias
    )
}

/// What a loader looks up and reads in one file.
struct Reads<'a> {
    loader: &'a Loader,
    way: Option<&'a LoadPath>,
    names: Vec<&'a Name>,
}

impl<'a> Reads<'a> {
    fn of(loader: &'a Loader, way: Option<&'a LoadPath>, family: &str) -> Reads<'a> {
        let names = way.and_then(|way| way.names(family)).unwrap_or_else(|| loader.names_for(family));
        Reads { loader, way, names }
    }

    fn takes(&self, ending: &str) -> bool {
        self.way.and_then(|way| way.takes(ending)).unwrap_or_else(|| self.loader.takes(ending))
    }
}

fn fate<'a>(reads: &Reads, group: &'a Group, found: &'a Option<ModuleMatch<'a>>) -> KeyOutcome<'a> {
    let loader = reads.loader;
    let Some(found) = found else { return KeyOutcome::NoLayer };
    if !reads.names.iter().any(|name| name.fits(&group.stem, found)) {
        return KeyOutcome::Unnamed(found);
    }
    for (&role, tensor) in &group.tensors {
        let ending = ending(group, &tensor.name);
        if carries(role) && !reads.takes(ending) {
            return KeyOutcome::Unreadable(ending);
        }
    }
    // What scales a change does nothing without one.
    if !group.tensors.keys().any(|&role| carries(role)) {
        let first = group.tensors.values().next().map_or("", |tensor| ending(group, &tensor.name));
        return KeyOutcome::Unreadable(first);
    }
    let boft = group.get(Role::OftBlocks).is_some_and(|tensor| tensor.shape.len() == 4);
    if loader.boft_needs_alpha && boft && group.get(Role::Alpha).is_none() {
        return KeyOutcome::Unreadable(".oft_blocks");
    }
    // The first layout has b1 (rank, inputs) and b2 (outputs, rank).
    let old = || {
        let pair = group.get(Role::GloraB1).zip(group.get(Role::GloraB2));
        pair.is_some_and(|(b1, b2)| b1.shape.first() == b2.shape.get(1) && b1.shape.first() < b1.shape.get(1))
    };
    if loader.glora_old_only && group.get(Role::GloraB1).is_some() && !old() {
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

fn judge(loader: &Loader, evidence: &Evidence, places: &Places, changes: &Changes) -> LoaderVerdict {
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
    let runs = if evidence.family.layers.is_some() { loader.runs(family) } else { Runs::NotKnown };
    let told = match runs {
        Runs::WithAdapters => None,
        Runs::WithoutAdapters => {
            Some((LoaderStatus::Refused, format!("{} loads no adapters for {label}.", loader.label)))
        }
        Runs::Not => Some((LoaderStatus::Refused, format!("{} does not run {label}.", loader.label))),
        Runs::NotKnown if family == "unknown" => {
            Some((LoaderStatus::Unknown, "The model that the file was made for is not known here.".into()))
        }
        Runs::NotKnown => {
            Some((LoaderStatus::Unknown, format!("What {} does with {label} is not known here.", loader.label)))
        }
    };
    if let Some((status, reason)) = told {
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
    let way = loader.way(family, &keys);
    let reads = Reads::of(loader, way, family);
    let fates: Vec<KeyOutcome> =
        evidence.groups.iter().zip(evidence.found).map(|(group, found)| fate(&reads, group, found)).collect();
    if let Some(way) = way {
        return by_way(way, &reads, evidence, (&keys, &fates, places), changes, verdict);
    }
    if let Some((group, ending)) =
        unreadable(evidence.groups, &fates).filter(|_| loader.unreadable == Unreadable::Refuse)
    {
        let endings: Vec<&str> = group.tensors.values().map(|tensor| self::ending(group, &tensor.name)).collect();
        let log = loader.unreadable(&endings, &format!("{}{ending}", group.stem));
        let reason = format!("The whole file is refused: it does not read tensors that end in {ending}.");
        return verdict(LoaderStatus::Refused, 0, reason, Some(log));
    }
    let takes: Vec<bool> = places.endings.iter().map(|ending| reads.takes(ending)).collect();
    let dropped = |name: &str| bundled(name) && (loader.ignores_bundles || loader.reads_bundles);
    let (mut used, mut unmatched, mut strays) = (0, Vec::new(), Vec::new());
    for (tensor, place) in evidence.header.tensors.iter().zip(&places.tensors) {
        match place {
            Some((group, ending)) if matches!(fates[*group], KeyOutcome::Applied) && takes[*ending] => used += 1,
            Some(_) => unmatched.push(tensor.name.as_str()),
            None if dropped(&tensor.name) => {}
            None => {
                unmatched.push(&tensor.name);
                strays.push(tensor.name.as_str());
            }
        }
    }
    let applied = fates.iter().filter(|fate| matches!(fate, KeyOutcome::Applied)).count();
    if let Some(log) = loader.nothing_of_network().filter(|_| applied > 0 && lost_network(&fates, evidence)) {
        let reason = format!("The whole file is refused: {}", reasons(loader, evidence, &fates));
        return verdict(LoaderStatus::Refused, 0, reason, Some(log.into()));
    }
    if let Some(most) = loader.refuse_unmatched_over.filter(|&most| unmatched.len() > most) {
        let reason = format!(
            "The whole file is refused: {} keys are not matched, and it allows {most}. {}",
            unmatched.len(),
            if applied < total { reasons(loader, evidence, &fates) } else { left_out(&strays) }
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
                verdict(status, 0, reasons(loader, evidence, &fates), Some(of_network(log, evidence)))
            }
            None => verdict(LoaderStatus::Ignored, 0, reasons(loader, evidence, &fates), log),
        },
        applied if applied < total => verdict(LoaderStatus::Partly, applied, reasons(loader, evidence, &fates), log),
        applied => verdict(LoaderStatus::Applied, applied, left_out(&strays), log),
    };
    judged.strength_note = note(loader, evidence, &fates, changes);
    judged
}

/// How the strength of the layers that are applied differs.
fn note(loader: &Loader, evidence: &Evidence, fates: &[KeyOutcome], changes: &Changes) -> Option<String> {
    let landed = (0..fates.len()).filter(|&at| matches!(fates[at], KeyOutcome::Applied));
    let landed: Vec<_> = landed.map(|at| (&evidence.groups[at], changes[at])).collect();
    if landed.is_empty() { None } else { strength::note(loader, evidence, &landed) }
}

/// What becomes of a file of a kind that a loader reads in its own way.
fn by_way(
    way: &LoadPath,
    reads: &Reads,
    evidence: &Evidence,
    (keys, fates, places): (&[&str], &[KeyOutcome], &Places),
    changes: &Changes,
    verdict: impl Fn(LoaderStatus, usize, String, Option<String>) -> LoaderVerdict,
) -> LoaderVerdict {
    let loader = reads.loader;
    let line =
        |text: Option<&str>, key: &str| text.map(|text| text.replace("{key}", key).replace("{file}", evidence.file));
    let refused = |why: &str, log: Option<String>| {
        verdict(LoaderStatus::Refused, 0, format!("The whole file is refused: {why}"), log)
    };
    let first = keys.first().copied().unwrap_or_default();
    if let Some(why) = &way.refuse {
        return refused(&format!("{why}."), line(way.log.as_deref(), first));
    }
    if let Some(key) = way.lacking(keys) {
        let why = format!("`{key}` does not hold the word {}.", way.need.as_deref().unwrap_or_default());
        return refused(&why, line(Some(way.need_log()), key));
    }
    // What is left over, in the file's order: the log names the first.
    let left = |(tensor, place): &(&crate::formats::TensorInfo, &Option<(usize, usize)>)| match place {
        Some((group, _)) => (!matches!(fates[*group], KeyOutcome::Applied)).then(|| tensor.name.clone()),
        None => Some(tensor.name.clone()),
    };
    let left = evidence.header.tensors.iter().zip(&places.tensors).find_map(|pair| left(&pair));
    let log = |key: Option<String>| key.and_then(|key| line(way.log.as_deref().or(Some(&loader.unmatched)), &key));
    if let Some((group, ending)) = unreadable(evidence.groups, fates).filter(|_| way.refuse_unreadable) {
        let endings: Vec<&str> = group.tensors.values().map(|tensor| self::ending(group, &tensor.name)).collect();
        let key = format!("{}{ending}", group.stem);
        let text = line(way.log.as_deref(), &key).unwrap_or_else(|| loader.unreadable(&endings, &key));
        return refused(&format!("it does not read tensors that end in {ending}."), Some(text));
    }
    let lost = fates.iter().any(|fate| matches!(fate, KeyOutcome::Unnamed(_) | KeyOutcome::NoLayer));
    if way.refuse_unnamed && (lost || places.tensors.contains(&None)) {
        let why = reasons(loader, evidence, fates);
        return refused(if why.is_empty() { "it reads none of its other keys." } else { &why }, log(left));
    }
    let applied = fates.iter().filter(|fate| matches!(fate, KeyOutcome::Applied)).count();
    if applied == 0 {
        let why = reasons(loader, evidence, fates);
        let stops = way.stops_at_nothing(keys);
        let text = if stops { loader.nothing_of_network() } else { loader.silent() };
        let text = text.map(|text| of_network(text, evidence)).or(log(left));
        return verdict(if stops { LoaderStatus::Refused } else { LoaderStatus::Ignored }, 0, why, text);
    }
    let status = if applied == fates.len() { LoaderStatus::Applied } else { LoaderStatus::Partly };
    let strays: Vec<&str> = evidence
        .header
        .tensors
        .iter()
        .zip(&places.tensors)
        .filter(|(_, place)| place.is_none())
        .map(|(tensor, _)| tensor.name.as_str())
        .collect();
    let why = if status == LoaderStatus::Applied { left_out(&strays) } else { reasons(loader, evidence, fates) };
    LoaderVerdict { strength_note: note(loader, evidence, fates, changes), ..verdict(status, applied, why, log(left)) }
}

/// A line of diffusers with the names of the family's network.
fn of_network(line: &str, evidence: &Evidence) -> String {
    let (network, part) = match rules::network(&evidence.family.name) {
        Some(network) => (network, "transformer"),
        None => ("UNet2DConditionModel", "unet"),
    };
    line.replace("{network}", network).replace("{part}", part)
}

/// The first group that is found and cannot be read.
fn unreadable<'a>(groups: &'a [Group], fates: &'a [KeyOutcome<'a>]) -> Option<(&'a Group, &'a str)> {
    groups.iter().zip(fates).find_map(|(group, fate)| match fate {
        KeyOutcome::Unreadable(ending) => Some((group, *ending)),
        _ => None,
    })
}

/// Whether all layers of one of the file's networks have names that are not looked up.
fn lost_network(fates: &[KeyOutcome], evidence: &Evidence) -> bool {
    let mut landed: BTreeMap<Component, bool> = BTreeMap::new();
    for (fate, found) in fates.iter().zip(evidence.found) {
        if let Some(found) = found {
            *landed.entry(found.component).or_default() |= !matches!(fate, KeyOutcome::Unnamed(_));
        }
    }
    landed.values().any(|landed| !landed)
}

/// Keys of no layer that are left over where every layer is applied.
fn left_out(strays: &[&str]) -> String {
    match strays {
        [] => String::new(),
        [key] => format!("Only `{key}` is left out; it changes no layer."),
        [key, ..] => format!("{} keys are left out, the first is `{key}`; they change no layer.", strays.len()),
    }
}

/// Why layers are not applied: each reason with its count.
fn reasons(loader: &Loader, evidence: &Evidence, fates: &[KeyOutcome]) -> String {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for (group, fate) in evidence.groups.iter().zip(fates) {
        let reason = match fate {
            KeyOutcome::Applied => continue,
            KeyOutcome::NoLayer => format!("name no layer of {}", evidence.family.label),
            KeyOutcome::Unnamed(found) => unnamed(group, found),
            KeyOutcome::Unreadable(ending) => format!("are stored as `{ending}`, which it does not read"),
            KeyOutcome::Fails(ending) => format!("are stored as `{ending}`, which it reads and fails to compute"),
        };
        *counts.entry(reason).or_default() += 1;
    }
    let mut sorted: Vec<(String, usize)> = counts.into_iter().collect();
    sorted.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let parts: Vec<String> = sorted.iter().map(|(reason, count)| format!("{count} layers {reason}")).collect();
    let advice = if fates.iter().any(|fate| matches!(fate, KeyOutcome::Unnamed(_))) {
        format!(" Rename the file's keys for {}.", loader.label)
    } else if fates.iter().any(|fate| matches!(fate, KeyOutcome::Unreadable(_) | KeyOutcome::Fails(_))) {
        " Convert the file to plain LoRA.".into()
    } else {
        String::new()
    };
    if parts.is_empty() { String::new() } else { format!("{}.{advice}", parts.join("; ")) }
}

fn unnamed(group: &Group, found: &ModuleMatch) -> String {
    let whose = match found.names {
        NamingScheme::Diffusers => "diffusers' names",
        NamingScheme::AttnProcs => "names of diffusers' attention processors",
        NamingScheme::Ldm | NamingScheme::Native => "the original model's names",
        NamingScheme::Trainer => "a trainer's names for parts of layers",
        NamingScheme::Place => return "have a place and no name, which it does not look up".into(),
    };
    let spelled = if group.peft { " in PEFT's spelling" } else { "" };
    match found.prefix {
        "" => format!("have {whose} without a prefix{spelled}, which it does not look up"),
        prefix => format!("have {whose} after `{prefix}`{spelled}, which it does not look up"),
    }
}

/// What this program's own runner does with the file.
fn own(evidence: &Evidence) -> LoaderVerdict {
    let total = evidence.groups.len();
    let paths: HashSet<String> = evidence.adapter.deltas.iter().map(|delta| delta.path()).collect();
    let refused = evidence.problems.iter().find(|problem| problem.severity == Severity::Refuse);
    let applied = if refused.is_some() || evidence.family.id.is_none() { 0 } else { paths.len().min(total) };
    let (status, reason) = match (refused, evidence.family.id) {
        (None, None) if evidence.family.name == "unknown" => {
            (LoaderStatus::Unknown, "The model that the file was made for is not known here.".into())
        }
        (Some(problem), _) => (LoaderStatus::Refused, problem.message.clone()),
        (None, None) => (LoaderStatus::Refused, format!("Pictures of {} are not drawn here.", evidence.family.label)),
        (None, Some(_)) if applied == total => (LoaderStatus::Applied, String::new()),
        (None, Some(_)) => {
            (LoaderStatus::Partly, format!("{} layers name no layer of {}.", total - applied, evidence.family.label))
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
