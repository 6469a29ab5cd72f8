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

/// Share of the files of which less is said than diffusers does, or another error: converters that take two prefixes in one
/// file, and layers of no model that one leaves out.
const LESS: f64 = 0.03;

/// LTX-2 with `lora_down` in half of the layers: diffusers finds no rank for the text connectors, which have no `lora_B`.
const KNOWN: &str = "report_c11_ltx2_av {\"replace\":[\"lora_A.weight\",\"lora_down.weight\"";

#[test]
fn no_verdict_claims_more_than_diffusers_does() {
    let (mut all, mut more, mut less) = (0, Vec::new(), Vec::new());
    for Mutant { name, file, family, layers, error } in mutants() {
        let report = block_on(inspect_header("mutant", &file, file.config.as_deref()));
        let Some(at) = report.loaders.iter().position(|verdict| verdict.loader == "diffusers") else { continue };
        let verdict = &report.loaders[at];
        // A file that fits several networks was loaded into one.
        let other = report.applied.others.iter().find(|other| other.family == family);
        let is_family = report.base.family == family;
        let judged = other.filter(|_| !is_family).unwrap_or(&report.applied);
        let claim = claimed(&judged.weights, &judged.by_loader[at]);
        let is_status = match verdict.status {
            _ if !is_family => other.is_some() || verdict.applied == 0,
            LoaderStatus::Unknown => true,
            LoaderStatus::Refused => error.is_some(),
            LoaderStatus::Ignored => error.is_none() && layers == 0,
            LoaderStatus::Applied | LoaderStatus::Partly => error.is_none() && layers > 0,
        };
        // diffusers fuses layers for some files, which are fewer then.
        let applied = if is_family { claim.min(verdict.applied) } else { claim };
        all += 1;
        let said = format!("{:?} {claim} ({} of {})", verdict.status, verdict.applied, verdict.total);
        let line = format!("{name}: {said} of {}, {family}: {layers} {error:?}", report.base.label);
        if applied > layers && !name.starts_with(KNOWN) {
            more.push(line);
        } else if !is_status || applied < layers && claim != layers && is_family {
            less.push(line);
        }
    }
    assert!(all > 2000, "{all}");
    assert!(more.is_empty(), "{} of {all} claim more\n{}", more.len(), more.join("\n"));
    assert!((less.len() as f64) < LESS * f64::from(all), "{} of {all}\n{}", less.len(), less.join("\n"));
}
