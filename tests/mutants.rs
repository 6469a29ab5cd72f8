//! Damaged and renamed copies of recorded cases: no verdict claims more than diffusers did with them.

use lora_loupe::analysis::{LoaderStatus, inspect_header};
use lora_loupe_tests::loader_cases::{Mutant, mutants};
use pollster::block_on;
use std::collections::BTreeSet;

/// Returns the number of weights that a loader is said to change, as diffusers splits its layers.
fn claimed(weights: &[Vec<String>], applied: &[bool]) -> usize {
    let layers = weights.iter().zip(applied);
    layers.filter(|(_, applied)| **applied).flat_map(|(weights, _)| weights).collect::<BTreeSet<_>>().len()
}

#[test]
fn no_verdict_claims_more_than_diffusers_does() {
    let (mut all, mut wrong) = (0, Vec::new());
    for Mutant { name, file, family, layers, error } in mutants() {
        let report = block_on(inspect_header("mutant", &file, file.config.as_deref()));
        let Some(at) = report.loaders.iter().position(|verdict| verdict.loader == "diffusers") else { continue };
        let verdict = &report.loaders[at];
        // A file that fits several networks was loaded into one.
        let other = report.applied.others.iter().find(|other| other.family == family);
        let judged = other.filter(|_| report.base.family != family).unwrap_or(&report.applied);
        let claim = claimed(&judged.weights, &judged.by_loader[at]);
        let is_status = match verdict.status {
            _ if report.base.family != family => other.is_some() || verdict.applied == 0,
            LoaderStatus::Unknown => true,
            LoaderStatus::Refused => error.is_some(),
            LoaderStatus::Ignored => error.is_none() && layers == 0,
            LoaderStatus::Applied | LoaderStatus::Partly => error.is_none() && layers > 0,
        };
        all += 1;
        if !is_status || claim != layers && report.base.family == family {
            let more = if claim > layers { "MORE" } else { "less" };
            let said = format!("{:?} {claim} ({} of {})", verdict.status, verdict.applied, verdict.total);
            wrong.push(format!("{more} {name}: {said} of {}, {family}: {layers} {error:?}", report.base.label));
        }
    }
    assert!(wrong.is_empty(), "{} of {all}\n{}", wrong.len(), wrong.join("\n"));
}
