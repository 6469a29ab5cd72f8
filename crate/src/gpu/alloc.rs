//! GPU memory allocation for weights. Weights that a plan reads as one tensor share a buffer, one after the other, and
//! each is also a tensor by itself.

use super::device::{Gpu, GpuError, Tensor};
use crate::num::numel;
use crate::ops::Storage;
use crate::plan::Plan;
use std::collections::HashMap;

impl Gpu {
    /// Allocates tensors with the given names and lengths one after the other in a single buffer.
    pub fn allocate_contiguous(&self, parts: &[(&str, u64)], storage: Storage) -> Result<Vec<Tensor>, GpuError> {
        let len = parts.iter().map(|(_, len)| len).sum();
        let names: Vec<&str> = parts.iter().map(|(name, _)| *name).collect();
        let whole = self.tensor_with_storage(&names.join(", "), len, storage)?;
        let mut offset = 0;
        let mut next_part = |&(_, len): &(&str, u64)| {
            let part = Tensor { offset, bytes: self.bytes(len, storage), len, ..whole.clone() };
            offset += part.bytes;
            part
        };
        Ok(parts.iter().map(&mut next_part).collect())
    }

    /// Allocates all weights of a plan. `storage` returns the storage type for a name and shape; weights that are read
    /// as one tensor have the storage type of the first.
    pub fn allocate_weights(
        &self,
        plan: &Plan,
        storage: &dyn Fn(&str, &[usize]) -> Storage,
    ) -> Result<HashMap<String, Tensor>, GpuError> {
        let mut weights = HashMap::new();
        for group in plan.weight_groups() {
            let lengths: Vec<(&str, u64)> = group.iter().map(|(name, shape)| (*name, numel(shape))).collect();
            let tensors = self.allocate_contiguous(&lengths, storage(group[0].0, group[0].1))?;
            weights.extend(lengths.iter().zip(tensors).map(|((name, _), tensor)| ((*name).to_owned(), tensor)));
        }
        Ok(weights)
    }
}

impl Tensor {
    /// Returns `len` elements from index `first` on, which must begin at a multiple of 256 bytes.
    pub fn part(&self, first: u64, len: u64) -> Tensor {
        let (offset, bytes) = (self.offset + self.storage.bytes(first), self.storage.resident(len));
        Tensor { offset, bytes, len, ..self.clone() }
    }

    /// Returns the parts as one tensor, or None if they are not contiguous in one buffer with one storage type.
    pub fn contiguous(parts: &[Tensor]) -> Option<Tensor> {
        let first = parts.first()?;
        let mut whole = Tensor { bytes: 0, len: 0, ..first.clone() };
        for part in parts {
            let is_contiguous = part.buffer == first.buffer && part.offset == first.offset + whole.bytes;
            if !is_contiguous || part.storage != first.storage {
                return None;
            }
            whole.bytes += part.bytes;
            whole.len += part.len;
        }
        Some(whole)
    }
}
