//! Turns model files and adapters into the tensors in graphics memory that plans read.
//!
//! Weights go tensor by tensor from file to graphics memory. A tensor that an adapter touches
//! gets a pristine copy beside it, and each change of strength forms W + Σ s·ΔW anew from that
//! copy, in f32, by one plan of all folds: nothing is ever subtracted, and neither plans nor
//! pipelines are rebuilt. With the adapter goes the copy.

mod checkpoint;
mod folds;

pub use checkpoint::{Checkpoint, TensorFile};
pub use folds::fold_bytes;

use crate::adapters::{self, Adapter, PeftConfigs, Strengths};
use crate::formats::FormatError;
use crate::gpu::{Gpu, GpuError, Runner, Tensor};
use crate::model::{Component, Module};
use crate::num::numel;
use crate::ops::Storage;
use crate::plan::{Layout, Plan, PlanError};
use folds::{FoldPlan, PRISTINE, prefix};
use std::collections::HashMap;

/// Why weights or adapters cannot be used.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "each variant's message says what its fields are")]
pub enum WeightsError {
    /// A file could not be read.
    #[error("{file}: {source}")]
    File { file: String, source: FormatError },
    /// The model lacks a tensor.
    #[error("the model's {component} files lack `{name}`: they are incomplete or belong to another kind of model")]
    Missing { component: Component, name: String },
    /// A name that is no tensor of the model's networks.
    #[error("this model's networks have no tensor `{0}`")]
    Unknown(String),
    /// A tensor of another shape.
    #[error(
        "`{name}`: the file has {found:?}, the network wants {wanted:?}; the config and the weights do not belong together"
    )]
    Shape { name: String, found: Vec<usize>, wanted: Vec<usize> },
    /// A delta that cannot land.
    #[error("the adapter {adapter} cannot be applied to this model: {reason}")]
    Delta { adapter: String, reason: String },
    /// The graphics processor refused.
    #[error(transparent)]
    Gpu(#[from] GpuError),
    /// The folds cannot be planned.
    #[error("the adapters' changes cannot be computed: {0}")]
    Plan(#[from] PlanError),
}

/// An adapter with the file that holds its numbers.
pub struct LoadedAdapter {
    /// What tells it from others: its sha256.
    pub id: String,
    /// What changes.
    pub adapter: Adapter,
    /// The factors.
    pub file: TensorFile,
}

impl LoadedAdapter {
    /// Whether it changes a text encoder.
    pub fn changes_text(&self) -> bool {
        self.adapter.deltas.iter().any(|delta| delta.component != Component::Unet)
    }

    /// Reads what a file changes in a model with these `modules`. `config` is the text of the
    /// adapter_config.json beside it.
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

/// How strongly an adapter acts.
#[derive(Debug, Clone, PartialEq)]
pub struct Strength {
    /// On the UNet.
    pub unet: f32,
    /// On the text encoders.
    pub text: f32,
    /// What that is multiplied by in each block.
    pub blocks: Strengths,
}

impl Strength {
    /// In one block.
    fn at(&self, component: Component, block: &str) -> f32 {
        let whole = if component == Component::Unet { self.unet } else { self.text };
        whole * self.blocks.at(component, block)
    }
}

/// The folds of one set of adapters.
struct Folds {
    ids: Vec<String>,
    runner: Runner,
    /// Whose strength each of the plan's run-time numbers is: an adapter's, in a block.
    scalars: Vec<(usize, Component, String)>,
    strengths: Vec<Strength>,
    /// Factors stay in graphics memory as long as their folds.
    _factors: HashMap<String, Tensor>,
}

/// A model's tensors in graphics memory.
#[derive(Default)]
pub struct Weights {
    tensors: HashMap<String, Tensor>,
    /// Places of tensors to come that plans read as one with others.
    tensors_by_name: HashMap<String, Tensor>,
    pristine: HashMap<String, Tensor>,
    folds: Option<Folds>,
}

impl Weights {
    /// The tensor that plans read under this name.
    pub fn get(&self, name: &str) -> Option<Tensor> {
        self.tensors.get(name).cloned()
    }

    /// Makes room for the tensors that these plans read as one. Those that are in graphics memory
    /// apart from each other leave it, to be loaded again.
    pub async fn allocate(&mut self, gpu: &Gpu, checkpoint: &Checkpoint, plans: &[Plan]) -> Result<(), WeightsError> {
        for parts in plans.iter().flat_map(Plan::concatenated) {
            let names: Vec<&str> = parts.iter().map(|(name, ..)| *name).collect();
            let placed = |name: &&str| self.tensors.get(*name).or_else(|| self.tensors_by_name.get(*name)).cloned();
            let there: Vec<Tensor> = names.iter().filter_map(placed).collect();
            if there.len() == names.len() && Tensor::contiguous(&there).is_some() {
                continue;
            }
            if names.iter().any(|name| self.pristine.contains_key(*name)) {
                self.restore(gpu)?;
            }
            for name in &names {
                self.tensors.remove(*name);
                self.pristine.remove(*name);
            }
            let lengths: Vec<(&str, u64)> = parts.iter().map(|(name, _, shape)| (*name, numel(shape))).collect();
            let storage = checkpoint.common_storage(names.iter().copied(), gpu.f16_weights())?;
            let rooms = gpu.with_error_scopes(names[0], || gpu.allocate_contiguous(&lengths, storage)).await?;
            self.tensors_by_name.extend(names.iter().map(|name| (*name).to_owned()).zip(rooms));
        }
        Ok(())
    }

    /// Names of the plan's weights that are not in graphics memory yet.
    pub fn missing<'a>(&self, plan: &'a Plan) -> Vec<(&'a str, Layout)> {
        let wanted = plan.weights().map(|(name, layout, _)| (name, layout));
        wanted.filter(|(name, _)| !self.tensors.contains_key(*name)).collect()
    }

    /// Brings one tensor to graphics memory.
    pub async fn load(
        &mut self,
        gpu: &Gpu,
        checkpoint: &Checkpoint,
        name: &str,
        layout: Layout,
    ) -> Result<(), WeightsError> {
        let tensor = match self.tensors_by_name.get(name) {
            Some(room) => room.clone(),
            None => {
                let storage = checkpoint.common_storage([name].into_iter(), gpu.f16_weights())?;
                let len = checkpoint.place(name)?.tensor.elements();
                gpu.with_error_scopes(name, || gpu.tensor_stored(name, len, storage)).await?
            }
        };
        checkpoint.fetch(gpu, name, layout, &tensor).await?;
        self.tensors_by_name.remove(name);
        self.tensors.insert(name.into(), tensor);
        Ok(())
    }

    /// Makes the tensors W + Σ strength·ΔW. The same adapters with other strengths cost one run of
    /// the folds; other adapters also cost their upload.
    pub async fn apply(
        &mut self,
        gpu: &Gpu,
        checkpoint: &Checkpoint,
        adapters: &[(&LoadedAdapter, Strength)],
    ) -> Result<(), WeightsError> {
        let ids: Vec<String> = adapters.iter().map(|(adapter, _)| adapter.id.clone()).collect();
        let strengths: Vec<Strength> = adapters.iter().map(|(_, strength)| strength.clone()).collect();
        if self.folds.as_ref().map(|folds| &folds.ids) != Some(&ids) {
            self.restore(gpu)?;
            let adapters: Vec<&LoadedAdapter> = adapters.iter().map(|(adapter, _)| *adapter).collect();
            if adapters.is_empty() {
                self.pristine.clear();
                return Ok(());
            }
            let folds = self.prepare(gpu, checkpoint, &adapters, ids).await?;
            self.folds = Some(folds);
        }
        if let Some(folds) = &mut self.folds
            && folds.strengths != strengths
        {
            let scalars = folds.scalars.iter();
            let scalars: Vec<f32> =
                scalars.map(|(index, component, block)| strengths[*index].at(*component, block)).collect();
            folds.runner.set_scalars(gpu, &scalars);
            folds.runner.run(gpu);
            folds.strengths = strengths;
        }
        Ok(())
    }

    /// Puts the pristine numbers back where an adapter has changed any weight of these plans.
    pub fn restore_any(&mut self, gpu: &Gpu, plans: &[Plan]) -> Result<(), WeightsError> {
        match plans.iter().flat_map(Plan::weights).any(|(name, ..)| self.pristine.contains_key(name)) {
            true => self.restore(gpu),
            false => Ok(()),
        }
    }

    /// Gives the memory of these plans' weights back; they come from the file again when they are needed.
    pub fn release(&mut self, gpu: &Gpu, plans: &[Plan]) -> Result<(), WeightsError> {
        self.restore_any(gpu, plans)?;
        for (name, ..) in plans.iter().flat_map(Plan::weights) {
            self.tensors.remove(name);
            self.tensors_by_name.remove(name);
            self.pristine.remove(name);
        }
        Ok(())
    }

    /// Puts the pristine numbers back.
    fn restore(&mut self, gpu: &Gpu) -> Result<(), WeightsError> {
        if self.folds.take().is_some() {
            for (name, tensor) in &self.pristine {
                if let Some(changed) = self.tensors.get(name) {
                    gpu.copy(tensor, changed)?;
                }
            }
        }
        Ok(())
    }

    /// Uploads factors, keeps pristine copies and plans the folds; changes no weight yet.
    async fn prepare(
        &mut self,
        gpu: &Gpu,
        checkpoint: &Checkpoint,
        adapters: &[&LoadedAdapter],
        ids: Vec<String>,
    ) -> Result<Folds, WeightsError> {
        let stored = |name: &str| self.tensors.get(name).map(|tensor| tensor.storage);
        let FoldPlan { plan, scalars } = FoldPlan::new(checkpoint, adapters, &stored)?;
        let mut factors = HashMap::new();
        for (index, loaded) in adapters.iter().enumerate() {
            for delta in &loaded.adapter.deltas {
                let refuse = |reason| WeightsError::Delta { adapter: loaded.file.name.clone(), reason };
                let numbers = delta
                    .read(loaded.file.source.as_ref(), &loaded.file.header)
                    .await
                    .map_err(|source| WeightsError::File { file: loaded.file.name.clone(), source })?;
                let finite = |data: &[f32]| data.iter().all(|value| value.is_finite());
                if !delta.scale.is_finite() || !numbers.values().all(|data| finite(data)) {
                    return Err(refuse(format!(
                        "its change of `{}` holds NaN or infinity, which would spoil every picture",
                        delta.tensor()
                    )));
                }
                for (key, data) in delta.prepare(&numbers) {
                    let name = format!("{}{key}", prefix(index));
                    let tensor = gpu.with_error_scopes(&name, || gpu.upload(&name, &data, Storage::F32)).await?;
                    factors.insert(name, tensor);
                }
            }
        }
        // What other adapters changed is as it was, and needs no copy now.
        self.pristine.retain(|kept, _| plan.outputs.iter().any(|(name, _)| name == kept));
        for (name, _) in &plan.outputs {
            if !self.pristine.contains_key(name)
                && let Some(tensor) = self.tensors.get(name)
            {
                let copy = gpu.with_error_scopes(name, || gpu.tensor_stored(name, tensor.len, tensor.storage)).await?;
                gpu.copy(tensor, &copy)?;
                self.pristine.insert(name.clone(), copy);
            }
        }
        let resident = |name: &str| match name.strip_prefix(PRISTINE) {
            Some(name) => self.pristine.get(name).cloned(),
            None => factors.get(name).or_else(|| self.tensors.get(name)).cloned(),
        };
        let runner = Runner::new(gpu, &plan, &resident).await?;
        Ok(Folds { ids, runner, scalars, strengths: Vec::new(), _factors: factors })
    }
}
