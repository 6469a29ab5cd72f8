//! Problems of an adapter, each with the affected layers and what to do.

use super::base::BaseShapes;
use super::family::Detected;
use super::hashes::{Claim, ClaimVerdict, Hashes};
use super::measurements::Findings;
use super::problem_class::ProblemClass;
use super::report::{Problem, Severity};
use crate::adapters::{Adapter, Delta, Leftover, LeftoverClass};
use crate::num::{parse_number, to_f32};
use crate::sentence::{rounded, sentence};
use std::collections::BTreeMap;

/// Returns a problem if a hash in the header is not the file's.
pub fn wrong_hashes(hashes: &Hashes) -> Option<Problem> {
    let wrong = |claim: &&Claim| matches!(claim.verdict, ClaimVerdict::Wrong | ClaimVerdict::OfNothing);
    let first = hashes.claims.iter().find(wrong)?;
    let message = sentence!("finding.wrong_hash", key = &first.key, says = &first.says, expected = &first.should_say);
    Some(Problem::warn(ProblemClass::WrongHash, message))
}

/// What a file says about its scales outside of its tensors.
#[derive(Clone, Copy)]
pub struct ConfigState<'a> {
    /// Whether it has no PEFT config.
    pub is_missing: bool,
    /// Its metadata.
    pub metadata: &'a BTreeMap<String, String>,
}

/// Appends every problem of an adapter.
pub fn collect(
    problems: &mut Vec<Problem>,
    adapter: &Adapter,
    findings: &Findings,
    found: &Detected,
    base: Option<&BaseShapes>,
    config: ConfigState<'_>,
) {
    problems.extend(wrong_base(found, base));
    problems.extend(contradiction(found));
    problems.extend(shape_mismatches(adapter, found, base));
    problems.extend(leftovers(adapter, found));
    problems.extend(unread_alpha(adapter, config.metadata));
    if !findings.not_finite.is_empty() {
        let message = sentence!("finding.nan_inf", n = findings.not_finite.len());
        problems.push(Problem::warn(ProblemClass::NanInf, message).of(findings.not_finite.clone()));
    }
    if !findings.zero_alpha.is_empty() {
        let message = sentence!("finding.zero_alpha", n = findings.zero_alpha.len());
        problems.push(Problem::warn(ProblemClass::AmbiguousAlpha, message).of(findings.zero_alpha.clone()));
    } else if !adapter.deltas.is_empty() && findings.alive == 0 {
        problems.push(Problem::warn(ProblemClass::NoEffect, sentence!("finding.all_zero")));
    }
    if adapter.convention == "peft_plain" && config.is_missing {
        problems.push(Problem::warn(ProblemClass::AmbiguousAlpha, sentence!("finding.no_config")));
    }
}

/// Metadata keys with an alpha that no known program reads.
const UNREAD_ALPHAS: [&str; 3] = ["lora_alpha", "network_alpha", "alpha"];

/// Returns a problem if the header has an alpha where no known program reads it, and layers have none elsewhere.
fn unread_alpha(adapter: &Adapter, metadata: &BTreeMap<String, String>) -> Option<Problem> {
    let number = |key: &&str| parse_number(metadata.get(*key)?.trim()).map(to_f32).filter(|alpha| alpha.is_finite());
    let (key, alpha) = UNREAD_ALPHAS.iter().find_map(|key| Some((*key, number(key)?)))?;
    let lacking = adapter.deltas.iter().filter(|delta| delta.alpha.is_none() && delta.scale == 1.0);
    let ratios: Vec<(String, f32)> =
        lacking.filter_map(|delta| Some((delta.path(), alpha / delta.change.alpha_rank()? as f32))).collect();
    let (_, first) = ratios.iter().find(|(_, ratio)| *ratio != 1.0)?;
    let message = sentence!(
        "finding.unread_alpha",
        n = ratios.len(),
        key = key,
        alpha = alpha,
        strength = rounded(f64::from(*first), 3),
    );
    Some(Problem::warn(ProblemClass::AmbiguousAlpha, message).of(ratios.into_iter().map(|(path, _)| path).collect()))
}

fn wrong_base(found: &Detected, base: Option<&BaseShapes>) -> Option<Problem> {
    match (base, found.id) {
        (Some(base), id) if id.is_some_and(|id| id != base.family) || id.is_none() && found.is_known() => {
            let message = sentence!("finding.wrong_base", made_for = found.named(), base = base.family.label());
            Some(Problem::refuse(ProblemClass::WrongBase, message))
        }
        (None, None) if found.is_known() => {
            let message = sentence!("finding.other_model", base = found.named());
            Some(Problem::warn(ProblemClass::OtherModel, message))
        }
        (None, None) => Some(Problem::warn(ProblemClass::UnknownModel, sentence!("finding.unknown_model"))),
        (Some(base), None) => {
            let message = sentence!("finding.no_layer_of_base", base = base.family.label());
            Some(Problem::refuse(ProblemClass::UnmatchedKeys, message))
        }
        _ => None,
    }
}

/// Returns a problem if the header names another family than the layers show.
fn contradiction(found: &Detected) -> Option<Problem> {
    let claimed = found.contradicted?;
    let message = sentence!("finding.wrong_header", claimed = claimed, base = found.named());
    Some(Problem::warn(ProblemClass::WrongHeader, message))
}

/// Returns a problem if deltas have other shapes than the base model's weights.
fn shape_mismatches(adapter: &Adapter, found: &Detected, base: Option<&BaseShapes>) -> Option<Problem> {
    let comparable = match base {
        Some(base) => found.id == Some(base.family),
        None => found.published_sizes,
    };
    if !comparable {
        return None;
    }
    let mismatched: Vec<&Delta> = adapter.deltas.iter().filter(|delta| !delta.fits(&delta.target_shape())).collect();
    let first = mismatched.first()?;
    let message = sentence!(
        "finding.shape_mismatch",
        n = mismatched.len(),
        key = first.tensor(),
        shape = format!("{:?}", first.change.shape()),
        expected = format!("{:?}", first.target_shape()),
    );
    let paths = mismatched.iter().map(|delta| delta.path()).collect();
    let severity = if base.is_some() { Severity::Refuse } else { Severity::Warn };
    Some(Problem { severity, ..Problem::refuse(ProblemClass::ShapeMismatch, message).of(paths) })
}

/// Returns one problem per class of leftover keys.
fn leftovers(adapter: &Adapter, found: &Detected) -> Vec<Problem> {
    if !found.is_known() {
        return Vec::new();
    }
    let mut classes: BTreeMap<LeftoverClass, Vec<&Leftover>> = BTreeMap::new();
    for leftover in &adapter.leftovers {
        classes.entry(leftover.reason.class()).or_default().push(leftover);
    }
    let problem = |(class, keys): (LeftoverClass, Vec<&Leftover>)| {
        let reason = keys[0].reason.sentence();
        let message = sentence!("finding.leftovers", n = keys.len(), key = &keys[0].key, reason = reason);
        let mut paths: Vec<String> = keys.iter().filter_map(|leftover| leftover.path.clone()).collect();
        paths.dedup();
        // A key of no layer is a warning; part of a layer's change is never dropped.
        let severity = if class.is_foreign() { Severity::Warn } else { Severity::Refuse };
        Problem { severity, ..Problem::refuse(class.into(), message).of(paths) }
    };
    classes.into_iter().map(problem).collect()
}
