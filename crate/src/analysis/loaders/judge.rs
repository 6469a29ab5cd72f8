//! Verdicts: the result of applying a loader's rules to a file's groups.

use super::evidence::Evidence;
use super::outcome::{ActiveRules, KeyOutcome, count_applied, ending, endings, key_outcome, unreadable};
use super::reasons::{Skip, reasons, skipped_keys};
use super::rules::{self, FamilySupport, Half, HalfPairs, LoadPath, Loader, Unreadable};
use super::strength::{self, Changes};
use super::{LoaderStatus, LoaderVerdict};
use crate::adapters::{Group, Leftover, LeftoverReason};
use crate::analysis::report::Severity;
use crate::model::spelling::{ModuleMatch, Role};
use crate::model::{Component, Kind};
use crate::sentence::{Sentence, sentence};
use std::collections::{BTreeMap, HashMap, HashSet};

/// A loader's verdict, and the layers that it applies.
pub struct Judgement {
    /// The verdict.
    pub verdict: LoaderVerdict,
    /// Whether it applies the layer of each group.
    pub applied: Vec<bool>,
}

/// Returns the judgement of every loader, and of this program, on a file.
pub fn judgements(evidence: &Evidence) -> Vec<Judgement> {
    let places = TensorPlaces::of(evidence);
    let changes = strength::changes(evidence);
    let incomplete = incomplete(evidence);
    let judge = |loader| Case { loader, evidence, places: &places, changes: &changes, incomplete: &incomplete }.judge();
    let mut list: Vec<Judgement> = rules::all().iter().map(judge).collect();
    list.push(own_judgement(evidence, &changes));
    list
}

/// Returns whether each group lacks a part of its tensors, or has factors whose ranks differ.
fn incomplete(evidence: &Evidence) -> Vec<bool> {
    let is_partial = |left: &&Leftover| {
        matches!(left.reason, LeftoverReason::Incomplete { .. } | LeftoverReason::RankMismatch { .. })
    };
    let partial: HashSet<&str> =
        evidence.adapter.leftovers.iter().filter(is_partial).map(|left| left.key.as_str()).collect();
    let has_partial = |group: &Group| group.tensors.values().any(|tensor| partial.contains(tensor.name.as_str()));
    evidence.groups.iter().map(has_partial).collect()
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

/// A loader and a file.
#[derive(Clone, Copy)]
struct Case<'a> {
    loader: &'a Loader,
    evidence: &'a Evidence<'a>,
    places: &'a TensorPlaces<'a>,
    changes: &'a Changes<'a>,
    /// Whether each group is incomplete.
    incomplete: &'a [bool],
}

impl<'a> Case<'a> {
    /// Returns the loader's judgement, and whether it is only likely.
    fn judge(&self) -> Judgement {
        let Judgement { verdict, applied } = self.judged();
        let is_likely = verdict.status != LoaderStatus::Unknown && self.was_only_read();
        let likely = is_likely.then(|| sentence!("loader.likely", loader = &self.loader.label));
        Judgement { verdict: LoaderVerdict { likely, ..verdict }, applied }
    }

    /// Returns whether the rules for such a file come from the loader's source and were not seen in a run.
    fn was_only_read(&self) -> bool {
        let Case { loader, evidence, .. } = *self;
        let has_half = loader.only_read_half_pairs && self.incomplete.contains(&true);
        has_half || loader.was_only_read(&evidence.family.name)
    }

    /// Returns the judgement by the loader's rules, whether they were seen in a run or not.
    fn judged(&self) -> Judgement {
        let Case { loader, evidence, .. } = *self;
        let family = evidence.family.name.as_str();
        let keys = self.keys();
        let refused = || {
            let refusal = loader.refusal(&keys, family, evidence.file)?;
            Some(self.refused(refusal.reason, Some(refusal.log)))
        };
        if let Some(verdict) = self.unsupported_family().or_else(refused) {
            return Judgement { verdict, applied: vec![false; evidence.groups.len()] };
        }
        let path = loader.way(family, &keys);
        let active = ActiveRules::of(loader, path, family, &keys);
        let groups = evidence.groups.iter().zip(evidence.found).zip(self.incomplete);
        let outcomes: Vec<KeyOutcome> =
            groups.map(|((group, found), incomplete)| key_outcome(&active, group, found, *incomplete)).collect();
        let verdict = match path {
            Some(path) => self.judge_load_path(path, &keys, &outcomes),
            None => self.judge_keys(&active, &keys, &outcomes),
        };
        let refused = if verdict.applied > 0 { self.refused_sizes(&outcomes) } else { None };
        let verdict = refused.unwrap_or(verdict);
        let is_applied = |outcome: &KeyOutcome| verdict.applied > 0 && matches!(outcome, KeyOutcome::Applied);
        let applied: Vec<bool> = outcomes.iter().map(is_applied).collect();
        let layers = evidence.groups.iter().zip(evidence.found).zip(&applied).filter(|(_, applied)| **applied);
        let layers: Vec<_> = layers.filter_map(|((group, found), _)| Some((group, found.as_ref()?))).collect();
        let since = active.since(family, &layers).filter(|_| verdict.applied > 0);
        let version = match path.map_or_else(|| self.applied_later(outcomes.as_slice()), |_| None) {
            Some(applied) => self.version_later(applied),
            None => self.version(since),
        };
        Judgement { verdict: LoaderVerdict { version, ..verdict }, applied }
    }

    /// Returns the version that the rules describe, and the one since which the loader applies the file.
    fn version(&self, since: Option<&str>) -> Sentence {
        let Loader { version, read: date, .. } = self.loader;
        match since {
            Some(since) => sentence!("loader.version_since", version = version, date = date, since = since),
            None => sentence!("loader.version", version = version, date = date),
        }
    }

    /// Returns the number of layers that newer versions apply, if they look up more names.
    fn applied_later(&self, outcomes: &[KeyOutcome]) -> Option<usize> {
        let Case { loader, evidence, .. } = *self;
        let names = loader.later_names_for(&evidence.family.name);
        let newer = ActiveRules { loader, path: None, names, is_converted: false };
        let is_new = |at: &usize| {
            let applied = key_outcome(&newer, &evidence.groups[*at], &evidence.found[*at], self.incomplete[*at]);
            !matches!(outcomes[*at], KeyOutcome::Applied) && matches!(applied, KeyOutcome::Applied)
        };
        let gained = (0..outcomes.len()).filter(is_new).count();
        (gained > 0).then(|| gained + count_applied(outcomes))
    }

    /// Returns the version that the rules describe, and how many layers newer ones apply.
    fn version_later(&self, applied: usize) -> Sentence {
        let Loader { version, read: date, .. } = self.loader;
        let total = self.evidence.groups.len();
        sentence!("loader.version_later", version = version, date = date, applied = applied, total = total)
    }

    fn verdict(
        &self,
        status: LoaderStatus,
        applied: usize,
        reason: Option<Sentence>,
        log: Option<String>,
    ) -> LoaderVerdict {
        let loader = self.loader;
        LoaderVerdict {
            loader: loader.name.clone(),
            label: loader.label.clone(),
            version: self.version(None),
            status,
            applied,
            total: self.evidence.groups.len(),
            reason,
            log: log.filter(|log| !log.is_empty()),
            strength_note: None,
            otherwise: None,
            likely: None,
        }
    }

    /// Returns the verdict that the whole file is refused.
    fn refused(&self, cause: Sentence, log: Option<String>) -> LoaderVerdict {
        self.verdict(LoaderStatus::Refused, 0, Some(sentence!("loader.refuses", cause = cause)), log)
    }

    /// Returns the verdict on files of a family that the loader does not support.
    fn unsupported_family(&self) -> Option<LoaderVerdict> {
        let Case { loader, evidence, .. } = *self;
        let (family, base, name) = (evidence.family.name.as_str(), evidence.family.named(), &loader.label);
        let runs = if evidence.family.is_known() { loader.runs(family) } else { FamilySupport::NotKnown };
        let (status, reason) = match runs {
            FamilySupport::WithAdapters => return None,
            FamilySupport::WithoutAdapters => {
                (LoaderStatus::Refused, sentence!("loader.no_loras", loader = name, base = base))
            }
            FamilySupport::Not => (LoaderStatus::Refused, sentence!("loader.no_model", loader = name, base = base)),
            FamilySupport::NotKnown if !evidence.family.is_known() => {
                (LoaderStatus::Unknown, sentence!("loader.unknown_base"))
            }
            FamilySupport::NotKnown => {
                (LoaderStatus::Unknown, sentence!("loader.not_checked", loader = name, base = base))
            }
        };
        Some(self.verdict(status, 0, Some(reason), None))
    }

    /// Returns the keys to which the loader's rules apply.
    fn keys(&self) -> Vec<&'a str> {
        let names = self.evidence.header.tensors.iter().map(|tensor| tensor.name.as_str());
        names.filter(|name| !(self.loader.ignores_bundles && is_bundled(name))).collect()
    }

    /// Returns the verdict by the loader's general rules.
    fn judge_keys(&self, active: &ActiveRules, keys: &[&str], outcomes: &[KeyOutcome]) -> LoaderVerdict {
        let Case { loader, evidence, .. } = *self;
        let reads_all = active.is_converted || !loader.converts();
        if let Some((group, ending)) =
            unreadable(evidence.groups, outcomes).filter(|_| loader.unreadable == Unreadable::Refuse && reads_all)
        {
            let log = loader.unreadable(&endings(group), &format!("{}{ending}", group.stem));
            return self.refused(sentence!("loader.unreadable", ending = ending), Some(log));
        }
        if let Some(verdict) = self.refused_half(None, keys, outcomes) {
            return verdict;
        }
        let usage = self.key_usage(active, outcomes);
        let (applied, total) = (count_applied(outcomes), outcomes.len());
        if let Some(log) = loader.nothing_of_network().filter(|_| applied > 0 && misses_network(outcomes, evidence)) {
            return self.refused(reasons(loader, evidence, outcomes).unwrap_or_default(), Some(log.into()));
        }
        if let Some(limit) = loader.refuse_unmatched_over.filter(|&limit| usage.unmatched.len() > limit) {
            let limit = sentence!("loader.unmatched_limit", n = usage.unmatched.len(), limit = limit);
            let which = if applied < total { reasons(loader, evidence, outcomes) } else { skipped_keys(&usage.strays) };
            let cause = Sentence::joined([limit].into_iter().chain(which).collect()).unwrap_or_default();
            return self.refused(cause, loader.refuse_log.as_ref().map(|log| log.replace("{file}", evidence.file)));
        }
        let log = self.unmatched_log(&usage, keys.len());
        let judged = match applied {
            0 => match loader.nothing(keys, network_names(evidence).1) {
                Some((log, stops)) => {
                    let status = if stops { LoaderStatus::Refused } else { LoaderStatus::Ignored };
                    let log = with_network_names(log, evidence);
                    self.verdict(status, 0, reasons(loader, evidence, outcomes), Some(log))
                }
                None => self.verdict(LoaderStatus::Ignored, 0, reasons(loader, evidence, outcomes), log),
            },
            applied if applied < total => {
                self.verdict(LoaderStatus::Partly, applied, reasons(loader, evidence, outcomes), log)
            }
            applied => self.verdict(LoaderStatus::Applied, applied, skipped_keys(&usage.strays), log),
        };
        LoaderVerdict { strength_note: self.strength_note(None, outcomes), ..judged }
    }

    /// Counts the tensors that the loader's general rules use, and lists the other keys.
    fn key_usage(&self, active: &ActiveRules, outcomes: &[KeyOutcome]) -> KeyUsage<'a> {
        let Case { loader, evidence, places, .. } = *self;
        let takes: Vec<bool> = places.endings.iter().map(|ending| active.takes(ending)).collect();
        let is_dropped = |name: &str| is_bundled(name) && (loader.ignores_bundles || loader.reads_bundles);
        let mut usage = KeyUsage { used: 0, unmatched: Vec::new(), strays: Vec::new() };
        for (tensor, place) in evidence.header.tensors.iter().zip(&places.tensors) {
            match place {
                Some((group, ending)) if matches!(outcomes[*group], KeyOutcome::Applied) && takes[*ending] => {
                    usage.used += 1;
                }
                Some(_) => usage.unmatched.push(tensor.name.as_str()),
                None if is_dropped(&tensor.name) => {}
                None => {
                    usage.unmatched.push(&tensor.name);
                    usage.strays.push(&tensor.name);
                }
            }
        }
        usage
    }

    /// Returns the loader's log line on the keys that it does not use; `keys` is their number in the file.
    fn unmatched_log(&self, usage: &KeyUsage, keys: usize) -> Option<String> {
        let Case { loader, evidence, .. } = *self;
        let key = usage.unmatched.first()?;
        if let Some(log) = &loader.total_log {
            let log = log.replace("{applied_keys}", &usage.used.to_string());
            return Some(log.replace("{total_keys}", &keys.to_string()));
        }
        let stem = evidence.groups.iter().find(|group| key.starts_with(&group.stem)).map_or(*key, |group| &group.stem);
        let text = loader.unmatched.replace("{key}", key).replace("{stem}", stem).replace("{file}", evidence.file);
        (!text.is_empty()).then_some(text)
    }

    /// Returns the verdict on a file that the loader reads by a special code path.
    fn judge_load_path(&self, path: &LoadPath, keys: &[&str], outcomes: &[KeyOutcome]) -> LoaderVerdict {
        let Case { loader, evidence, places, .. } = *self;
        let line = |text: Option<&str>, key: &str| {
            text.map(|text| text.replace("{key}", key).replace("{file}", evidence.file))
        };
        let first = keys.first().copied().unwrap_or_default();
        if let Some(why) = &path.refuse {
            return self.refused(sentence!(why), line(path.log.as_deref(), first));
        }
        if let Some(key) = path.missing(keys) {
            let log = line(path.log.as_deref(), &key);
            return self.refused(sentence!("loader.wants_layer", key = key), log);
        }
        if let Some(key) = path.lacking(keys) {
            let word = path.need.as_deref().unwrap_or_default();
            let cause = sentence!("loader.lacks_word", key = key, word = word);
            return self.refused(cause, line(Some(path.need_log()), key));
        }
        if let Some((group, ending)) = unreadable(evidence.groups, outcomes).filter(|_| path.refuse_unreadable) {
            let key = format!("{}{ending}", group.stem);
            let text = line(path.log.as_deref(), &key).unwrap_or_else(|| loader.unreadable(&endings(group), &key));
            return self.refused(sentence!("loader.unreadable", ending = ending), Some(text));
        }
        if let Some(verdict) = self.refused_half(Some(path), keys, outcomes) {
            return verdict;
        }
        let log = || line(path.log.as_deref().or(Some(&loader.unmatched)), self.first_unused(outcomes)?);
        let used =
            |place: &Option<(usize, usize)>| place.is_some_and(|(at, _)| matches!(outcomes[at], KeyOutcome::Applied));
        let mut unread = evidence.header.tensors.iter().zip(&places.tensors).filter(|(_, place)| !used(place));
        if let Some((tensor, _)) = unread.find(|(tensor, _)| path.is_strict(&tensor.name)) {
            return self.refused(sentence!("loader.no_other_keys"), line(path.log.as_deref(), &tensor.name));
        }
        if let Some(group) = self.without_alpha(outcomes).filter(|_| path.wants_alpha) {
            let log = format!("KeyError: '{}.alpha'", group.stem);
            return self.refused(sentence!("loader.wants_alpha"), Some(log));
        }
        let stray = evidence.header.tensors.iter().zip(&places.tensors).find(|(_, place)| place.is_none());
        if let Some((tensor, _)) = stray.filter(|_| path.refuse_strays) {
            return self.refused(sentence!("loader.no_other_keys"), line(path.log.as_deref(), &tensor.name));
        }
        let has_unmatched =
            outcomes.iter().any(|outcome| matches!(outcome, KeyOutcome::NotLookedUp(_) | KeyOutcome::NoLayer));
        if path.refuse_unnamed && (has_unmatched || places.tensors.contains(&None)) {
            let cause = reasons(loader, evidence, outcomes).unwrap_or_else(|| sentence!("loader.no_other_keys"));
            return self.refused(cause, log());
        }
        let applied = count_applied(outcomes);
        if applied == 0 {
            let why = reasons(loader, evidence, outcomes);
            let stops = path.stops_at_nothing(keys);
            let text = if stops { loader.nothing_of_network() } else { loader.silent() };
            let text = text.map(|text| with_network_names(text, evidence)).or_else(log);
            return self.verdict(if stops { LoaderStatus::Refused } else { LoaderStatus::Ignored }, 0, why, text);
        }
        let (status, why) = if applied == outcomes.len() {
            let unplaced = evidence.header.tensors.iter().zip(&places.tensors).filter(|(_, place)| place.is_none());
            let strays: Vec<&str> = unplaced.map(|(tensor, _)| tensor.name.as_str()).collect();
            (LoaderStatus::Applied, skipped_keys(&strays))
        } else {
            (LoaderStatus::Partly, reasons(loader, evidence, outcomes))
        };
        LoaderVerdict {
            strength_note: self.strength_note(Some(path), outcomes),
            ..self.verdict(status, applied, why, log())
        }
    }

    /// Returns the verdict on a file with half a pair, if the loader refuses it.
    fn refused_half(&self, path: Option<&LoadPath>, keys: &[&str], outcomes: &[KeyOutcome]) -> Option<LoaderVerdict> {
        let Case { loader, evidence, .. } = *self;
        let half = |at: &usize| matches!(outcomes[*at], KeyOutcome::Incomplete);
        let lone = |at: usize, one: Role, other: Role| {
            evidence.groups[at].get(one).is_some() && evidence.groups[at].get(other).is_none()
        };
        let is_converted = path.is_none() && loader.is_converted(keys);
        let at = match (path.and_then(|path| path.refuse_half), loader.half_pairs) {
            // Converters look at all keys, before they know the layers.
            (Some(Half::Any), _) => (0..outcomes.len()).find(|&at| self.incomplete[at]),
            (Some(Half::Down), _) => (0..outcomes.len()).find(|at| half(at) && lone(*at, Role::Down, Role::Up)),
            (None, HalfPairs::Refuse) if is_converted => (0..outcomes.len()).find(|&at| self.incomplete[at]),
            (None, HalfPairs::Refuse) if !loader.converts() => (0..outcomes.len()).find(half),
            (None, HalfPairs::UpRaises) => (0..outcomes.len()).find(|at| half(at) && lone(*at, Role::Up, Role::Down)),
            (None, HalfPairs::Skip | HalfPairs::Refuse) => None,
        }?;
        let group = &evidence.groups[at];
        let key = group.tensors.values().next().map(|tensor| tensor.name.as_str()).unwrap_or_default();
        let log = match loader.half_pairs {
            HalfPairs::UpRaises => {
                let up = group.get(Role::Up).map(|tensor| tensor.name.as_str()).unwrap_or_default();
                format!(
                    "KeyError: '{}'",
                    up.replace("lora_up", "lora_down").replace("lora_B", "lora_A").replace(".up.", ".down.")
                )
            }
            _ => loader.unreadable(&endings(group), key),
        };
        Some(self.refused(sentence!("loader.half_pair", key = key), Some(log)))
    }

    /// Returns the verdict on a file with factors of other sizes than the loader prepares: of two ranks in one layer, without
    /// a kernel's axes, or of another rank than the header's config says.
    fn refused_sizes(&self, outcomes: &[KeyOutcome]) -> Option<LoaderVerdict> {
        let Case { loader, evidence, .. } = *self;
        let cause = |((group, found), outcome): ((&Group, &Option<ModuleMatch>), &KeyOutcome)| {
            let (up, down) = group.get(Role::Up).zip(group.get(Role::Down))?;
            let found = found.filter(|_| matches!(outcome, KeyOutcome::Applied | KeyOutcome::Incomplete))?;
            let rank = *down.shape.first()?;
            if up.shape.get(1) != Some(&rank) {
                return Some(sentence!("loader.ranks_differ", key = &group.stem));
            }
            if down.shape.len() == 2 && matches!(found.module.kind, Kind::Conv { .. }) {
                return Some(sentence!("loader.flat_kernel", key = &group.stem));
            }
            let prepared = evidence.configs.prepared_rank(found.component, &found.module.path)?;
            (prepared != rank).then(|| sentence!("loader.header_rank"))
        };
        let cause = evidence.groups.iter().zip(evidence.found).zip(outcomes).find_map(cause);
        let log = "RuntimeError: Error(s) in loading state_dict for {network}:";
        cause.filter(|_| loader.checks_sizes).map(|cause| self.refused(cause, Some(with_network_names(log, evidence))))
    }

    /// Returns the first applied layer without an alpha tensor.
    fn without_alpha(&self, outcomes: &[KeyOutcome]) -> Option<&'a Group> {
        let mut layers = self.evidence.groups.iter().zip(outcomes);
        let lacks = |(group, outcome): &(&Group, &KeyOutcome)| {
            matches!(outcome, KeyOutcome::Applied) && group.get(Role::Alpha).is_none()
        };
        layers.find(lacks).map(|(group, _)| group)
    }

    /// Returns the first key in file order of no layer, or of a layer that is not applied.
    fn first_unused(&self, outcomes: &[KeyOutcome]) -> Option<&'a str> {
        let Case { evidence, places, .. } = *self;
        let is_unused = |place: &Option<(usize, usize)>| match place {
            Some((group, _)) => !matches!(outcomes[*group], KeyOutcome::Applied),
            None => true,
        };
        let mut tensors = evidence.header.tensors.iter().zip(&places.tensors);
        tensors.find(|(_, place)| is_unused(place)).map(|(tensor, _)| tensor.name.as_str())
    }

    /// Returns how the strength of the applied layers differs.
    fn strength_note(&self, path: Option<&LoadPath>, outcomes: &[KeyOutcome]) -> Option<Sentence> {
        let applied = (0..outcomes.len()).filter(|&at| matches!(outcomes[at], KeyOutcome::Applied));
        let applied: Vec<_> = applied.map(|at| (&self.evidence.groups[at], self.changes[at])).collect();
        if applied.is_empty() { None } else { strength::note(self.loader, path, self.evidence, &applied) }
    }
}

/// Use of a file's tensors by a loader.
struct KeyUsage<'a> {
    /// Number of tensors that it uses.
    used: usize,
    /// Keys that it does not use, in file order.
    unmatched: Vec<&'a str>,
    /// Those that belong to no layer.
    strays: Vec<&'a str>,
}

/// Returns whether a key belongs to a bundled embedding.
fn is_bundled(name: &str) -> bool {
    name.starts_with("bundle_emb.")
}

/// Returns diffusers' class and component of the family's network.
fn network_names(evidence: &Evidence) -> (&'static str, &'static str) {
    rules::network(&evidence.family.name).map_or(("UNet2DConditionModel", "unet"), |network| (network, "transformer"))
}

/// Fills the class and the component of the family's network into a log line of diffusers.
fn with_network_names(line: &str, evidence: &Evidence) -> String {
    let (network, part) = network_names(evidence);
    line.replace("{network}", network).replace("{part}", part)
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

/// Returns the judgement of this program's own runner.
fn own_judgement(evidence: &Evidence, changes: &Changes) -> Judgement {
    let total = evidence.groups.len();
    let paths: HashSet<String> = evidence.adapter.deltas.iter().map(|delta| delta.path()).collect();
    let refused = evidence.problems.iter().find(|problem| problem.severity == Severity::Refuse);
    let applied = if refused.is_some() || evidence.family.id.is_none() { 0 } else { paths.len().min(total) };
    let (status, reason) = match (refused, evidence.family.id) {
        (None, None) if !evidence.family.is_known() => (LoaderStatus::Unknown, Some(sentence!("loader.unknown_base"))),
        (Some(problem), _) => (LoaderStatus::Refused, Some(problem.message.clone())),
        (None, None) => (LoaderStatus::Refused, Some(sentence!("loader.cannot_run", base = evidence.family.named()))),
        (None, Some(_)) if applied == total => (LoaderStatus::Applied, None),
        (None, Some(_)) => {
            let missing = Skip::NoLayer.sentence(total - applied, &evidence.family.named());
            (LoaderStatus::Partly, Some(missing))
        }
    };
    let is_changed = |found: &Option<ModuleMatch>| {
        found.is_some_and(|found| paths.contains(&format!("{}.{}", found.component, found.module.path)))
    };
    let layers = evidence.found.iter().map(|found| applied > 0 && is_changed(found)).collect();
    let changes: Vec<_> =
        evidence.groups.iter().zip(changes).filter_map(|(group, delta)| Some((group, (*delta)?))).collect();
    let verdict = LoaderVerdict {
        loader: "this_page".into(),
        label: "LoRA Loupe".into(),
        version: sentence!("loader.built_in", version = env!("CARGO_PKG_VERSION")),
        status,
        applied,
        total,
        reason,
        log: None,
        strength_note: strength::zero_alpha("LoRA Loupe", evidence, &changes).filter(|_| applied > 0),
        otherwise: None,
        likely: None,
    };
    Judgement { verdict, applied: layers }
}
