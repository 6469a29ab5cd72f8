//! The words among which triggers are looked for.

use super::super::session::Session;
use std::collections::BTreeMap;

/// Letters of the shortest words that are compared.
const SHORTEST: usize = 3;
/// Tokens of the longest word from a header.
const LONGEST: usize = 8;

/// A word that is compared with others.
pub(super) struct Candidate {
    pub word: String,
    /// Whether the LoRA's header has it.
    pub in_header: bool,
    /// Its tokens for each text encoder, without start and end.
    pub ids: Vec<Vec<u32>>,
}

impl Candidate {
    /// Returns the number of tokens.
    pub fn tokens(&self) -> usize {
        self.ids.iter().map(Vec::len).max().unwrap_or(0)
    }
}

impl Session {
    /// Returns the words of one token, in the order of the vocabulary, then those of `hints` that have more.
    pub(super) fn candidates(&self, hints: &[String]) -> Vec<Candidate> {
        let encoders = self.model.spec.text_encoders();
        let mut hints: BTreeMap<String, &String> =
            hints.iter().map(|hint| (hint.trim().to_lowercase(), hint)).collect();
        let vocabulary = encoders.first().map(|encoder| encoder.tokenizer.whole_words(SHORTEST)).unwrap_or_default();
        let ids = |word: &str| encoders.iter().map(|encoder| encoder.tokenizer.encode(word)).collect::<Vec<_>>();
        let mut candidates: Vec<Candidate> = Vec::new();
        for (_, word) in vocabulary {
            candidates.push(Candidate { ids: ids(&word), in_header: hints.remove(&word).is_some(), word });
        }
        let others = hints.iter().map(|(word, hint)| Candidate {
            word: hint.trim().to_owned(),
            in_header: true,
            ids: ids(word),
        });
        candidates.extend(others.filter(|candidate| (1..=LONGEST).contains(&candidate.tokens())));
        candidates
    }
}
