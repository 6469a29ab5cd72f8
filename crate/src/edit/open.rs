//! Turns a file into an adapter that can be edited: its header, what it changes and for which model.

use super::error::EditError;
use super::extract::ModelSide;
use crate::adapters::{Adapter, Delta, Group, Numbers, PeftConfigs, group, read};
use crate::analysis::{ComparedFile, Layers, Unreadable, LayerImpact, detect, own_layers, weigh};
use crate::formats::{Buffered, ByteSource, FormatError, Header, read_header};
use crate::model::spelling::Role;
use crate::model::{Component, Module};
use std::collections::HashMap;
use std::ops::ControlFlow;

/// An adapter file, opened for edits.
pub struct Opened<'a> {
    /// Its name, for messages.
    pub file: String,
    /// Its bytes.
    pub source: Buffered<'a>,
    /// What they hold.
    pub header: Header,
    /// What it changes.
    pub adapter: Adapter,
    /// The family of models that it was made for: `sd15`, `flux1`, …, or `unknown`.
    pub model: String,
    /// The family's name for people.
    pub label: String,
    /// The family's layers, where they are listed.
    pub layers: Option<Layers>,
    configs: PeftConfigs,
    groups: Vec<Group>,
    /// Key to its group and its role there.
    places: HashMap<String, (usize, Role)>,
}

impl<'a> Opened<'a> {
    /// Opens `source`, called `file`; `companion` is the text of the adapter_config.json beside it.
    ///
    /// Layers of a model that is not listed keep the file's own names: such a file can be resized,
    /// merged and compared, but not renamed.
    pub async fn new(file: &str, source: &'a dyn ByteSource, companion: Option<&str>) -> Result<Opened<'a>, EditError> {
        let failed = |source| EditError::Read { file: file.into(), source };
        let source = Buffered::new(source);
        let header = read_header(&source).await.map_err(failed)?;
        let configs = PeftConfigs::resolve(&header, companion)
            .map_err(|source| EditError::BadConfig { file: file.into(), source })?;
        let (groups, _) = group(&header);
        let found = detect(&groups, &header.metadata, None);
        let own = own_layers(&groups);
        let modules: Vec<(Component, &Module)> = match &found.layers {
            Some(layers) => layers.modules(),
            None => own.iter().map(|module| (Component::Model, module)).collect(),
        };
        let adapter = read(&source, &header, &configs, &modules).await.map_err(failed)?;
        if adapter.deltas.is_empty() {
            return Err(EditError::NoAdapter { file: file.into(), keys: header.tensors.len() });
        }
        let mut places = HashMap::new();
        for (index, group) in groups.iter().enumerate() {
            places.extend(group.tensors.iter().map(|(role, tensor)| (tensor.name.clone(), (index, *role))));
        }
        let (model, label, layers) = (found.name, found.label, found.layers);
        Ok(Opened { file: file.into(), source, header, adapter, model, label, layers, configs, groups, places })
    }

    /// Makes sure that this file and another are for one family of models and name the same layers.
    pub fn is_like(&self, other: &Opened) -> Result<(), EditError> {
        let (file_a, file_b) = (self.file.clone(), other.file.clone());
        if self.model != other.model {
            return Err(EditError::OtherFamily { file_a, a: self.label.clone(), file_b, b: other.label.clone() });
        }
        match (&self.layers, &other.layers) {
            (Some(Layers::Architecture(_, own)), Some(Layers::Architecture(_, others))) if own != others => {
                Err(EditError::OtherNaming { file_a, file_b, model: self.label.clone() })
            }
            _ => Ok(()),
        }
    }

    /// Weighs its changes beside a base model of its family; see [`analysis::weigh`](crate::analysis::weigh).
    pub async fn weigh(
        &self,
        base: ModelSide<'_>,
        norms: &HashMap<&str, f64>,
        hear: &mut dyn FnMut(u64, u64) -> ControlFlow<()>,
    ) -> Result<Vec<LayerImpact>, EditError> {
        let family = base.shapes.family;
        if self.model != family.name() {
            let (a, b) = (self.label.clone(), family.label().to_owned());
            return Err(EditError::OtherFamily { file_a: self.file.clone(), a, file_b: base.name.into(), b });
        }
        // Some changes have the size of the layer, which may be another than the published one.
        let adapter = read(&self.source, &self.header, &self.configs, &base.shapes.modules()).await;
        let adapter = adapter.map_err(|source| self.unreadable(source))?;
        let own = ComparedFile { adapter: &adapter, ..self.compared() };
        let weighed = weigh(own, norms, base.name, base.files, &base.shapes.tensors, hear).await;
        let weighed = weighed.map_err(|Unreadable { file, source }| EditError::Read { file, source })?;
        if weighed.is_empty() {
            let reason = format!("none of its changes has the size of a layer of {}", base.name);
            return Err(EditError::Refused { file: self.file.clone(), reason });
        }
        Ok(weighed)
    }

    /// The file as [`compare`](crate::analysis::compare) takes it.
    pub fn compared(&self) -> ComparedFile<'_> {
        ComparedFile { name: &self.file, source: &self.source, header: &self.header, adapter: &self.adapter }
    }

    /// Reads a delta's factors.
    pub async fn numbers(&self, delta: &Delta) -> Result<Numbers, EditError> {
        delta.read(&self.source, &self.header).await.map_err(|source| self.unreadable(source))
    }

    /// The tensors of the delta's layer.
    pub fn group(&self, delta: &Delta) -> Option<&Group> {
        let factors = delta.change.factors();
        let (group, _) = self.places.get(&factors.first()?.key)?;
        self.groups.get(*group)
    }

    /// What a tensor is for in its layer.
    pub fn role(&self, key: &str) -> Option<Role> {
        self.places.get(key).map(|(_, role)| *role)
    }

    /// The layer's name for people: the file's own where the model is not listed.
    pub fn layer(&self, delta: &Delta) -> String {
        if self.layers.is_some() { delta.path() } else { delta.module.path.clone() }
    }

    /// Whether a config says how strongly layers act of which no tensor says it.
    pub(super) fn is_configured(&self) -> bool {
        let relies = |group: &Group| group.peft && group.get(Role::Alpha).is_none();
        self.configs.place().is_some() && self.groups.iter().any(relies)
    }

    /// Makes sure that no part of a layer's change would be left out unasked: an error names the first,
    /// unless `drop` allows it.
    pub(super) fn is_whole(&self, drop: bool) -> Result<(), EditError> {
        match self.adapter.leftovers.iter().find(|left| !drop && !left.reason.is_foreign()) {
            Some(left) => {
                let (file, key) = (self.file.clone(), left.key.clone());
                Err(EditError::Incomplete { file, key, reason: left.reason.to_string() })
            }
            None => Ok(()),
        }
    }

    pub(super) fn unreadable(&self, source: FormatError) -> EditError {
        EditError::Read { file: self.file.clone(), source }
    }
}
