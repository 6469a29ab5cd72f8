//! Turns rules.toml into what each loader looks up, reads and refuses.

use crate::model::Whose;
use crate::model::spelling::{ModuleMatch, NamingScheme};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::sync::LazyLock;

/// A program that loads adapters.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Loader {
    /// Short name: `comfyui`, …
    pub name: String,
    /// Its name for people.
    pub label: String,
    /// The version that the rules describe.
    pub version: String,
    /// When they were read, as year and month.
    pub read: String,
    /// The models that it runs.
    pub families: Vec<String>,
    /// Models that it runs without adapters.
    #[serde(default)]
    without_adapters: Vec<String>,
    /// Models that it does not run; none listed where it runs no others than `families`.
    lacks: Option<Vec<String>>,
    names: Vec<Name>,
    takes: Vec<String>,
    #[serde(default)]
    way: Vec<LoadPath>,
    /// Its line about a key that it does not look up; empty where it says nothing.
    pub unmatched: String,
    /// What becomes of layers that it finds and whose tensors it does not know.
    pub unreadable: Unreadable,
    /// Its line about these.
    pub unreadable_log: String,
    /// Its line about the count of keys that it took.
    pub total_log: Option<String>,
    /// More unmatched keys than this, and it refuses the file.
    pub refuse_unmatched_over: Option<usize>,
    /// Its line when a rule below makes it refuse the file.
    pub refuse_log: Option<String>,
    #[serde(default)]
    traps: Vec<String>,
    #[serde(default)]
    trap_families: Vec<String>,
    #[serde(default)]
    converted: Vec<String>,
    refuse_lacking: Option<String>,
    #[serde(default)]
    lacking_families: Vec<String>,
    #[serde(default)]
    nothing: Vec<String>,
    nothing_log: Option<String>,
    silent_log: Option<String>,
    /// Embeddings that travel in the file are dropped before all rules.
    #[serde(default)]
    pub ignores_bundles: bool,
    /// Embeddings that travel in the file are used.
    #[serde(default)]
    pub reads_bundles: bool,
    /// Families whose files must be of a kind that a way describes.
    #[serde(default)]
    known_families: Vec<String>,
    unknown_log: Option<String>,
    #[serde(default)]
    strict_prefixes: Vec<String>,
    #[serde(default)]
    strict_families: Vec<String>,
    /// Where it looks for alpha.
    pub alpha: AlphaPlace,
    /// DoRA lengths of rows (LyCORIS).
    pub dora_rows: MagnitudeAxis,
    /// DoRA lengths of columns (LyCORIS).
    pub dora_columns: MagnitudeAxis,
    /// DoRA lengths of rows (PEFT).
    pub magnitude: MagnitudeAxis,
    /// Whether DoRA on anything but pairs stops it.
    #[serde(default)]
    pub dora_on_pairs_only: bool,
    /// Whether OFT at strength s turns as at s².
    #[serde(default)]
    pub oft_strength_twice: bool,
    /// Whether OFT's alpha limits the turn itself, not per output.
    #[serde(default)]
    pub oft_plain_alpha: bool,
    /// Whether butterfly OFT without alpha is skipped.
    #[serde(default)]
    pub boft_needs_alpha: bool,
    /// Whether LoKr with a core fails.
    #[serde(default)]
    pub tucker_lokr_fails: bool,
    /// Whether only the first layout of GLoRA is read.
    #[serde(default)]
    pub glora_old_only: bool,
    /// Whether unequal alphas of attention layers are mixed up.
    #[serde(default)]
    pub misplaces_alphas: bool,
}

/// How a loader reads files of one kind. The first way that fits counts.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LoadPath {
    /// The models; all where none is listed.
    #[serde(default)]
    families: Vec<String>,
    /// One of these patterns is a key; `*` stands for any letters.
    #[serde(default)]
    any: Vec<String>,
    /// So is one of these.
    #[serde(default)]
    and: Vec<String>,
    /// None of these is a key.
    #[serde(default)]
    none: Vec<String>,
    /// Every key is one of these.
    #[serde(default)]
    all: Vec<String>,
    /// The names that it looks up in place of the loader's.
    names: Option<Vec<Name>>,
    takes: Option<Vec<String>>,
    /// Whether a layer that it does not look up, or a key of no layer, stops it.
    #[serde(default)]
    pub refuse_unnamed: bool,
    /// Whether tensors that it does not know stop it.
    #[serde(default)]
    pub refuse_unreadable: bool,
    /// Letters that every key must have, but for those with an ending of `drops`.
    pub need: Option<String>,
    #[serde(default)]
    drops: Vec<String>,
    /// Its line where a key lacks them.
    need_log: Option<String>,
    /// Where nothing lands, a key like one of these stops it.
    #[serde(default)]
    nothing: Vec<String>,
    /// Why it refuses every file of the kind.
    pub refuse: Option<String>,
    /// Its line where something is left out or stops it.
    pub log: Option<String>,
}

impl LoadPath {
    fn fits(&self, family: &str, keys: &[&str]) -> bool {
        let some = |patterns: &[String]| {
            patterns.is_empty() || patterns.iter().any(|pattern| keys.iter().any(|key| is_like(key, pattern)))
        };
        (self.families.is_empty() || is_among(&self.families, family))
            && some(&self.any)
            && some(&self.and)
            && (self.none.is_empty() || !some(&self.none))
            && (self.all.is_empty() || keys.iter().all(|key| self.all.iter().any(|pattern| is_like(key, pattern))))
    }

    /// The names that it looks up, where they are not the loader's.
    pub fn names(&self, family: &str) -> Option<Vec<&Name>> {
        self.names.as_ref().map(|names| names.iter().filter(|name| name.is_for(family)).collect())
    }

    /// Whether it reads tensors with this ending; none where that is the loader's matter.
    pub fn takes(&self, ending: &str) -> Option<bool> {
        self.takes.as_ref().map(|takes| is_among(takes, ending))
    }

    /// The first key that lacks the letters that every key must have.
    pub fn lacking<'a>(&self, keys: &[&'a str]) -> Option<&'a str> {
        let word = self.need.as_ref()?;
        let dropped = |key: &str| self.drops.iter().any(|end| key.ends_with(end.as_str()));
        keys.iter().copied().find(|key| !key.contains(word.as_str()) && !dropped(key))
    }

    /// Its line where a key lacks them.
    pub fn need_log(&self) -> &str {
        self.need_log.as_deref().unwrap_or_default()
    }

    /// Whether it stops where nothing lands.
    pub fn stops_at_nothing(&self, keys: &[&str]) -> bool {
        self.nothing.iter().any(|pattern| keys.iter().any(|key| is_like(key, pattern)))
    }
}

/// Whether a text is a pattern's, in which `*` stands for any letters.
fn is_like(text: &str, pattern: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = text.strip_prefix(parts.next().unwrap_or_default()) else { return false };
    let Some(last) = parts.next_back() else { return rest.is_empty() };
    for part in parts {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

/// Names that a loader looks up.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Name {
    prefix: String,
    spelled: Vec<Spelled>,
    families: Option<Vec<String>>,
    #[serde(default)]
    without: Vec<String>,
    #[serde(default)]
    within: Vec<String>,
}

impl Name {
    fn is_for(&self, family: &str) -> bool {
        self.families.as_ref().is_none_or(|families| is_among(families, family))
    }

    /// Whether a layer that is called so is looked up by this name.
    pub fn fits(&self, stem: &str, found: &ModuleMatch) -> bool {
        let prefix = match self.prefix.strip_suffix('*') {
            Some(start) => found.prefix.starts_with(start),
            None => found.prefix == self.prefix,
        };
        let both = found.names == NamingScheme::Native
            && found.module.path == found.module.ldm
            && found.module.whose == Whose::Everyone;
        let spelled = |spelled: &Spelled| match (spelled, found.names) {
            (Spelled::Native | Spelled::Diffusers, _) if both => true,
            (Spelled::Diffusers, NamingScheme::Diffusers)
            | (Spelled::AttnProcs, NamingScheme::AttnProcs)
            | (Spelled::Ldm, NamingScheme::Ldm)
            | (Spelled::Native, NamingScheme::Native)
            | (Spelled::Trainer, NamingScheme::Trainer) => true,
            _ => false,
        };
        prefix
            && self.spelled.iter().any(spelled)
            && !self.without.iter().any(|part| stem.contains(part.as_str()))
            && (self.within.is_empty() || self.within.iter().any(|part| stem.contains(part.as_str())))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Spelled {
    Diffusers,
    AttnProcs,
    Ldm,
    Native,
    Trainer,
}

/// What becomes of a layer whose tensors a loader does not know.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unreadable {
    /// It is left out.
    Ignore,
    /// The file is refused.
    Refuse,
}

/// Where a loader looks for alpha.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AlphaPlace {
    /// In tensors.
    Tensor,
    /// In the header's metadata too.
    Header,
    /// In adapter_config.json too.
    Config,
}

/// What becomes of DoRA's lengths.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MagnitudeAxis {
    /// As the paper and the trainer have it.
    Exact,
    /// The base's norm stands for the changed weight's.
    BaseNorm,
    /// Lengths of rows are taken for lengths of columns.
    AsColumns,
    /// They are left out.
    Dropped,
}

#[derive(Deserialize)]
struct Rules {
    /// diffusers' classes of networks by family.
    networks: BTreeMap<String, String>,
    loader: Vec<Loader>,
}

static RULES: LazyLock<Rules> =
    LazyLock::new(|| toml::from_str(include_str!("rules.toml")).expect("rules.toml is checked by a test"));

/// The class that diffusers has for a family's network.
pub fn network(family: &str) -> Option<&'static str> {
    RULES.networks.get(family).map(String::as_str)
}

/// Every loader, in the order of the table.
pub fn all() -> &'static [Loader] {
    &RULES.loader
}

/// What a loader does with models of a family.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Runs {
    /// It runs them, and adapters for them.
    WithAdapters,
    /// It runs them and loads no adapters for them.
    WithoutAdapters,
    /// It does not.
    Not,
    /// Nobody looked.
    NotKnown,
}

/// Why a loader refuses a whole file: for people, and its own line.
pub struct Refusal {
    /// Why.
    pub reason: String,
    /// What it prints.
    pub log: String,
}

fn is_among(list: &[String], name: &str) -> bool {
    list.iter().any(|entry| entry == name)
}

fn starts(list: &[String], key: &str) -> bool {
    list.iter().any(|start| key.starts_with(start.as_str()))
}

impl Loader {
    /// What it does with models of this family.
    pub fn runs(&self, family: &str) -> Runs {
        match &self.lacks {
            _ if is_among(&self.families, family) => Runs::WithAdapters,
            _ if is_among(&self.without_adapters, family) => Runs::WithoutAdapters,
            Some(lacks) if !is_among(lacks, family) => Runs::NotKnown,
            _ => Runs::Not,
        }
    }

    /// The names that it looks up for models of this family.
    pub fn names_for(&self, family: &str) -> Vec<&Name> {
        self.names.iter().filter(|name| name.is_for(family)).collect()
    }

    /// How it reads a file with these keys, where that is not how it reads most.
    pub fn way(&self, family: &str, keys: &[&str]) -> Option<&LoadPath> {
        self.way.iter().find(|way| way.fits(family, keys))
    }

    /// Whether it reads tensors with this ending.
    pub fn takes(&self, ending: &str) -> bool {
        is_among(&self.takes, ending)
    }

    /// What makes it refuse a file by the keys alone. `keys` are all of the file's.
    pub fn refusal(&self, keys: &[&str], family: &str, file: &str) -> Option<Refusal> {
        let refuse = |reason: String, log: Option<&String>, key: &str| {
            let log = log.map(|log| log.replace("{file}", file).replace("{key}", key)).unwrap_or_default();
            Some(Refusal { reason, log })
        };
        if is_among(&self.known_families, family) && self.way(family, keys).is_none() {
            let reason = "its keys are of no kind that it knows for this model".into();
            return refuse(reason, self.unknown_log.as_ref(), "");
        }
        let trap = self.traps.iter().find(|trap| keys.iter().any(|key| key.starts_with(trap.as_str())));
        if let Some(trap) = trap.filter(|_| is_among(&self.trap_families, family)) {
            let reason = format!("it takes `{}` for the name of one layer", trap.trim_end_matches('.'));
            let endings: Vec<&str> = keys.iter().filter_map(|key| key.strip_prefix(trap.as_str())).take(3).collect();
            return Some(Refusal { reason, log: self.unreadable(&endings, trap) });
        }
        if is_among(&self.strict_families, family)
            && let Some(key) = keys.iter().find(|key| !starts(&self.strict_prefixes, key))
        {
            let reason = format!("`{key}` starts with none of {}", self.strict_prefixes.join(", "));
            return refuse(reason, self.refuse_log.as_ref(), key);
        }
        let word = self.refuse_lacking.as_ref().filter(|_| is_among(&self.lacking_families, family))?;
        let unconverted = !self.is_converted(keys);
        let lacking = keys.iter().find(|key| !key.contains(word.as_str()) && !key.ends_with(".dora_scale"));
        let key = lacking.filter(|_| unconverted)?;
        refuse(format!("`{key}` does not hold the word {word}"), self.refuse_log.as_ref(), key)
    }

    /// Its line about tensors that it does not know, by their endings and the first one's key.
    pub fn unreadable(&self, endings: &[&str], key: &str) -> String {
        let endings: Vec<&str> = endings.iter().map(|ending| ending.trim_start_matches('.')).collect();
        let quoted: Vec<String> = endings.iter().map(|ending| format!("'{ending}'")).collect();
        let line = self.unreadable_log.replace("{quoted}", &quoted.join(", "));
        line.replace("{keys}", &endings.join(", ")).replace("{key}", key)
    }

    /// Its line where none of a network's layers is found, if that stops it.
    pub fn nothing_of_network(&self) -> Option<&str> {
        self.nothing_log.as_deref()
    }

    /// Its line where it looks for a network's layers and the file has none under that name.
    pub fn silent(&self) -> Option<&str> {
        self.silent_log.as_deref()
    }

    /// Whether it takes the whole file for sd-scripts' and converts it.
    pub fn is_converted(&self, keys: &[&str]) -> bool {
        keys.iter().all(|key| starts(&self.converted, key))
    }

    /// What it says where no layer lands: a line, and whether it stops.
    pub fn nothing(&self, keys: &[&str]) -> Option<(&str, bool)> {
        let stops = keys.iter().any(|key| starts(&self.nothing, key));
        let log = if stops { self.nothing_log.as_ref() } else { self.silent_log.as_ref() };
        Some((log?, stops))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::spelling;
    use crate::model::{Architecture, FamilyId};

    #[test]
    fn a_star_stands_for_any_letters() {
        for (text, pattern, expect) in [
            ("abc", "abc", true),
            ("abcd", "abc", false),
            ("abcd", "abc*", true),
            ("abcd", "*cd", true),
            ("abcd", "a*c*", true),
            ("abcd", "a*b*b*", false),
            ("aa", "a*a", true),
            ("a", "a*a", false),
        ] {
            assert_eq!(is_like(text, pattern), expect, "{text} {pattern}");
        }
    }

    #[test]
    fn the_rules_are_whole_and_dated() {
        let known: Vec<&str> = FamilyId::ALL.iter().map(|id| id.name()).chain(Architecture::families()).collect();
        assert_eq!(all().len(), 6);
        for loader in all() {
            let dated = loader.read.split_once('-').is_some_and(|(year, month)| {
                year.len() == 4 && year.parse::<u16>().is_ok() && month.parse::<u8>().is_ok_and(|month| month <= 12)
            });
            assert!(dated && !loader.version.is_empty(), "{}", loader.name);
            let ways = loader.way.iter();
            let names = loader.names.iter().chain(ways.clone().flat_map(|way| way.names.iter().flatten()));
            let named = names.clone().flat_map(|name| name.families.iter().flatten());
            let lists = [&loader.families, &loader.without_adapters, &loader.known_families];
            let listed = lists.into_iter().chain(&loader.lacks).chain(ways.clone().map(|way| &way.families)).flatten();
            for family in listed.chain(named) {
                assert!(known.contains(&family.as_str()), "{}: no family is called {family}", loader.name);
            }
            for ending in loader.takes.iter().chain(ways.filter_map(|way| way.takes.as_ref()).flatten()) {
                let (_, suffix) = spelling::split(&format!("lora{ending}")).expect("an ending");
                assert_eq!(&suffix.text, ending, "{}: {ending} is no ending of spellings.toml", loader.name);
            }
            for name in names {
                let prefix = name.prefix.trim_end_matches('*');
                assert!(spelling::is_prefix(prefix), "{}: {prefix} is no prefix of spellings.toml", loader.name);
            }
        }
    }
}
