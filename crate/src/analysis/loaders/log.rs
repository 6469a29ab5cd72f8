//! Explanations of loaders' log lines for a given file.

use super::{LoaderStatus, LoaderVerdict};
use crate::analysis::family::spellings_of;
use crate::analysis::report::Report;
use crate::model::toml_table;
use crate::model::{Component, spelling};
use crate::sentence::{Sentence, Value, sentence};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::LazyLock;
use ts_rs::TS;

/// Explanation of a log line for a file.
#[derive(Debug, Clone, PartialEq, Serialize, TS)]
pub struct LogExplanation {
    /// The loader that logs such lines: `comfyui`, …; null if several do.
    pub loader: Option<String>,
    /// The key or layer in the line, if there is one.
    pub key: Option<String>,
    /// The layer that the file changes with this key: `unet.down_blocks.0…`; null if there is none.
    pub path: Option<String>,
    /// Meaning of the line.
    pub means: Sentence,
    /// Cause in this file, and what to do.
    pub reason: Sentence,
}

/// A row of logs.toml.
#[derive(Deserialize)]
struct Line {
    loader: Option<String>,
    text: String,
    about: About,
    /// Id of the sentence.
    means: String,
}

#[derive(Clone, Copy, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum About {
    Layer,
    File,
    Place,
}

#[derive(Deserialize)]
struct Lines {
    line: Vec<Line>,
}

static LINES: LazyLock<Lines> = LazyLock::new(|| {
    toml_table::parse(embedded!("analysis/loaders/logs.toml")).expect("logs.toml is checked by a test")
});

/// Explains a pasted line for a file; `None` if no known loader logs such a line.
pub fn explain_log(report: &Report, line: &str) -> Option<LogExplanation> {
    let (row, values) = LINES.line.iter().find_map(|row| Some((row, captures(&row.text, line)?)))?;
    let verdict = row.loader.as_ref().and_then(|name| report.loaders.iter().find(|verdict| verdict.loader == *name));
    let key = values.get("key").or(values.get("keys")).map(|text| first_key(text));
    let key = key.filter(|key| !key.is_empty());
    let path = key.as_ref().and_then(|key| path(report, key));
    let reason = match row.about {
        About::Layer => about_key(report, verdict, key.as_deref(), path.as_deref()),
        About::File => about_file(report, verdict),
        About::Place => sentence!("log.file_is_fine"),
    };
    Some(LogExplanation { loader: row.loader.clone(), key, path, means: sentence!(&row.means), reason })
}

/// Returns the parts of `line` where `template` has names in braces; `None` if the rest differs.
fn captures(template: &str, line: &str) -> Option<BTreeMap<String, String>> {
    let mut values = BTreeMap::new();
    let (first, mut pattern) = template.split_once('{').unwrap_or((template, ""));
    let mut rest = &line[line.find(first)? + first.len()..];
    while let Some((name, after)) = pattern.split_once('}') {
        let (literal, next) = after.split_once('{').unwrap_or((after, ""));
        let end = if literal.is_empty() { rest.len() } else { rest.find(literal)? };
        values.insert(name.to_owned(), rest[..end].trim().to_owned());
        rest = &rest[end + literal.len()..];
        pattern = next;
    }
    Some(values)
}

/// Returns the first name of a list as printed by Python.
fn first_key(text: &str) -> String {
    let trimmed = text.trim_start_matches(['[', '{', '(', '\'', '"', ' ']);
    let end = trimmed.find(['\'', '"', ',', ' ', '|', ']', '}']).unwrap_or(trimmed.len());
    trimmed[..end].trim_end_matches('.').into()
}

/// Returns the layer that a key, stem or weight name refers to in the report's family, if the file changes it.
fn path(report: &Report, key: &str) -> Option<String> {
    let changed = |path: String| report.modules.iter().any(|row| row.path == path).then_some(path);
    let (stem, peft) = spelling::split(key).map_or((key, false), |(stem, suffix)| (stem, suffix.peft));
    let stem = stem.strip_suffix(".weight").or(stem.strip_suffix(".bias")).unwrap_or(stem);
    // The layers of an unknown model have the names that the file gives them.
    let Some(spellings) = spellings_of(report) else { return changed(format!("{}.{stem}", Component::Model)) };
    let found = spellings.find(stem, peft).or(spellings.find(stem, !peft))?;
    changed(format!("{}.{}", found.component, found.module.path))
}

fn about_key(report: &Report, verdict: Option<&LoaderVerdict>, key: Option<&str>, path: Option<&str>) -> Sentence {
    let Some(key) = key else { return about_file(report, verdict) };
    let leftover = report.leftovers.iter().find(|leftover| leftover.key == key);
    match (leftover, path) {
        (Some(leftover), _) => {
            sentence!("log.leftover", key = key, keys = report.leftovers.len(), reason = &leftover.reason)
        }
        (None, Some(path)) => {
            let lost = sentence!("log.part_lost", path = path);
            let list = [lost].into_iter().chain(verdict.map(summary)).collect();
            Sentence::joined(list).unwrap_or_default()
        }
        (None, None) => sentence!("log.other_file", key = key),
    }
}

fn about_file(report: &Report, verdict: Option<&LoaderVerdict>) -> Sentence {
    match (verdict, report.problems.first()) {
        (Some(verdict), _) => summary(verdict),
        (None, Some(problem)) => problem.message.clone(),
        (None, None) => sentence!("log.no_such_problem"),
    }
}

/// Returns a verdict in a sentence or two.
fn summary(verdict: &LoaderVerdict) -> Sentence {
    let LoaderVerdict { label, applied, total, .. } = verdict;
    let reason = verdict.reason.clone().unwrap_or_default();
    let also = match verdict.status {
        LoaderStatus::Applied => verdict.reason.clone(),
        _ => None,
    };
    let first = match (verdict.status, reason.values.get("cause")) {
        (LoaderStatus::Applied, _) => sentence!("log.applies_all", loader = label, total = *total),
        (LoaderStatus::Partly, _) => {
            sentence!("log.applies_part", loader = label, applied = *applied, total = *total, reason = reason)
        }
        (LoaderStatus::Ignored, _) => sentence!("log.ignores", loader = label, reason = reason),
        (LoaderStatus::Refused, Some(cause)) => sentence!("log.refuses", loader = label, cause = cause.clone()),
        // "Forge does not support FLUX.1." names the loader itself.
        (LoaderStatus::Refused, None) if reason.values.contains_key("loader") => reason,
        (LoaderStatus::Refused, None) => sentence!("log.refuses", loader = label, cause = Value::from(reason)),
        (LoaderStatus::Unknown, _) => reason,
    };
    let note = if also.is_some() { None } else { verdict.strength_note.clone() };
    Sentence::joined([Some(first), also, note].into_iter().flatten().collect()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_log_lines_is_valid() {
        for row in &LINES.line {
            assert_eq!(row.text.matches('{').count(), row.text.matches('}').count(), "{}", row.text);
            assert!(captures(&row.text, &row.text).is_some(), "{} does not match itself", row.text);
            assert!(sentence!(&row.means).ends_with('.'), "{} has no text", row.means);
        }
    }

    #[test]
    fn a_refusal_is_stated_once() {
        let check = |reason: Sentence, expect: &str| {
            let verdict = LoaderVerdict {
                loader: "forge".into(),
                label: "Forge".into(),
                version: Sentence::default(),
                status: LoaderStatus::Refused,
                applied: 0,
                total: 3,
                reason: Some(reason),
                log: None,
                strength_note: None,
                otherwise: None,
                likely: None,
            };
            assert_eq!(&*summary(&verdict), expect);
        };
        let refused = sentence!("loader.refuses", cause = sentence!("loader.no_other_keys"));
        check(refused, "Forge refuses this file: it accepts no other keys.");
        let unsupported = sentence!("loader.no_model", loader = "Forge", base = "FLUX.1");
        check(unsupported, "Forge does not support FLUX.1.");
        let layers = sentence!("loader.no_layer", n = 3usize, base = "SDXL");
        check(layers, "Forge refuses this file: 3 layers do not exist in SDXL.");
    }

    #[test]
    fn names_in_braces_capture_text() {
        let check = |text: &str, line: &str, name: &str, expect: Option<&str>| {
            let found = captures(text, line);
            assert_eq!(found.as_ref().and_then(|values| values.get(name)).map(String::as_str), expect, "{line}");
        };
        check("key not loaded: {key}", "WARNING lora key not loaded: a.b.c", "key", Some("a.b.c"));
        check("unused |{key}|", "[WARN ] unused |x|", "key", Some("x"));
        check("a {one} b {two}", "a 1 b 2", "two", Some("2"));
        check("a {one} b", "c", "one", None);
        assert_eq!(first_key("['lora_te_x.alpha', 'b']"), "lora_te_x.alpha");
        assert_eq!(first_key("{'lora_unet_a': 'b'}"), "lora_unet_a");
    }
}
