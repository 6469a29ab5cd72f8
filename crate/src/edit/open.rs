//! An adapter file opened for editing: its header, changes and model family.

use super::error::EditError;
use super::model_side::ModelSide;
use crate::adapters::{Adapter, Delta, FactorData, Group, PeftConfig, PeftConfigs, group, read};
use crate::analysis::{ComparedFile, Detected, LayerImpact, Layers, ReadError, compare_with_base, detect, own_layers};
use crate::formats::{Buffered, ByteSource, FormatError, Header, read_header};
use crate::model::spelling::Role;
use crate::model::{Component, FamilyId, Module};
use crate::sentence::sentence;
use std::collections::HashMap;
use std::ops::ControlFlow;

/// An adapter file, opened for edits.
pub struct Opened<'a> {
    /// Name, for messages.
    pub file: String,
    /// Bytes.
    pub source: Buffered<'a>,
    /// Header.
    pub header: Header,
    /// The changes of its layers.
    pub adapter: Adapter,
    /// Model family: `sd15`, `flux1`, …, or `unknown`.
    pub model: String,
    /// Display name of the model family.
    pub label: String,
    /// The family, if this program can run it.
    pub family: Option<FamilyId>,
    /// Layers of the model family, if known.
    pub layers: Option<Layers>,
    configs: PeftConfigs,
    groups: Vec<Group>,
    /// Index into `groups` and role, by key.
    roles: HashMap<String, (usize, Role)>,
}

impl<'a> Opened<'a> {
    /// Opens `source`, named `file`; `companion` is the text of the adapter_config.json next to it.
    ///
    /// Layers of an unknown model family are named by the file's own keys: such a file can be resized,
    /// merged and compared, but its keys cannot be renamed.
    pub async fn new(file: &str, source: &'a dyn ByteSource, companion: Option<&str>) -> Result<Opened<'a>, EditError> {
        let failed = |source| EditError::Read { file: file.into(), source };
        let source = Buffered::new(source);
        let header = read_header(&source).await.map_err(failed)?;
        let configs = PeftConfigs::resolve(&header, companion)
            .map_err(|source| EditError::BadConfig { file: file.into(), source })?;
        let (groups, _) = group(&header);
        let detected = detect(&groups, &header.metadata, None);
        let file_layers = own_layers(&groups);
        let modules: Vec<(Component, &Module)> = match &detected.layers {
            Some(layers) => layers.modules(),
            None => file_layers.iter().map(|module| (Component::Model, module)).collect(),
        };
        let adapter = read(&source, &header, &configs, &modules).await.map_err(failed)?;
        if adapter.deltas.is_empty() {
            return Err(EditError::NoAdapter { file: file.into(), keys: header.tensors.len() });
        }
        let mut roles = HashMap::new();
        for (index, group) in groups.iter().enumerate() {
            roles.extend(group.tensors.iter().map(|(role, tensor)| (tensor.name.clone(), (index, *role))));
        }
        let Detected { name: model, label, id: family, layers, .. } = detected;
        Ok(Opened { file: file.into(), source, header, adapter, model, label, family, layers, configs, groups, roles })
    }

    /// Checks that this file and another are for the same model family.
    pub fn check_same_family(&self, other: &Opened) -> Result<(), EditError> {
        let (file_a, file_b) = (self.file.clone(), other.file.clone());
        let error = || EditError::OtherFamily { file_a, a: self.label.clone(), file_b, b: other.label.clone() };
        if self.model == other.model { Ok(()) } else { Err(error()) }
    }

    /// Returns whether both files have the same layers, instead of one having fused layers and the other their parts.
    pub fn names_layers_like(&self, other: &Opened) -> bool {
        match (&self.layers, &other.layers) {
            (Some(Layers::Architecture(_, source)), Some(Layers::Architecture(_, others))) => source == others,
            _ => true,
        }
    }

    /// Checks that this file and another are for the same model family and name the same layers.
    pub fn check_compatible(&self, other: &Opened) -> Result<(), EditError> {
        self.check_same_family(other)?;
        let (file_a, file_b) = (self.file.clone(), other.file.clone());
        let error = || EditError::OtherNaming { file_a, file_b, model: self.label.clone() };
        if self.names_layers_like(other) { Ok(()) } else { Err(error()) }
    }

    /// Returns the file with the changes that it makes to a base model of its family.
    pub async fn on(self, base: ModelSide<'_>) -> Result<Opened<'a>, EditError> {
        Ok(Opened { adapter: self.adapter_of(base).await?, ..self })
    }

    /// Reads its changes to a base model of its family: the shape of some depends on the layer, which may differ from the
    /// published model's.
    async fn adapter_of(&self, base: ModelSide<'_>) -> Result<Adapter, EditError> {
        let family = base.shapes.family;
        if self.family != Some(family) {
            let (a, b) = (self.label.clone(), family.label().to_owned());
            return Err(EditError::OtherFamily { file_a: self.file.clone(), a, file_b: base.name.into(), b });
        }
        let adapter = read(&self.source, &self.header, &self.configs, &base.shapes.modules()).await;
        adapter.map_err(|source| self.unreadable(source))
    }

    /// Measures its changes relative to the weights of a base model of its family; see
    /// `analysis::weigh`.
    pub async fn weigh(
        &self,
        base: ModelSide<'_>,
        norms: &HashMap<&str, f64>,
        on_progress: &mut dyn FnMut(u64, u64) -> ControlFlow<()>,
    ) -> Result<Vec<LayerImpact>, EditError> {
        let adapter = self.adapter_of(base).await?;
        let file = ComparedFile { adapter: &adapter, ..self.compared() };
        let impacts = compare_with_base(file, norms, base.name, base.files, &base.shapes.tensors, on_progress).await;
        let impacts = impacts.map_err(|ReadError { file, source }| EditError::Read { file, source })?;
        if impacts.is_empty() {
            let reason = sentence!("edit.no_shape_of_base", base = base.name);
            return Err(EditError::Refused { file: self.file.clone(), reason });
        }
        Ok(impacts)
    }

    /// Returns the file as an input of [`compare`](crate::analysis::compare).
    pub fn compared(&self) -> ComparedFile<'_> {
        ComparedFile { name: &self.file, source: &self.source, header: &self.header, adapter: &self.adapter }
    }

    /// Reads the factors of a delta.
    pub async fn read_factors(&self, delta: &Delta) -> Result<FactorData, EditError> {
        delta.read(&self.source, &self.header).await.map_err(|source| self.unreadable(source))
    }

    /// Returns the tensors of the delta's layer.
    pub fn group(&self, delta: &Delta) -> Option<&Group> {
        let factors = delta.change.factors();
        let (group, _) = self.roles.get(&factors.first()?.key)?;
        self.groups.get(*group)
    }

    /// Returns the tensors whose keys start with this stem.
    pub(super) fn group_of_stem(&self, stem: &str) -> Option<&Group> {
        self.groups.iter().find(|group| group.stem == stem)
    }

    /// Returns the role of a tensor in its layer.
    pub fn role(&self, key: &str) -> Option<Role> {
        self.roles.get(key).map(|(_, role)| *role)
    }

    /// Returns the layer's display name: the file's own if the model family is unknown.
    pub fn layer(&self, delta: &Delta) -> String {
        if self.layers.is_some() { delta.path() } else { delta.module.path.clone() }
    }

    /// Returns whether the scale of some layers comes from a config, because they have no alpha tensor.
    pub(super) fn is_configured(&self) -> bool {
        let mut configs = Component::ALL.into_iter().filter_map(|component| self.configs.of(component));
        let is_lycoris = configs.any(PeftConfig::is_lycoris);
        let needs_config = |group: &Group| (group.peft || is_lycoris) && group.get(Role::Alpha).is_none();
        self.configs.place().is_some() && self.groups.iter().any(needs_config)
    }

    /// Checks that no part of a layer's change is unused, except keys that `may_drop`; the error names the first
    /// unused key.
    pub(super) fn check_complete(&self, may_drop: impl Fn(&str) -> bool) -> Result<(), EditError> {
        match self.adapter.leftovers.iter().find(|left| !left.reason.is_foreign() && !may_drop(&left.key)) {
            Some(left) => {
                let (file, key) = (self.file.clone(), left.key.clone());
                Err(EditError::Incomplete { file, key, reason: left.reason.sentence() })
            }
            None => Ok(()),
        }
    }

    pub(super) fn unreadable(&self, source: FormatError) -> EditError {
        EditError::Read { file: self.file.clone(), source }
    }
}
