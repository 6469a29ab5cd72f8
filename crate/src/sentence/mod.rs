//! Sentences of reports: each is an id, the values in it, and its English text.
//!
//! en.json holds the English texts by id: `{name}` stands for the value of that name; a text with two forms has the
//! value `n`, which decides between them. The page has the same ids in its other languages (web/words/report.*.js).

use crate::num::parse_number;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::ops::Deref;
use std::sync::LazyLock;
use ts_rs::TS;

/// A sentence or phrase in words of a language. Dereferences to its English text.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, TS)]
pub struct Sentence {
    /// Key of its text in en.json and in the page's languages.
    pub id: String,
    /// Values of the text's placeholders.
    pub values: BTreeMap<String, Value>,
    /// English text.
    pub text: String,
}

/// A value in a sentence.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, TS)]
#[serde(untagged)]
#[ts(untagged, rename = "SentenceValue")]
pub enum Value {
    /// A number of things.
    Count(#[ts(type = "number")] u64),
    /// Another number, rounded as it is shown.
    Number(f64),
    /// A name, a key, a line of another program: the same in every language.
    Text(String),
    /// A phrase.
    Sentence(Box<Sentence>),
    /// Phrases, joined by the text `list.` with the placeholder's name.
    List(Vec<Sentence>),
}

/// The texts of en.json: a text, or an object with the forms for `one` and for `other` numbers.
static TEXTS: LazyLock<serde_json::Value> =
    LazyLock::new(|| serde_json::from_str(embedded!("sentence/en.json")).expect("en.json is checked by a test"));

/// Creates a sentence: `sentence!("id", name = value, …)`.
macro_rules! sentence {
    ($id:expr $(, $name:ident = $value:expr)* $(,)?) => {
        $crate::sentence::Sentence::with($id, vec![$((stringify!($name), $crate::sentence::Value::from($value))),*])
    };
}
pub(crate) use sentence;

impl Sentence {
    /// Creates the sentence with this id and these values. Without a text its id stands in place of it.
    pub fn new(id: &str, values: BTreeMap<String, Value>) -> Sentence {
        let form = if values.get("n") == Some(&Value::Count(1)) { "one" } else { "other" };
        let text = TEXTS.get(id).and_then(|text| text.as_str().or_else(|| text.get(form)?.as_str()));
        let text = text.map_or_else(|| id.to_owned(), |text| fill(text, &values));
        Sentence { id: id.to_owned(), values, text }
    }

    /// Creates the sentence with this id and these values, by name.
    pub(crate) fn with(id: &str, named: Vec<(&str, Value)>) -> Sentence {
        let mut values = BTreeMap::new();
        for (name, value) in named {
            values.insert(name.to_owned(), value);
        }
        Sentence::new(id, values)
    }

    /// Creates a word whose English text is in another table.
    pub fn word(id: String, text: &str) -> Sentence {
        Sentence { id, values: BTreeMap::new(), text: text.to_owned() }
    }

    /// Joins sentences to one; `None` without any.
    pub fn joined(mut list: Vec<Sentence>) -> Option<Sentence> {
        match list.len() {
            0 | 1 => list.pop(),
            _ => Some(sentence!("sentences", sentences = list)),
        }
    }

    /// Returns the text as a part of a longer sentence: with a small first letter, and without the full stop.
    pub fn clause(&self) -> String {
        let mut letters = self.text.strip_suffix('.').unwrap_or(&self.text).chars();
        let start = letters.next().map(|first| first.to_ascii_lowercase().to_string()).unwrap_or_default();
        start + letters.as_str()
    }
}

/// Replaces the placeholders of a text by their values.
fn fill(text: &str, values: &BTreeMap<String, Value>) -> String {
    let mut filled = String::with_capacity(text.len());
    let mut parts = text.split('{');
    filled.push_str(parts.next().unwrap_or_default());
    for part in parts {
        let (name, rest) = part.split_once('}').unwrap_or((part, ""));
        debug_assert!(values.contains_key(name), "{text}: no value {name}");
        match values.get(name) {
            Some(Value::List(list)) => {
                let between = sentence!(&format!("list.{name}"));
                filled.push_str(&list.iter().map(|item| item.text.as_str()).collect::<Vec<_>>().join(&between));
            }
            Some(value) => filled.push_str(&value.to_string()),
            None => {}
        }
        filled.push_str(rest);
    }
    filled
}

impl Value {
    /// Returns the phrase with this id, or the text itself if there is none.
    pub fn phrase(text: &str) -> Value {
        if TEXTS.get(text).is_some() { sentence!(text).into() } else { text.into() }
    }

    /// Returns the phrase whose id is the group and the words of this label, `family.a_language_model`; labels without
    /// one, such as names of models, are the same in every language.
    pub fn label(group: &str, label: &str) -> Value {
        let letter = |letter: char| if letter.is_ascii_alphanumeric() { letter.to_ascii_lowercase() } else { '_' };
        let id = format!("{group}.{}", label.chars().map(letter).collect::<String>());
        if TEXTS.get(&id).is_some() { sentence!(&id).into() } else { label.into() }
    }

    /// Returns "0.5", or "0.5 to 2" for different values, rounded to three decimals; `None` without values.
    pub fn range(values: impl Iterator<Item = f64>) -> Option<Value> {
        let (low, high) = values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), x| (low.min(x), high.max(x)));
        let (low, high) = (rounded(low, 3), rounded(high, 3));
        match low {
            _ if low == high => Some(low.into()),
            _ if low < high => Some(sentence!("range", low = low, high = high).into()),
            _ => None,
        }
    }
}

/// Rounds to a number of decimals.
pub fn rounded(x: f64, decimals: i32) -> f64 {
    let unit = 10f64.powi(decimals);
    (x * unit).round() / unit
}

impl Deref for Sentence {
    type Target = str;

    fn deref(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for Sentence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Count(count) => write!(f, "{count}"),
            Value::Number(number) => write!(f, "{number}"),
            Value::Text(text) => f.write_str(text),
            Value::Sentence(sentence) => f.write_str(sentence),
            Value::List(list) => list.iter().try_for_each(|item| f.write_str(item)),
        }
    }
}

impl From<u64> for Value {
    /// A JavaScript number holds counts up to 2^53 exactly; larger ones become text.
    fn from(count: u64) -> Value {
        if count <= 1 << 53 { Value::Count(count) } else { Value::Text(count.to_string()) }
    }
}

impl From<usize> for Value {
    fn from(count: usize) -> Value {
        Value::Count(count as u64)
    }
}

impl From<f64> for Value {
    /// JSON has no NaN and no infinity.
    fn from(number: f64) -> Value {
        if number.is_finite() { Value::Number(number) } else { Value::Text(number.to_string()) }
    }
}

impl From<f32> for Value {
    /// Keeps the decimal digits: 0.1 stays 0.1.
    fn from(number: f32) -> Value {
        parse_number(&number.to_string()).unwrap_or(f64::from(number)).into()
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Value {
        Value::Text(text.to_owned())
    }
}

impl From<&String> for Value {
    fn from(text: &String) -> Value {
        Value::Text(text.clone())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Value {
        Value::Text(text)
    }
}

impl From<Sentence> for Value {
    fn from(sentence: Sentence) -> Value {
        Value::Sentence(Box::new(sentence))
    }
}

impl From<&Sentence> for Value {
    fn from(sentence: &Sentence) -> Value {
        sentence.clone().into()
    }
}

impl From<Vec<Sentence>> for Value {
    fn from(list: Vec<Sentence>) -> Value {
        Value::List(list)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_choose_the_form_and_values_take_their_places() {
        let text = |n: usize| sentence!("loader.stored", n = n, ending = "a.b").text;
        assert_eq!(text(1), "1 layer is stored as `a.b`, which it does not support.");
        assert_eq!(text(2), "2 layers are stored as `a.b`, which it does not support.");
        let list = vec![sentence!("layers.unet", n = 1usize), sentence!("layers.text_encoder", n = 2usize)];
        assert_eq!(
            sentence!("verdict.changes", items = list).text,
            ": it changes 1 UNet layer and 2 text encoder layers"
        );
    }

    #[test]
    fn ranges_and_numbers_are_short() {
        let range = |values: &[f64]| Value::range(values.iter().copied()).map(|value| value.to_string());
        assert_eq!(range(&[]), None);
        assert_eq!(range(&[0.5, 0.5]).as_deref(), Some("0.5"));
        assert_eq!(range(&[2.0, 1.0 / 3.0]).as_deref(), Some("0.333 to 2"));
        assert_eq!(Value::from(0.1f32).to_string(), "0.1");
        assert_eq!(Value::from(f32::NAN), Value::Text("NaN".into()));
        assert_eq!(Value::from(u64::MAX), Value::Text("18446744073709551615".into()));
    }

    #[test]
    fn sentences_are_joined_and_become_clauses() {
        let check = sentence!("not_lora.no_tensors");
        assert_eq!(Sentence::joined(vec![check.clone()]), Some(check.clone()));
        assert!(Sentence::joined(vec![check.clone(), check.clone()]).is_some_and(|both| both.contains("author. The")));
        assert!(check.clause().starts_with("the file holds") && check.clause().ends_with("author"));
    }
}
