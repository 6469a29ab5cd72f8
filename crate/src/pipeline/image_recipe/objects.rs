//! The JSON objects among an image's texts.

use serde_json::{Map, Value};

use crate::pipeline::image_text::TextEntries;

/// An object with the keyword of its text.
pub(super) struct Object {
    pub(super) keyword: String,
    pub(super) map: Map<String, Value>,
}

/// The JSON objects among an image's texts.
pub(super) struct Objects {
    objects: Vec<Object>,
    /// Keywords and beginnings of all texts, which name programs.
    pub(super) software: Vec<String>,
}

impl Objects {
    /// Parses the texts. Those that are no JSON objects, or nested too deeply to be one, are left out.
    pub(super) fn of(texts: &TextEntries) -> Objects {
        let parsed = texts.entries.iter().filter_map(|entry| {
            let map = parse(&entry.text)?;
            Some(Object { keyword: entry.keyword.clone(), map })
        });
        let mut objects: Vec<Object> = parsed.collect();
        // NovelAI's WebP files have the texts of its PNG files as one object.
        let nested = objects.iter().filter_map(|object| {
            let comment = object.map.get("Comment")?;
            let map = comment.as_object().cloned().or_else(|| parse(comment.as_str()?))?;
            Some(Object { keyword: "Comment".into(), map })
        });
        let nested: Vec<Object> = nested.collect();
        objects.extend(nested);
        let software = texts.entries.iter().filter(|entry| entry.keyword == "Software");
        Objects { objects, software: software.map(|entry| entry.text.clone()).collect() }
    }

    /// Returns the first object for which a condition holds.
    pub(super) fn find(&self, holds: impl Fn(&Object) -> bool) -> Option<&Object> {
        self.objects.iter().find(|object| holds(object))
    }

    /// Returns the first object that has all of the given keys.
    pub(super) fn with_keys(&self, keys: &[&str]) -> Option<&Map<String, Value>> {
        self.find(|object| keys.iter().all(|key| object.map.contains_key(*key))).map(|object| &object.map)
    }
}

/// Parses a JSON object. Python writes `NaN`, which JSON does not have, and ComfyUI's graphs may contain it.
pub(super) fn parse(text: &str) -> Option<Map<String, Value>> {
    if !text.starts_with('{') {
        return None;
    }
    serde_json::from_str(text).or_else(|_| serde_json::from_str(&text.replace("NaN", "null"))).ok()
}
