//! A JSON object that becomes a draft key by key: keys that are not taken become leftovers.

use std::str::FromStr;

use serde_json::{Map, Value};

use crate::pipeline::recipe_draft::{Origin, RecipeDraft};
use crate::program::Program;

/// An object's keys that are left, and the draft so far.
pub(super) struct Fields {
    map: Map<String, Value>,
    pub(super) draft: RecipeDraft,
}

impl Fields {
    /// Starts a draft.
    pub(super) fn new(map: &Map<String, Value>, origin: Origin, program: Program) -> Fields {
        let draft = RecipeDraft { origin: Some(origin), program, ..RecipeDraft::default() };
        Fields { map: map.clone(), draft }
    }

    /// Takes a value; `None` for a missing one and for null.
    pub(super) fn take(&mut self, key: &str) -> Option<Value> {
        self.map.shift_remove(key).filter(|value| !value.is_null())
    }

    /// Takes a text; empty if it is missing.
    pub(super) fn text(&mut self, key: &str) -> String {
        self.take(key).map(|value| text_of(&value)).unwrap_or_default()
    }

    /// Takes a text that is not empty.
    pub(super) fn some_text(&mut self, key: &str) -> Option<String> {
        Some(self.text(key)).filter(|text| !text.is_empty())
    }

    /// Takes a number, which may be written as a text. An invalid one is a leftover.
    pub(super) fn number<T: FromStr>(&mut self, key: &str) -> Option<T> {
        let value = self.take(key)?;
        let number = parse_number(&value);
        if number.is_none() {
            self.draft.push_leftover(key, text_of(&value), "invalid value");
        }
        number
    }

    /// Takes keys that do not determine the image.
    pub(super) fn ignore(&mut self, keys: &[&str]) {
        for key in keys {
            self.map.shift_remove(*key);
        }
    }

    /// Takes keys whose values have no effect if they are the usual ones.
    pub(super) fn usual(&mut self, pairs: &[(&str, &[&str])]) {
        for (key, values) in pairs {
            if self.map.get(*key).is_some_and(|value| values.contains(&text_of(value).as_str())) {
                self.map.shift_remove(*key);
            }
        }
    }

    /// Returns the draft. The keys that are left become leftovers.
    pub(super) fn finish(mut self) -> RecipeDraft {
        let nothing = [Value::Null, Value::Bool(false), Value::String(String::new()), Value::Array(Vec::new())];
        for (key, value) in self.map {
            if !nothing.contains(&value) {
                let value: String = text_of(&value).chars().take(200).collect();
                self.draft.push_leftover(key, value, "unsupported setting");
            }
        }
        self.draft
    }
}

/// The text of a value: that of a string without its quotes.
pub(super) fn text_of(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// Parses a number; whole numbers may be written as `20.0`.
pub(super) fn parse_number<T: FromStr>(value: &Value) -> Option<T> {
    let text = text_of(value);
    let text = text.trim();
    let whole =
        text.split_once('.').filter(|(_, fraction)| !fraction.is_empty() && fraction.bytes().all(|b| b == b'0'));
    let is_finite = text.parse::<f64>().is_ok_and(f64::is_finite);
    text.parse().ok().or_else(|| whole?.0.parse().ok()).filter(|_| is_finite)
}
