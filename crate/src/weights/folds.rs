//! The plan that computes W + Σ s·ΔW for all tensors that a set of adapters changes, and its GPU memory.

use super::{Checkpoint, LoadedAdapter, WeightsError};
use crate::adapters::Delta;
use crate::gpu::{Arena, KernelConfig, Runner};
use crate::model::{Component, block};
use crate::num::{host_len, numel};
use crate::ops::{Narrow, Storage, Widen};
use crate::plan::{Builder, Layout, Plan, Source, Value, slots_fit};
use std::collections::BTreeMap;
use std::ops::Range;

/// Prefix of the names of pristine tensors in the folds' plan.
pub(super) const PRISTINE: &str = "pristine/";

/// The changes of each tensor, each with the index of its adapter.
pub(super) type Changes<'a> = BTreeMap<String, Vec<(usize, &'a Delta)>>;

/// Returns what these adapters change, by tensor.
pub(super) fn changes<'a>(adapters: &[&'a LoadedAdapter]) -> Result<Changes<'a>, WeightsError> {
    let mut changes = Changes::new();
    for (index, loaded) in adapters.iter().enumerate() {
        // Keys of layers that the model does not have are only reported, but a part of the change of one of its layers
        // is never dropped.
        if let Some(leftover) = loaded.adapter.leftovers.iter().find(|leftover| !leftover.reason.is_foreign()) {
            let reason = format!("`{}`: {}", leftover.key, leftover.reason);
            return Err(WeightsError::Delta { adapter: loaded.file.name.clone(), reason });
        }
        for delta in &loaded.adapter.deltas {
            changes.entry(delta.tensor()).or_default().push((index, delta));
        }
    }
    Ok(changes)
}

/// Storage of a tensor that is folded: of its pristine copy, and of the tensor that networks read.
#[derive(Debug, Clone, Copy)]
pub(super) struct FoldStorage {
    pub pristine: Storage,
    pub folded: Storage,
}

impl FoldStorage {
    /// Returns whether the pristine tensor can be read into the tensor that is folded: a fold reads it only once, before
    /// the sum is rounded.
    pub fn is_in_place(self) -> bool {
        self.pristine == self.folded && self.folded != Storage::F32
    }
}

impl From<Storage> for FoldStorage {
    fn from(storage: Storage) -> FoldStorage {
        FoldStorage { pristine: storage, folded: storage }
    }
}

/// The plan of the folds of a set of adapters. Its weights are pristine tensors and factors; its outputs are the
/// tensors that networks read.
pub(super) struct FoldPlan {
    pub plan: Plan,
    /// Index of the adapter, component and block of each of the plan's scalars.
    pub scalars: Vec<(usize, Component, String)>,
}

impl FoldPlan {
    /// Plans the folds. `stored` returns the storage of a tensor, or `None` if it is not kept in GPU memory.
    pub fn new(
        checkpoint: &Checkpoint,
        adapters: &[&LoadedAdapter],
        changes: &Changes,
        stored: &dyn Fn(&str) -> Option<FoldStorage>,
    ) -> Result<FoldPlan, WeightsError> {
        FoldPlan::of_rows(checkpoint, adapters, changes, stored, None)
    }

    /// [`FoldPlan::new`] for tensors of which only this number of rows is folded.
    pub fn of_rows(
        checkpoint: &Checkpoint,
        adapters: &[&LoadedAdapter],
        changes: &Changes,
        stored: &dyn Fn(&str) -> Option<FoldStorage>,
        rows: Option<usize>,
    ) -> Result<FoldPlan, WeightsError> {
        let mut builder = Builder::new("folds");
        let mut scalars: Vec<(usize, Component, String)> = Vec::new();
        for (name, deltas) in changes {
            let error = |adapter: usize, reason: String| WeightsError::Delta {
                adapter: adapters[adapter].file.name.clone(),
                reason,
            };
            let (first, _) = deltas[0];
            let shape = checkpoint
                .shape(name)
                .ok_or_else(|| error(first, format!("it changes `{name}`, which the model does not have")))?;
            let storage = stored(name).ok_or_else(|| {
                error(first, format!("it changes `{name}`, which this program does not keep in GPU memory"))
            })?;
            if let Some((adapter, delta)) = deltas.iter().find(|(_, delta)| !delta.fits(shape)) {
                let found = delta.change.shape();
                let reason = format!(
                    "its change of `{name}` has shape {found:?}, but the tensor has {shape:?}: \
                     it was made for another base model"
                );
                return Err(error(*adapter, reason));
            }
            let mut matrix = match shape {
                &[outputs, inputs, height, width] => vec![outputs, host_len(numel(&[inputs, height, width]))],
                other => other.to_vec(),
            };
            matrix[0] = rows.unwrap_or(matrix[0]);
            let mut value = builder.weight(&format!("{PRISTINE}{name}"), &matrix, Layout::Ohwi);
            if storage.pristine != Storage::F32 {
                value = builder.push(Widen {}, &[value], name)?;
            }
            for (index, delta) in deltas {
                let target = (*index, delta.component, block(delta.component, &delta.module));
                let scalar = builder.scalar(&format!("{index} {} {}", target.1, target.2));
                if scalar.0 == scalars.len() {
                    scalars.push(target);
                }
                let folded = delta.fold(&mut builder, value, scalar, &prefix(*index));
                value = folded.map_err(|source| error(*index, format!("its change cannot be computed: {source}")))?;
            }
            if storage.folded != Storage::F32 {
                // The sum is computed in f32 and rounded once.
                value = builder.push(Narrow { storage: storage.folded }, &[value], name)?;
            }
            builder.output(name, value);
        }
        Ok(FoldPlan { plan: builder.finish(), scalars })
    }

    /// Returns the GPU memory, in bytes, that the folds need besides the tensors that networks read and temporaries:
    /// pristine tensors, for which `pristine` returns the storage, factors and parameters.
    fn bytes(&self, pristine: &dyn Fn(&str) -> Option<Storage>, config: &KernelConfig) -> u64 {
        let resident = |value: &Value| match &value.source {
            Source::Weight { name, .. } => match name.strip_prefix(PRISTINE) {
                Some(name) => pristine(name).map_or(0, |storage| storage.resident(value.numel())),
                None => Storage::F32.resident(value.numel()),
            },
            _ => 0,
        };
        self.plan.values.iter().map(resident).sum::<u64>() + Runner::params_bytes(&self.plan, config)
    }
}

/// Returns the ranges of rows in which these changes of a tensor are folded one after the other; `None` if it is folded
/// whole.
pub(super) fn fold_slices(
    checkpoint: &Checkpoint,
    name: &str,
    deltas: &[(usize, &Delta)],
) -> Result<Option<Vec<Range<usize>>>, WeightsError> {
    match deltas.iter().all(|(_, delta)| delta.change.row_factor().is_some()) {
        true => checkpoint.fold_slices(name),
        false => Ok(None),
    }
}

/// Checks that these adapters can be folded into tensors of the model.
pub fn check_folds(checkpoint: &Checkpoint, adapters: &[&LoadedAdapter]) -> Result<(), WeightsError> {
    let stored = |name: &str| checkpoint.lossless(name).ok().map(FoldStorage::from);
    FoldPlan::new(checkpoint, adapters, &changes(adapters)?, &stored).map(drop)
}

/// Returns the GPU memory, in bytes, that these adapters need besides the weights of the plans that they change. If
/// memory is saved, the tensors are folded one after the other, by rows if possible, only those of the plans, and with
/// temporaries in an arena of these sizes where they fit.
pub fn fold_bytes(
    checkpoint: &Checkpoint,
    adapters: &[&LoadedAdapter],
    plans: &[&Plan],
    arena: &[u64],
    config: &KernelConfig,
) -> Result<u64, WeightsError> {
    let mut folded: BTreeMap<&str, Storage> = BTreeMap::new();
    for plan in plans {
        let storages = checkpoint.storages(plan, config)?;
        folded.extend(plan.values.iter().zip(storages).filter_map(|(value, storage)| match &value.source {
            Source::Weight { name, .. } => Some((name.as_str(), storage)),
            _ => None,
        }));
    }
    let all = changes(adapters)?;
    if !config.saves_memory() {
        let stored = |name: &str| folded.get(name).map(|&storage| storage.into());
        return match adapters.is_empty() {
            true => Ok(0),
            false => {
                let folds = FoldPlan::new(checkpoint, adapters, &all, &stored)?;
                Ok(folds.bytes(&|name| folded.get(name).copied(), config) + Arena::bytes(&[&folds.plan], config))
            }
        };
    }
    let mut most = 0;
    for (name, deltas) in all.into_iter().filter(|(name, _)| folded.contains_key(name.as_str())) {
        let storage = FoldStorage { pristine: checkpoint.lossless(&name)?, folded: folded[name.as_str()] };
        // No slice has more rows than the first.
        let rows = fold_slices(checkpoint, &name, &deltas)?.and_then(|slices| Some(slices.first()?.len()));
        let one = Changes::from([(name, deltas)]);
        let folds = FoldPlan::of_rows(checkpoint, adapters, &one, &|_| Some(storage), rows)?;
        let own = folds.bytes(&|_| (!storage.is_in_place()).then_some(storage.pristine), config);
        let temporaries = if slots_fit(&folds.plan, arena) { 0 } else { Arena::bytes(&[&folds.plan], config) };
        most = most.max(own + temporaries);
    }
    Ok(most)
}

/// Returns the prefix of the keys of the adapter with this index.
pub(super) fn prefix(index: usize) -> String {
    format!("adapter{index}/")
}
