//! Sentences of reports: each has an id of crate/src/sentence/en.json, and none is made elsewhere.

use lora_loupe::analysis::{Report, explain_log, inspect, inspect_header};
use lora_loupe::edit::{ConvertOptions, Edit, EditError, EditInput, MetadataEdit, Target, fixes, preview};
use lora_loupe::sentence::Sentence;
use lora_loupe_tests::golden;
use pollster::block_on;
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

/// Groups of ids that are put together: from names of settings and families, and from names of placeholders.
const COMPOSED: [&str; 3] = ["setting.", "family.", "list."];

/// Returns the English texts by id.
fn texts() -> BTreeMap<String, Value> {
    serde_json::from_str(&golden::text("../crate/src/sentence/en.json")).expect("a table of texts")
}

/// Returns the sources and tables below a folder of the crate: path and text.
fn sources(folder: &str) -> Vec<(String, String)> {
    fn walk(at: &Path, found: &mut Vec<PathBuf>) {
        for path in std::fs::read_dir(at).expect("a folder of sources").flatten().map(|entry| entry.path()) {
            if path.is_dir() {
                walk(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs" || extension == "toml") {
                found.push(path);
            }
        }
    }
    let mut found = Vec::new();
    walk(&golden::path("../crate/src").join(folder), &mut found);
    let read = |path: PathBuf| (path.display().to_string(), std::fs::read_to_string(&path).expect("a source"));
    found.into_iter().map(read).collect()
}

#[test]
fn every_text_is_used_and_every_id_has_a_text() {
    let texts = texts();
    let all: String = sources("").into_iter().map(|(_, text)| text).collect();
    let quoted: BTreeSet<&str> = all.split('"').collect();
    let is_used = |id: &str| quoted.contains(id) || COMPOSED.iter().any(|group| id.starts_with(group));
    let unused: Vec<&String> = texts.keys().filter(|id| !is_used(id)).collect();
    assert!(unused.is_empty() && !is_used("health.of_no_text"), "{unused:?} are used nowhere");
    let groups: BTreeSet<&str> = texts.keys().filter_map(|id| Some(id.split_once('.')?.0)).collect();
    let is_id = |text: &&&str| {
        let Some((group, name)) = text.split_once('.') else { return false };
        let is_name = !name.is_empty()
            && name.chars().all(|letter| letter.is_ascii_lowercase() || "_0123456789".contains(letter));
        // Words of other tables have the same form.
        groups.contains(group) && is_name && !COMPOSED.contains(&&*format!("{group}."))
    };
    let made =
        all.split("sentence!(").skip(1).filter_map(|call| call.trim_start().strip_prefix('"')?.split('"').next());
    let lacking: BTreeSet<&str> = made.filter(|id| id.contains('.') && !texts.contains_key(*id)).collect();
    assert!(lacking.is_empty(), "{lacking:?} have no text");
    let unknown: Vec<&&str> = quoted.iter().filter(is_id).filter(|id| !texts.contains_key(**id)).collect();
    let others = ["file.bin"];
    assert!(unknown.iter().all(|id| others.contains(*id)), "{unknown:?} have no text");
    let names = |group: &str| -> Vec<&str> {
        texts.keys().filter_map(|id| id.strip_prefix(group)?.strip_prefix('.')).collect()
    };
    let settings = golden::text("../crate/src/analysis/training.toml");
    let strays: Vec<&str> =
        names("setting").into_iter().filter(|id| !settings.contains(&format!("name = \"{id}\""))).collect();
    assert!(strays.is_empty(), "{strays:?}");
    assert_eq!(names("family"), worded_labels(), "labels of families that are more than a name");
}

/// Returns the labels of families and sizes that have words in small letters, as they stand in ids.
fn worded_labels() -> Vec<String> {
    let tables = sources("analysis").into_iter().chain(sources("model/architectures"));
    let tables = tables.filter(|(path, _)| path.ends_with("families.toml") || path.contains("architectures"));
    let labels = tables.flat_map(|(_, text)| {
        let labels = text.lines().filter_map(|line| line.strip_prefix("label = \"")?.strip_suffix('"'));
        labels.map(str::to_owned).collect::<Vec<_>>()
    });
    // Names of sizes are the same in every language.
    let is_word = |word: &str| word.starts_with(char::is_lowercase) && !["dev", "medium", "large"].contains(&word);
    let is_worded = |label: &String| label.split([' ', '-']).any(is_word);
    let id = |label: String| label.to_ascii_lowercase().replace(|letter: char| !letter.is_ascii_alphanumeric(), "_");
    let unknown = ["an_unknown_model".to_owned()];
    labels.filter(is_worded).map(id).chain(unknown).collect::<BTreeSet<_>>().into_iter().collect()
}

/// Returns whether a text has more than three words in small letters.
fn is_prose(text: &str) -> bool {
    text.split(' ').filter(|word| word.chars().all(|letter| letter.is_ascii_lowercase())).count() > 3
}

#[test]
fn sentences_are_made_in_one_place() {
    // Comments, attributes, log lines of other programs, and what a panic says.
    let skipped = |path: &str, line: &str| {
        let is_log =
            path.ends_with("s.toml") && ["text = ", "log = ", "unmatched = "].iter().any(|name| line.contains(name));
        is_log || line.starts_with("//") || line.starts_with('#') || line.contains(".expect(")
    };
    let mut found = Vec::new();
    for (path, text) in sources("analysis").into_iter().chain(sources("edit")) {
        let code = text.split("#[cfg(test)]").next().unwrap_or_default();
        for line in code.lines().map(str::trim_start).filter(|line| !skipped(&path, line)) {
            let literals = line.split('"').skip(1).step_by(2).filter(|text| is_prose(text));
            found.extend(literals.map(|text| format!("{path}: {text}")));
        }
    }
    assert!(found.is_empty(), "{found:#?}");
    assert!(is_prose("this file has no such key"));
}

/// Checks a report or a part of one: every sentence is what its id and values say, and other texts are no prose. Adds
/// the ids.
fn check(place: &str, value: &Value, ids: &mut BTreeSet<String>) {
    match value {
        Value::Object(object) if is_sentence(object) => check_sentence(place, value, ids),
        Value::Object(object) => {
            let verbatim = ["metadata", "edit", "log", "key", "file", "tags", "datasets"];
            let parts = object.iter().filter(|(name, _)| !verbatim.contains(&name.as_str()));
            parts.for_each(|(name, value)| check(&format!("{place}.{name}"), value, ids));
        }
        Value::Array(list) => list.iter().for_each(|value| check(place, value, ids)),
        Value::String(text) if ![".value", ".text"].iter().any(|end| place.ends_with(end)) => {
            assert!(!is_prose(text), "{place}: {text}");
        }
        _ => {}
    }
}

fn is_sentence(object: &Map<String, Value>) -> bool {
    object.len() == 3 && ["id", "text", "values"].iter().all(|key| object.contains_key(*key))
}

fn check_sentence(place: &str, value: &Value, ids: &mut BTreeSet<String>) {
    let found: Sentence = serde_json::from_value(value.clone()).expect("a sentence");
    // Names of algorithms are in a table of their own.
    if !found.id.starts_with("algorithm.") {
        let made = Sentence::new(&found.id, found.values.clone());
        assert_ne!(made.text, made.id, "{place}: {} has no text", found.id);
        assert_eq!(made, found, "{place}");
    }
    ids.insert(found.id);
    for value in value["values"].as_object().into_iter().flat_map(|values| values.values()) {
        let parts = value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice);
        let parts = parts.iter().filter(|part| part.as_object().is_some_and(is_sentence));
        parts.for_each(|part| check_sentence(place, part, ids));
    }
}

#[test]
fn reports_and_fixes_have_ids_for_all_their_sentences() {
    let mut ids = BTreeSet::new();
    for folder in ["corpus/files", "hostile", "hostile/pickles"] {
        for path in std::fs::read_dir(golden::path(folder)).expect("a folder").flatten().map(|entry| entry.path()) {
            let Ok(bytes) = std::fs::read(&path) else { continue };
            let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            let report: Report = match folder {
                "corpus/files" => block_on(inspect_header(&name, &bytes, None)),
                _ => block_on(inspect(&name, &bytes, None, None)),
            };
            let json = |value| serde_json::to_value(value).expect("JSON");
            check(&name, &json(&report), &mut ids);
            assert_eq!(json(&report)["version"], 2);
            let input = EditInput::file(&name, &bytes, None);
            for fix in block_on(fixes(&input, &report)).unwrap_or_default() {
                check(&format!("{name}: fix"), &serde_json::to_value(&fix).expect("JSON"), &mut ids);
            }
            for line in ["lora key not loaded: lora_unet_x", "HeaderTooLarge", "Couldn't find network with name a"] {
                let found = explain_log(&report, line).expect("a known line");
                check(&format!("{name}: {line}"), &serde_json::to_value(&found).expect("JSON"), &mut ids);
            }
        }
    }
    for group in [
        "verdict", "finding", "not_lora", "health", "loader", "strength", "log", "fix", "fix_why", "evidence",
        "leftover", "block", "file", "setting",
    ] {
        assert!(ids.iter().any(|id| id.starts_with(&format!("{group}."))), "no sentence of {group} in {ids:?}");
    }
}

#[test]
fn errors_of_edits_are_sentences() {
    let mut ids = BTreeSet::new();
    let mut tell = |name: &str, error: &EditError| {
        let sentence = error.sentence();
        assert!(sentence.id.starts_with("edit.") && error.to_string() == sentence.clause(), "{name}: {sentence:?}");
        check_sentence(name, &serde_json::to_value(&sentence).expect("JSON"), &mut ids);
    };
    let conversions = Target::ALL.map(|to| Edit::Convert(ConvertOptions { to: Some(to), ..Default::default() }));
    let as_lora = Edit::Convert(ConvertOptions { as_lora: true, rank: Some(0), ..Default::default() });
    let deeper = Edit::Convert(ConvertOptions { to_blocks: Some(40), ..Default::default() });
    let edits = [&conversions[..], &[as_lora, deeper, Edit::Metadata(MetadataEdit::default())]].concat();
    for folder in ["corpus/files", "corpus/files/detect", "hostile", "hostile/pickles"] {
        for path in std::fs::read_dir(golden::path(folder)).expect("a folder").flatten().map(|entry| entry.path()) {
            let Ok(bytes) = std::fs::read(&path) else { continue };
            let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            let input = [EditInput::file(&name, &bytes, None)];
            for edit in &edits {
                if let Err(error) = block_on(preview(edit, &input, &mut |_| ControlFlow::Continue(()))) {
                    tell(&name, &error);
                }
            }
        }
    }
    for id in ["file", "no_adapter", "incomplete", "unsupported", "no_rank", "no_blocks", "no_header", "needs_rank"] {
        assert!(ids.contains(&format!("edit.{id}")), "no error edit.{id} in {ids:?}");
    }
    assert!(ids.iter().any(|id| id.starts_with("file.")) && ids.contains("edit_what.layer"), "{ids:?}");
}
