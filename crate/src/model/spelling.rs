//! Turns a file's key into the module it means, its role there and the name of the spelling.
//!
//! Names need no grammar: every module of the network is spelled in each way, and keys are looked
//! up. The prefixes, suffixes and conventions are the table spellings.toml.

use super::module::{Component, Module, Whose};
use serde::{Deserialize, Deserializer, Serialize};
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::LazyLock;

/// What a tensor of an adapter is for. The names are those of the files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names are those of the files")]
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
    LoraE,
    /// Tensors of algorithms that are known by name alone, by their order.
    Part1,
    Part2,
    Part3,
}

/// The end of a key.
#[derive(Debug, Deserialize)]
pub struct Suffix {
    /// Its letters.
    pub text: String,
    /// What the tensor is for.
    pub role: Role,
    /// Whether PEFT spells it so.
    #[serde(default)]
    pub peft: bool,
    /// The algorithm that alone has such tensors, where it is named and not computed.
    pub algorithm: Option<String>,
    after: Option<String>,
}

/// The start of a key.
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

/// The start of a weight's name in a whole model.
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
        .ok_or_else(|| serde::de::Error::custom(format!("no component is called {name}")))
}

#[derive(Deserialize)]
struct Table {
    prefix: Vec<Prefix>,
    checkpoint: Vec<Checkpoint>,
    suffix: Vec<Suffix>,
}

static TABLE: LazyLock<Table> =
    LazyLock::new(|| toml::from_str(include_str!("spellings.toml")).expect("spellings.toml is checked by a test"));

/// The prefixes that stems without a dot can have, and those that stems with one can have.
static PREFIXES: LazyLock<[Vec<&Prefix>; 2]> = LazyLock::new(|| {
    [
        TABLE.prefix.iter().filter(|prefix| !prefix.text.contains('.')).collect(),
        TABLE.prefix.iter().filter(|prefix| prefix.separator == ".").collect(),
    ]
});

impl Prefix {
    fn convention(&self, names: NamingScheme, peft: bool) -> &str {
        let special = match names {
            NamingScheme::Ldm => self.ldm.as_ref(),
            NamingScheme::AttnProcs => self.attn_procs.as_ref(),
            NamingScheme::Place => None,
            NamingScheme::Native | NamingScheme::Diffusers | NamingScheme::Trainer => self.peft.as_ref().filter(|_| peft),
        };
        special.unwrap_or(&self.convention)
    }
}

/// Whose name of a module a key uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NamingScheme {
    /// diffusers' and transformers'.
    Diffusers,
    /// Single-file checkpoints' of Stable Diffusion 1.x, 2.x and XL.
    Ldm,
    /// The authors' of newer models.
    Native,
    /// diffusers' attention processors: `attn1.processor.to_q` for `attn1.to_q`.
    AttnProcs,
    /// A trainer's, for a part of a layer.
    Trainer,
    /// A place in the walk through the network's modules.
    Place,
}

/// A key without its suffix, and the suffix.
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

/// The algorithm that a key names by its ending, for people, where it is not computed.
pub fn algorithm(key: &str) -> Option<&'static str> {
    split(key)?.1.algorithm.as_deref()
}

/// An algorithm's short name: `vera` of VeRA, `ln_tuning` of LN tuning.
pub fn short(algorithm: &str) -> String {
    let letters = algorithm.chars().map(|letter| match letter {
        '³' => '3',
        letter if letter.is_alphanumeric() => letter.to_ascii_lowercase(),
        _ => '_',
    });
    letters.collect::<String>().replace("_ia_3", "ia3")
}

/// An algorithm's name for people, of its short name; none where it is computed.
pub fn long(short_name: &str) -> Option<&'static str> {
    TABLE.suffix.iter().filter_map(|suffix| suffix.algorithm.as_deref()).find(|name| short(name) == short_name)
}

/// Whether keys start so, or some prefix of keys does.
pub fn is_prefix(text: &str) -> bool {
    TABLE.prefix.iter().any(|prefix| prefix.text.starts_with(text))
}

/// The convention that a stem's prefix alone speaks for, where its module is not known.
pub fn convention_of(stem: &str, peft: bool) -> &'static str {
    TABLE
        .prefix
        .iter()
        .filter(|prefix| stem.starts_with(&prefix.text))
        .max_by_key(|prefix| prefix.text.len())
        .map_or("", |prefix| prefix.convention(NamingScheme::Diffusers, peft))
}

/// A module that a key names.
#[derive(Debug, Clone, Copy)]
pub struct ModuleMatch<'a> {
    /// The network.
    pub component: Component,
    /// The layer.
    pub module: &'a Module,
    /// The name of the spelling: `kohya`, `peft_prefixed`, …
    pub convention: &'static str,
    /// Whose name of the layer the key uses.
    pub names: NamingScheme,
    /// The start of the key that names the network.
    pub prefix: &'static str,
}

/// FNV-1a over eight bytes at a time: the tables are made of names known beforehand, so that no
/// input can crowd them, and are asked thousands of times a file.
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

/// Every module of a model under every name that files use.
pub struct Spellings<'a> {
    modules: Vec<(Component, &'a Module)>,
    /// By component, few enough to be walked.
    names: Vec<(Component, HashMap<String, (&'a Module, NamingScheme), Hashing>)>,
    /// What the prefixes of a denoiser mean in this model.
    denoiser: Component,
}

impl<'a> Spellings<'a> {
    /// Spells the modules.
    pub fn new(modules: &[(Component, &'a Module)]) -> Spellings<'a> {
        let mut names: Vec<(Component, HashMap<String, (&Module, NamingScheme), Hashing>)> = Vec::new();
        for &(component, module) in modules {
            let at = names.iter().position(|(of, _)| *of == component).unwrap_or_else(|| {
                names.push((component, HashMap::default()));
                names.len() - 1
            });
            let of_component = &mut names[at].1;
            for (name, kind) in spell(component, module) {
                for separator in [".", "_"] {
                    of_component.entry(name.replace('.', separator)).or_insert((module, kind));
                }
            }
        }
        let denoiser = modules.iter().map(|&(component, _)| component).find(|component| component.is_denoiser());
        Spellings { modules: modules.to_vec(), names, denoiser: denoiser.unwrap_or(Component::Unet) }
    }

    fn named(&self, component: Component) -> Option<&HashMap<String, (&'a Module, NamingScheme), Hashing>> {
        self.names.iter().find(|(of, _)| *of == component).map(|(_, names)| names)
    }

    /// The modules that are spelled.
    pub fn modules(&self) -> &[(Component, &'a Module)] {
        &self.modules
    }

    /// The module of an adapter key without its suffix.
    pub fn find(&self, stem: &str, peft: bool) -> Option<ModuleMatch<'a>> {
        PREFIXES[usize::from(stem.contains('.'))].iter().find_map(|prefix| {
            let rest = stem.strip_prefix(&prefix.text)?;
            let component = if prefix.component == Component::Unet { self.denoiser } else { prefix.component };
            let &(module, names) = self.named(component)?.get(rest)?;
            let convention = prefix.convention(names, peft);
            Some(ModuleMatch { component, module, convention, names, prefix: &prefix.text })
        })
    }

    /// The module of a whole model's weight or bias, without `.weight` or `.bias`. `folder` is the
    /// component whose own file this is, if it is one of a diffusers folder.
    pub fn find_weight(&self, name: &str, folder: Option<Component>) -> Option<(Component, &'a Module)> {
        TABLE.checkpoint.iter().find_map(|checkpoint| {
            let rest = name.strip_prefix(&checkpoint.text)?;
            if folder.is_some() && !checkpoint.text.is_empty() {
                return None;
            }
            let component = folder.unwrap_or(checkpoint.component);
            let &(module, _) = self.named(component)?.get(rest)?;
            Some((component, module))
        })
    }
}

/// Every dotted name of a module.
fn spell(component: Component, module: &Module) -> Vec<(String, NamingScheme)> {
    let (other, alias) = match component {
        Component::Transformer | Component::Prior => (NamingScheme::Native, NamingScheme::Native),
        _ => (NamingScheme::Ldm, NamingScheme::Diffusers),
    };
    if module.whose == Whose::Trainer {
        return vec![(module.path.clone(), NamingScheme::Trainer)];
    }
    let first = if other == NamingScheme::Native && module.path == module.ldm { other } else { NamingScheme::Diffusers };
    let mut names = vec![(module.path.clone(), first)];
    names.extend(module.alias.clone().map(|name| (name, alias)));
    names.push((module.ldm.clone(), other));
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
    fn one_layer_is_found_under_all_its_names() {
        let family = Family::published(FamilyId::Sd15).expect("a published config");
        let modules = family.modules();
        let spellings = Spellings::new(&modules);
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
        assert!(split("some_stray_tensor").is_none());
    }

    #[test]
    fn no_two_layers_of_a_network_share_a_name() {
        for id in FamilyId::ALL {
            let family = Family::published(id).expect("a published config");
            let mut seen: HashMap<(Component, String), &str> = HashMap::new();
            for (component, module) in family.modules() {
                for (name, _) in spell(component, module) {
                    for separator in [".", "_"] {
                        let other = seen.insert((component, name.replace('.', separator)), &module.path);
                        assert!(other.is_none_or(|path| path == module.path), "{id} {name}: {other:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn weights_of_whole_models_are_found() {
        let family = Family::published(FamilyId::Sd15).expect("a published config");
        let modules = family.modules();
        let spellings = Spellings::new(&modules);
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
