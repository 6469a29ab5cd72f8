//! CLIP's byte-pair encoding, with the ids of transformers' fast tokenizer.
//!
//! Text is normalized (NFC, whitespace runs to one space, lower case character by character), split
//! into words, and every word's UTF-8 bytes are merged in the order of the merges list. The last
//! byte of a word is a separate token, spelled with `</w>`.
//! Source: Radford et al., "Learning Transferable Visual Models From Natural Language Supervision", 2021.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::io::Read;

use unicode_normalization::{UnicodeNormalization, char::is_combining_mark};

use super::{TextError, TokenizerConfig};

/// End-of-word suffix of vocabulary entries.
const WORD_END: &str = "</w>";
/// Successor of a position that was merged into the token before it.
const MERGED: usize = usize::MAX;

/// An added word outside the vocabulary: a textual inversion's name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Word {
    /// The word as written in prompts.
    pub name: String,
    /// One id per vector, from [`Word::FIRST`] on, beyond every vocabulary.
    pub ids: std::ops::Range<u32>,
}

impl Word {
    /// First id of added words, larger than any vocabulary.
    pub const FIRST: u32 = 1 << 24;
}

/// A CLIP tokenizer: vocabulary, merges and special tokens.
#[derive(Debug, Clone)]
pub struct Tokenizer {
    /// Id of every byte inside a word.
    inner_bytes: [u32; 256],
    /// Id of every byte that ends a word.
    final_bytes: [u32; 256],
    /// (left id, right id) -> (rank, merged id); the lowest rank merges first.
    merges: HashMap<(u32, u32), (u32, u32)>,
    bos: (String, u32),
    eos: (String, u32),
    pad: (String, u32),
    model_max_length: usize,
}

impl Tokenizer {
    /// Returns the tokenizer with the full CLIP vocabulary (49408 tokens), which every SD 1.x, 2.x and SDXL
    /// model uses, and SD 1.x's padding. For checkpoints without a tokenizer.
    #[cfg(not(target_os = "unknown"))]
    pub fn clip() -> Self {
        Self::clip_from_merges_gz(include_bytes!("clip_merges.txt.gz")).expect("the bundled merges list is valid")
    }

    /// Like `Tokenizer::clip`, from the bytes of `clip_merges.txt.gz`, which a web page loads on demand.
    ///
    /// # Errors
    /// [`TextError::Gzip`] for damaged bytes, [`TextError::Merge`] for text that is not a merges list.
    pub fn clip_from_merges_gz(bytes: &[u8]) -> Result<Self, TextError> {
        let mut merges = String::new();
        flate2::read::GzDecoder::new(bytes).read_to_string(&mut merges)?;
        let config = TokenizerConfig::default();
        Self::build(&clip_vocabulary(&merges, &config), &merges, &config)
    }

    /// Creates a model's tokenizer from the text of its `vocab.json` and `merges.txt`.
    ///
    /// # Errors
    /// [`TextError`] if the files are damaged or do not belong together.
    pub fn from_files(vocab_json: &str, merges_txt: &str, config: &TokenizerConfig) -> Result<Self, TextError> {
        let vocab =
            serde_json::from_str(vocab_json).map_err(|source| TextError::Json { file: "vocab.json", source })?;
        Self::build(&vocab, merges_txt, config)
    }

    /// Returns the tokenizer with `!` (id 0) as padding, as used by SD 2.x and SDXL's second text encoder.
    pub fn padded_with_zero(mut self) -> Self {
        self.pad = ("!".into(), 0);
        self
    }

    fn build(vocab: &HashMap<String, u32>, merges_txt: &str, config: &TokenizerConfig) -> Result<Self, TextError> {
        let id = |token: &str, role| {
            let found = vocab.get(token).filter(|_| !token.is_empty());
            found.copied().ok_or_else(|| TextError::MissingToken { token: token.into(), role })
        };
        let (mut inner_bytes, mut final_bytes) = ([0; 256], [0; 256]);
        for (byte, letter) in byte_to_unicode() {
            inner_bytes[usize::from(byte)] = id(&letter.to_string(), "a byte")?;
            final_bytes[usize::from(byte)] = id(&format!("{letter}{WORD_END}"), "a byte that ends a word")?;
        }
        let mut merges = HashMap::new();
        for (rank, (line, text)) in (0..).zip(merge_lines(merges_txt)) {
            let bad = |reason| TextError::Merge { line, text: text.into(), reason };
            let (left, right) = text.split_once(' ').ok_or_else(|| bad("is not two tokens separated by a space"))?;
            let known = |token: &str| {
                vocab.get(token).copied().ok_or_else(|| bad("contains or produces a token that is not in vocab.json"))
            };
            let pair = (known(left)?, known(right)?);
            merges.entry(pair).or_insert((rank, known(&format!("{left}{right}"))?));
        }
        if config.model_max_length < 2 {
            return Err(TextError::TooShort(config.model_max_length));
        }
        Ok(Self {
            inner_bytes,
            final_bytes,
            merges,
            bos: (config.bos_token.clone(), id(&config.bos_token, "start of text")?),
            eos: (config.eos_token.clone(), id(&config.eos_token, "end of text")?),
            pad: (config.pad_token.clone(), id(&config.pad_token, "padding")?),
            model_max_length: config.model_max_length,
        })
    }

    /// Encodes a text of any length without start, end and padding tokens, as the web UIs do.
    ///
    /// `<|startoftext|>` and `<|endoftext|>` in the text are encoded as those tokens.
    pub fn encode(&self, text: &str) -> Vec<u32> {
        self.encode_with(text, &[])
    }

    fn encode_with(&self, text: &str, added: &[Word]) -> Vec<u32> {
        let mut ids = Vec::new();
        self.for_each_word(text, added, |_, word| ids.extend(word));
        ids
    }

    /// Returns the padding token as an added word: transformers, and so diffusers, matches it anywhere in the
    /// text. For SD 2.x and SDXL's second text encoder this is the exclamation mark.
    pub(super) fn padding(&self) -> Word {
        Word { name: self.pad.0.clone(), ids: self.pad.1..self.pad.1 + 1 }
    }

    /// Calls `found` with each normalized word of a text and its ids. `added` words are matched anywhere in the
    /// text, like special tokens.
    pub(super) fn for_each_word(&self, text: &str, added: &[Word], mut found: impl FnMut(&str, Vec<u32>)) {
        let special = [&self.bos, &self.eos].into_iter().map(|(token, id)| (token.as_str(), vec![*id]));
        let mut specials: Vec<(&str, Vec<u32>)> = special.collect();
        specials.extend(added.iter().map(|word| (word.name.as_str(), word.ids.clone().collect())));
        // At the same position, the longest match wins.
        specials.sort_by_key(|(token, _)| std::cmp::Reverse(token.len()));
        let next = |from: usize, token: &str| text[from..].find(token).map(|at| from + at);
        let mut positions: Vec<Option<usize>> = specials.iter().map(|(token, _)| next(0, token)).collect();
        let mut start = 0;
        loop {
            let first = (0..specials.len()).filter_map(|i| Some((positions[i]?, &specials[i]))).min_by_key(|hit| hit.0);
            let plain = normalize(&text[start..first.map_or(text.len(), |hit| hit.0)]);
            words(&plain).for_each(|word| found(word, self.word(word)));
            let Some((at, (token, ids))) = first else { return };
            found(token, ids.clone());
            start = at + token.len();
            for (position, (token, _)) in positions.iter_mut().zip(&specials) {
                if position.is_some_and(|at| at < start) {
                    *position = next(start, token);
                }
            }
        }
    }

    /// Encodes a text as transformers does: start token, ids, end token, padding; always
    /// [`model_max_length`](Self::model_max_length) ids. Longer texts are truncated.
    pub fn encode_padded(&self, text: &str) -> Vec<u32> {
        let mut ids = vec![self.bos.1];
        ids.extend(self.encode_with(text, &[self.padding()]).into_iter().take(self.model_max_length - 2));
        ids.push(self.eos.1);
        ids.resize(self.model_max_length, self.pad.1);
        ids
    }

    /// Returns the number of ids of a text, without start and end; those after `model_max_length() - 2` are
    /// truncated by [`encode_padded`](Self::encode_padded).
    pub fn count(&self, text: &str) -> usize {
        self.encode_with(text, &[self.padding()]).len()
    }

    /// Returns the context length of the text encoder in ids: 77 for CLIP.
    pub fn model_max_length(&self) -> usize {
        self.model_max_length
    }

    /// Returns the id of the end token; CLIP pools the hidden state at its first occurrence.
    pub fn eos_id(&self) -> u32 {
        self.eos.1
    }

    /// Returns the id of the start token.
    pub fn bos_id(&self) -> u32 {
        self.bos.1
    }

    /// Returns the id of the padding token, which fills the sequence after the end token.
    pub fn pad_id(&self) -> u32 {
        self.pad.1
    }

    /// Returns the id of a comma as a separate word.
    pub(super) fn comma_id(&self) -> u32 {
        self.final_bytes[usize::from(b',')]
    }

    /// Returns the words of letters, of at least `length` characters, that are one token each, with their ids, in the
    /// order of the ids.
    pub fn whole_words(&self, length: usize) -> Vec<(u32, String)> {
        let bytes = (0..=u8::MAX).zip(&self.inner_bytes).map(|(byte, id)| (*id, vec![byte]));
        let mut spelled: HashMap<u32, Vec<u8>> = bytes.collect();
        spelled.extend((0..=u8::MAX).zip(&self.final_bytes).map(|(byte, id)| (*id, vec![byte])));
        let mut merges: Vec<_> =
            self.merges.iter().map(|((left, right), (rank, id))| (*rank, *left, *right, *id)).collect();
        merges.sort_unstable();
        for (_, left, right, id) in merges {
            if let (Some(left), Some(right)) = (spelled.get(&left), spelled.get(&right)) {
                let joined = [left.as_slice(), right].concat();
                spelled.insert(id, joined);
            }
        }
        let mut words: Vec<(u32, String)> = spelled
            .into_iter()
            .filter_map(|(id, bytes)| Some((id, String::from_utf8(bytes).ok()?)))
            .filter(|(_, word)| word.chars().count() >= length && word.chars().all(is_letter))
            .collect();
        // Tokens inside words and those that their own spelling does not lead to are no words.
        words.retain(|(id, word)| self.encode(word) == [*id]);
        words.sort_unstable();
        words
    }

    /// Merges a word's bytes.
    fn word(&self, word: &str) -> Vec<u32> {
        let mut ids: Vec<u32> = word.bytes().map(|byte| self.inner_bytes[usize::from(byte)]).collect();
        if let (Some(id), Some(byte)) = (ids.last_mut(), word.bytes().last()) {
            *id = self.final_bytes[usize::from(byte)];
        }
        self.merge(ids)
    }

    /// Merges adjacent ids: the pair of lowest rank first, all its occurrences from left to right.
    ///
    /// A priority queue holds the positions of all pairs by rank; stale entries are skipped.
    fn merge(&self, mut ids: Vec<u32>) -> Vec<u32> {
        let end = ids.len();
        let mut after: Vec<usize> = (1..=end).collect();
        let mut before: Vec<usize> = (0..end).map(|at| at.wrapping_sub(1)).collect();
        let pair = |ids: &[u32], after: &[usize], at: usize| {
            let right = *after.get(at)?;
            self.merges.get(&(ids[at], *ids.get(right)?)).copied()
        };
        let entry = |ids: &[u32], after: &[usize], at| pair(ids, after, at).map(|(rank, _)| Reverse((rank, at)));
        let mut queue: BinaryHeap<_> = (0..end).filter_map(|at| entry(&ids, &after, at)).collect();
        let mut joined = Vec::new();
        while let Some(Reverse((rank, at))) = queue.pop() {
            if let Some((found, merged)) = pair(&ids, &after, at)
                && found == rank
            {
                let right = after[at];
                after[at] = std::mem::replace(&mut after[right], MERGED);
                if let Some(previous) = before.get_mut(after[at]) {
                    *previous = at;
                }
                ids[at] = merged;
                joined.push(at);
            }
            // New pairs are queued once all occurrences of this rank are merged.
            if queue.peek().is_none_or(|Reverse(next)| next.0 != rank) {
                let changed = joined.drain(..).flat_map(|at| [before[at], at]);
                queue.extend(changed.filter_map(|at| entry(&ids, &after, at)));
            }
        }
        ids.into_iter().zip(after).filter(|(_, after)| *after != MERGED).map(|(id, _)| id).collect()
    }
}

/// Normalizes to NFC, with runs of whitespace as one space, and each character lowercased on its own (a final
/// Greek capital sigma becomes σ, not ς).
fn normalize(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.nfc() {
        if !c.is_whitespace() {
            out.extend(c.to_lowercase());
        } else if !out.ends_with(' ') {
            out.push(' ');
        }
    }
    out
}

/// Splits normalized text into contractions, runs of letters, single digits and runs of anything else.
fn words(text: &str) -> impl Iterator<Item = &str> {
    const CONTRACTIONS: [&str; 7] = ["'s", "'t", "'re", "'ve", "'m", "'ll", "'d"];
    let mut rest = text;
    std::iter::from_fn(move || {
        rest = rest.trim_start();
        let first = rest.chars().next()?;
        let run = |same: fn(char) -> bool| rest.find(|c| !same(c)).unwrap_or(rest.len());
        let length = if let Some(contraction) = CONTRACTIONS.iter().find(|c| rest.starts_with(**c)) {
            contraction.len()
        } else if is_letter(first) {
            run(is_letter)
        } else if first.is_numeric() {
            first.len_utf8()
        } else {
            run(|c| !is_letter(c) && !c.is_numeric() && !c.is_whitespace())
        };
        let (word, tail) = rest.split_at(length);
        rest = tail;
        Some(word)
    })
}

/// Returns whether a character is in Unicode's general category L: alphabetic, but not a number, a combining
/// mark or a circled letter.
fn is_letter(c: char) -> bool {
    let circled = matches!(c, '\u{24b6}'..='\u{24e9}' | '\u{1f130}'..='\u{1f149}' | '\u{1f150}'..='\u{1f169}' | '\u{1f170}'..='\u{1f189}');
    c.is_alphabetic() && !c.is_numeric() && !is_combining_mark(c) && !circled
}

/// Returns the character that represents each byte in vocabulary files, in the order of the ids: printable
/// Latin-1 characters represent themselves, other bytes the characters from U+0100 on.
fn byte_to_unicode() -> impl Iterator<Item = (u8, char)> {
    let printable = |byte: &u8| matches!(byte, b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff);
    let others = (0..=255).filter(move |byte| !printable(byte)).zip('\u{100}'..);
    (0..=255).filter(printable).map(|byte| (byte, char::from(byte))).chain(others)
}

/// Returns the merges of a `merges.txt` with their line numbers, from 1, without the version line and empty
/// lines.
fn merge_lines(merges_txt: &str) -> impl Iterator<Item = (usize, &str)> {
    (1..).zip(merges_txt.lines()).filter(|(_, text)| !text.is_empty() && !text.starts_with("#version"))
}

/// Builds CLIP's vocabulary from the merges: bytes, bytes that end a word, merges, then the two special tokens.
fn clip_vocabulary(merges_txt: &str, config: &TokenizerConfig) -> HashMap<String, u32> {
    let bytes = || byte_to_unicode().map(|(_, letter)| letter.to_string());
    bytes()
        .chain(bytes().map(|letter| letter + WORD_END))
        .chain(merge_lines(merges_txt).map(|(_, pair)| pair.replace(' ', "")))
        .chain([config.bos_token.clone(), config.eos_token.clone()])
        .zip(0..)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Quadratic-time reference implementation of [`Tokenizer::merge`].
    fn merge_by_definition(tokenizer: &Tokenizer, mut ids: Vec<u32>) -> Vec<u32> {
        let rank = |pair: &[u32]| tokenizer.merges.get(&(pair[0], pair[1])).map(|found| (*found, (pair[0], pair[1])));
        while let Some(((_, merged), pair)) = ids.windows(2).filter_map(rank).min() {
            let mut joined = Vec::with_capacity(ids.len());
            for id in ids {
                match joined.last_mut() {
                    Some(last) if (*last, id) == pair => *last = merged,
                    _ => joined.push(id),
                }
            }
            ids = joined;
        }
        ids
    }

    #[test]
    fn whole_words_are_single_tokens_of_letters() {
        let clip = Tokenizer::clip();
        let words = clip.whole_words(3);
        assert!(words.len() > 20_000, "{}", words.len());
        let ids: HashMap<&str, u32> = words.iter().map(|(id, word)| (word.as_str(), *id)).collect();
        assert_eq!(ids.get("astronaut").map(|id| vec![*id]), Some(clip.encode("astronaut")));
        assert!(!ids.contains_key("zxq"), "three tokens");
        assert!(!ids.contains_key("ab"), "two letters");
        assert!(words.iter().all(|(_, word)| word.chars().all(is_letter)));
    }

    #[test]
    fn merging_matches_its_definition() {
        let clip = Tokenizer::clip();
        // Ranks in an order that no merges list has: tokens of later merges can merge first.
        let mut random = clip.clone();
        let (mut state, letters) = (1u64, [0u32, 1, 2, 3]);
        let mut draw = |limit: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 33) % limit
        };
        random.merges = (0..40).map(|rank| ((draw(12) as u32, draw(12) as u32), (rank, 4 + draw(8) as u32))).collect();
        let mut merged = 0;
        for length in 0..60 {
            for _ in 0..20 {
                let word: Vec<u32> = (0..length).map(|_| letters[draw(4) as usize]).collect();
                for tokenizer in [&clip, &random] {
                    let bytes = word.iter().map(|letter| tokenizer.inner_bytes[b'a' as usize + *letter as usize * 4]);
                    let ids = if tokenizer.merges.len() > 40 { bytes.collect() } else { word.clone() };
                    let expected = merge_by_definition(tokenizer, ids.clone());
                    merged += ids.len() - expected.len();
                    assert_eq!(tokenizer.merge(ids), expected, "{word:?}");
                }
            }
        }
        assert!(merged > 10_000, "only {merged} merges were tried");
    }
}
