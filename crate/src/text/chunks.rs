//! Prompt chunks: 77 token ids with a weight each, the input of a CLIP text encoder.
//!
//! In diffusers, a prompt is one chunk without weights, truncated; in the web UIs, it is as many chunks as needed, with
//! weights.

use std::array;

use super::{Emphasis, Tokenizer, Word};
use crate::num::to_f32;

/// Ids per chunk, including start and end.
pub const CHUNK_LEN: usize = 77;
/// Maximum number of prompt ids per chunk.
pub(super) const MAX_IDS: usize = CHUNK_LEN - 2;
/// Maximum number of ids that a full chunk passes on to the next one to break at a comma (the web UI's
/// `comma_padding_backtrack`).
const COMMA_BACKTRACK: usize = 20;

/// One input sequence of the text encoder: start, up to 75 ids, end, padding.
#[derive(Debug, Clone, PartialEq)]
pub struct Chunk {
    /// Token ids.
    pub ids: [u32; CHUNK_LEN],
    /// Weight of each id's hidden state, 1 by default.
    pub weights: [f32; CHUNK_LEN],
}

impl Chunk {
    /// Creates the chunk of an empty prompt.
    pub fn empty(tokenizer: &Tokenizer) -> Chunk {
        Chunk::of(tokenizer, &[])
    }

    /// Encodes a prompt as diffusers does, with `added` words, and returns the words that were truncated, in
    /// full or in part.
    pub fn plain(tokenizer: &Tokenizer, prompt: &str, added: &[Word]) -> (Chunk, Vec<String>) {
        let (mut ids, mut truncated) = (Vec::new(), Vec::new());
        let added = [added, &[tokenizer.padding()]].concat();
        tokenizer.for_each_word(prompt, &added, |word, word_ids| {
            ids.extend(word_ids.into_iter().map(|id| (id, 1.0)));
            if ids.len() > MAX_IDS {
                truncated.push(word.to_owned());
            }
        });
        ids.truncate(MAX_IDS);
        (Chunk::of(tokenizer, &ids), truncated)
    }

    /// Encodes a prompt into chunks as AUTOMATIC1111's web UI does, at least one.
    ///
    /// `prompt` is one text of a schedule, without extra networks. `BREAK` ends a chunk. `added` words are
    /// matched by the ids of their names, longest first, and are not split between chunks.
    pub fn weighted(tokenizer: &Tokenizer, prompt: &str, emphasis: Emphasis, added: &[Word]) -> Vec<Chunk> {
        fill(tokenizer, &emphasis.pieces(prompt), added).0.iter().map(|ids| Chunk::of(tokenizer, ids)).collect()
    }

    /// Adds start, end and padding, without a look at the ids in between.
    pub(super) fn padded(tokenizer: &Tokenizer, prompt: &[(u32, f32)]) -> Chunk {
        let mut chunk = Chunk { ids: [tokenizer.pad_id(); CHUNK_LEN], weights: [1.0; CHUNK_LEN] };
        chunk.ids[0] = tokenizer.bos_id();
        chunk.ids[prompt.len() + 1] = tokenizer.eos_id();
        for (at, (id, weight)) in (1..).zip(prompt) {
            (chunk.ids[at], chunk.weights[at]) = (*id, *weight);
        }
        chunk
    }

    /// Adds start, end and padding. Only padding follows the first end token, even if the prompt contains one.
    fn of(tokenizer: &Tokenizer, prompt: &[(u32, f32)]) -> Chunk {
        let mut ids = [tokenizer.eos_id(); CHUNK_LEN];
        ids[0] = tokenizer.bos_id();
        ids.iter_mut().skip(1).zip(prompt).for_each(|(to, (id, _))| *to = *id);
        let end = ids.iter().position(|id| *id == tokenizer.eos_id()).unwrap_or(CHUNK_LEN - 1);
        if tokenizer.pad_id() != tokenizer.eos_id() {
            ids[end + 1..].fill(tokenizer.pad_id());
        }
        let weights = array::from_fn(|at| at.checked_sub(1).and_then(|at| prompt.get(at)).map_or(1.0, |id| id.1));
        Chunk { ids, weights }
    }
}

/// Fills chunks with ids and their weights, without start, end and padding. Also returns the number of ids,
/// where all chunks but an incomplete last one count in full.
pub(super) fn fill(tokenizer: &Tokenizer, pieces: &[(String, f64)], added: &[Word]) -> (Vec<Vec<(u32, f32)>>, usize) {
    let mut names: Vec<(Vec<u32>, &Word)> = added.iter().map(|word| (tokenizer.encode(&word.name), word)).collect();
    names.retain(|(ids, _)| !ids.is_empty());
    names.sort_by_key(|(ids, _)| std::cmp::Reverse(ids.len()));
    let mut chunks = Vec::new();
    let mut chunk: Vec<(u32, f32)> = Vec::new();
    let mut comma = None;
    for (text, weight) in pieces {
        let weight = *weight;
        if text == "BREAK" && weight == -1.0 {
            chunks.push(std::mem::take(&mut chunk));
            comma = None;
            continue;
        }
        let ids = tokenizer.encode(text);
        let mut rest = ids.as_slice();
        while let Some((&id, after)) = rest.split_first() {
            let is_comma = id == tokenizer.comma_id();
            if chunk.len() == MAX_IDS {
                let break_at =
                    comma.filter(|at| !is_comma && MAX_IDS - at <= COMMA_BACKTRACK).map_or(MAX_IDS, |at| at + 1);
                let moved = chunk.split_off(break_at);
                chunks.push(std::mem::replace(&mut chunk, moved));
                comma = None;
            }
            if let Some((name, word)) = names.iter().find(|(name, _)| rest.starts_with(name)) {
                rest = &rest[name.len()..];
                if chunk.len() + word.ids.len() > MAX_IDS {
                    chunks.push(std::mem::take(&mut chunk));
                    comma = None;
                }
                chunk.extend(word.ids.clone().take(MAX_IDS).map(|id| (id, to_f32(weight))));
                continue;
            }
            rest = after;
            if is_comma {
                comma = Some(chunk.len());
            }
            chunk.push((id, to_f32(weight)));
        }
    }
    let used = chunks.len() * MAX_IDS + chunk.len();
    if !chunk.is_empty() || chunks.is_empty() {
        chunks.push(chunk);
    }
    (chunks, used)
}
