//! Turns a line from a loader's log into what it means for a file.

use super::{LoaderStatus, LoaderVerdict};
use crate::analysis::family::spellings_of;
use crate::analysis::report::Report;
use crate::model::spelling;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::LazyLock;
use ts_rs::TS;

/// What a line of a log means for a file.
#[derive(Debug, Clone, PartialEq, Serialize, TS)]
pub struct LogExplanation {
    /// The loader that prints such lines: `comfyui`, …; null where several do.
    pub loader: Option<String>,
    /// The key or layer that the line names, where it names one.
    pub key: Option<String>,
    /// The layer that the file changes by this key: `unet.down_blocks.0…`; null where it is none.
    pub path: Option<String>,
    /// What the line says, in a sentence.
    pub means: String,
    /// What the file says to that: why, and what to do.
    pub reason: String,
}

/// A row of logs.toml.
#[derive(Deserialize)]
struct Line {
    loader: Option<String>,
    text: String,
    about: About,
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

static LINES: LazyLock<Lines> =
    LazyLock::new(|| toml::from_str(include_str!("logs.toml")).expect("logs.toml is checked by a test"));

/// The meaning of a pasted line for a file; none where no known loader prints such a line.
pub fn explain_log(report: &Report, line: &str) -> Option<LogExplanation> {
    let (row, values) = LINES.line.iter().find_map(|row| Some((row, captures(&row.text, line)?)))?;
    let verdict = row.loader.as_ref().and_then(|name| report.loaders.iter().find(|verdict| verdict.loader == *name));
    let key = values.get("key").or(values.get("keys")).map(|text| first_key(text));
    let key = key.filter(|key| !key.is_empty());
    let path = key.as_ref().and_then(|key| path(report, key));
    let reason = match row.about {
        About::Layer => about_key(report, verdict, key.as_deref(), path.as_deref()),
        About::File => about_file(report, verdict),
        About::Place => "Nothing in the file itself is wrong; check its name, its folder and its metadata.".into(),
    };
    Some(LogExplanation { loader: row.loader.clone(), key, path, means: format!("{}.", row.means), reason })
}

/// The parts of `line` where `text` has names in braces; none where the rest differs.
fn captures(text: &str, line: &str) -> Option<BTreeMap<String, String>> {
    let mut values = BTreeMap::new();
    let (first, mut pattern) = text.split_once('{').unwrap_or((text, ""));
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

/// The first name of a list as Python prints it.
fn first_key(text: &str) -> String {
    let trimmed = text.trim_start_matches(['[', '{', '(', '\'', '"', ' ']);
    let end = trimmed.find(['\'', '"', ',', ' ', '|', ']', '}']).unwrap_or(trimmed.len());
    trimmed[..end].trim_end_matches('.').into()
}

/// The layer that a key, a stem or a weight's name means in the report's family, if the file changes it.
fn path(report: &Report, key: &str) -> Option<String> {
    let changed = |path: String| report.modules.iter().any(|row| row.path == path).then_some(path);
    let (stem, peft) = spelling::split(key).map_or((key, false), |(stem, suffix)| (stem, suffix.peft));
    let stem = stem.strip_suffix(".weight").or(stem.strip_suffix(".bias")).unwrap_or(stem);
    let spellings = spellings_of(report)?;
    let found = spellings.find(stem, peft).or(spellings.find(stem, !peft))?;
    changed(format!("{}.{}", found.component, found.module.path))
}

fn about_key(report: &Report, verdict: Option<&LoaderVerdict>, key: Option<&str>, path: Option<&str>) -> String {
    let Some(key) = key else { return about_file(report, verdict) };
    let left = report.leftovers.iter().find(|left| left.key == key);
    match (left, path) {
        // A name without an adapter's ending is no adapter's tensor in any network.
        (Some(left), _) if spelling::split(key).is_none() && report.base.family != "unknown" => format!(
            "`{key}` is one of {} keys of the file that change nothing: {}. It can be removed without loss.",
            report.leftovers.len(),
            left.reason
        ),
        (Some(left), _) => format!(
            "`{key}` is one of {} keys of the file that are not applied here either: {}.",
            report.leftovers.len(),
            left.reason
        ),
        (None, Some(path)) => {
            let says = verdict.map(|verdict| format!(" {}", summary(verdict))).unwrap_or_default();
            format!("The file does change `{path}` by this key, so the loss is real.{says}")
        }
        (None, None) => format!("This file has no key `{key}`: the line is about another file."),
    }
}

fn about_file(report: &Report, verdict: Option<&LoaderVerdict>) -> String {
    match (verdict, report.problems.first()) {
        (Some(verdict), _) => summary(verdict),
        (None, Some(problem)) => problem.message.clone(),
        (None, None) => "Nothing of that kind is wrong with this file.".into(),
    }
}

/// A verdict in a sentence or two.
fn summary(verdict: &LoaderVerdict) -> String {
    let LoaderVerdict { label, applied, total, reason, .. } = verdict;
    let text = match verdict.status {
        LoaderStatus::Applied => format!("By its rules {label} applies all {total} layers of this file."),
        LoaderStatus::Partly => format!("{label} applies {applied} of {total} layers of this file: {reason}"),
        LoaderStatus::Ignored => format!("{label} applies nothing of this file: {reason}"),
        LoaderStatus::Refused => format!("{label} refuses this file: {reason}"),
        LoaderStatus::Unknown => reason.clone(),
    };
    match (&verdict.strength_note, verdict.status) {
        (_, LoaderStatus::Applied) if !reason.is_empty() => format!("{text} {reason}"),
        (Some(note), _) => format!("{text} {note}"),
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_lines_is_well_formed() {
        for row in &LINES.line {
            assert_eq!(row.text.matches('{').count(), row.text.matches('}').count(), "{}", row.text);
            assert!(captures(&row.text, &row.text).is_some(), "{} does not match itself", row.text);
            assert!(!row.means.ends_with('.'));
        }
    }

    #[test]
    fn names_in_braces_take_what_stands_there() {
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
