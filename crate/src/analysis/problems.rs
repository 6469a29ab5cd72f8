//! Turns what was found in an adapter into problems, each with its layers and what to do.

use super::base::BaseShapes;
use super::family::Detected;
use super::hashes::{Claim, ClaimVerdict, Hashes};
use super::report::{Problem, Severity};
use super::rows::ChangeNumbers;
use crate::adapters::{Adapter, Delta, Leftover, LeftoverClass};
use std::collections::BTreeMap;

/// What was odd about an adapter's numbers.
#[derive(Debug, Default)]
pub struct Findings {
    not_finite: Vec<String>,
    zero_alpha: Vec<String>,
    /// Deltas that change something, or may.
    alive: usize,
}

impl Findings {
    /// What is odd about numbers that were not read: nothing is known.
    pub fn unread(adapter: &Adapter) -> Findings {
        Findings { alive: adapter.deltas.len(), ..Findings::default() }
    }

    /// Looks at what one delta's numbers say.
    pub fn look(&mut self, delta: &Delta, numbers: &ChangeNumbers) {
        if !numbers.finite {
            self.not_finite.push(delta.path());
        }
        if delta.alpha == Some(0.0) && delta.change.alpha_rank().is_some() {
            self.zero_alpha.push(delta.path());
        }
        self.alive += usize::from(numbers.norm != Some(0.0));
    }
}

/// Hashes in the header that are not the file's.
pub fn wrong_hashes(hashes: &Hashes) -> Option<Problem> {
    let wrong = |claim: &&Claim| matches!(claim.verdict, ClaimVerdict::Wrong | ClaimVerdict::OfNothing);
    let first = hashes.claims.iter().find(wrong)?;
    let message = format!(
        "The header's hash is wrong: {} says {}, and it should be {}. Programs that know files by it take this one \
         for another; repair the hashes.",
        first.key, first.says, first.should_say
    );
    Some(Problem::warn("wrong_hash", message))
}

/// Appends every problem of an adapter; `lacks_config` where no config speaks for it.
pub fn collect(
    problems: &mut Vec<Problem>,
    adapter: &Adapter,
    findings: &Findings,
    found: &Detected,
    base: Option<&BaseShapes>,
    lacks_config: bool,
) {
    problems.extend(wrong_base(found, base));
    problems.extend(contradiction(found));
    problems.extend(misfits(adapter, found, base));
    problems.extend(leftovers(adapter, found));
    if !findings.not_finite.is_empty() {
        let message = format!(
            "{} hold NaN or infinite numbers: with them the picture turns black or to noise. \
             Ask who made the file for another one.",
            count(findings.not_finite.len())
        );
        problems.push(Problem::warn("nan_inf", message).of(findings.not_finite.clone()));
    }
    if !findings.zero_alpha.is_empty() {
        let message = format!(
            "alpha is 0 in {}: ComfyUI and A1111 then change nothing, which is what is done here too; \
             sd-scripts and LyCORIS take alpha as the rank.",
            count(findings.zero_alpha.len())
        );
        problems.push(Problem::warn("ambiguous_alpha", message).of(findings.zero_alpha.clone()));
    } else if !adapter.deltas.is_empty() && findings.alive == 0 {
        let message = "Every change is zero, so the file has no effect: it was saved before training, \
                       or training failed. Ask who made the file for another one.";
        problems.push(Problem::warn("no_effect", message));
    }
    if adapter.convention == "peft_plain" && lacks_config {
        let message = "alpha stands in PEFT's adapter_config.json, which is not here, so scale 1 is assumed. \
                       Give that file too for the right strength.";
        problems.push(Problem::warn("ambiguous_alpha", message));
    }
}

/// "1 layer", "7 layers".
fn count(layers: usize) -> String {
    if layers == 1 { "1 layer".into() } else { format!("{layers} layers") }
}

fn wrong_base(found: &Detected, base: Option<&BaseShapes>) -> Option<Problem> {
    let label = &found.label;
    match (base, found.id) {
        (Some(base), id) if id.is_some_and(|id| id != base.family) || id.is_none() && found.name != "unknown" => {
            let message = format!(
                "This adapter was made for {label}, and the base model is {}: their layers do not match. \
                 Use it with {label}.",
                base.family.label()
            );
            Some(Problem::refuse("wrong_base", message))
        }
        (None, None) if found.name != "unknown" => {
            let message = format!("This adapter was made for {label}, which cannot be drawn with here.");
            Some(Problem::warn("other_model", message))
        }
        (None, None) => {
            let message = "The model that this adapter was made for is not known here, so nothing is said of where it \
                           works, and no picture can be drawn with it. What the file itself says is shown.";
            Some(Problem::warn("unknown_model", message))
        }
        (Some(base), None) => {
            let message = format!(
                "No layer of {} has these names, so there is nothing to apply. \
                 Ask who made the file which model it is for.",
                base.family.label()
            );
            Some(Problem::refuse("unmatched_keys", message))
        }
        _ => None,
    }
}

/// A header that names another family than the layers show.
fn contradiction(found: &Detected) -> Option<Problem> {
    let said = found.contradicted?;
    let message = format!(
        "The header says {said}, and the layers have names and sizes of {} that {said} has not: the header is wrong. \
         Programs that sort files by the header show this one in the wrong place; correct its metadata.",
        found.label
    );
    Some(Problem::warn("wrong_header", message))
}

/// Deltas whose shape is not the base's.
fn misfits(adapter: &Adapter, found: &Detected, base: Option<&BaseShapes>) -> Option<Problem> {
    let comparable = match base {
        Some(base) => found.id == Some(base.family),
        None => found.published_sizes,
    };
    if !comparable {
        return None;
    }
    let misfits: Vec<&Delta> = adapter.deltas.iter().filter(|delta| !delta.fits(&delta.wanted_shape())).collect();
    let first = misfits.first()?;
    let message = format!(
        "{} have another size than the base model's; the first is `{}`: the file has {:?}, the model wants {:?}. \
         Use the file with the model that it was made for.",
        count(misfits.len()),
        first.tensor(),
        first.change.shape(),
        first.wanted_shape(),
    );
    let paths = misfits.iter().map(|delta| delta.path()).collect();
    let severity = if base.is_some() { Severity::Refuse } else { Severity::Warn };
    Some(Problem { severity, ..Problem::refuse("shape_mismatch", message).of(paths) })
}

/// One problem for each class of leftover keys.
fn leftovers(adapter: &Adapter, found: &Detected) -> Vec<Problem> {
    if found.layers.is_none() {
        return Vec::new();
    }
    let mut classes: BTreeMap<LeftoverClass, Vec<&Leftover>> = BTreeMap::new();
    for left in &adapter.leftovers {
        classes.entry(left.reason.class()).or_default().push(left);
    }
    let problem = |(class, keys): (LeftoverClass, Vec<&Leftover>)| {
        let message = format!(
            "{} of the file's keys are not applied; the first is `{}`: {}.",
            keys.len(),
            keys[0].key,
            keys[0].reason
        );
        let mut paths: Vec<String> = keys.iter().filter_map(|left| left.path.clone()).collect();
        paths.dedup();
        // A key for no layer is only told; part of a change to a layer is never left out.
        let severity = if class.is_foreign() { Severity::Warn } else { Severity::Refuse };
        Problem { severity, ..Problem::refuse(class.name(), message).of(paths) }
    };
    classes.into_iter().map(problem).collect()
}
