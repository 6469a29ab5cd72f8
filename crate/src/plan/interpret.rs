//! CPU interpreter of plans: the oracle of the GPU runner, and the fallback for folding deltas without
//! a GPU.

use super::{Plan, PlanError, Source, ValueId};
use crate::num::host_len;
use crate::ops::View;
use std::collections::BTreeMap;

/// Runs the plan and returns its outputs by name. `tensors` provides inputs and weights by name, in
/// the plan's layout.
pub fn interpret(
    plan: &Plan,
    tensors: &mut dyn FnMut(&str) -> Option<Vec<f32>>,
    scalars: &[f32],
) -> Result<BTreeMap<String, Vec<f32>>, PlanError> {
    let requested: Vec<ValueId> = plan.outputs.iter().map(|&(_, id)| id).collect();
    let mut values = interpret_values(plan, tensors, scalars, &requested)?;
    Ok(plan.outputs.iter().filter_map(|(name, id)| Some((name.clone(), values.remove(id)?))).collect())
}

/// Runs the plan and returns the `requested` tensors; all others are dropped after their last use.
pub fn interpret_values(
    plan: &Plan,
    tensors: &mut dyn FnMut(&str) -> Option<Vec<f32>>,
    scalars: &[f32],
    requested: &[ValueId],
) -> Result<BTreeMap<ValueId, Vec<f32>>, PlanError> {
    let last_use = plan.last_uses();
    let mut live: BTreeMap<ValueId, Vec<f32>> = BTreeMap::new();
    for (index, step) in plan.steps.iter().enumerate() {
        for &id in &step.inputs {
            if let std::collections::btree_map::Entry::Vacant(slot) = live.entry(id) {
                slot.insert(fetch(plan, id, tensors)?);
            }
        }
        let shapes = plan.input_shapes(step);
        let inputs: Vec<View> =
            step.inputs.iter().zip(&shapes).map(|(id, &shape)| View { data: &live[id], shape }).collect();
        let mut output = vec![0.0; host_len(plan.value(step.output).numel())];
        step.op.get().run(&inputs, scalars, &mut output);
        live.insert(step.output, output);
        live.retain(|id, _| requested.contains(id) || last_use[id.0].is_none_or(|last| last > index));
    }
    for &id in requested {
        if !matches!(plan.value(id).source, Source::Step(_)) && !live.contains_key(&id) {
            live.insert(id, fetch(plan, id, tensors)?);
        }
    }
    live.retain(|id, _| requested.contains(id));
    Ok(live)
}

fn fetch(plan: &Plan, id: ValueId, tensors: &mut dyn FnMut(&str) -> Option<Vec<f32>>) -> Result<Vec<f32>, PlanError> {
    let value = plan.value(id);
    let name = match &value.source {
        Source::Input(name) | Source::Weight { name, .. } => name,
        Source::Concatenated(parts) => {
            let parts = parts.iter().map(|&part| fetch(plan, part, tensors)).collect::<Result<Vec<_>, _>>()?;
            return Ok(parts.concat());
        }
        Source::Step(_) => {
            return Err(PlanError::Missing { plan: plan.name.clone(), name: plan.display_name(id) });
        }
    };
    let data = tensors(name).ok_or_else(|| PlanError::Missing { plan: plan.name.clone(), name: name.clone() })?;
    let (found, expected) = (data.len() as u64, value.numel());
    if found != expected {
        return Err(PlanError::Length { plan: plan.name.clone(), name: name.clone(), found, wanted: expected });
    }
    Ok(data)
}
