//! The plan that computes W + Σ s·ΔW for all tensors that a set of adapters changes, and its GPU memory.

use super::{Checkpoint, LoadedAdapter, WeightsError};
use crate::adapters::Delta;
use crate::gpu::{Arena, KernelConfig, Runner};
use crate::model::{Component, block};
use crate::num::{host_len, numel};
use crate::ops::{Narrow, Storage, Widen};
use crate::plan::{Builder, Layout, Plan, Source, Value};
use std::collections::BTreeMap;

/// Prefix of the names of pristine tensors in the folds' plan.
pub(super) const PRISTINE: &str = "pristine/";

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
        stored: &dyn Fn(&str) -> Option<Storage>,
    ) -> Result<FoldPlan, WeightsError> {
        let mut changed: BTreeMap<String, Vec<(usize, &Delta)>> = BTreeMap::new();
        for (index, loaded) in adapters.iter().enumerate() {
            // Keys of layers that the model does not have are only reported, but a part of the change of one of its
            // layers is never dropped.
            if let Some(leftover) = loaded.adapter.leftovers.iter().find(|leftover| !leftover.reason.is_foreign()) {
                let reason = format!("`{}`: {}", leftover.key, leftover.reason);
                return Err(WeightsError::Delta { adapter: loaded.file.name.clone(), reason });
            }
            for delta in &loaded.adapter.deltas {
                changed.entry(delta.tensor()).or_default().push((index, delta));
            }
        }
        let mut builder = Builder::new("folds");
        let mut scalars: Vec<(usize, Component, String)> = Vec::new();
        for (name, deltas) in &changed {
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
            let matrix = match shape {
                &[outputs, inputs, height, width] => vec![outputs, host_len(numel(&[inputs, height, width]))],
                other => other.to_vec(),
            };
            let mut value = builder.weight(&format!("{PRISTINE}{name}"), &matrix, Layout::Ohwi);
            if storage != Storage::F32 {
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
            if storage != Storage::F32 {
                // The sum is computed in f32 and rounded once.
                value = builder.push(Narrow { storage }, &[value], name)?;
            }
            builder.output(name, value);
        }
        Ok(FoldPlan { plan: builder.finish(), scalars })
    }
}

/// Returns the GPU memory, in bytes, that these adapters need besides the weights of the plans that they change:
/// pristine copies, factors, and the folds' temporaries and parameters.
pub fn fold_bytes(
    checkpoint: &Checkpoint,
    adapters: &[&LoadedAdapter],
    plans: &[&Plan],
    config: &KernelConfig,
) -> Result<u64, WeightsError> {
    if adapters.is_empty() {
        return Ok(0);
    }
    let mut stored: BTreeMap<&str, Storage> = BTreeMap::new();
    for plan in plans {
        let storages = checkpoint.storages(plan, config.f16_weights)?;
        stored.extend(plan.values.iter().zip(storages).filter_map(|(value, storage)| match &value.source {
            Source::Weight { name, .. } => Some((name.as_str(), storage)),
            _ => None,
        }));
    }
    let folds = FoldPlan::new(checkpoint, adapters, &|name| stored.get(name).copied())?.plan;
    let resident = |value: &Value| match &value.source {
        Source::Weight { name, .. } => {
            let storage = name.strip_prefix(PRISTINE).and_then(|name| stored.get(name).copied());
            storage.unwrap_or_default().resident(value.numel())
        }
        _ => 0,
    };
    let weights: u64 = folds.values.iter().map(resident).sum();
    Ok(weights + Arena::bytes(&[&folds], config) + Runner::params_bytes(&folds, config))
}

/// Returns the prefix of the keys of the adapter with this index.
pub(super) fn prefix(index: usize) -> String {
    format!("adapter{index}/")
}
