//! Turns a prompt into the chunks of 77 ids that a CLIP text encoder reads, with a weight for each id.
//!
//! Either as diffusers does, one chunk without weights, cut off at its end; or as AUTOMATIC1111's
//! web UI does: as many chunks as the prompt needs, with its weights.

use std::array;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use ts_rs::TS;

use super::{TextError, Tokenizer, Word, extra_networks, parse_attention, schedule};
use crate::num::to_f32;

/// Ids of a chunk, start and end included.
pub const CHUNK: usize = 77;
/// Ids of the prompt in a chunk.
const ROOM: usize = CHUNK - 2;
/// Where a chunk is full, what follows a comma among so many of its last ids moves to the next chunk.
const COMMA_REACH: usize = 20;

/// How a prompt is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, TS)]
#[serde(rename_all = "lowercase")]
pub enum Syntax {
    /// As diffusers does: every character is text, and 75 ids are read.
    #[default]
    Plain,
    /// As AUTOMATIC1111's web UI does: weights, `BREAK`, changes on the way, `<lora:…>`, any length.
    A1111,
}

impl FromStr for Syntax {
    type Err = TextError;

    fn from_str(name: &str) -> Result<Self, TextError> {
        match name {
            "plain" => Ok(Syntax::Plain),
            "a1111" => Ok(Syntax::A1111),
            _ => Err(TextError::Syntax(name.into())),
        }
    }
}

/// What the text encoder reads at once: start, up to 75 ids, end, padding.
#[derive(Debug, Clone, PartialEq)]
pub struct Chunk {
    /// The ids.
    pub ids: [u32; CHUNK],
    /// Factor of each id's state, 1 unless the prompt says otherwise; see [`emphasis`].
    pub weights: [f32; CHUNK],
}

impl Chunk {
    /// The chunk of an empty prompt.
    pub fn empty(tokenizer: &Tokenizer) -> Chunk {
        Chunk::of(tokenizer, &[])
    }

    /// The only chunk of a prompt as diffusers reads it, with `added` words, and the words that were
    /// cut off or into.
    pub fn plain(tokenizer: &Tokenizer, prompt: &str, added: &[Word]) -> (Chunk, Vec<String>) {
        let (mut ids, mut cut) = (Vec::new(), Vec::new());
        let added = [added, &[tokenizer.padding()]].concat();
        tokenizer.for_each_word(prompt, &added, |word, of_word| {
            ids.extend(of_word.into_iter().map(|id| (id, 1.0)));
            if ids.len() > ROOM {
                cut.push(word.to_owned());
            }
        });
        ids.truncate(ROOM);
        (Chunk::of(tokenizer, &ids), cut)
    }

    /// The chunks of a prompt as AUTOMATIC1111's web UI reads it, at least one.
    ///
    /// `prompt` is one text of [`schedule`], without [`extra_networks`]. `BREAK` ends a chunk. `added`
    /// words are found by the ids of their names, the longest first, and not parted between chunks.
    pub fn weighted(tokenizer: &Tokenizer, prompt: &str, added: &[Word]) -> Vec<Chunk> {
        fill(tokenizer, prompt, added).0.iter().map(|ids| Chunk::of(tokenizer, ids)).collect()
    }

    /// Behind the first end token only padding follows, also where the prompt itself writes an end token.
    fn of(tokenizer: &Tokenizer, prompt: &[(u32, f32)]) -> Chunk {
        let mut ids = [tokenizer.eos_id(); CHUNK];
        ids[0] = tokenizer.bos_id();
        ids.iter_mut().skip(1).zip(prompt).for_each(|(to, (id, _))| *to = *id);
        let end = ids.iter().position(|id| *id == tokenizer.eos_id()).unwrap_or(CHUNK - 1);
        if tokenizer.pad_id() != tokenizer.eos_id() {
            ids[end + 1..].fill(tokenizer.pad_id());
        }
        let weights = array::from_fn(|at| at.checked_sub(1).and_then(|at| prompt.get(at)).map_or(1.0, |id| id.1));
        Chunk { ids, weights }
    }
}

/// Gives prompts that are drawn together equal numbers of chunks, by empty ones behind the shorter.
pub fn level(tokenizer: &Tokenizer, prompts: &mut [Vec<Chunk>]) {
    let longest = prompts.iter().map(Vec::len).max().unwrap_or(0);
    prompts.iter_mut().for_each(|chunks| chunks.resize(longest, Chunk::empty(tokenizer)));
}

/// A chunk's states (T, D), each times the weight of its id, and all times one factor that gives
/// them their mean back: the web UI's emphasis "Original".
pub fn emphasis(states: &[f32], weights: &[f32]) -> Vec<f32> {
    let mean = |states: &[f32]| states.iter().map(|state| f64::from(*state)).sum::<f64>() / states.len() as f64;
    let width = (states.len() / weights.len().max(1)).max(1);
    let rows = states.chunks(width).zip(weights);
    let mut weighted: Vec<f32> = rows.flat_map(|(row, weight)| row.iter().map(move |state| state * weight)).collect();
    let factor = mean(states) / mean(&weighted);
    if factor.is_finite() {
        weighted.iter_mut().for_each(|state| *state *= to_f32(factor));
    }
    weighted
}

/// How many ids a prompt takes, and for how many there is room before it takes another chunk: 12 of 75.
///
/// In plain syntax there is no other chunk, and more than 75 are cut off. A prompt that changes on
/// the way over `steps` steps counts as long as it gets.
pub fn count(tokenizer: &Tokenizer, prompt: &str, syntax: Syntax, steps: usize) -> (usize, usize) {
    if syntax == Syntax::Plain {
        return (tokenizer.count(prompt), ROOM);
    }
    let mut texts: Vec<String> = schedule(&extra_networks(prompt).0, steps).into_iter().map(|(_, text)| text).collect();
    texts.sort_unstable();
    texts.dedup();
    let used = texts.iter().map(|text| fill(tokenizer, text, &[]).1).max().unwrap_or(0);
    (used, used.max(1).div_ceil(ROOM) * ROOM)
}

/// The ids of each chunk with their weights, without start, end and padding, and how many ids they
/// take; all chunks but an open one at the end count in full.
fn fill(tokenizer: &Tokenizer, prompt: &str, added: &[Word]) -> (Vec<Vec<(u32, f32)>>, usize) {
    let mut names: Vec<(Vec<u32>, &Word)> = added.iter().map(|word| (tokenizer.encode(&word.name), word)).collect();
    names.retain(|(ids, _)| !ids.is_empty());
    names.sort_by_key(|(ids, _)| std::cmp::Reverse(ids.len()));
    let mut chunks = Vec::new();
    let mut chunk: Vec<(u32, f32)> = Vec::new();
    let mut comma = None;
    for (text, weight) in parse_attention(prompt) {
        if text == "BREAK" && weight == -1.0 {
            chunks.push(std::mem::take(&mut chunk));
            comma = None;
            continue;
        }
        let ids = tokenizer.encode(&text);
        let mut rest = ids.as_slice();
        while let Some((&id, behind)) = rest.split_first() {
            let is_comma = id == tokenizer.comma_id();
            if chunk.len() == ROOM {
                let kept = comma.filter(|at| !is_comma && ROOM - at <= COMMA_REACH).map_or(ROOM, |at| at + 1);
                let moved = chunk.split_off(kept);
                chunks.push(std::mem::replace(&mut chunk, moved));
                comma = None;
            }
            if let Some((name, word)) = names.iter().find(|(name, _)| rest.starts_with(name)) {
                rest = &rest[name.len()..];
                if chunk.len() + word.ids.len() > ROOM {
                    chunks.push(std::mem::take(&mut chunk));
                    comma = None;
                }
                chunk.extend(word.ids.clone().take(ROOM).map(|id| (id, to_f32(weight))));
                continue;
            }
            rest = behind;
            if is_comma {
                comma = Some(chunk.len());
            }
            chunk.push((id, to_f32(weight)));
        }
    }
    let used = chunks.len() * ROOM + chunk.len();
    if !chunk.is_empty() || chunks.is_empty() {
        chunks.push(chunk);
    }
    (chunks, used)
}
