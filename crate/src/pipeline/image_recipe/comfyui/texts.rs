//! Texts at inputs: typed in, held by a node, or joined from others.

use serde_json::Value;

use super::graph::{Link, Node};
use super::trace::Trace;

/// Maximum number of text nodes that follow each other.
const MAX_DEPTH: usize = 50;
/// Maximum length of a joined text: doubling nodes would reach any.
const MAX_LEN: usize = 1 << 20;

/// Words in the classes of nodes that hold a text or pass it on.
const HOLDS: [&str; 9] =
    ["primitive", "string", "text", "prompt", "literal", "multiline", "positive", "negative", "note"];
/// Words in the classes of nodes whose text is not in the graph.
const COMPUTES: [&str; 17] = [
    "random",
    "replace",
    "find",
    "wildcard",
    "translat",
    "llm",
    "generat",
    "interrogat",
    "caption",
    "regex",
    "slice",
    "file",
    "load",
    "style",
    "split",
    "tagger",
    "chat",
];
/// Inputs that hold the text.
const INPUTS: [&str; 10] =
    ["text", "string", "value", "prompt", "Text", "String", "positive", "negative", "multiline_text", "populated_text"];
/// Inputs of joining nodes that are not joined.
const SETTINGS: [&str; 8] =
    ["delimiter", "separator", "clean_whitespace", "inputcount", "linebreak_addition", "action", "tidy_tags", "result"];

impl<'g> Trace<'g> {
    /// Returns the text at the first of these inputs that exists; `None` if it cannot be told, after naming the node.
    pub(super) fn text(&mut self, node: &'g Node, names: &[&str]) -> Option<String> {
        let name = names.iter().find(|name| node.has(name))?;
        self.text_at(node, name, 0)
    }

    fn text_at(&mut self, node: &'g Node, name: &str, depth: usize) -> Option<String> {
        if let Some(value) = node.values.get(name) {
            return value.as_str().map(str::to_owned);
        }
        let link: &'g Link = node.links.get(name)?;
        let source = self.follow(link)?;
        if depth == MAX_DEPTH {
            self.name(source, "its text has too many sources");
            return None;
        }
        self.text_of(source, depth + 1)
    }

    /// The text that a node puts out.
    fn text_of(&mut self, node: &'g Node, depth: usize) -> Option<String> {
        if let Some(Value::String(text)) = node.values.get("populated_text") {
            // The wildcards' result, which Impact Pack writes to the graph.
            return Some(text.clone());
        }
        let is_joining = ["concat", "join", "append", "stringfunction"].iter().any(|word| node.is(word));
        if is_joining && !node.is("conditioning") {
            return self.joined(node, depth);
        }
        let is_text = HOLDS.iter().any(|word| node.is(word)) && !COMPUTES.iter().any(|word| node.is(word));
        let mut inputs = INPUTS.iter().filter(|name| node.has(name));
        match (inputs.next(), inputs.next()) {
            (Some(input), None) if is_text => self.text_at(node, input, depth),
            _ => {
                self.name(node, "the text that it makes is not in the image");
                None
            }
        }
    }

    /// The texts of a joining node, in the order of its inputs.
    fn joined(&mut self, node: &'g Node, depth: usize) -> Option<String> {
        let setting = |names: &[&str]| names.iter().find_map(|name| node.values.get(*name)).and_then(Value::as_str);
        let delimiter = setting(&["delimiter", "separator"]);
        let is_on = |name: &str| setting(&[name]).is_some_and(|text| matches!(text, "true" | "yes"));
        let tidies = is_on("tidy_tags");
        let delimiter = match delimiter {
            Some(delimiter) => delimiter.replace("\\n", "\n"),
            None if tidies => ", ".into(),
            None => String::new(),
        };
        let strips = tidies || is_on("clean_whitespace");
        let skips_empty = strips || node.class == "Text Concatenate";
        let mut names: Vec<&str> = node.values.keys().chain(node.links.keys()).map(String::as_str).collect();
        names.retain(|name| !SETTINGS.contains(name));
        names.sort_by_key(|name| (name.len(), name.to_owned()));
        let mut parts = Vec::new();
        for name in names {
            if node.values.get(name).is_some_and(|value| !value.is_string()) {
                continue;
            }
            let part = self.text_at(node, name, depth)?;
            let part = if strips { part.trim().to_owned() } else { part };
            if !(skips_empty && part.is_empty()) {
                parts.push(part);
            }
        }
        let length: usize = parts.iter().map(|part| part.len() + delimiter.len()).sum();
        if length > MAX_LEN {
            self.name(node, "its text is too long");
            return None;
        }
        Some(parts.join(&delimiter))
    }
}
