//! Why a loader does not apply layers of a file, as sentences.

use super::evidence::Evidence;
use super::outcome::KeyOutcome;
use super::rules::Loader;
use crate::adapters::Group;
use crate::model::spelling::NamingScheme;
use crate::sentence::{Sentence, Value, sentence};
use crate::sorting;
use std::collections::HashSet;

/// Reason why a loader does not apply a layer.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Skip<'a> {
    /// The family has no such layer.
    NoLayer,
    /// The loader does not look up its keys: their naming, prefix, and whether they are PEFT's.
    Names(NamingScheme, &'a str, bool),
    /// Its keys contain the wrapper of `torch.compile`.
    Compiled,
    /// The loader does not read tensors with this suffix.
    Stored(&'a str),
    /// They are incomplete.
    Incomplete,
    /// It fails to compute them.
    Fails(&'a str),
}

impl Skip<'_> {
    fn of<'a>(group: &Group, outcome: &KeyOutcome<'a>) -> Option<Skip<'a>> {
        match *outcome {
            KeyOutcome::Applied => None,
            KeyOutcome::NoLayer => Some(Skip::NoLayer),
            KeyOutcome::NotLookedUp(found) if found.compiled => Some(Skip::Compiled),
            KeyOutcome::NotLookedUp(found) => Some(Skip::Names(found.names, found.prefix, group.peft)),
            KeyOutcome::Unreadable(ending) => Some(Skip::Stored(ending)),
            KeyOutcome::Incomplete => Some(Skip::Incomplete),
            KeyOutcome::Fails(ending) => Some(Skip::Fails(ending)),
        }
    }

    /// Returns the reason for a number of layers of a file for the model `base`.
    pub(super) fn sentence(self, layers: usize, base: &Value) -> Sentence {
        let (scheme, prefix, peft) = match self {
            Skip::NoLayer => return sentence!("loader.no_layer", n = layers, base = base.clone()),
            Skip::Compiled => return sentence!("loader.compiled", n = layers),
            Skip::Stored(ending) => return sentence!("loader.stored", n = layers, ending = ending),
            Skip::Incomplete => return sentence!("loader.incomplete", n = layers),
            Skip::Fails(ending) => return sentence!("loader.fails", n = layers, ending = ending),
            Skip::Names(scheme, prefix, peft) => (scheme, prefix, peft),
        };
        let names = match scheme {
            NamingScheme::Diffusers => sentence!("names.diffusers"),
            NamingScheme::AttnProcs => sentence!("names.attn_procs"),
            NamingScheme::Ldm | NamingScheme::Native => sentence!("names.native"),
            NamingScheme::Trainer => sentence!("names.trainer"),
            NamingScheme::Place => return sentence!("loader.indexed", n = layers),
        };
        match (prefix, peft) {
            ("", false) => sentence!("loader.unprefixed", n = layers, names = names),
            ("", true) => sentence!("loader.unprefixed_peft", n = layers, names = names),
            (prefix, false) => sentence!("loader.prefixed", n = layers, names = names, prefix = prefix),
            (prefix, true) => sentence!("loader.prefixed_peft", n = layers, names = names, prefix = prefix),
        }
    }
}

/// Returns why layers are not applied: each reason with its number of layers, the most frequent first, and advice.
pub(super) fn reasons(loader: &Loader, evidence: &Evidence, outcomes: &[KeyOutcome]) -> Option<Sentence> {
    // Only layers whose change is known can be converted.
    let factors = evidence.adapter.deltas.iter().flat_map(|delta| delta.change.factors());
    let computed: HashSet<&str> = factors.map(|factor| factor.key.as_str()).collect();
    let (mut counts, mut convertible): (Vec<(Skip, usize)>, bool) = (Vec::new(), false);
    for (group, outcome) in evidence.groups.iter().zip(outcomes) {
        let Some(skip) = Skip::of(group, outcome) else { continue };
        convertible |= group.tensors.values().any(|tensor| computed.contains(tensor.name.as_str()));
        match counts.iter_mut().find(|(known, _)| *known == skip) {
            Some((_, count)) => *count += 1,
            None => counts.push((skip, 1)),
        }
    }
    sorting::sort_by_key(&mut counts, |(_, count)| std::cmp::Reverse(*count));
    let base = evidence.family.named();
    let mut list: Vec<Sentence> = counts.iter().map(|(skip, count)| skip.sentence(*count, &base)).collect();
    if loader.fills_halves && counts.iter().any(|(skip, _)| matches!(skip, Skip::Incomplete)) {
        list.push(sentence!("loader.half_filled"));
    }
    if !convertible {
        return Sentence::joined(list);
    }
    if counts.iter().any(|(skip, _)| matches!(skip, Skip::Names(..) | Skip::Compiled)) {
        list.push(sentence!("loader.convert_keys", loader = &loader.label));
    } else if counts.iter().any(|(skip, _)| matches!(skip, Skip::Stored(_) | Skip::Fails(_))) {
        list.push(sentence!("loader.convert_lora"));
    }
    Sentence::joined(list)
}

/// Returns the keys of no layer that are skipped although every layer is applied.
pub(super) fn skipped_keys(strays: &[&str]) -> Option<Sentence> {
    Some(match strays {
        [] => return None,
        [key] => sentence!("loader.skips_key", key = *key),
        [key, ..] => sentence!("loader.skips_keys", n = strays.len(), key = *key),
    })
}
