//! ComfyUI's prompts: weights in round brackets, `embedding:name`, and chunks.
//!
//! `(x)` multiplies the weight by 1.1, `(x:1.3)` sets it to 1.3, also inside of other brackets. Square brackets, `BREAK`,
//! `AND` and `<lora:…>` are text; `\(` and `\)` are brackets as text.

use super::chunks::{Chunk, MAX_IDS};
use super::{Tokenizer, Word};
use crate::num::to_f32;

/// Factor of a pair of brackets without a number.
const EMPHASIS: f64 = 1.1;
/// Maximum nesting depth of brackets that change the weight; ComfyUI fails at about 1000.
const MAX_DEPTH: usize = 256;
/// Stand for escaped brackets while a prompt is parsed.
const ESCAPED: [(&str, &str, &str); 2] = [("\\)", "\0\u{1}", ")"), ("\\(", "\0\u{2}", "(")];
/// Prefix of the name of a textual inversion.
const EMBEDDING: &str = "embedding:";
/// Number of ids from which a piece may be split between two chunks.
const MIN_SPLIT: usize = 8;

/// Splits a prompt into pieces with weights. Adjacent pieces of equal weight stay separate: a short piece is not split
/// between chunks.
pub fn comfyui_pieces(prompt: &str) -> Vec<(String, f64)> {
    let hidden = ESCAPED.iter().fold(prompt.to_owned(), |text, (escaped, mark, _)| text.replace(escaped, mark));
    let mut pieces = Vec::new();
    split(&hidden, 1.0, 0, &mut pieces);
    for (text, _) in &mut pieces {
        *text = ESCAPED.iter().fold(std::mem::take(text), |text, (_, mark, bracket)| text.replace(mark, bracket));
    }
    pieces
}

/// Appends the pieces of a text that has this weight.
fn split(text: &str, weight: f64, depth: usize, pieces: &mut Vec<(String, f64)>) {
    for group in groups(text) {
        let inside = group.strip_prefix('(').and_then(|inside| inside.strip_suffix(')'));
        let Some(inside) = inside.filter(|_| depth < MAX_DEPTH) else {
            pieces.push((group.to_owned(), weight));
            continue;
        };
        let number = inside.rsplit_once(':').filter(|(before, _)| !before.is_empty());
        let number = number.and_then(|(before, number)| Some((before, number.trim().parse::<f64>().ok()?)));
        match number.filter(|(_, number)| number.is_finite()) {
            Some((before, number)) => split(before, number, depth + 1, pieces),
            None => split(inside, weight * EMPHASIS, depth + 1, pieces),
        }
    }
}

/// Splits a text at its outer brackets, which stay on their groups.
fn groups(text: &str) -> Vec<&str> {
    let (mut groups, mut start, mut level) = (Vec::new(), 0, 0_i64);
    for (at, mark) in text.match_indices(['(', ')']) {
        match mark {
            "(" => {
                if level == 0 && at > start {
                    groups.push(&text[start..at]);
                    start = at;
                }
                level += 1;
            }
            _ => {
                level -= 1;
                if level == 0 {
                    groups.push(&text[start..=at]);
                    start = at + 1;
                }
            }
        }
    }
    if start < text.len() {
        groups.push(&text[start..]);
    }
    groups
}

/// A part of a piece: text, or the name of a textual inversion.
enum Part<'a> {
    Text(String),
    Named(&'a Word),
    Missing(&'a str),
}

/// Splits a piece at its names of textual inversions: `embedding:` at its start or after a space or line break, up to
/// the next whitespace.
fn parts<'a>(piece: &'a str, words: &'a [Word]) -> Vec<Part<'a>> {
    let mut parts = Vec::new();
    let mut rest = piece;
    loop {
        let end = [" embedding:", "\nembedding:"].iter().filter_map(|mark| rest.find(mark)).min();
        let (segment, after) = rest.split_at(end.unwrap_or(rest.len()));
        let name = segment.strip_prefix(EMBEDDING).map(|named| named.trim_start());
        match name.filter(|named| !named.is_empty() && !named.starts_with(',')) {
            None if segment.is_empty() => {}
            None => parts.push(Part::Text(segment.to_owned())),
            Some(named) => {
                let (name, tail) = named.split_at(named.find(char::is_whitespace).unwrap_or(named.len()));
                let bare = name.trim_end_matches(',');
                let found = find(name, words)
                    .map(|word| (word, ""))
                    .or_else(|| Some((find(bare, words)?, &name[bare.len()..])));
                let (part, commas) =
                    found.map_or((Part::Missing(bare), ""), |(word, commas)| (Part::Named(word), commas));
                parts.push(part);
                let tail = [commas].into_iter().chain(tail.split_whitespace()).filter(|text| !text.is_empty());
                let tail = tail.collect::<Vec<_>>().join(" ");
                if !tail.is_empty() {
                    parts.push(Part::Text(tail));
                }
            }
        }
        match end {
            Some(_) => rest = &after[1..],
            None => return parts,
        }
    }
}

/// Finds a textual inversion by its name, which may contain folders and an extension.
fn find<'a>(name: &str, words: &'a [Word]) -> Option<&'a Word> {
    let name = name.rsplit(['/', '\\']).next().unwrap_or(name);
    let stem =
        [".safetensors", ".pt", ".bin"].iter().find_map(|extension| name.strip_suffix(extension)).unwrap_or(name);
    words
        .iter()
        .find(|word| word.name == name)
        .or_else(|| words.iter().find(|word| word.name.eq_ignore_ascii_case(stem)))
}

/// Returns the names of textual inversions that a prompt uses but `words` do not contain.
pub fn missing_embeddings(prompt: &str, words: &[Word]) -> Vec<String> {
    let pieces = comfyui_pieces(prompt);
    let parts = pieces.iter().flat_map(|(piece, _)| parts(piece, words));
    parts.filter_map(|part| if let Part::Missing(name) = part { Some(name.to_owned()) } else { None }).collect()
}

/// Encodes a prompt into chunks as ComfyUI does, at least one. Names of textual inversions are looked up in `words`;
/// missing ones are left out.
pub fn comfyui_chunks(tokenizer: &Tokenizer, prompt: &str, words: &[Word]) -> Vec<Chunk> {
    let filled = fill(tokenizer, prompt, words);
    filled.iter().map(|ids| Chunk::padded(tokenizer, ids)).collect()
}

/// Returns the number of ids of a prompt, where all chunks but the last count in full.
pub(super) fn comfyui_count(tokenizer: &Tokenizer, prompt: &str) -> usize {
    let filled = fill(tokenizer, prompt, &[]);
    (filled.len() - 1) * MAX_IDS + filled.last().map_or(0, Vec::len)
}

fn fill(tokenizer: &Tokenizer, prompt: &str, words: &[Word]) -> Vec<Vec<(u32, f32)>> {
    let (mut chunks, mut chunk) = (Vec::new(), Vec::new());
    for (piece, weight) in comfyui_pieces(prompt) {
        for part in parts(&piece, words) {
            let ids: Vec<u32> = match part {
                Part::Text(text) => tokenizer.encode(&text),
                Part::Named(word) => word.ids.clone().collect(),
                Part::Missing(_) => Vec::new(),
            };
            let ids: Vec<(u32, f32)> = ids.into_iter().map(|id| (id, to_f32(weight))).collect();
            let mut rest = ids.as_slice();
            while chunk.len() + rest.len() > MAX_IDS {
                let taken = if ids.len() >= MIN_SPLIT { MAX_IDS - chunk.len() } else { 0 };
                chunk.extend(&rest[..taken]);
                rest = &rest[taken..];
                chunks.push(std::mem::take(&mut chunk));
            }
            chunk.extend(rest);
        }
    }
    chunks.push(chunk);
    chunks
}
