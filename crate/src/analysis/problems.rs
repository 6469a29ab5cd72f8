//! Problems of an adapter, each with the affected layers and what to do.

use super::base::BaseShapes;
use super::family::Detected;
use super::hashes::{Claim, ClaimVerdict, Hashes};
use super::measurements::Findings;
use super::problem_class::ProblemClass;
use super::report::{Problem, Severity};
use crate::adapters::{Adapter, Delta, Leftover, LeftoverClass};
use std::collections::BTreeMap;

/// Returns a problem if a hash in the header is not the file's.
pub fn wrong_hashes(hashes: &Hashes) -> Option<Problem> {
    let wrong = |claim: &&Claim| matches!(claim.verdict, ClaimVerdict::Wrong | ClaimVerdict::OfNothing);
    let first = hashes.claims.iter().find(wrong)?;
    let message = format!(
        "A hash in the header is wrong: {} is {}, expected {}. Programs that identify files by hash mistake this one \
         for another; fix the hashes.",
        first.key, first.says, first.should_say
    );
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
        let message = format!(
            "NaN or infinite values in {}: images turn black or into noise. \
             Ask the author for a repaired file.",
            count(findings.not_finite.len())
        );
        problems.push(Problem::warn(ProblemClass::NanInf, message).of(findings.not_finite.clone()));
    }
    if !findings.zero_alpha.is_empty() {
        let message = format!(
            "alpha is 0 in {}: ComfyUI, A1111 and LoRA Loupe then apply no change; \
             sd-scripts and LyCORIS use the rank as alpha.",
            count(findings.zero_alpha.len())
        );
        problems.push(Problem::warn(ProblemClass::AmbiguousAlpha, message).of(findings.zero_alpha.clone()));
    } else if !adapter.deltas.is_empty() && findings.alive == 0 {
        let message = "Every change is zero, so the file has no effect: it was saved before training, \
                       or training failed. Ask the author for a trained file.";
        problems.push(Problem::warn(ProblemClass::NoEffect, message));
    }
    if adapter.convention == "peft_plain" && config.is_missing {
        let message = "alpha is stored in PEFT's adapter_config.json, which is missing, so scale 1 is assumed. \
                       Add that file to get the right strength.";
        problems.push(Problem::warn(ProblemClass::AmbiguousAlpha, message));
    }
}

/// Metadata keys with an alpha that no known program reads.
const UNREAD_ALPHAS: [&str; 3] = ["lora_alpha", "network_alpha", "alpha"];

/// Returns a problem if the header has an alpha where no known program reads it, and layers have none elsewhere.
fn unread_alpha(adapter: &Adapter, metadata: &BTreeMap<String, String>) -> Option<Problem> {
    let number = |key: &&str| metadata.get(*key)?.trim().parse::<f32>().ok().filter(|alpha| alpha.is_finite());
    let (key, alpha) = UNREAD_ALPHAS.iter().find_map(|key| Some((*key, number(key)?)))?;
    let lacking = adapter.deltas.iter().filter(|delta| delta.alpha.is_none() && delta.scale == 1.0);
    let ratios: Vec<(String, f32)> =
        lacking.filter_map(|delta| Some((delta.path(), alpha / delta.change.alpha_rank()? as f32))).collect();
    let (_, first) = ratios.iter().find(|(_, ratio)| *ratio != 1.0)?;
    let message = format!(
        "The header's {key} is {alpha}, but no program that LoRA Loupe knows reads an alpha from there: {} applied at \
         scale 1. If the file was trained with this alpha, use strength {} instead of 1.",
        if ratios.len() == 1 { "1 layer is".into() } else { format!("{} layers are", ratios.len()) },
        (f64::from(*first) * 1000.0).round() / 1000.0,
    );
    Some(Problem::warn(ProblemClass::AmbiguousAlpha, message).of(ratios.into_iter().map(|(path, _)| path).collect()))
}

/// Formats "1 layer" or "7 layers".
fn count(layers: usize) -> String {
    if layers == 1 { "1 layer".into() } else { format!("{layers} layers") }
}

fn wrong_base(found: &Detected, base: Option<&BaseShapes>) -> Option<Problem> {
    let label = &found.label;
    match (base, found.id) {
        (Some(base), id) if id.is_some_and(|id| id != base.family) || id.is_none() && found.is_known() => {
            let message = format!(
                "This adapter was made for {label}, but the base model is {}: their layers do not match. \
                 Use it with {label}.",
                base.family.label()
            );
            Some(Problem::refuse(ProblemClass::WrongBase, message))
        }
        (None, None) if found.is_known() => {
            let message = format!("This adapter was made for {label}, which LoRA Loupe can inspect but not run.");
            Some(Problem::warn(ProblemClass::OtherModel, message))
        }
        (None, None) => {
            let message = "The base model of this adapter is unknown: compatibility cannot be checked, and images \
                           cannot be generated. The report shows only what the file itself contains.";
            Some(Problem::warn(ProblemClass::UnknownModel, message))
        }
        (Some(base), None) => {
            let message = format!(
                "No key of this file names a layer of {}, so there is nothing to apply. \
                 Ask the author which model it is for.",
                base.family.label()
            );
            Some(Problem::refuse(ProblemClass::UnmatchedKeys, message))
        }
        _ => None,
    }
}

/// Returns a problem if the header names another family than the layers show.
fn contradiction(found: &Detected) -> Option<Problem> {
    let claimed = found.contradicted?;
    let message = format!(
        "The header says {claimed}, but the keys and shapes are those of {}: the header is wrong. \
         Programs that sort files by their header list this one under the wrong model; correct its metadata.",
        found.label
    );
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
    let message = format!(
        "Shape mismatch in {}; the first is `{}`: the file has {:?}, the model expects {:?}. \
         Use the file with the model it was made for.",
        count(mismatched.len()),
        first.tensor(),
        first.change.shape(),
        first.target_shape(),
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
        let message = format!(
            "{} of the file's keys are not applied; the first is `{}`: {}.",
            keys.len(),
            keys[0].key,
            keys[0].reason
        );
        let mut paths: Vec<String> = keys.iter().filter_map(|leftover| leftover.path.clone()).collect();
        paths.dedup();
        // A key of no layer is a warning; part of a layer's change is never dropped.
        let severity = if class.is_foreign() { Severity::Warn } else { Severity::Refuse };
        Problem { severity, ..Problem::refuse(class.into(), message).of(paths) }
    };
    classes.into_iter().map(problem).collect()
}
