//! Where plans run: on a GPU or on the CPU. Everything above this module is independent of which.

mod runner;
mod tensor;

pub use runner::{Arena, Runner};
pub use tensor::Tensor;

use crate::gpu::{BenchBudget, Gpu, GpuError};
use crate::num::numel;
use crate::ops::Storage;
use crate::plan::PlanError;
use crate::{cpu, gpu};
use std::rc::Rc;
use web_time::Instant;

/// A device that runs plans.
#[derive(Clone)]
pub enum Device {
    /// A GPU.
    Gpu(Rc<Gpu>),
    /// The CPU.
    Cpu(Cpu),
}

/// The permission to run plans on the CPU. The page does not use it yet: there it cannot be created, and the compiler
/// leaves out the code of all variants that hold it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Cpu(Permission);

#[cfg(not(all(target_arch = "wasm32", target_os = "unknown")))]
type Permission = ();
#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
type Permission = std::convert::Infallible;

/// Error of a device.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum DeviceError {
    /// The GPU.
    #[error(transparent)]
    Gpu(#[from] GpuError),
    /// A plan whose tensors are missing or do not fit.
    #[error(transparent)]
    Plan(#[from] PlanError),
}

impl From<Rc<Gpu>> for Device {
    fn from(gpu: Rc<Gpu>) -> Device {
        Device::Gpu(gpu)
    }
}

impl Device {
    /// The CPU.
    #[cfg(not(all(target_arch = "wasm32", target_os = "unknown")))]
    pub const CPU: Device = Device::Cpu(Cpu(()));

    /// Returns the GPU, if it is one.
    pub fn gpu(&self) -> Option<&Rc<Gpu>> {
        match self {
            Device::Gpu(gpu) => Some(gpu),
            Device::Cpu(_) => None,
        }
    }

    /// Returns the name for display.
    pub fn name(&self) -> String {
        match self {
            Device::Gpu(gpu) => gpu.info().adapter.clone(),
            Device::Cpu(_) => match crate::simd::threads() {
                1 => "the CPU".into(),
                threads => format!("the CPU ({threads} threads)"),
            },
        }
    }

    /// Allocates a tensor of zeros; errors name `what`.
    pub async fn tensor(&self, what: &str, len: u64, storage: Storage) -> Result<Tensor, DeviceError> {
        Ok(match self {
            Device::Gpu(gpu) => {
                let create = || gpu.tensor_with_storage(what, len, storage);
                Tensor::Gpu(gpu.clone(), gpu.with_error_scopes(what, create).await?)
            }
            Device::Cpu(cpu) => Tensor::Cpu(*cpu, cpu::Tensor::new(len, storage)),
        })
    }

    /// Creates an f32 tensor with these elements; errors name `what`.
    pub async fn upload(&self, what: &str, data: &[f32]) -> Result<Tensor, DeviceError> {
        let tensor = self.tensor(what, numel(&[data.len()]), Storage::F32).await?;
        tensor.write_at(0, data)?;
        Ok(tensor)
    }

    /// Allocates tensors with these names and lengths one after the other in one buffer.
    pub async fn contiguous_parts(&self, parts: &[(&str, u64)], storage: Storage) -> Result<Vec<Tensor>, DeviceError> {
        Ok(match self {
            Device::Gpu(gpu) => {
                let what = parts.first().map_or("weights", |(name, _)| name);
                let tensors = gpu.with_error_scopes(what, || gpu.allocate_contiguous(parts, storage)).await?;
                tensors.into_iter().map(|tensor| Tensor::Gpu(gpu.clone(), tensor)).collect()
            }
            Device::Cpu(cpu) => {
                let lengths: Vec<u64> = parts.iter().map(|(_, len)| *len).collect();
                cpu::Tensor::contiguous_parts(&lengths, storage)
                    .into_iter()
                    .map(|tensor| Tensor::Cpu(*cpu, tensor))
                    .collect()
            }
        })
    }

    /// Waits for all submitted work to finish.
    pub async fn finished(&self) -> Result<(), DeviceError> {
        match self {
            Device::Gpu(gpu) => Ok(gpu.finished().await?),
            Device::Cpu(_) => Ok(()),
        }
    }

    /// Times rounds of a runner in milliseconds.
    pub async fn time(&self, budget: BenchBudget, runner: &Runner) -> Result<Vec<f64>, DeviceError> {
        match (self, runner) {
            (Device::Gpu(gpu), Runner::Gpu(_, runner)) => Ok(gpu.time(budget, &|| runner.run(gpu)).await?),
            _ => {
                let (start, mut rounds) = (Instant::now(), Vec::new());
                while rounds.len() < budget.rounds.max(1) && (rounds.is_empty() || start.elapsed() < budget.limit) {
                    let round = Instant::now();
                    runner.run()?;
                    rounds.push(round.elapsed().as_secs_f64() * 1e3);
                }
                Ok(rounds)
            }
        }
    }
}

/// Returns the GPU's tensors among those that `resident` returns.
fn on_gpu(resident: &dyn Fn(&str) -> Option<Tensor>) -> impl Fn(&str) -> Option<gpu::Tensor> {
    move |name| match resident(name)? {
        Tensor::Gpu(_, tensor) => Some(tensor),
        Tensor::Cpu(..) => None,
    }
}

/// Returns the CPU's tensors among those that `resident` returns.
fn on_cpu(resident: &dyn Fn(&str) -> Option<Tensor>) -> impl Fn(&str) -> Option<cpu::Tensor> {
    move |name| match resident(name)? {
        Tensor::Cpu(_, tensor) => Some(tensor),
        Tensor::Gpu(..) => None,
    }
}
