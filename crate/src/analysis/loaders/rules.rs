//! The loaders' rules from rules.toml: the keys each one looks up, reads and refuses.

use crate::model::Granularity;
use crate::model::spelling::{ModuleMatch, NamingScheme};
use crate::model::toml_table;
use crate::sentence::{Sentence, sentence};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::sync::LazyLock;

/// A program that loads adapters.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Loader {
    /// Identifier: `comfyui`, …
    pub name: String,
    /// Display name.
    pub label: String,
    /// The version that the rules describe.
    pub version: String,
    /// Year and month of the rules.
    pub read: String,
    /// Supported model families.
    pub families: Vec<String>,
    /// Model families that it runs without adapter support.
    #[serde(default)]
    without_adapters: Vec<String>,
    /// Model families, or `*` for all, whose rules were read in its source and not seen in a run.
    #[serde(default)]
    only_read: Vec<String>,
    /// Whether the rule for half a pair was.
    #[serde(default)]
    pub only_read_half_pairs: bool,
    /// The version since which it loads files of a family.
    #[serde(default)]
    pub since: BTreeMap<String, String>,
    /// The version since which it reads keys with PEFT's name of an adapter.
    pub default_since: Option<String>,
    /// Unsupported model families; if absent, only `families` are supported.
    lacks: Option<Vec<String>>,
    names: Vec<Name>,
    takes: Vec<String>,
    #[serde(default)]
    way: Vec<LoadPath>,
    /// Its log line for a key that it does not look up; empty if it logs nothing.
    pub unmatched: String,
    /// Handling of layers that it finds and whose tensors it cannot read.
    pub unreadable: Unreadable,
    /// Its log line for these.
    pub unreadable_log: String,
    /// Its log line with the number of applied keys.
    pub total_log: Option<String>,
    /// Maximum number of unmatched keys, above which it refuses the file.
    pub refuse_unmatched_over: Option<usize>,
    /// Its log line when a rule below makes it refuse the file.
    pub refuse_log: Option<String>,
    #[serde(default)]
    traps: Vec<String>,
    #[serde(default)]
    trap_families: Vec<String>,
    #[serde(default)]
    converted: Vec<String>,
    /// Replaces `takes` for files that it converts.
    #[serde(default)]
    pub converted_takes: Vec<String>,
    refuse_lacking: Option<String>,
    #[serde(default)]
    lacking_families: Vec<String>,
    #[serde(default)]
    nothing: Vec<String>,
    nothing_log: Option<String>,
    silent_log: Option<String>,
    /// Whether bundled embeddings are dropped before all rules.
    #[serde(default)]
    pub ignores_bundles: bool,
    /// Whether bundled embeddings are used.
    #[serde(default)]
    pub reads_bundles: bool,
    /// Families whose files must match one of the load paths.
    #[serde(default)]
    known_families: Vec<String>,
    unknown_log: Option<String>,
    #[serde(default)]
    strict_prefixes: Vec<String>,
    #[serde(default)]
    strict_families: Vec<String>,
    /// The places where it reads alpha.
    pub alpha: AlphaPlace,
    /// Handling of per-row DoRA magnitudes (LyCORIS).
    pub dora_rows: MagnitudeAxis,
    /// Handling of per-column DoRA magnitudes (LyCORIS).
    pub dora_columns: MagnitudeAxis,
    /// Handling of per-row DoRA magnitudes (PEFT).
    pub magnitude: MagnitudeAxis,
    /// Whether it only reads DoRA on low-rank pairs.
    #[serde(default)]
    pub dora_on_pairs_only: bool,
    /// Whether it applies OFT of strength s with s².
    #[serde(default)]
    pub oft_strength_twice: bool,
    /// Whether it limits OFT's rotation by alpha instead of alpha · outputs.
    #[serde(default)]
    pub oft_plain_alpha: bool,
    /// Whether it skips butterfly OFT without alpha.
    #[serde(default)]
    pub boft_needs_alpha: bool,
    /// Whether LoKr with a Tucker core fails.
    #[serde(default)]
    pub tucker_lokr_fails: bool,
    /// Whether it reads only the first layout of GLoRA.
    #[serde(default)]
    pub glora_old_only: bool,
    /// What it does with half a pair.
    #[serde(default)]
    pub half_pairs: HalfPairs,
    /// Whether it fills the missing half of a pair with memory that nothing was written to.
    #[serde(default)]
    pub fills_halves: bool,
    /// Whether it refuses factors of other sizes than it prepares by the layers and the header's PEFT config.
    #[serde(default)]
    pub checks_sizes: bool,
    /// Whether it applies one alpha to all attention layers.
    #[serde(default)]
    pub misplaces_alphas: bool,
}

/// A loader's code path for files of one kind. The first one that matches is used.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LoadPath {
    /// Model families; empty for all.
    #[serde(default)]
    families: Vec<String>,
    /// Some key must match one of these patterns; `*` matches any text.
    #[serde(default)]
    any: Vec<String>,
    /// Some key must match one of these too.
    #[serde(default)]
    and: Vec<String>,
    /// No key may match any of these.
    #[serde(default)]
    none: Vec<String>,
    /// Every key must match one of these.
    #[serde(default)]
    all: Vec<String>,
    /// Replaces the loader's `names`.
    names: Option<Vec<Name>>,
    takes: Option<Vec<String>>,
    /// Whether a layer that it does not look up, or a key of no layer, makes it refuse the file.
    #[serde(default)]
    pub refuse_unnamed: bool,
    /// Whether tensors that it cannot read make it refuse the file.
    #[serde(default)]
    pub refuse_unreadable: bool,
    /// Whether a key that is of no layer at all makes it refuse the file.
    #[serde(default)]
    pub refuse_strays: bool,
    /// Half a pair that makes it refuse the file.
    pub refuse_half: Option<Half>,
    /// Keys with these prefixes make it refuse the file if it does not read them.
    #[serde(default)]
    pub strict: Vec<String>,
    /// Whether a layer without an alpha tensor makes it refuse the file.
    #[serde(default)]
    pub wants_alpha: bool,
    /// The version since which it has this path.
    pub since: Option<String>,
    /// Whether it drops alpha tensors.
    #[serde(default)]
    pub drops_alpha: bool,
    /// Text that every key must contain, except keys with a suffix in `drops`.
    pub need: Option<String>,
    /// Whether one key with that text is enough.
    #[serde(default)]
    need_once: bool,
    #[serde(default)]
    drops: Vec<String>,
    /// Keys after the first prefix of `names`, with `*` for the number of a block: each must be there for every block,
    /// from 0 on.
    #[serde(default)]
    every: Vec<String>,
    /// Its log line if a key lacks that text.
    need_log: Option<String>,
    /// If no layer is applied, a key that matches one of these makes it refuse the file.
    #[serde(default)]
    nothing: Vec<String>,
    /// The reason for refusing every file of this kind: the id of a sentence.
    pub refuse: Option<String>,
    /// Its log line when it skips keys or refuses the file.
    pub log: Option<String>,
}

impl LoadPath {
    fn fits(&self, family: &str, keys: &[&str]) -> bool {
        let any_matches = |patterns: &[String]| {
            patterns.is_empty() || patterns.iter().any(|pattern| keys.iter().any(|key| matches_glob(key, pattern)))
        };
        (self.families.is_empty() || is_among(&self.families, family))
            && any_matches(&self.any)
            && any_matches(&self.and)
            && (self.none.is_empty() || !any_matches(&self.none))
            && (self.all.is_empty() || keys.iter().all(|key| self.all.iter().any(|pattern| matches_glob(key, pattern))))
    }

    /// Returns the names that it looks up, if they differ from the loader's.
    pub fn names(&self, family: &str, keys: &[&str]) -> Option<Vec<&Name>> {
        let is_looked_up = |name: &&Name| name.is_for(family) && name.is_in(keys);
        self.names.as_ref().map(|names| names.iter().filter(is_looked_up).collect())
    }

    /// Returns whether it reads tensors with this suffix; `None` if the loader's rules apply.
    pub fn takes(&self, ending: &str) -> Option<bool> {
        self.takes.as_ref().map(|takes| is_among(takes, ending))
    }

    /// Returns the first key without the text that every key must contain.
    pub fn lacking<'a>(&self, keys: &[&'a str]) -> Option<&'a str> {
        let word = self.need.as_ref()?;
        let dropped = |key: &str| self.drops.iter().any(|end| key.ends_with(end.as_str()));
        let lacks = |key: &&str| !key.contains(word.as_str()) && !dropped(key);
        let is_enough = self.need_once && keys.iter().any(|key| key.contains(word.as_str()));
        keys.iter().copied().find(lacks).filter(|_| !is_enough)
    }

    /// Returns the first key that is missing in one of the file's blocks, if the path wants every layer of each.
    pub fn missing(&self, keys: &[&str]) -> Option<String> {
        let prefix = self.names.iter().flatten().map(|name| name.prefix.as_str()).next().unwrap_or_default();
        let keys: Vec<&str> = keys.iter().filter_map(|key| key.strip_prefix(prefix)).collect();
        let named = |key: &String| keys.iter().filter(|found| matches_glob(found, key)).count();
        let blocks = self.every.iter().map(named).max()?;
        let wanted = (0..blocks.max(1)).flat_map(|block| self.every.iter().map(move |key| (key, block)));
        let mut wanted = wanted.map(|(key, block)| key.replace('*', &block.to_string()));
        wanted.find(|key| !keys.contains(&key.as_str()))
    }

    /// Returns its log line for such a key.
    pub fn need_log(&self) -> &str {
        self.need_log.as_deref().unwrap_or_default()
    }

    /// Returns whether a key that it does not read makes it refuse the file.
    pub fn is_strict(&self, key: &str) -> bool {
        has_prefix_among(&self.strict, key)
    }

    /// Returns whether it refuses the file if no layer is applied.
    pub fn stops_at_nothing(&self, keys: &[&str]) -> bool {
        self.nothing.iter().any(|pattern| keys.iter().any(|key| is_target(key) && matches_glob(key, pattern)))
    }
}

/// Returns whether PEFT takes a key for a module's, so that its error says that there is none: not with an adapter's name.
fn is_target(key: &str) -> bool {
    !key.contains(".default.")
}

/// Returns whether a text matches a pattern in which `*` matches any text.
fn matches_glob(text: &str, pattern: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = text.strip_prefix(parts.next().unwrap_or_default()) else { return false };
    let Some(last) = parts.next_back() else { return rest.is_empty() };
    for part in parts {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

/// A pattern of names that a loader looks up.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Name {
    prefix: String,
    spelled: Vec<Spelled>,
    families: Option<Vec<String>>,
    /// The version since which it looks these names up.
    pub since: Option<String>,
    /// Whether only newer versions than the described one look them up.
    #[serde(default)]
    later: bool,
    /// Only if some key of the file matches this pattern.
    beside: Option<String>,
    /// Whether names with underscores are looked up after a prefix with a dot, too.
    #[serde(default)]
    flat: bool,
    #[serde(default)]
    without: Vec<String>,
    #[serde(default)]
    within: Vec<String>,
}

impl Name {
    fn is_for(&self, family: &str) -> bool {
        self.families.as_ref().is_none_or(|families| is_among(families, family))
    }

    /// Returns whether the names are looked up in a file with these keys.
    fn is_in(&self, keys: &[&str]) -> bool {
        self.beside.as_ref().is_none_or(|pattern| keys.iter().any(|key| matches_glob(key, pattern)))
    }

    /// Returns whether a layer with this stem is looked up by this name.
    pub fn fits(&self, stem: &str, found: &ModuleMatch) -> bool {
        let prefix = match self.prefix.strip_suffix('*') {
            Some(start) => found.prefix.starts_with(start),
            None => found.prefix == self.prefix,
        };
        let is_same_name = found.names == NamingScheme::Native
            && found.module.path == found.module.ldm
            && found.module.granularity == Granularity::Common;
        let spelled = |spelled: &Spelled| match (spelled, found.names) {
            (Spelled::Native | Spelled::Diffusers, _) if is_same_name => true,
            (Spelled::Diffusers, NamingScheme::Diffusers)
            | (Spelled::AttnProcs, NamingScheme::AttnProcs)
            | (Spelled::Ldm, NamingScheme::Ldm)
            | (Spelled::Native, NamingScheme::Native)
            | (Spelled::Trainer, NamingScheme::Trainer) => true,
            _ => false,
        };
        // A name with underscores follows `lora_unet_`, one with dots `transformer.`; a mixture is looked up nowhere.
        let rest = stem.strip_prefix(found.prefix).unwrap_or(stem);
        let is_dotted = found.prefix.is_empty() || found.prefix.ends_with('.');
        let is_mixed = found.module.path.contains('.') && is_dotted != rest.contains('.');
        !found.compiled
            && prefix
            && (!is_mixed || self.flat)
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

/// Handling of a layer whose tensors a loader cannot read.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unreadable {
    /// The layer is skipped.
    Ignore,
    /// The file is refused.
    Refuse,
}

/// Handling of half a pair.
#[derive(Debug, Clone, Copy, Default, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HalfPairs {
    /// The layer is skipped.
    #[default]
    Skip,
    /// `up` without `down` raises an error; otherwise the layer is skipped.
    UpRaises,
    /// The file is refused, if it is converted at all.
    Refuse,
}

/// Half of a pair.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Half {
    /// Either tensor without the other.
    Any,
    /// `down` without `up`.
    Down,
}

/// The places where a loader reads alpha.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AlphaPlace {
    /// Only in tensors.
    Tensor,
    /// Also in the header's metadata.
    Header,
    /// Also in adapter_config.json.
    Config,
}

/// Handling of DoRA magnitudes.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MagnitudeAxis {
    /// As in the paper and the trainer.
    Exact,
    /// Divided by the norm of the base weight instead of the changed one.
    BaseNorm,
    /// Row magnitudes are applied as column magnitudes.
    AsColumns,
    /// They are ignored.
    Dropped,
}

#[derive(Deserialize)]
struct Rules {
    /// diffusers' model class by family.
    networks: BTreeMap<String, String>,
    loader: Vec<Loader>,
}

static RULES: LazyLock<Rules> = LazyLock::new(|| {
    toml_table::parse(embedded!("analysis/loaders/rules.toml")).expect("rules.toml is checked by a test")
});

/// Returns diffusers' model class for a family.
pub fn network(family: &str) -> Option<&'static str> {
    RULES.networks.get(family).map(String::as_str)
}

/// Returns every loader, in table order.
pub fn all() -> &'static [Loader] {
    &RULES.loader
}

/// A loader's support for a model family.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum FamilySupport {
    /// Runs the models, with adapters.
    WithAdapters,
    /// Runs the models, without adapters.
    WithoutAdapters,
    /// Does not run the models.
    Not,
    /// Not investigated.
    NotKnown,
}

/// A loader's refusal of a whole file.
pub struct Refusal {
    /// The reason.
    pub reason: Sentence,
    /// The loader's log line.
    pub log: String,
}

fn is_among(list: &[String], name: &str) -> bool {
    list.iter().any(|entry| entry == name)
}

fn has_prefix_among(list: &[String], key: &str) -> bool {
    list.iter().any(|prefix| key.starts_with(prefix.as_str()))
}

impl Loader {
    /// Returns its support for a model family.
    pub fn runs(&self, family: &str) -> FamilySupport {
        match &self.lacks {
            _ if is_among(&self.families, family) => FamilySupport::WithAdapters,
            _ if is_among(&self.without_adapters, family) => FamilySupport::WithoutAdapters,
            Some(lacks) if !is_among(lacks, family) => FamilySupport::NotKnown,
            _ => FamilySupport::Not,
        }
    }

    /// Returns whether its rules for a family were not seen in a run.
    pub fn was_only_read(&self, family: &str) -> bool {
        is_among(&self.only_read, family) || is_among(&self.only_read, "*")
    }

    /// Returns the names that it looks up for models of this family in a file with these keys.
    pub fn names_for(&self, family: &str, keys: &[&str]) -> Vec<&Name> {
        self.names.iter().filter(|name| !name.later && name.is_for(family) && name.is_in(keys)).collect()
    }

    /// Returns the names that only newer versions look up for models of this family.
    pub fn later_names_for(&self, family: &str) -> Vec<&Name> {
        self.names.iter().filter(|name| name.later && name.is_for(family)).collect()
    }

    /// Returns the special code path for a file with these keys, if there is one.
    pub fn way(&self, family: &str, keys: &[&str]) -> Option<&LoadPath> {
        self.way.iter().find(|way| way.fits(family, keys))
    }

    /// Returns whether it reads tensors with this suffix, in a file that it converts or in another one.
    pub fn takes(&self, ending: &str, is_converted: bool) -> bool {
        is_among(if is_converted { &self.converted_takes } else { &self.takes }, ending)
    }

    /// Returns why it refuses a file by its keys alone, if it does. `keys` are all keys of the file.
    pub fn refusal(&self, keys: &[&str], family: &str, file: &str) -> Option<Refusal> {
        let refuse = |reason: Sentence, log: Option<&String>, key: &str| {
            let log = log.map(|log| log.replace("{file}", file).replace("{key}", key)).unwrap_or_default();
            Some(Refusal { reason, log })
        };
        if is_among(&self.known_families, family) && self.way(family, keys).is_none() {
            let reason = sentence!("loader.no_format");
            return refuse(reason, self.unknown_log.as_ref(), "");
        }
        let trap = self.traps.iter().find(|trap| keys.iter().any(|key| key.starts_with(trap.as_str())));
        if let Some(trap) = trap.filter(|_| is_among(&self.trap_families, family)) {
            let reason = sentence!("loader.one_layer", key = trap.trim_end_matches('.'));
            let endings: Vec<&str> = keys.iter().filter_map(|key| key.strip_prefix(trap.as_str())).take(3).collect();
            return Some(Refusal { reason, log: self.unreadable(&endings, trap) });
        }
        if is_among(&self.strict_families, family)
            && let Some(key) = keys.iter().find(|key| !has_prefix_among(&self.strict_prefixes, key))
        {
            let reason = sentence!("loader.no_prefix", key = *key, prefixes = self.strict_prefixes.join(", "));
            return refuse(reason, self.refuse_log.as_ref(), key);
        }
        let word = self.refuse_lacking.as_ref().filter(|_| is_among(&self.lacking_families, family))?;
        let is_unconverted = !self.is_converted(keys);
        let lacking = keys.iter().find(|key| !key.contains(word.as_str()) && !key.ends_with(".dora_scale"));
        let key = lacking.filter(|_| is_unconverted)?;
        refuse(sentence!("loader.lacks_word", key = *key, word = word), self.refuse_log.as_ref(), key)
    }

    /// Returns its log line for tensors that it cannot read, from their suffixes and the first one's key.
    pub fn unreadable(&self, endings: &[&str], key: &str) -> String {
        let endings: Vec<&str> = endings.iter().map(|ending| ending.trim_start_matches('.')).collect();
        let quoted: Vec<String> = endings.iter().map(|ending| format!("'{ending}'")).collect();
        let line = self.unreadable_log.replace("{quoted}", &quoted.join(", "));
        line.replace("{keys}", &endings.join(", ")).replace("{key}", key)
    }

    /// Returns its log line if it refuses files with no matching layer of a network.
    pub fn nothing_of_network(&self) -> Option<&str> {
        self.nothing_log.as_deref()
    }

    /// Returns its log line if the file has no layers under a network's name.
    pub fn silent(&self) -> Option<&str> {
        self.silent_log.as_deref()
    }

    /// Returns whether it converts some files.
    pub fn converts(&self) -> bool {
        !self.converted.is_empty()
    }

    /// Returns whether it converts the whole file as one from sd-scripts.
    pub fn is_converted(&self, keys: &[&str]) -> bool {
        self.converts() && keys.iter().all(|key| has_prefix_among(&self.converted, key))
    }

    /// Returns its log line if no layer is applied, and whether it then refuses the file; `part` is the network.
    pub fn nothing(&self, keys: &[&str], part: &str) -> Option<(&str, bool)> {
        let prefixes: Vec<String> = self.nothing.iter().map(|prefix| prefix.replace("{part}", part)).collect();
        let stops = keys.iter().any(|key| is_target(key) && has_prefix_among(&prefixes, key));
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
    fn stars_match_any_text() {
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
            assert_eq!(matches_glob(text, pattern), expect, "{text} {pattern}");
        }
    }

    #[test]
    fn the_rules_are_valid_and_dated() {
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
            let read = loader.only_read.iter().filter(|family| *family != "*");
            let listed = lists.into_iter().chain(&loader.lacks).chain(ways.clone().map(|way| &way.families)).flatten();
            for family in listed.chain(named).chain(read) {
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
