//! Folds that save memory: tensor by tensor, from the files. Neither pristine tensors nor factors stay in memory, so that
//! each change of strength reads both again. A quantized tensor is folded from the file's numbers and rounded once.

use super::folds::{Changes, FoldPlan, FoldStorage, PRISTINE, changes, fold_slices, prefix};
use super::{Applied, Checkpoint, LoadedAdapter, Strength, Weights, WeightsError, read_factors};
use crate::adapters::Delta;
use crate::device::{Arena, Device, Runner, Tensor};
use crate::gpu::KernelConfig;
use crate::model::{Component, block};
use crate::plan::Layout;
use std::collections::{BTreeSet, HashMap};
use std::ops::Range;

/// What tensors are folded with, one by one.
pub struct FoldTarget<'a> {
    /// Device of the tensors.
    pub device: &'a Device,
    /// Kernel configuration.
    pub config: &'a KernelConfig,
    /// Pristine tensors.
    pub checkpoint: &'a Checkpoint,
    /// Temporaries of networks, which folds use where they fit.
    pub arena: Option<&'a Arena>,
}

impl Weights {
    /// Sets the tensors of these components to W + Σ strength·ΔW, and calls `on_tensor` with the number of finished
    /// tensors and of all that change. A tensor that no adapter changes any longer is read as it is in the file.
    pub async fn apply_streamed<E: From<WeightsError>>(
        &mut self,
        target: &FoldTarget<'_>,
        adapters: &[(&LoadedAdapter, Strength)],
        components: &[Component],
        on_tensor: &mut dyn FnMut(usize, usize) -> Result<(), E>,
    ) -> Result<(), E> {
        let checkpoint = target.checkpoint;
        let loaded: Vec<&LoadedAdapter> = adapters.iter().map(|(adapter, _)| *adapter).collect();
        let mut wanted = changes(&loaded)?;
        wanted.retain(|_, deltas| {
            deltas.retain(|(_, delta)| components.contains(&delta.component));
            !deltas.is_empty()
        });
        if target.config.streams_denoiser() {
            // The others are folded when they are loaded.
            wanted.retain(|name, _| self.tensors.contains_key(name));
        }
        // Checks all tensors before the first is changed.
        let stored = |name: &str| self.fold_storage(checkpoint, name);
        FoldPlan::new(checkpoint, &loaded, &wanted, &stored)?;
        let applied = |(index, delta): &(usize, &Delta)| {
            let (adapter, strength) = &adapters[*index];
            let strength = strength.at(delta.component, &block(delta.component, &delta.module));
            Applied { id: adapter.id.clone(), strength }
        };
        wanted.retain(|_, deltas| {
            deltas.retain(|change| applied(change).strength != 0.0);
            !deltas.is_empty()
        });
        let is_of_components =
            |name: &&String| components.iter().any(|component| name.starts_with(&format!("{component}.")));
        let names: BTreeSet<String> =
            wanted.keys().chain(self.streamed.keys().filter(is_of_components)).cloned().collect();
        let record = |name: &str| wanted.get(name).map(|deltas| deltas.iter().map(applied).collect::<Vec<_>>());
        let outdated: Vec<String> =
            names.into_iter().filter(|name| self.streamed.get(name) != record(name).as_ref()).collect();
        for (at, name) in outdated.iter().enumerate() {
            on_tensor(at, outdated.len())?;
            let Some(tensor) = self.tensors.get(name).cloned() else { continue };
            // If this fails, the tensor is outdated whatever is wanted next.
            self.streamed.insert(name.clone(), Vec::new());
            match wanted.get(name) {
                None => {
                    checkpoint.fetch(name, Layout::Ohwi, &tensor).await?;
                    self.streamed.remove(name);
                }
                Some(deltas) => {
                    let strength = |index: usize, component, block: &str| adapters[index].1.at(component, block);
                    target.fold(&loaded, name, deltas, &strength, &tensor).await?;
                    self.streamed.insert(name.clone(), record(name).unwrap_or_default());
                }
            }
        }
        Ok(())
    }

    fn fold_storage(&self, checkpoint: &Checkpoint, name: &str) -> Option<FoldStorage> {
        let folded = self.tensors.get(name)?.storage();
        Some(FoldStorage { pristine: checkpoint.lossless(name).ok()?, folded })
    }
}

impl FoldTarget<'_> {
    /// Folds the changes of one tensor into its pristine values from the file, by rows if possible, and writes the sum to
    /// `folded`.
    async fn fold(
        &self,
        adapters: &[&LoadedAdapter],
        name: &str,
        deltas: &[(usize, &Delta)],
        strength: &dyn Fn(usize, Component, &str) -> f32,
        folded: &Tensor,
    ) -> Result<(), WeightsError> {
        let mut numbers = HashMap::new();
        for (index, delta) in deltas {
            numbers.extend(read_factors(adapters[*index], *index, delta).await?);
        }
        let rows = self.checkpoint.shape(name).map_or(0, |shape| shape[0]);
        let slices = fold_slices(self.checkpoint, name, deltas)?;
        // Factors that all slices read are uploaded once.
        let by_row: Vec<String> = match &slices {
            Some(_) => deltas.iter().filter_map(|(index, delta)| row_factor(*index, delta)).collect(),
            None => Vec::new(),
        };
        let mut factors = HashMap::new();
        for (factor, data) in numbers.iter().filter(|(factor, _)| !by_row.contains(*factor)) {
            factors.insert(factor.clone(), self.device.upload(factor, data).await?);
        }
        for slice in slices.unwrap_or_else(|| std::iter::once(0..rows).collect()) {
            for factor in &by_row {
                factors.remove(factor);
                let row = numbers[factor].len() / rows.max(1);
                let data = &numbers[factor][slice.start * row..slice.end * row];
                factors.insert(factor.clone(), self.device.upload(factor, data).await?);
            }
            self.fold_rows(adapters, (name, deltas), (rows, slice), strength, (&factors, folded)).await?;
        }
        Ok(())
    }

    /// Folds some of the `rows` of a tensor with the factors of these rows.
    async fn fold_rows(
        &self,
        adapters: &[&LoadedAdapter],
        (name, deltas): (&str, &[(usize, &Delta)]),
        (rows, slice): (usize, Range<usize>),
        strength: &dyn Fn(usize, Component, &str) -> f32,
        (factors, folded): (&HashMap<String, Tensor>, &Tensor),
    ) -> Result<(), WeightsError> {
        let storage = FoldStorage { pristine: self.checkpoint.lossless(name)?, folded: folded.storage() };
        let change = Changes::from([(name.to_owned(), deltas.to_vec())]);
        let FoldPlan { plan, scalars } =
            FoldPlan::of_rows(self.checkpoint, adapters, &change, &|_| Some(storage), Some(slice.len()))?;
        let row = folded.len() / (rows as u64).max(1);
        let part = folded.part(slice.start as u64 * row, slice.len() as u64 * row);
        let pristine = match storage.is_in_place() {
            true => part.clone(),
            false => self.device.tensor(name, part.len(), storage.pristine).await?,
        };
        match slice.len() == rows {
            true => self.checkpoint.fetch(name, Layout::Ohwi, &pristine).await?,
            false => self.checkpoint.fetch_rows(name, slice, Layout::Ohwi, &pristine).await?,
        }
        let resident = |tensor: &str| match tensor.strip_prefix(PRISTINE) {
            Some(_) => Some(pristine.clone()),
            None if tensor == name => Some(part.clone()),
            None => factors.get(tensor).cloned(),
        };
        let runner = match self.arena.filter(|arena| arena.fits(&plan)) {
            Some(arena) => Runner::with_arena(self.device, &plan, &resident, arena).await?,
            None => Runner::new(self.device, self.config, &plan, &resident).await?,
        };
        let scalars: Vec<f32> =
            scalars.iter().map(|(index, component, block)| strength(*index, *component, block)).collect();
        runner.set_scalars(&scalars);
        runner.run()?;
        // Otherwise the memory of many folds would be in use at once.
        Ok(self.device.finished().await?)
    }
}

/// Returns the name in the folds' plan of the factor of which a slice of rows reads its rows alone.
fn row_factor(index: usize, delta: &Delta) -> Option<String> {
    Some(format!("{}{}", prefix(index), delta.change.row_factor()?))
}
