//! Tensors in the memory of a device.

use super::DeviceError;
use crate::gpu::Gpu;
use crate::ops::Storage;
use crate::plan::PlanError;
use crate::{cpu, gpu};
use std::rc::Rc;

/// A tensor in the memory of a device. Clones share its data.
#[derive(Clone)]
pub enum Tensor {
    /// In GPU memory.
    Gpu(Rc<Gpu>, gpu::Tensor),
    /// In host memory.
    Cpu(cpu::Tensor),
}

impl Tensor {
    /// Returns the number of elements.
    pub fn len(&self) -> u64 {
        match self {
            Tensor::Gpu(_, tensor) => tensor.len,
            Tensor::Cpu(tensor) => tensor.len,
        }
    }

    /// Returns whether it has no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the storage type of the elements.
    pub fn storage(&self) -> Storage {
        match self {
            Tensor::Gpu(_, tensor) => tensor.storage,
            Tensor::Cpu(tensor) => tensor.storage,
        }
    }

    /// Returns `len` elements from index `first` on, which share its data. They must begin where a binding may, unless all
    /// are meant: at a multiple of 256 bytes.
    pub fn part(&self, first: u64, len: u64) -> Tensor {
        match self {
            Tensor::Gpu(gpu, tensor) => Tensor::Gpu(gpu.clone(), tensor.part(first, len)),
            Tensor::Cpu(tensor) => Tensor::Cpu(tensor.part(first, len)),
        }
    }

    /// Returns whether the parts follow each other in one buffer with one storage type.
    pub fn are_contiguous(parts: &[Tensor]) -> bool {
        let gpu =
            parts.iter().filter_map(|part| if let Tensor::Gpu(_, tensor) = part { Some(tensor.clone()) } else { None });
        let cpu =
            parts.iter().filter_map(|part| if let Tensor::Cpu(tensor) = part { Some(tensor.clone()) } else { None });
        let (gpu, cpu): (Vec<_>, Vec<_>) = (gpu.collect(), cpu.collect());
        gpu.is_empty() && cpu::Tensor::contiguous(&cpu).is_some()
            || cpu.is_empty() && gpu::Tensor::contiguous(&gpu).is_some()
    }

    /// Writes elements from index `first` on, converted to the storage type; of 16-bit tensors in GPU memory, whole pairs.
    pub fn write_at(&self, first: u64, data: &[f32]) -> Result<(), DeviceError> {
        match self {
            Tensor::Gpu(gpu, tensor) => Ok(gpu.write_at(tensor, first, data)?),
            Tensor::Cpu(tensor) => Ok(tensor.write_at(first, data)?),
        }
    }

    /// Writes raw bits to an f16 or bf16 tensor from index `first` on; in GPU memory, whole pairs.
    pub fn write_u16_at(&self, first: u64, bits: &[u16]) -> Result<(), DeviceError> {
        match self {
            Tensor::Gpu(gpu, tensor) => Ok(gpu.write_u16_at(tensor, first, bits)?),
            Tensor::Cpu(tensor) => Ok(tensor.write_u16_at(first, bits)?),
        }
    }

    /// Copies the elements of another tensor of the same device, length and storage type.
    pub fn copy_from(&self, from: &Tensor) -> Result<(), DeviceError> {
        match (from, self) {
            (Tensor::Gpu(gpu, from), Tensor::Gpu(_, to)) => Ok(gpu.copy(from, to)?),
            (Tensor::Cpu(from), Tensor::Cpu(to)) => Ok(to.copy_from(from)?),
            _ => Err(PlanError::Missing { plan: "a copy".into(), name: "the device of both tensors".into() }.into()),
        }
    }

    /// Returns the elements as f32, after all work submitted before.
    pub async fn read(&self) -> Result<Vec<f32>, DeviceError> {
        match self {
            Tensor::Gpu(gpu, tensor) => Ok(gpu.read(tensor).await?),
            Tensor::Cpu(tensor) => Ok(tensor.read()),
        }
    }
}
