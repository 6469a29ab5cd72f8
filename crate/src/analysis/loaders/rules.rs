//! Turns rules.toml into what each loader looks up, reads and refuses.

use crate::adapters::Group;
use crate::model::spelling::{Found, Names};
use serde::Deserialize;
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
    names: Vec<Name>,
    takes: Vec<String>,
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
    #[serde(default)]
    known_families: Vec<String>,
    #[serde(default)]
    known_starts: Vec<String>,
    #[serde(default)]
    known_ends: Vec<String>,
    unknown_log: Option<String>,
    #[serde(default)]
    dotted_families: Vec<String>,
    #[serde(default)]
    strict_prefixes: Vec<String>,
    #[serde(default)]
    strict_families: Vec<String>,
    /// Where it looks for alpha.
    pub alpha: AlphaPlace,
    /// DoRA lengths of rows (LyCORIS).
    pub dora_rows: Lengths,
    /// DoRA lengths of columns (LyCORIS).
    pub dora_columns: Lengths,
    /// DoRA lengths of rows (PEFT).
    pub magnitude: Lengths,
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
    /// Whether only the first layout of GLoRA is read.
    #[serde(default)]
    pub glora_old_only: bool,
    /// Whether unequal alphas of attention layers are mixed up.
    #[serde(default)]
    pub misplaces_alphas: bool,
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
    /// Whether a layer that is called so is looked up by this name.
    pub fn fits(&self, stem: &str, found: &Found) -> bool {
        let prefix = match self.prefix.strip_suffix('*') {
            Some(start) => found.prefix.starts_with(start),
            None => found.prefix == self.prefix,
        };
        let both = found.names == Names::Native && found.module.path == found.module.ldm;
        let spelled = |spelled: &Spelled| match (spelled, found.names) {
            (Spelled::Native | Spelled::Diffusers, _) if both => true,
            (Spelled::Diffusers, Names::Diffusers)
            | (Spelled::AttnProcs, Names::AttnProcs)
            | (Spelled::Ldm, Names::Ldm)
            | (Spelled::Native, Names::Native) => true,
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
pub enum Lengths {
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
    loader: Vec<Loader>,
}

static RULES: LazyLock<Rules> =
    LazyLock::new(|| toml::from_str(include_str!("rules.toml")).expect("rules.toml is checked by a test"));

/// Every loader, in the order of the table.
pub fn all() -> &'static [Loader] {
    &RULES.loader
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
    /// Whether it runs models of this family.
    pub fn runs(&self, family: &str) -> bool {
        is_among(&self.families, family)
    }

    /// The names that it looks up for models of this family.
    pub fn names_for(&self, family: &str) -> Vec<&Name> {
        let fits = |name: &&Name| name.families.as_ref().is_none_or(|families| is_among(families, family));
        self.names.iter().filter(fits).collect()
    }

    /// Whether it reads tensors with this ending.
    pub fn takes(&self, ending: &str) -> bool {
        is_among(&self.takes, ending)
    }

    /// What makes it refuse a file by the keys alone. `keys` are all of the file's.
    pub fn refusal(&self, keys: &[&str], groups: &[Group], family: &str, file: &str) -> Option<Refusal> {
        let refuse = |reason: String, log: Option<&String>, key: &str| {
            let log = log.map(|log| log.replace("{file}", file).replace("{key}", key)).unwrap_or_default();
            Some(Refusal { reason, log })
        };
        let known = |key: &&str| {
            starts(&self.known_starts, key) || self.known_ends.iter().any(|end| key.ends_with(end.as_str()))
        };
        if is_among(&self.known_families, family) && !keys.iter().any(known) {
            let reason = "no key starts or ends as it expects of a LoRA".into();
            return refuse(reason, self.unknown_log.as_ref(), "");
        }
        let trap = self.traps.iter().find(|trap| keys.iter().any(|key| key.starts_with(trap.as_str())));
        if let Some(trap) = trap.filter(|_| is_among(&self.trap_families, family)) {
            let reason = format!("it takes `{}` for the name of one layer", trap.trim_end_matches('.'));
            let endings: Vec<&str> = keys.iter().filter_map(|key| key.strip_prefix(trap.as_str())).take(3).collect();
            return Some(Refusal { reason, log: self.unreadable(&endings, trap) });
        }
        if is_among(&self.dotted_families, family) && groups.iter().any(|group| group.stem.contains('.')) {
            let reason = "names with dots make one layer of the whole file there".into();
            let first = keys.iter().find_map(|key| key.split_once('.')).map_or("", |(_, ending)| ending);
            return Some(Refusal { reason, log: self.unreadable(&[first], "") });
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
    fn the_rules_are_whole_and_dated() {
        let known: Vec<&str> = FamilyId::ALL.iter().map(|id| id.name()).chain(Architecture::families()).collect();
        assert_eq!(all().len(), 6);
        for loader in all() {
            let dated = loader.read.split_once('-').is_some_and(|(year, month)| {
                year.len() == 4 && year.parse::<u16>().is_ok() && month.parse::<u8>().is_ok_and(|month| month <= 12)
            });
            assert!(dated && !loader.version.is_empty(), "{}", loader.name);
            let named = loader.names.iter().flat_map(|name| name.families.iter().flatten());
            for family in loader.families.iter().chain(named) {
                assert!(known.contains(&family.as_str()), "{}: no family is called {family}", loader.name);
            }
            for ending in &loader.takes {
                let (_, suffix) = spelling::split(&format!("lora{ending}")).expect("an ending");
                assert_eq!(&suffix.text, ending, "{}: {ending} is no ending of spellings.toml", loader.name);
            }
            for name in &loader.names {
                let prefix = name.prefix.trim_end_matches('*');
                assert!(spelling::is_prefix(prefix), "{}: {prefix} is no prefix of spellings.toml", loader.name);
            }
        }
    }
}
