//! Turns a file's groups into deltas of a model's layers, and into leftovers with their reasons.

use super::config::PeftConfigs;
use super::delta::{Change, Delta, Factor, Part};
use super::dora;
use super::families::FAMILIES;
use super::group::{Group, group};
use super::locate::locate;
use crate::formats::{ByteSource, FormatError, Header, TensorInfo};
use crate::model::spelling::{self, ModuleMatch, Role, Spellings};
use crate::model::{Component, Module};
use std::collections::{BTreeMap, HashMap};

/// What a file changes.
#[derive(Debug, Default)]
pub struct Adapter {
    /// The spelling of its keys: the UNet's, or the text encoder's where there is no other.
    pub convention: String,
    /// Every change, in the file's order.
    pub deltas: Vec<Delta>,
    /// Every key that takes part in no delta.
    pub leftovers: Vec<Leftover>,
}

/// A key that takes part in no delta.
#[derive(Debug, Clone, PartialEq)]
pub struct Leftover {
    /// The key.
    pub key: String,
    /// The layer that it names, where the model has it: `unet.down_blocks.0…`.
    pub path: Option<String>,
    /// Why not.
    pub reason: LeftoverReason,
}

/// Why a key takes part in no delta.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[expect(missing_docs, reason = "each variant's message says what its fields are")]
pub enum LeftoverReason {
    /// The key's ending is none that adapters use.
    #[error("no known adapter tensor has this name")]
    UnknownName,
    /// A textual inversion that travels with the adapter.
    #[error("a textual inversion embedding bundled with the adapter; it changes no layer")]
    Embedding,
    /// The model has no such layer.
    #[error("the model has no layer `{0}`")]
    NoSuchLayer(String),
    /// Another group of keys names the same layer.
    #[error("the layer is already changed by `{by}`, under another spelling")]
    Taken { by: String },
    /// Another key has the same role.
    #[error("another key of the same layer has the same role")]
    Twice,
    /// A tensor without its partner.
    #[error("its partner {missing} is missing, so there is nothing to multiply it with")]
    Incomplete { missing: &'static str },
    /// The two sides of a product do not meet.
    #[error("lora_up has rank {up} and lora_down rank {down}, so they cannot be multiplied")]
    RankMismatch { up: usize, down: usize },
    /// A tensor of a shape that its role does not allow.
    #[error("`{key}` has shape {shape:?}: it {reason}")]
    Malformed { key: String, shape: Vec<usize>, reason: String },
    /// An algorithm that is recognised, but not computed.
    #[error("{0} is recognised, but this program cannot compute it")]
    NotBuilt(&'static str),
}

impl LeftoverReason {
    /// A tensor whose shape its role does not allow.
    pub(super) fn malformed(factor: &Factor, reason: &str) -> LeftoverReason {
        LeftoverReason::Malformed { key: factor.key.clone(), shape: factor.shape.clone(), reason: reason.into() }
    }

    /// The class of problem that a report files it under.
    pub fn class(&self) -> LeftoverClass {
        match self {
            LeftoverReason::UnknownName | LeftoverReason::Embedding | LeftoverReason::NoSuchLayer(_) => LeftoverClass::UnmatchedKeys,
            LeftoverReason::Taken { .. } | LeftoverReason::Twice => LeftoverClass::ConflictingKeys,
            LeftoverReason::Incomplete { .. } => LeftoverClass::IncompletePair,
            LeftoverReason::RankMismatch { .. } => LeftoverClass::RankMismatch,
            LeftoverReason::Malformed { .. } => LeftoverClass::ShapeMismatch,
            LeftoverReason::NotBuilt(_) => LeftoverClass::UnsupportedAlgorithm,
        }
    }

    /// Whether the key belongs to no layer of the model, so that nothing is lost without it. Every
    /// other leftover is part of a layer's change, which is never left out unasked.
    pub fn is_foreign(&self) -> bool {
        self.class().is_foreign()
    }
}

/// The class of problem of a leftover.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LeftoverClass {
    /// Half of a pair.
    IncompletePair,
    /// The sides of a product do not meet.
    RankMismatch,
    /// A shape that its role does not allow.
    ShapeMismatch,
    /// Two keys, or two groups of keys, for one place.
    ConflictingKeys,
    /// An algorithm that is not computed.
    UnsupportedAlgorithm,
    /// No layer of the model is named.
    UnmatchedKeys,
}

impl LeftoverClass {
    /// Every class.
    pub const ALL: [LeftoverClass; 6] = [
        LeftoverClass::IncompletePair,
        LeftoverClass::RankMismatch,
        LeftoverClass::ShapeMismatch,
        LeftoverClass::ConflictingKeys,
        LeftoverClass::UnsupportedAlgorithm,
        LeftoverClass::UnmatchedKeys,
    ];

    /// The name in reports.
    pub fn name(self) -> &'static str {
        match self {
            LeftoverClass::IncompletePair => "incomplete_pair",
            LeftoverClass::RankMismatch => "rank_mismatch",
            LeftoverClass::ShapeMismatch => "shape_mismatch",
            LeftoverClass::ConflictingKeys => "conflicting_keys",
            LeftoverClass::UnsupportedAlgorithm => "unsupported_algorithm",
            LeftoverClass::UnmatchedKeys => "unmatched_keys",
        }
    }

    /// Whether its keys belong to no layer of the model.
    pub fn is_foreign(self) -> bool {
        self == LeftoverClass::UnmatchedKeys
    }
}

/// Reads what the file changes in a model with these `modules`. Only alphas are read from the
/// file's data; shapes are not compared with the model's (see [`Delta::fits`]).
pub async fn read(
    source: &dyn ByteSource,
    header: &Header,
    configs: &PeftConfigs,
    modules: &[(Component, &Module)],
) -> Result<Adapter, FormatError> {
    let (mut groups, others) = group(header);
    let spellings = Spellings::new(modules);
    let found = locate(&groups, &spellings);
    let mut reader = Reader::new(header, configs, &others);
    for (group, found) in groups.iter_mut().zip(&found) {
        group.read_numbers(source).await?;
        reader.add(group, *found);
    }
    Ok(reader.finish(&groups))
}

/// Whether the key is that of a textual inversion.
fn is_embedding(tensor: &TensorInfo) -> bool {
    let name = &tensor.name;
    name.starts_with("bundle_emb.") || name.starts_with('<') && name.ends_with('>')
}

/// The most common spelling of the UNet's layers, else of all, else what the prefixes say.
fn convention(deltas: &[Delta], groups: &[Group]) -> String {
    let unet = deltas.iter().filter(|delta| delta.component == Component::Unet).map(|delta| delta.convention);
    most_common(unet)
        .or_else(|| most_common(deltas.iter().map(|delta| delta.convention)))
        .or_else(|| most_common(groups.iter().map(|group| spelling::convention_of(&group.stem, group.peft))))
        .unwrap_or_default()
        .to_owned()
}

fn most_common<'a>(names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for name in names {
        *counts.entry(name).or_default() += 1;
    }
    counts.into_iter().max_by_key(|&(_, count)| count).map(|(name, _)| name)
}

/// An adapter in the making, group by group, in the file's order.
pub struct Reader<'a> {
    header: &'a Header,
    configs: &'a PeftConfigs,
    adapter: Adapter,
    taken: HashMap<String, String>,
    /// By stem, the tensors whose role another one has.
    twice: HashMap<&'a str, Vec<&'a TensorInfo>>,
}

impl<'a> Reader<'a> {
    /// Of a file in which `others` belong to no group, or to one where their role is taken (see
    /// [`group`]).
    pub fn new(header: &'a Header, configs: &'a PeftConfigs, others: &[&'a TensorInfo]) -> Reader<'a> {
        let (adapter, taken, twice) = (Adapter::default(), HashMap::new(), HashMap::new());
        let mut reader = Reader { header, configs, adapter, taken, twice };
        for &tensor in others {
            match spelling::split(&tensor.name) {
                _ if is_embedding(tensor) => reader.leave(tensor, None, LeftoverReason::Embedding),
                Some((stem, _)) => reader.twice.entry(stem).or_default().push(tensor),
                None => reader.leave(tensor, None, LeftoverReason::UnknownName),
            }
        }
        reader
    }

    /// Takes in a group whose layer is known (see [`locate`]) and whose numbers are read (see
    /// [`Group::read_numbers`]); returns what it changes.
    pub fn add(&mut self, group: &Group, found: Option<ModuleMatch<'_>>) -> &[Delta] {
        let before = self.adapter.deltas.len();
        let twice = self.twice.remove(group.stem.as_str()).unwrap_or_default();
        match found {
            Some(found) => {
                let path = format!("{}.{}", found.component, found.module.path);
                for tensor in twice {
                    self.leave(tensor, Some(&path), LeftoverReason::Twice);
                }
                self.layer(group, found, path);
            }
            None => {
                for tensor in group.tensors.values().chain(twice) {
                    let why = match is_embedding(tensor) {
                        true => LeftoverReason::Embedding,
                        false => LeftoverReason::NoSuchLayer(group.stem.clone()),
                    };
                    self.leave(tensor, None, why);
                }
            }
        }
        &self.adapter.deltas[before..]
    }

    /// The adapter of all these groups.
    pub fn finish(mut self, groups: &[Group]) -> Adapter {
        debug_assert!(self.twice.is_empty(), "every group is taken in");
        self.adapter.convention = convention(&self.adapter.deltas, groups);
        self.adapter
    }

    fn leave(&mut self, tensor: &TensorInfo, path: Option<&str>, why: LeftoverReason) {
        self.adapter.leftovers.push(Leftover { key: tensor.name.clone(), path: path.map(str::to_owned), reason: why });
    }

    /// The group of a layer that the model has.
    fn layer(&mut self, group: &Group, found: ModuleMatch<'_>, path: String) {
        if let Some(by) = self.taken.get(&path).cloned() {
            for tensor in group.tensors.values() {
                self.leave(tensor, Some(&path), LeftoverReason::Taken { by: by.clone() });
            }
            return;
        }
        let mut used: Vec<Role> = Vec::new();
        let mut failed: Option<LeftoverReason> = None;
        for family in FAMILIES
            .iter()
            .filter(|family| family.roles.iter().take(family.identifying_roles).any(|role| group.get(*role).is_some()))
        {
            let change = (family.from_group)(group, found.module);
            match if family.takes_magnitudes { change.and_then(|change| dora::wrap(group, change)) } else { change } {
                Ok(change) => {
                    used.extend(family.roles);
                    used.extend(dora::ROLES.iter().filter(|_| family.takes_magnitudes));
                    used.extend(group.numbers.keys());
                    let delta = self.delta(group, found, family.part, change);
                    self.adapter.deltas.push(delta);
                }
                Err(why) => failed = Some(why),
            }
        }
        if !used.is_empty() {
            self.taken.insert(path.clone(), group.stem.clone());
        }
        for (role, tensor) in &group.tensors {
            if !used.contains(role) {
                self.leave(tensor, Some(&path), failed.clone().unwrap_or_else(|| missing_partner(*role, &tensor.name)));
            }
        }
    }

    fn delta(&self, group: &Group, found: ModuleMatch<'_>, part: Part, change: Box<dyn Change>) -> Delta {
        let config = self.configs.of(found.component).filter(|_| group.peft);
        let stored = group.number(Role::Alpha);
        let alpha = stored.or_else(|| config.and_then(|config| config.alpha(&found.module.path)));
        let scale = match (group.number(Role::Scale), alpha, change.alpha_rank()) {
            (Some(scale), _, _) => scale,
            (None, Some(alpha), Some(rank)) => match config.filter(|_| stored.is_none()) {
                Some(config) => config.scale(alpha, rank),
                None => alpha / rank as f32,
            },
            _ => 1.0,
        };
        Delta {
            component: found.component,
            module: found.module.clone(),
            part,
            convention: found.convention,
            algorithm: self.named(change.algorithm()),
            alpha,
            scale,
            change,
        }
    }

    /// The name that the file's trainer gives the algorithm: sd-scripts and LyCORIS call LoRA on
    /// kernels LoCon, and only the metadata tells DyLoRA.
    fn named(&self, algorithm: &'static str) -> &'static str {
        let said = |key: &str, text: &str| self.header.metadata.get(key).is_some_and(|value| value.contains(text));
        match algorithm {
            "lora" | "locon" if said("ss_network_module", "dylora") => "dylora",
            "locon" if said("ss_network_args", "conv_dim") || said("ss_network_module", "lycoris") => "locon",
            "locon" => "lora",
            other => other,
        }
    }
}

/// Why a tensor of a known layer that no family uses is left over.
fn missing_partner(role: Role, key: &str) -> LeftoverReason {
    if let Some(algorithm) = spelling::algorithm(key) {
        return LeftoverReason::NotBuilt(algorithm);
    }
    match role {
        Role::Alpha | Role::Scale => LeftoverReason::Incomplete { missing: "pair of factors" },
        Role::DoraScale | Role::Magnitude => LeftoverReason::Incomplete { missing: "pair of factors" },
        Role::OftDiag => LeftoverReason::NotBuilt("LyCORIS's first form of OFT"),
        Role::Rescale => LeftoverReason::Incomplete { missing: "oft_blocks" },
        Role::Weight | Role::SetWeight | Role::ReshapeWeight => LeftoverReason::NotBuilt("a replaced weight"),
        Role::Bias => LeftoverReason::NotBuilt("a replaced bias"),
        Role::LoraBias => LeftoverReason::NotBuilt("a LoRA of a bias"),
        _ => LeftoverReason::UnknownName,
    }
}
