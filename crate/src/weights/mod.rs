//! Weights: model files and adapters → the tensors in GPU memory that plans read.
//!
//! Weights are uploaded tensor by tensor. A tensor that an adapter changes keeps a pristine copy, and each change of
//! strength recomputes W + Σ s·ΔW from that copy in f32, with one plan for all folds: deltas are never subtracted, and
//! neither plans nor pipelines are rebuilt. The copy is freed when the adapter is removed. If memory is saved there are no
//! copies: pristine tensors are read again from their file (streamed.rs).

mod checkpoint;
mod fingerprint;
mod folds;
mod streamed;

pub use checkpoint::{Checkpoint, TensorFile};
pub use folds::{check_folds, fold_bytes};
pub use streamed::FoldTarget;

use crate::adapters::{self, Adapter, Delta, FactorData, PeftConfigs, Strengths};
use crate::device::{Device, DeviceError, Runner, Tensor};
use crate::formats::FormatError;
use crate::gpu::{GpuError, KernelConfig};
use crate::model::{Component, Module};
use crate::num::numel;
use crate::plan::{Layout, Plan, PlanError};
use folds::{FoldPlan, PRISTINE, changes, prefix};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};

/// Error from loading weights or applying adapters.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "each variant's message says what its fields are")]
pub enum WeightsError {
    /// File that cannot be read.
    #[error("`{file}`: {source}")]
    File { file: String, source: FormatError },
    /// Tensor that is missing from the model's files.
    #[error("the model's {component} files have no tensor `{name}`: they are incomplete or of another architecture")]
    Missing { component: Component, name: String },
    /// Name that is not a tensor of the model's networks.
    #[error("this model's networks have no tensor `{0}`")]
    Unknown(String),
    /// Tensor with the wrong shape.
    #[error("`{name}` has shape {found:?}, but the network needs {wanted:?}; the config does not match the weights")]
    Shape { name: String, found: Vec<usize>, wanted: Vec<usize> },
    /// Delta that cannot be applied.
    #[error("the adapter {adapter} cannot be applied to this model: {reason}")]
    Delta { adapter: String, reason: String },
    /// GPU error.
    #[error(transparent)]
    Gpu(#[from] GpuError),
    /// Failure to plan the folds.
    #[error("the adapters cannot be folded into the weights: {0}")]
    Plan(#[from] PlanError),
}

impl From<DeviceError> for WeightsError {
    fn from(error: DeviceError) -> WeightsError {
        match error {
            DeviceError::Gpu(error) => error.into(),
            DeviceError::Plan(error) => error.into(),
        }
    }
}

/// An adapter and the file with its factors.
pub struct LoadedAdapter {
    /// Unique id: the file's SHA-256.
    pub id: String,
    /// The changes that it makes.
    pub adapter: Adapter,
    /// The file with the factors.
    pub file: TensorFile,
}

impl LoadedAdapter {
    /// Returns whether it changes a text encoder.
    pub fn changes_text_encoder(&self) -> bool {
        self.adapter.deltas.iter().any(|delta| delta.component != Component::Unet)
    }

    /// Returns whether its file has this name, with or without extension.
    pub fn is_file(&self, name: &str) -> bool {
        let file = self.file.name.as_str();
        file == name || file.rsplit_once('.').is_some_and(|(stem, _)| stem == name)
    }

    /// Returns the name that its trainer gave it, by which the web UI knows it too (`ss_output_name`).
    pub fn alias(&self) -> Option<&str> {
        self.file.header.metadata.get("ss_output_name").map(String::as_str).filter(|alias| !alias.is_empty())
    }

    /// Reads the adapter in `file` for a model with these `modules`. `config` is the text of the adapter_config.json
    /// next to it.
    pub async fn open(
        id: String,
        file: TensorFile,
        config: Option<&str>,
        modules: &[(Component, &Module)],
    ) -> Result<LoadedAdapter, WeightsError> {
        let configs = PeftConfigs::resolve(&file.header, config)
            .map_err(|error| WeightsError::Delta { adapter: file.name.clone(), reason: error.to_string() })?;
        let adapter = adapters::read(file.source.as_ref(), &file.header, &configs, modules)
            .await
            .map_err(|source| WeightsError::File { file: file.name.clone(), source })?;
        Ok(LoadedAdapter { id, adapter, file })
    }
}

/// Strength of an adapter.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Strength {
    /// Strength for the UNet.
    pub unet: f32,
    /// Strength for the text encoders.
    pub text: f32,
    /// Multiplier per block.
    pub blocks: Strengths,
}

impl Strength {
    /// Returns the strength in one block.
    fn at(&self, component: Component, block: &str) -> f32 {
        let strength = if component == Component::Unet { self.unet } else { self.text };
        strength * self.blocks.at(component, block)
    }
}

/// The folds of a set of adapters.
struct Folds {
    ids: Vec<String>,
    runner: Runner,
    /// Index of the adapter, component and block of each of the plan's scalars.
    scalars: Vec<(usize, Component, String)>,
    strengths: Vec<Strength>,
    /// Keeps the factors in GPU memory as long as their folds.
    _factors: HashMap<String, Tensor>,
}

/// A model's tensors in GPU memory.
#[derive(Default)]
pub struct Weights {
    tensors: HashMap<String, Tensor>,
    /// Contiguous allocations, by name, of tensors that are not loaded yet.
    allocated: HashMap<String, Tensor>,
    pristine: HashMap<String, Tensor>,
    folds: Option<Folds>,
    /// What adapters changed in tensors without a pristine copy; such a tensor is never in `pristine`.
    streamed: BTreeMap<String, Vec<Applied>>,
}

/// Change that an adapter made to a tensor.
#[derive(Debug, Clone, PartialEq)]
struct Applied {
    /// The adapter's id.
    id: String,
    /// Its strength in the tensor's block.
    strength: f32,
}

impl Weights {
    /// Returns the tensor that plans read under this name.
    pub fn get(&self, name: &str) -> Option<Tensor> {
        self.tensors.get(name).cloned()
    }

    /// Allocates contiguous memory for the tensors that these plans read concatenated. Those that are already in GPU
    /// memory but not contiguous are freed and have to be loaded again.
    pub async fn allocate(
        &mut self,
        device: &Device,
        config: &KernelConfig,
        checkpoint: &Checkpoint,
        plans: &[&Plan],
    ) -> Result<(), WeightsError> {
        for parts in plans.iter().flat_map(|plan| plan.concatenated()) {
            let names: Vec<&str> = parts.iter().map(|(name, ..)| *name).collect();
            let allocated = |name: &&str| self.tensors.get(*name).or_else(|| self.allocated.get(*name)).cloned();
            let existing: Vec<Tensor> = names.iter().filter_map(allocated).collect();
            if existing.len() == names.len() && Tensor::are_contiguous(&existing) {
                continue;
            }
            if names.iter().any(|name| self.pristine.contains_key(*name)) {
                self.restore()?;
            }
            names.iter().for_each(|name| self.free(name));
            let lengths: Vec<(&str, u64)> = parts.iter().map(|(name, _, shape)| (*name, numel(shape))).collect();
            let storage = checkpoint.common_storage(&names, config)?;
            let tensors = device.contiguous_parts(&lengths, storage).await?;
            self.allocated.extend(names.iter().map(|name| (*name).to_owned()).zip(tensors));
        }
        Ok(())
    }

    /// Returns the names and layouts of the plan's weights that are not in GPU memory yet.
    pub fn missing<'a>(&self, plan: &'a Plan) -> Vec<(&'a str, Layout)> {
        let weights = plan.weights().map(|(name, layout, _)| (name, layout));
        weights.filter(|(name, _)| !self.tensors.contains_key(*name)).collect()
    }

    /// Loads one tensor into GPU memory.
    pub async fn load(
        &mut self,
        device: &Device,
        config: &KernelConfig,
        checkpoint: &Checkpoint,
        name: &str,
        layout: Layout,
    ) -> Result<(), WeightsError> {
        let tensor = match self.allocated.get(name) {
            Some(tensor) => tensor.clone(),
            None => {
                let storage = checkpoint.common_storage(&[name], config)?;
                let len = checkpoint.place(name)?.tensor.elements();
                device.tensor(name, len, storage).await?
            }
        };
        checkpoint.fetch(name, layout, &tensor).await?;
        self.allocated.remove(name);
        self.tensors.insert(name.into(), tensor);
        Ok(())
    }

    /// Sets the tensors to W + Σ strength·ΔW. If only strengths change, this runs the folds once; other adapters are
    /// also uploaded. Only those of a component change, if one is named: the others need not be in memory. Not for a
    /// configuration that saves memory.
    pub async fn apply(
        &mut self,
        device: &Device,
        config: &KernelConfig,
        checkpoint: &Checkpoint,
        adapters: &[(&LoadedAdapter, Strength)],
        only: Option<Component>,
    ) -> Result<(), WeightsError> {
        let ids: Vec<String> = adapters.iter().map(|(adapter, _)| adapter.id.clone()).collect();
        let strengths: Vec<Strength> = adapters.iter().map(|(_, strength)| strength.clone()).collect();
        if self.folds.as_ref().map(|folds| &folds.ids) != Some(&ids) {
            self.restore()?;
            let adapters: Vec<&LoadedAdapter> = adapters.iter().map(|(adapter, _)| *adapter).collect();
            if adapters.is_empty() {
                self.pristine.clear();
                return Ok(());
            }
            let folds = self.prepare(device, config, checkpoint, &adapters, (ids, only)).await?;
            self.folds = Some(folds);
        }
        if let Some(folds) = &mut self.folds
            && folds.strengths != strengths
        {
            let scalars = folds.scalars.iter();
            let scalars: Vec<f32> =
                scalars.map(|(index, component, block)| strengths[*index].at(*component, block)).collect();
            folds.runner.set_scalars(&scalars);
            folds.runner.run()?;
            folds.strengths = strengths;
        }
        Ok(())
    }

    /// Restores all pristine weights if an adapter has changed any weight of these plans. Those without a pristine copy
    /// are freed, and loaded again from the file on demand.
    pub fn restore_any(&mut self, plans: &[&Plan]) -> Result<(), WeightsError> {
        for (name, ..) in plans.iter().flat_map(|plan| plan.weights()) {
            if self.streamed.contains_key(name) {
                self.free(name);
            }
        }
        match plans.iter().flat_map(|plan| plan.weights()).any(|(name, ..)| self.pristine.contains_key(name)) {
            true => self.restore(),
            false => Ok(()),
        }
    }

    /// Frees the GPU memory of these plans' weights, which are loaded again from the file on demand.
    pub fn release(&mut self, plans: &[&Plan]) -> Result<(), WeightsError> {
        self.restore_any(plans)?;
        plans.iter().flat_map(|plan| plan.weights()).for_each(|(name, ..)| self.free(name));
        Ok(())
    }

    /// Frees the GPU memory of a tensor and of its pristine copy.
    fn free(&mut self, name: &str) {
        self.tensors.remove(name);
        self.allocated.remove(name);
        self.pristine.remove(name);
        self.streamed.remove(name);
    }

    /// Restores all pristine weights.
    fn restore(&mut self) -> Result<(), WeightsError> {
        if self.folds.take().is_some() {
            for (name, tensor) in &self.pristine {
                if let Some(changed) = self.tensors.get(name) {
                    changed.copy_from(tensor)?;
                }
            }
        }
        Ok(())
    }

    /// Uploads factors, makes pristine copies and plans the folds. Does not change any weight yet.
    async fn prepare(
        &mut self,
        device: &Device,
        config: &KernelConfig,
        checkpoint: &Checkpoint,
        adapters: &[&LoadedAdapter],
        (ids, only): (Vec<String>, Option<Component>),
    ) -> Result<Folds, WeightsError> {
        let is_wanted = |delta: &Delta| only.is_none_or(|only| only == delta.component);
        let mut changes = changes(adapters)?;
        changes.retain(|_, deltas| deltas.iter().all(|(_, delta)| is_wanted(delta)));
        let stored = |name: &str| self.tensors.get(name).map(|tensor| tensor.storage().into());
        let FoldPlan { plan, scalars } = FoldPlan::new(checkpoint, adapters, &changes, &stored)?;
        let mut factors = HashMap::new();
        for (index, loaded) in adapters.iter().enumerate() {
            for delta in loaded.adapter.deltas.iter().filter(|delta| is_wanted(delta)) {
                for (name, data) in read_factors(loaded, index, delta).await? {
                    let tensor = device.upload(&name, &data).await?;
                    factors.insert(name, tensor);
                }
            }
        }
        // Tensors changed by other adapters are restored by now and need no copy.
        self.pristine.retain(|kept, _| plan.outputs.iter().any(|(name, _)| name == kept));
        for (name, _) in &plan.outputs {
            if !self.pristine.contains_key(name)
                && let Some(tensor) = self.tensors.get(name)
            {
                let copy = device.tensor(name, tensor.len(), tensor.storage()).await?;
                copy.copy_from(tensor)?;
                self.pristine.insert(name.clone(), copy);
            }
        }
        let resident = |name: &str| match name.strip_prefix(PRISTINE) {
            Some(name) => self.pristine.get(name).cloned(),
            None => factors.get(name).or_else(|| self.tensors.get(name)).cloned(),
        };
        let runner = Runner::new(device, config, &plan, &resident).await?;
        Ok(Folds { ids, runner, scalars, strengths: Vec::new(), _factors: factors })
    }
}

/// Reads the factors of a change by the adapter with this index, by their names in the folds' plan.
async fn read_factors(loaded: &LoadedAdapter, index: usize, delta: &Delta) -> Result<FactorData, WeightsError> {
    let numbers = delta
        .read(loaded.file.source.as_ref(), &loaded.file.header)
        .await
        .map_err(|source| WeightsError::File { file: loaded.file.name.clone(), source })?;
    let is_finite = |data: &[f32]| data.iter().all(|value| value.is_finite());
    if !delta.scale.is_finite() || !numbers.values().all(|data| is_finite(data)) {
        let reason = format!("its change of `{}` contains NaN or Inf, which would corrupt every image", delta.tensor());
        return Err(WeightsError::Delta { adapter: loaded.file.name.clone(), reason });
    }
    let prepared = delta.prepare(&numbers).into_iter();
    Ok(prepared.map(|(key, data)| (format!("{}{key}", prefix(index)), data)).collect())
}
