//! Turns adapters into the plan that forms W + Σ s·ΔW of all tensors that they change, and into the
//! graphics memory that it takes.

use super::{Checkpoint, LoadedAdapter, WeightsError};
use crate::adapters::Delta;
use crate::gpu::{Arena, DeviceCaps, Runner};
use crate::model::{Component, block};
use crate::num::{host_len, numel};
use crate::ops::{Narrow, Storage, Widen};
use crate::plan::{Builder, Layout, Plan, Source, Value};
use std::collections::BTreeMap;

/// Stands before the name of a pristine tensor in the plan of all folds.
pub(super) const PRISTINE: &str = "pristine/";

/// The plan of the folds of one set of adapters. Its weights are pristine tensors and factors, its outputs
/// the tensors that networks read.
pub(super) struct FoldPlan {
    pub plan: Plan,
    /// Whose strength each of the plan's run-time numbers is: an adapter's, in a block.
    pub scalars: Vec<(usize, Component, String)>,
}

impl FoldPlan {
    /// Plans the folds; `stored` says how a tensor lies that is kept in graphics memory.
    pub fn new(
        checkpoint: &Checkpoint,
        adapters: &[&LoadedAdapter],
        stored: &dyn Fn(&str) -> Option<Storage>,
    ) -> Result<FoldPlan, WeightsError> {
        let mut touched: BTreeMap<String, Vec<(usize, &Delta)>> = BTreeMap::new();
        for (index, loaded) in adapters.iter().enumerate() {
            // Keys of layers that this model does not have are reported; part of a change that
            // belongs to one of its layers is never left out.
            if let Some(part) = loaded.adapter.leftovers.iter().find(|left| !left.reason.is_foreign()) {
                let reason = format!("`{}`: {}", part.key, part.reason);
                return Err(WeightsError::Delta { adapter: loaded.file.name.clone(), reason });
            }
            for delta in &loaded.adapter.deltas {
                touched.entry(delta.tensor()).or_default().push((index, delta));
            }
        }
        let mut builder = Builder::new("folds");
        let mut scalars: Vec<(usize, Component, String)> = Vec::new();
        for (name, deltas) in &touched {
            let refuse = |adapter: usize, reason: String| WeightsError::Delta {
                adapter: adapters[adapter].file.name.clone(),
                reason,
            };
            let (first, _) = deltas[0];
            let shape = checkpoint
                .shape(name)
                .ok_or_else(|| refuse(first, format!("it changes `{name}`, which the model does not have")))?;
            let storage = stored(name).ok_or_else(|| {
                refuse(first, format!("it changes `{name}`, which this program does not keep in graphics memory"))
            })?;
            if let Some((adapter, misfit)) = deltas.iter().find(|(_, delta)| !delta.fits(shape)) {
                let found = misfit.change.shape();
                let reason = format!(
                    "its change of `{name}` has shape {found:?}, the model's tensor {shape:?}: it was made for another base model"
                );
                return Err(refuse(*adapter, reason));
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
                let whose = (*index, delta.component, block(delta.component, &delta.module));
                let scalar = builder.scalar(&format!("{index} {} {}", whose.1, whose.2));
                if scalar.0 == scalars.len() {
                    scalars.push(whose);
                }
                let folded = delta.fold(&mut builder, value, scalar, &prefix(*index));
                value = folded.map_err(|error| refuse(*index, format!("its change cannot be computed: {error}")))?;
            }
            if storage != Storage::F32 {
                // The sum is formed in f32 and rounded once.
                value = builder.push(Narrow { storage }, &[value], name)?;
            }
            builder.output(name, value);
        }
        Ok(FoldPlan { plan: builder.finish(), scalars })
    }
}

/// Bytes of graphics memory that these adapters take beside the weights of the plans that they change:
/// pristine copies, factors, and the folds' temporaries and parameters.
pub fn fold_bytes(
    checkpoint: &Checkpoint,
    adapters: &[&LoadedAdapter],
    plans: &[&Plan],
    means: DeviceCaps,
) -> Result<u64, WeightsError> {
    if adapters.is_empty() {
        return Ok(0);
    }
    let mut stored: BTreeMap<&str, Storage> = BTreeMap::new();
    for plan in plans {
        let storages = checkpoint.storages(plan, means.f16_weights)?;
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
    Ok(weights + Arena::bytes(&[&folds], means) + Runner::params_bytes(&folds, means))
}

/// Stands before the keys of the adapter with this index.
pub(super) fn prefix(index: usize) -> String {
    format!("adapter{index}/")
}
