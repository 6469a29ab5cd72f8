//! Keys that change nothing in any network, proven from their names and data: training state, scales of nothing, zeros,
//! and copies of used tensors; and halves of pairs. Only these are removed by a fix; whether another program needs an
//! unknown key is unknown.

use super::error::EditError;
use super::open::Opened;
use crate::adapters::{Group, Leftover, LeftoverReason};
use crate::formats::{COPY_BLOCK, Dtype, TensorInfo};
use crate::model::spelling::{self, Role};
use std::collections::{BTreeMap, BTreeSet};

/// Starts of keys that hold the state of a training run.
const STATE_STARTS: [&str; 3] = ["optimizer.", "optimizer_state.", "lr_scheduler."];
/// Ends of keys of an optimizer's moments (torch.optim.Adam, SGD) and of buffers that are no parameters: the counter of
/// a batch norm, the positions of a text encoder.
const STATE_ENDS: [&str; 6] =
    [".exp_avg", ".exp_avg_sq", ".max_exp_avg_sq", ".momentum_buffer", ".num_batches_tracked", ".position_ids"];

/// Returns whether a key holds the state of a training run or a constant buffer, neither of which a loader applies.
fn is_training_state(key: &str) -> bool {
    STATE_STARTS.iter().any(|start| key.starts_with(start)) || STATE_ENDS.iter().any(|end| key.ends_with(end))
}

/// Returns the leftover keys of a file that change nothing in any network. Reads their data, and that of the tensors
/// that they copy.
pub(super) async fn inert_keys(opened: &Opened<'_>) -> Result<BTreeSet<String>, EditError> {
    let leftovers = &opened.adapter.leftovers;
    let mut inert = BTreeSet::new();
    let mut stems: BTreeMap<&str, Vec<(&TensorInfo, Role)>> = BTreeMap::new();
    let mut copied_stems: BTreeMap<&str, &str> = BTreeMap::new();
    for left in leftovers {
        let Some(tensor) = opened.header.get(&left.key) else { continue };
        match spelling::split(&left.key) {
            _ if is_training_state(&left.key) => {
                inert.insert(left.key.clone());
            }
            None if left.reason == LeftoverReason::UnknownName && is_zero(opened, tensor).await? => {
                inert.insert(left.key.clone());
            }
            None => {}
            Some((stem, suffix)) if left.reason == LeftoverReason::DuplicateRole => {
                let first = opened.group_of_stem(stem).and_then(|group| group.get(suffix.role));
                if let Some(first) = first
                    && is_copy(opened, tensor, first).await?
                {
                    inert.insert(left.key.clone());
                }
            }
            Some((stem, suffix)) => {
                stems.entry(stem).or_default().push((tensor, suffix.role));
                if let LeftoverReason::LayerTaken { by } = &left.reason {
                    copied_stems.insert(stem, by);
                }
            }
        }
    }
    for (stem, tensors) in stems {
        let whole = opened.group_of_stem(stem).filter(|group| group.tensors.len() == tensors.len());
        let Some(group) = whole else { continue };
        let copied = copied_stems.get(stem).and_then(|by| opened.group_of_stem(by));
        let is_inert = match copied {
            Some(original) => is_copy_of(opened, group, original).await?,
            None => is_zero_change(opened, group).await?,
        };
        if is_inert {
            inert.extend(tensors.iter().map(|(tensor, _)| tensor.name.clone()));
        }
    }
    Ok(inert)
}

/// Returns the leftover keys of layers that have one half of a pair, from which no program can compute a change.
pub(super) fn half_pairs(opened: &Opened) -> Vec<String> {
    let is_of_pair = |role: &Role| {
        matches!(
            role,
            Role::Up | Role::Down | Role::Mid | Role::Alpha | Role::Scale | Role::DoraScale | Role::Magnitude
        )
    };
    let is_half = |left: &&Leftover| {
        let group = spelling::split(&left.key).and_then(|(stem, _)| opened.group_of_stem(stem));
        let is_pair = group.is_some_and(|group| group.tensors.keys().all(is_of_pair));
        matches!(left.reason, LeftoverReason::Incomplete { .. }) && is_pair
    };
    opened.adapter.leftovers.iter().filter(is_half).map(|left| left.key.clone()).collect()
}

/// Returns whether a layer's tensors are only scales, or a LoRA pair with a factor of zeros.
async fn is_zero_change(opened: &Opened<'_>, group: &Group) -> Result<bool, EditError> {
    let is_scale = |role: &Role| matches!(role, Role::Alpha | Role::Scale);
    let is_pair = |role: &Role| is_scale(role) || matches!(role, Role::Up | Role::Down | Role::Mid);
    if group.tensors.keys().all(is_scale) {
        return Ok(true);
    }
    if !group.tensors.keys().all(is_pair) {
        return Ok(false);
    }
    for role in [Role::Up, Role::Down] {
        if let Some(factor) = group.get(role)
            && is_zero(opened, factor).await?
        {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Returns whether two groups have the same tensors, element by element.
async fn is_copy_of(opened: &Opened<'_>, group: &Group, original: &Group) -> Result<bool, EditError> {
    if group.peft != original.peft || !group.tensors.keys().eq(original.tensors.keys()) {
        return Ok(false);
    }
    for (a, b) in group.tensors.values().zip(original.tensors.values()) {
        if !is_copy(opened, a, b).await? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Returns whether two tensors have the same dtype, shape and bytes.
async fn is_copy(opened: &Opened<'_>, a: &TensorInfo, b: &TensorInfo) -> Result<bool, EditError> {
    if a.dtype != b.dtype || a.shape != b.shape {
        return Ok(false);
    }
    let failed = |error: std::io::Error| opened.unreadable(error.into());
    let (mut left, mut right) = (a.blocks(&opened.source, COPY_BLOCK), b.blocks(&opened.source, COPY_BLOCK));
    loop {
        match (left.next().await.map_err(failed)?, right.next().await.map_err(failed)?) {
            (None, None) => return Ok(true),
            (a, b) if a != b => return Ok(false),
            _ => {}
        }
    }
}

/// Returns whether a tensor of floating-point numbers has elements and all of them are 0.
async fn is_zero(opened: &Opened<'_>, tensor: &TensorInfo) -> Result<bool, EditError> {
    if tensor.elements() == 0 || !matches!(tensor.dtype, Dtype::F64 | Dtype::F32 | Dtype::F16 | Dtype::BF16) {
        return Ok(false);
    }
    let failed = |error: std::io::Error| opened.unreadable(error.into());
    let mut blocks = tensor.blocks(&opened.source, COPY_BLOCK);
    while let Some(block) = blocks.next().await.map_err(failed)? {
        if block.iter().any(|byte| *byte != 0) {
            return Ok(false);
        }
    }
    Ok(true)
}
