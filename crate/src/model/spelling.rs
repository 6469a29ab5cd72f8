//! Key lookup: file key -> module, tensor role and key convention.
//!
//! Keys are not parsed: every module's name is generated in each convention, and keys are looked up.
//! Prefixes, suffixes and conventions are in the table spellings.toml.

use super::module::{Component, Granularity, Module};
use super::toml_table;
use serde::{Deserialize, Deserializer, Serialize};
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::LazyLock;

/// Role of an adapter's tensor, named as in the files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "named as in the files")]
pub enum Role {
    Up,
    Down,
    Mid,
    Alpha,
    Scale,
    LoraBias,
    DoraScale,
    Magnitude,
    HadaW1A,
    HadaW1B,
    HadaW2A,
    HadaW2B,
    HadaT1,
    HadaT2,
    LokrW1,
    LokrW1A,
    LokrW1B,
    LokrW2,
    LokrW2A,
    LokrW2B,
    LokrT2,
    GloraA1,
    GloraA2,
    GloraB1,
    GloraB2,
    GloraBm,
    OftBlocks,
    OftDiag,
    Rescale,
    Weight,
    Bias,
    OnInput,
    Diff,
    DiffB,
    WNorm,
    BNorm,
    SetWeight,
    ReshapeWeight,
    OftR,
    OftScaled,
    LoraE,
    BoftR,
    BoftS,
    Ia3L,
    HraU,
    MissBlock,
    BoneBlock,
    VeraA,
    VeraB,
    VeraLambdaB,
    VeraLambdaD,
    ShiraWeight,
    ShiraIndices,
    DeloraA,
    DeloraB,
    DeloraLambda,
    DeloraWNorm,
    /// Tensors, numbered, of algorithms that are recognized but not computed.
    Part1,
    Part2,
    Part3,
    Part4,
    Part5,
    Part6,
    Part7,
    Part8,
}

/// Key suffix.
#[derive(Debug, Clone, Deserialize)]
pub struct Suffix {
    /// Text of the suffix.
    pub text: String,
    /// Role of the tensor.
    pub role: Role,
    /// Whether the suffix is PEFT's.
    #[serde(default)]
    pub peft: bool,
    /// Algorithm that the suffix identifies, if it is recognized but not computed.
    pub algorithm: Option<String>,
    /// Text that must occur in the key before the suffix.
    after: Option<String>,
}

/// Key prefix of a component.
#[derive(Debug, Deserialize)]
struct Prefix {
    text: String,
    #[serde(deserialize_with = "component")]
    component: Component,
    separator: String,
    convention: String,
    ldm: Option<String>,
    attn_procs: Option<String>,
    peft: Option<String>,
}

/// Key prefix of a component in a full model.
#[derive(Debug, Deserialize)]
struct Checkpoint {
    text: String,
    #[serde(deserialize_with = "component")]
    component: Component,
}

fn component<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Component, D::Error> {
    let name = String::deserialize(deserializer)?;
    Component::ALL
        .into_iter()
        .find(|component| component.name() == name)
        .ok_or_else(|| serde::de::Error::custom(format!("unknown component `{name}`")))
}

/// Reason that an algorithm is not computed.
#[derive(Debug, Deserialize)]
struct Uncomputed {
    algorithm: String,
    because: String,
}

#[derive(Deserialize)]
struct Table {
    uncomputed: Vec<Uncomputed>,
    prefix: Vec<Prefix>,
    checkpoint: Vec<Checkpoint>,
    suffix: Vec<Suffix>,
}

static TABLE: LazyLock<Table> = LazyLock::new(|| {
    let mut table: Table =
        toml_table::parse(embedded!("model/spellings.toml")).expect("spellings.toml is checked by a test");
    // PEFT's keys include the adapter's name, "default", unless its own function saves them.
    let is_peft = |suffix: &&Suffix| suffix.peft || [".hada_", ".lokr_"].iter().any(|own| suffix.text.starts_with(own));
    let named = table.suffix.iter().filter(is_peft).map(Suffix::with_adapter_name).collect::<Vec<_>>();
    table.suffix.extend(named);
    table
});

/// Prefixes of stems without dots, and prefixes of stems with dots.
static PREFIXES: LazyLock<[Vec<&Prefix>; 2]> = LazyLock::new(|| {
    [
        TABLE.prefix.iter().filter(|prefix| !prefix.text.contains('.')).collect(),
        TABLE.prefix.iter().filter(|prefix| prefix.separator == ".").collect(),
    ]
});

impl Suffix {
    /// Returns the suffix of keys that include PEFT's default name of an adapter.
    fn with_adapter_name(&self) -> Suffix {
        let parameter = [".weight", ".bias"].into_iter().find_map(|part| Some((self.text.strip_suffix(part)?, part)));
        let text = match parameter {
            Some((tensor, part)) => format!("{tensor}.default{part}"),
            None => format!("{}.default", self.text),
        };
        Suffix { text, ..self.clone() }
    }
}

impl Prefix {
    fn convention(&self, names: NamingScheme, peft: bool) -> &str {
        let override_name = match names {
            NamingScheme::Ldm => self.ldm.as_ref(),
            NamingScheme::AttnProcs => self.attn_procs.as_ref(),
            NamingScheme::Place => None,
            NamingScheme::Native | NamingScheme::Diffusers | NamingScheme::Trainer => {
                self.peft.as_ref().filter(|_| peft)
            }
        };
        override_name.unwrap_or(&self.convention)
    }
}

/// Naming scheme of the module name in a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NamingScheme {
    /// diffusers and transformers.
    Diffusers,
    /// Single-file checkpoints of Stable Diffusion 1.x, 2.x and XL.
    Ldm,
    /// The authors' names of newer models.
    Native,
    /// diffusers' attention processors: `attn1.processor.to_q` for `attn1.to_q`.
    AttnProcs,
    /// A trainer's name of a part of a layer.
    Trainer,
    /// An index in the traversal of the network's modules (see `positional`).
    Place,
}

/// Splits a key into stem and suffix (longest match).
pub fn split(key: &str) -> Option<(&str, &'static Suffix)> {
    let last = key.as_bytes().last();
    TABLE
        .suffix
        .iter()
        .filter(|suffix| suffix.text.as_bytes().last() == last)
        .filter(|suffix| key.len() > suffix.text.len() && key.ends_with(&suffix.text))
        .filter(|suffix| suffix.after.as_ref().is_none_or(|word| key[..key.len() - suffix.text.len()].contains(word)))
        .max_by_key(|suffix| suffix.text.len())
        .map(|suffix| (&key[..key.len() - suffix.text.len()], suffix))
}

/// Returns the display name of the algorithm that a key's suffix identifies, if it is not computed.
pub fn algorithm(key: &str) -> Option<&'static str> {
    split(key)?.1.algorithm.as_deref()
}

/// Returns why an algorithm is not computed, if that is known.
pub fn why_not_computed(algorithm: &str) -> Option<&'static str> {
    let row = TABLE.uncomputed.iter().find(|row| row.algorithm == algorithm)?;
    Some(&row.because)
}

/// Returns an algorithm's short name: `vera` for VeRA, `ln_tuning` for LN tuning.
pub fn short(algorithm: &str) -> String {
    let letters = algorithm.chars().map(|letter| match letter {
        '³' => '3',
        letter if letter.is_alphanumeric() => letter.to_ascii_lowercase(),
        _ => '_',
    });
    letters.collect::<String>().replace("_ia_3", "ia3")
}

/// Returns an algorithm's display name from its short name; None for algorithms that are computed.
pub fn long(short_name: &str) -> Option<&'static str> {
    TABLE.suffix.iter().filter_map(|suffix| suffix.algorithm.as_deref()).find(|name| short(name) == short_name)
}

/// Returns whether `text` is the start of any key prefix.
pub fn is_prefix(text: &str) -> bool {
    TABLE.prefix.iter().any(|prefix| prefix.text.starts_with(text))
}

/// Returns the convention implied by the prefix alone, for stems of unknown modules.
pub fn convention_of(stem: &str, peft: bool) -> &'static str {
    TABLE
        .prefix
        .iter()
        .filter(|prefix| stem.starts_with(&prefix.text))
        .max_by_key(|prefix| prefix.text.len())
        .map_or("", |prefix| prefix.convention(NamingScheme::Diffusers, peft))
}

/// Result of a key lookup.
#[derive(Debug, Clone, Copy)]
pub struct ModuleMatch<'a> {
    /// Component.
    pub component: Component,
    /// Layer.
    pub module: &'a Module,
    /// Key convention: `kohya`, `peft_prefixed`, …
    pub convention: &'static str,
    /// Naming scheme of the layer name.
    pub names: NamingScheme,
    /// Key prefix of the component.
    pub prefix: &'static str,
    /// Whether the name contains the wrapper of `torch.compile`, which no loader looks up.
    pub compiled: bool,
}

/// FNV-1a-like hash over eight bytes at a time. The maps contain only known names, so input cannot cause
/// collisions, and they are queried thousands of times per file.
#[derive(Default, Clone)]
struct Fnv(u64);

type Hashing = BuildHasherDefault<Fnv>;

impl Hasher for Fnv {
    fn write(&mut self, bytes: &[u8]) {
        let mut mix = |word: u64| {
            self.0 = (self.0 ^ word).wrapping_mul(0x0000_0100_0000_01b3).rotate_left(23);
        };
        let (words, rest) = bytes.as_chunks::<8>();
        words.iter().for_each(|word| mix(u64::from_le_bytes(*word)));
        rest.iter().for_each(|&byte| mix(byte.into()));
    }

    fn finish(&self) -> u64 {
        self.0 ^ self.0 >> 29
    }
}

/// Lookup table of a model's modules by all their names.
pub struct KeyTable<'a> {
    modules: Vec<(Component, &'a Module)>,
    /// Names by component; few enough for a linear search.
    names: Vec<(Component, HashMap<String, (&'a Module, NamingScheme), Hashing>)>,
    /// Component that denoiser prefixes refer to in this model.
    denoiser: Component,
}

impl<'a> KeyTable<'a> {
    /// Builds the lookup table.
    pub fn new(modules: &[(Component, &'a Module)]) -> KeyTable<'a> {
        let mut names: Vec<(Component, HashMap<String, (&Module, NamingScheme), Hashing>)> = Vec::new();
        for &(component, module) in modules {
            let index = names.iter().position(|(other, _)| *other == component).unwrap_or_else(|| {
                names.push((component, HashMap::default()));
                names.len() - 1
            });
            let component_names = &mut names[index].1;
            for (name, scheme) in names_of(component, module) {
                for separator in [".", "_"] {
                    component_names.entry(name.replace('.', separator)).or_insert((module, scheme));
                }
            }
        }
        let denoiser = modules.iter().map(|&(component, _)| component).find(|component| component.is_denoiser());
        KeyTable { modules: modules.to_vec(), names, denoiser: denoiser.unwrap_or(Component::Unet) }
    }

    fn names_in(&self, component: Component) -> Option<&HashMap<String, (&'a Module, NamingScheme), Hashing>> {
        self.names.iter().find(|(other, _)| *other == component).map(|(_, names)| names)
    }

    /// Returns the modules in the table.
    pub fn modules(&self) -> &[(Component, &'a Module)] {
        &self.modules
    }

    /// Looks up an adapter key without its suffix; without the wrapper of `torch.compile` if it contains that.
    pub fn find(&self, stem: &str, peft: bool) -> Option<ModuleMatch<'a>> {
        self.named(stem, peft).or_else(|| {
            let found = self.named(&without_compiler(stem)?, peft)?;
            Some(ModuleMatch { compiled: true, ..found })
        })
    }

    fn named(&self, stem: &str, peft: bool) -> Option<ModuleMatch<'a>> {
        PREFIXES[usize::from(stem.contains('.'))].iter().find_map(|prefix| {
            let rest = stem.strip_prefix(&prefix.text)?;
            let component = if prefix.component == Component::Unet { self.denoiser } else { prefix.component };
            let &(module, names) = self.names_in(component)?.get(rest)?;
            let convention = prefix.convention(names, peft);
            Some(ModuleMatch { component, module, convention, names, prefix: &prefix.text, compiled: false })
        })
    }

    /// Looks up a full model's key without `.weight` or `.bias`. `folder` is the component of the file,
    /// if the file is part of a diffusers folder.
    pub fn find_weight(&self, name: &str, folder: Option<Component>) -> Option<(Component, &'a Module)> {
        TABLE.checkpoint.iter().find_map(|checkpoint| {
            let rest = name.strip_prefix(&checkpoint.text)?;
            if folder.is_some() && !checkpoint.text.is_empty() {
                return None;
            }
            let component = folder.unwrap_or(checkpoint.component);
            let &(module, _) = self.names_in(component)?.get(rest)?;
            Some((component, module))
        })
    }
}

/// Returns a stem without the name that `torch.compile` gives to the module in its wrapper; `None` without one.
fn without_compiler(stem: &str) -> Option<String> {
    const WRAPPED: &str = "_orig_mod";
    let separator = if stem.contains('.') { '.' } else { '_' };
    let part = format!("{WRAPPED}{separator}");
    stem.contains(&part).then(|| stem.replace(&part, ""))
}

/// Returns all dotted names of a module.
fn names_of(component: Component, module: &Module) -> Vec<(String, NamingScheme)> {
    let (native, alias) = match component {
        Component::Transformer | Component::Prior => (NamingScheme::Native, NamingScheme::Native),
        _ => (NamingScheme::Ldm, NamingScheme::Diffusers),
    };
    if module.granularity == Granularity::Trainer {
        return vec![(module.path.clone(), NamingScheme::Trainer)];
    }
    let first =
        if native == NamingScheme::Native && module.path == module.ldm { native } else { NamingScheme::Diffusers };
    let mut names = vec![(module.path.clone(), first)];
    names.extend(module.alias.clone().map(|name| (name, alias)));
    names.push((module.ldm.clone(), native));
    if component != Component::Unet {
        return names;
    }
    if let Some((attention, projection)) = module.path.rsplit_once(".to_") {
        let projection = projection.trim_end_matches(".0");
        names.push((format!("{attention}.processor.to_{projection}"), NamingScheme::AttnProcs));
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Family, FamilyId};

    #[test]
    fn a_layer_is_found_by_all_its_names() {
        let family = Family::published(FamilyId::Sd15).expect("a published config");
        let modules = family.modules();
        let spellings = KeyTable::new(&modules);
        let check = |key: &str, convention: &str, path: &str| {
            let (stem, suffix) = split(key).expect(key);
            let found = spellings.find(stem, suffix.peft).expect(key);
            assert_eq!((found.convention, &*found.module.path), (convention, path), "{key}");
        };
        const Q: &str = "down_blocks.0.attentions.1.transformer_blocks.0.attn1.to_q";
        check("lora_unet_down_blocks_0_attentions_1_transformer_blocks_0_attn1_to_q.lora_up.weight", "kohya", Q);
        check("lora_unet_input_blocks_2_1_transformer_blocks_0_attn1_to_q.alpha", "kohya_ldm", Q);
        check(&format!("unet.{Q}.lora_A.weight"), "peft_prefixed", Q);
        check(&format!("unet.{Q}.lora.down.weight"), "diffusers", Q);
        check(&format!("base_model.model.{Q}.lora_B.weight"), "peft_plain", Q);
        check(
            "unet.down_blocks.0.attentions.1.transformer_blocks.0.attn1.processor.to_q_lora.up.weight",
            "diffusers_attn_procs",
            Q,
        );
        check(
            "down_blocks.0.attentions.1.transformer_blocks.0.attn1.processor.to_q_lora.up.weight",
            "diffusers_attn_procs_no_prefix",
            Q,
        );
        check("diffusion_model.input_blocks.2.1.transformer_blocks.0.attn1.to_q.lora_up.weight", "comfy", Q);
        check("lycoris_down_blocks_0_attentions_1_transformer_blocks_0_attn1_to_q.lokr_w1", "lycoris", Q);
        const FC1: &str = "text_model.encoder.layers.3.mlp.fc1";
        check("lora_te_text_model_encoder_layers_3_mlp_fc1.hada_w1_a", "kohya", FC1);
        check("text_encoder.encoder.layers.3.mlp.fc1.lora_A.weight", "peft_prefixed", FC1);
        check("base_model.model.encoder.layers.3.mlp.fc1.lora_A.weight", "peft_plain", FC1);
        check("text_encoders.clip_l.transformer.text_model.encoder.layers.3.mlp.fc1.lora_down.weight", "comfy", FC1);
        assert!(spellings.find("lora_unet_down_blocks_7_attentions_0_proj_in", false).is_none());
        let compiled = [
            format!("unet._orig_mod.{Q}"),
            format!("base_model.model._orig_mod.{}", Q.replace(".attn1", "._orig_mod.attn1")),
            format!("lora_unet__orig_mod_{}", Q.replace('.', "_")),
        ];
        for stem in compiled {
            let found = spellings.find(&stem, false).expect(&stem);
            assert!(found.compiled && found.module.path == Q, "{stem}");
        }
        assert!(!spellings.find(&format!("unet.{Q}"), false).expect("a layer").compiled);
        assert!(split("some_stray_tensor").is_none());
    }

    #[test]
    fn names_are_unique_within_a_component() {
        for id in FamilyId::ALL {
            let family = Family::published(id).expect("a published config");
            let mut seen: HashMap<(Component, String), &str> = HashMap::new();
            for (component, module) in family.modules() {
                for (name, _) in names_of(component, module) {
                    for separator in [".", "_"] {
                        let other = seen.insert((component, name.replace('.', separator)), &module.path);
                        assert!(other.is_none_or(|path| path == module.path), "{id} {name}: {other:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn weights_of_full_models_are_found() {
        let family = Family::published(FamilyId::Sd15).expect("a published config");
        let modules = family.modules();
        let spellings = KeyTable::new(&modules);
        let check = |name: &str, folder, component| {
            let found = spellings.find_weight(name, folder).expect(name);
            assert_eq!(found.0, component, "{name}");
        };
        check("model.diffusion_model.time_embed.0", None, Component::Unet);
        check("cond_stage_model.transformer.text_model.final_layer_norm", None, Component::TextEncoder);
        check("unet.time_embedding.linear_1", None, Component::Unet);
        check("conv_in", Some(Component::Unet), Component::Unet);
        check("encoder.layers.0.mlp.fc1", Some(Component::TextEncoder), Component::TextEncoder);
        assert!(spellings.find_weight("conv_in", Some(Component::TextEncoder)).is_none());
    }
}
