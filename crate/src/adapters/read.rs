//! The deltas of an adapter file, and the keys that are not part of any delta, each with its reason.

use super::algorithm::Algorithm;
use super::config::{PeftConfig, PeftConfigs};
use super::delta::{Change, Delta, Part};
use super::dora;
use super::families::FAMILIES;
use super::group::{Group, group};
use super::layer::Layer;
use super::leftover::{Leftover, LeftoverReason};
use super::locate::locate;
use super::projections::Projections;
use crate::formats::{ByteSource, FormatError, Header, TensorInfo};
use crate::model::spelling::{self, KeyTable, ModuleMatch, Role};
use crate::model::{Component, Module};
use std::collections::{BTreeMap, HashMap};

/// The changes that a file makes to a model.
#[derive(Debug, Default)]
pub struct Adapter {
    /// Naming convention of the keys: the UNet's, else the text encoder's.
    pub convention: String,
    /// Every delta, in file order.
    pub deltas: Vec<Delta>,
    /// Every key that is not part of a delta.
    pub leftovers: Vec<Leftover>,
}

/// Reads the changes that the file makes to a model with these `modules`. Of the tensor data, only scalars such as
/// alpha are read; shapes are not compared with the model's (see [`Delta::fits`]).
pub async fn read(
    source: &dyn ByteSource,
    header: &Header,
    configs: &PeftConfigs,
    modules: &[(Component, &Module)],
) -> Result<Adapter, FormatError> {
    let (mut groups, others) = group(header);
    let spellings = KeyTable::new(modules);
    let found = locate(&groups, &spellings);
    let mut reader = Reader::new(header, configs, &others);
    reader.locate(&groups, &found);
    for (group, found) in groups.iter_mut().zip(&found) {
        group.read_scalars(source).await?;
        reader.add(group, *found);
    }
    Ok(reader.finish(&groups))
}

/// Returns whether the key is that of a textual inversion.
fn is_embedding(tensor: &TensorInfo) -> bool {
    let name = &tensor.name;
    name.starts_with("bundle_emb.") || name.starts_with('<') && name.ends_with('>')
}

/// Returns the most common convention of the UNet's layers, else of all layers, else the one implied by the prefixes.
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

/// Builder of an [`Adapter`] from a file's groups, added in file order.
pub struct Reader<'a> {
    header: &'a Header,
    configs: &'a PeftConfigs,
    adapter: Adapter,
    /// Stem of the group that changes each layer, by path.
    changed_by: HashMap<String, String>,
    /// Tensors whose role is already taken in their group, by stem.
    duplicates: HashMap<&'a str, Vec<&'a TensorInfo>>,
    projections: Option<Projections>,
}

impl<'a> Reader<'a> {
    /// Creates the reader of a file in which the tensors `others` have no group, or a role that is already taken in
    /// it (see [`group`]).
    pub fn new(header: &'a Header, configs: &'a PeftConfigs, others: &[&'a TensorInfo]) -> Reader<'a> {
        let (adapter, changed_by, duplicates) = (Adapter::default(), HashMap::new(), HashMap::new());
        let mut reader = Reader { header, configs, adapter, changed_by, duplicates, projections: None };
        for &tensor in others {
            match spelling::split(&tensor.name) {
                _ if is_embedding(tensor) => reader.add_leftover(tensor, None, LeftoverReason::Embedding),
                Some((stem, _)) => reader.duplicates.entry(stem).or_default().push(tensor),
                None => reader.add_leftover(tensor, None, LeftoverReason::UnknownName),
            }
        }
        reader
    }

    /// Tells all groups of the file and their layers, of which the change of each depends in some algorithms.
    pub fn locate(&mut self, groups: &[Group], found: &[Option<ModuleMatch<'_>>]) {
        self.projections = Projections::of(groups, found, self.configs);
    }

    /// Adds a group whose layer has been looked up (see [`locate`]) and whose scalars have been read (see
    /// `Group::read_numbers`). Returns its deltas.
    pub fn add(&mut self, group: &Group, found: Option<ModuleMatch<'_>>) -> &[Delta] {
        let before = self.adapter.deltas.len();
        let duplicates = self.duplicates.remove(group.stem.as_str()).unwrap_or_default();
        match found {
            Some(found) => {
                let path = format!("{}.{}", found.component, found.module.path);
                for tensor in duplicates {
                    self.add_leftover(tensor, Some(&path), LeftoverReason::DuplicateRole);
                }
                self.add_layer(group, found, path);
            }
            None => {
                for tensor in group.tensors.values().chain(duplicates) {
                    let reason = match is_embedding(tensor) {
                        true => LeftoverReason::Embedding,
                        false => LeftoverReason::NoSuchLayer(group.stem.clone()),
                    };
                    self.add_leftover(tensor, None, reason);
                }
            }
        }
        &self.adapter.deltas[before..]
    }

    /// Returns the adapter. `groups` are all groups that were added.
    pub fn finish(mut self, groups: &[Group]) -> Adapter {
        debug_assert!(self.duplicates.is_empty(), "every group was added");
        self.adapter.convention = convention(&self.adapter.deltas, groups);
        self.adapter
    }

    fn add_leftover(&mut self, tensor: &TensorInfo, path: Option<&str>, reason: LeftoverReason) {
        self.adapter.leftovers.push(Leftover { key: tensor.name.clone(), path: path.map(str::to_owned), reason });
    }

    /// Adds the group of a layer that the model has.
    fn add_layer(&mut self, group: &Group, found: ModuleMatch<'_>, path: String) {
        if let Some(by) = self.changed_by.get(&path).cloned() {
            for tensor in group.tensors.values() {
                self.add_leftover(tensor, Some(&path), LeftoverReason::LayerTaken { by: by.clone() });
            }
            return;
        }
        let layer = Layer { module: found.module, config: self.config(group, found), projections: self.projections };
        let mut used: Vec<Role> = Vec::new();
        let mut failed: Option<LeftoverReason> = None;
        for family in FAMILIES
            .iter()
            .filter(|family| family.roles.iter().take(family.identifying_roles).any(|role| group.get(*role).is_some()))
        {
            let change = match (family.from_group)(group, &layer) {
                Ok(Some(change)) if family.takes_magnitudes => dora::wrap(group, change),
                Ok(Some(change)) => Ok(change),
                Ok(None) => continue,
                Err(reason) => Err(reason),
            };
            match change {
                Ok(change) => {
                    used.extend(family.roles);
                    used.extend(dora::ROLES.iter().filter(|_| family.takes_magnitudes));
                    used.extend(group.numbers.keys());
                    let delta = self.delta(group, found, family.part, change);
                    self.adapter.deltas.push(delta);
                }
                Err(reason) => failed = Some(reason),
            }
        }
        if !used.is_empty() {
            self.changed_by.insert(path.clone(), group.stem.clone());
        }
        // The scale of a change that is not computed is not used for the same reason.
        let uncomputed = || group.tensors.values().find_map(|tensor| not_computed(&tensor.name));
        let failed = failed.or_else(|| uncomputed().filter(|_| used.is_empty()));
        for (role, tensor) in &group.tensors {
            if !used.contains(role) {
                let reason = failed.clone().unwrap_or_else(|| missing_partner(*role, &tensor.name));
                self.add_leftover(tensor, Some(&path), reason);
            }
        }
    }

    /// Returns the config that applies to a group: PEFT's LoHa and LoKr have LyCORIS's names.
    fn config(&self, group: &Group, found: ModuleMatch<'_>) -> Option<&'a PeftConfig> {
        self.configs.of(found.component).filter(|config| group.peft || config.is_lycoris())
    }

    fn delta(&self, group: &Group, found: ModuleMatch<'_>, part: Part, change: Box<dyn Change>) -> Delta {
        let path = &found.module.path;
        let stored = group.number(Role::Alpha);
        let config = self.config(group, found).filter(|_| stored.is_none());
        let alpha = stored.or_else(|| config.and_then(|config| config.alpha(path)));
        let rank = change.alpha_rank();
        let scale = match (group.number(Role::Scale), alpha) {
            (Some(scale), _) => Some(scale),
            (None, Some(alpha)) => match config.filter(|_| rank.is_some() || change.algorithm() == Algorithm::Lokr) {
                Some(config) => config.scale(alpha, rank, path),
                None => rank.map(|rank| alpha / rank as f32),
            },
            (None, None) => None,
        };
        Delta {
            component: found.component,
            module: found.module.clone(),
            part,
            convention: found.convention,
            algorithm: self.named_algorithm(change.algorithm()),
            alpha,
            scale: scale.unwrap_or(1.0),
            change,
        }
    }

    /// Returns the algorithm under the name that the file's trainer gives it: only sd-scripts with `conv_dim` and
    /// LyCORIS call LoRA on convolution kernels LoCon, and only the metadata identifies DyLoRA.
    fn named_algorithm(&self, algorithm: Algorithm) -> Algorithm {
        let mentions = |key: &str, text: &str| self.header.metadata.get(key).is_some_and(|value| value.contains(text));
        match algorithm {
            Algorithm::Lora | Algorithm::Locon if mentions("ss_network_module", "dylora") => Algorithm::Dylora,
            Algorithm::Locon
                if !mentions("ss_network_args", "conv_dim") && !mentions("ss_network_module", "lycoris") =>
            {
                Algorithm::Lora
            }
            other => other,
        }
    }
}

/// Returns the reason that a tensor is not used whose algorithm is recognized but not computed.
fn not_computed(key: &str) -> Option<LeftoverReason> {
    let algorithm = spelling::algorithm(key)?;
    Some(match spelling::why_not_computed(algorithm) {
        Some(because) => LeftoverReason::NotComputed { algorithm, because },
        None => LeftoverReason::UnsupportedAlgorithm(algorithm),
    })
}

/// Returns the reason that a tensor of a known layer is used by no family.
fn missing_partner(role: Role, key: &str) -> LeftoverReason {
    if let Some(reason) = not_computed(key) {
        return reason;
    }
    match role {
        Role::Alpha | Role::Scale => LeftoverReason::Incomplete { missing: "missing.pair" },
        Role::DoraScale | Role::Magnitude => LeftoverReason::Incomplete { missing: "missing.pair" },
        Role::OftDiag => LeftoverReason::UnsupportedAlgorithm("unsupported.old_oft"),
        Role::Rescale => LeftoverReason::Incomplete { missing: "oft_blocks" },
        Role::Weight | Role::SetWeight | Role::ReshapeWeight => {
            LeftoverReason::UnsupportedAlgorithm("unsupported.weight")
        }
        Role::Bias => LeftoverReason::UnsupportedAlgorithm("unsupported.bias"),
        Role::LoraBias => LeftoverReason::UnsupportedAlgorithm("unsupported.lora_bias"),
        _ => LeftoverReason::UnknownName,
    }
}
