//! Turns the weights of plans into places in graphics memory: those that a plan reads as one tensor
//! lie in one buffer, one after the other, and stay tensors of their own all the same.

use super::device::{Gpu, GpuError, Tensor};
use crate::num::numel;
use crate::ops::Storage;
use crate::plan::Plan;
use std::collections::HashMap;

impl Gpu {
    /// Room for tensors of these names and lengths in one buffer.
    pub fn allocate_contiguous(&self, parts: &[(&str, u64)], storage: Storage) -> Result<Vec<Tensor>, GpuError> {
        let len = parts.iter().map(|(_, len)| len).sum();
        let names: Vec<&str> = parts.iter().map(|(name, _)| *name).collect();
        let whole = self.tensor_stored(&names.join(", "), len, storage)?;
        let mut offset = 0;
        let mut place = |&(_, len): &(&str, u64)| {
            let part = Tensor { offset, bytes: self.bytes(len, storage), len, ..whole.clone() };
            offset += part.bytes;
            part
        };
        Ok(parts.iter().map(&mut place).collect())
    }

    /// Room for all weights of a plan, each as `storage` says by its name and shape; those that are
    /// read as one lie as the first of them does.
    pub fn allocate_weights(
        &self,
        plan: &Plan,
        storage: &dyn Fn(&str, &[usize]) -> Storage,
    ) -> Result<HashMap<String, Tensor>, GpuError> {
        let mut rooms = HashMap::new();
        for parts in plan.concatenated() {
            let lengths: Vec<(&str, u64)> = parts.iter().map(|(name, _, shape)| (*name, numel(shape))).collect();
            let tensors = self.allocate_contiguous(&lengths, storage(parts[0].0, parts[0].2))?;
            rooms.extend(lengths.iter().zip(tensors).map(|((name, _), tensor)| ((*name).to_owned(), tensor)));
        }
        for (name, _, shape) in plan.weights() {
            if !rooms.contains_key(name) {
                let tensor = self.tensor_stored(name, numel(shape), storage(name, shape))?;
                rooms.insert(name.into(), tensor);
            }
        }
        Ok(rooms)
    }
}

impl Tensor {
    /// These tensors as one, where each begins where the one before ends.
    pub fn contiguous(parts: &[Tensor]) -> Option<Tensor> {
        let first = parts.first()?;
        let mut whole = Tensor { bytes: 0, len: 0, ..first.clone() };
        for part in parts {
            let follows = part.buffer == first.buffer && part.offset == first.offset + whole.bytes;
            if !follows || part.storage != first.storage {
                return None;
            }
            whole.bytes += part.bytes;
            whole.len += part.len;
        }
        Some(whole)
    }
}
