//! The texts of an image file, in bounded memory.

use serde::Serialize;

/// A text that an image file contains.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TextEntry {
    /// Keyword of a PNG chunk, or name of an EXIF or XMP field: `parameters`, `UserComment`.
    pub keyword: String,
    /// The text.
    pub text: String,
}

/// The texts of an image file.
#[derive(Debug, Default)]
pub struct TextEntries {
    /// The texts, in the order of the file.
    pub entries: Vec<TextEntry>,
    /// What could not be read: one sentence each.
    pub problems: Vec<String>,
    total: usize,
}

/// Maximum size of one text, in bytes. ComfyUI workflows have up to a few megabytes.
pub(super) const MAX_TEXT: usize = 4 << 20;
/// Maximum size of all texts of a file, in bytes.
const MAX_TOTAL: usize = 16 << 20;
/// Maximum number of texts and of problems of a file.
const MAX_ENTRIES: usize = 256;

impl TextEntries {
    /// Adds a text, unless it is empty or too large.
    pub(super) fn push(&mut self, keyword: &str, text: String) {
        let text = text.trim_matches(['\0', ' ', '\n', '\r', '\t']);
        if text.is_empty() {
            return;
        }
        if text.len() > MAX_TEXT || self.total + text.len() > MAX_TOTAL || self.entries.len() == MAX_ENTRIES {
            return self.problem(format!("The text `{}` was not read: it is too large.", shown(keyword)));
        }
        self.total += text.len();
        self.entries.push(TextEntry { keyword: keyword.into(), text: text.into() });
    }

    /// Adds a sentence on what could not be read.
    pub(super) fn problem(&mut self, sentence: String) {
        if self.problems.len() < MAX_ENTRIES && !self.problems.contains(&sentence) {
            self.problems.push(sentence);
        }
    }

    /// Returns the first text with a keyword.
    pub fn text(&self, keyword: &str) -> Option<&str> {
        self.entries.iter().find(|entry| entry.keyword == keyword).map(|entry| entry.text.as_str())
    }
}

/// Shortens a keyword for a message.
pub(super) fn shown(keyword: &str) -> String {
    keyword.chars().filter(|c| !c.is_control()).take(40).collect()
}

/// Decodes bytes that are UTF-8 or, if they are not, Latin-1.
pub(super) fn utf8_or_latin1(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => bytes.iter().map(|&byte| char::from(byte)).collect(),
    }
}
