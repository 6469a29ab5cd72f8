//! Where plans run: on a GPU or on the CPU. Everything above this module is independent of which.

mod runner;
mod speed;
mod tensor;

pub use runner::{Arena, Runner};
pub use tensor::Tensor;

use crate::gpu::{BenchBudget, Gpu, GpuError};
use crate::num::numel;
use crate::ops::Storage;
use crate::plan::PlanError;
use crate::{cpu, gpu};
use std::cell::Cell;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;
use web_time::Instant;

/// A device that runs plans.
#[derive(Clone)]
pub enum Device {
    /// A GPU.
    Gpu(Rc<Gpu>),
    /// The CPU.
    Cpu(Pause),
}

/// Time after which a CPU pauses and asks whether to go on.
const PORTION: Duration = Duration::from_millis(80);

/// What a CPU does between two portions of work: in a browser, it lets the worker receive messages.
#[derive(Clone)]
pub struct Pause {
    pause: Rc<dyn Fn() -> LocalFuture>,
    /// End of the last pause, of whatever plan.
    last: Rc<Cell<Instant>>,
}

type LocalFuture = Pin<Box<dyn Future<Output = ()>>>;

impl Pause {
    /// Awaits the future that `pause` returns, between two portions of work.
    pub fn new<F: Future<Output = ()> + 'static>(pause: impl Fn() -> F + 'static) -> Pause {
        Pause { pause: Rc::new(move || Box::pin(pause())), last: Rc::new(Cell::new(Instant::now())) }
    }

    /// Pauses after each portion of work, also if that is many short runs of plans; returns whether it did.
    async fn if_due(&self) -> bool {
        let is_due = self.last.get().elapsed() >= PORTION;
        if is_due {
            (self.pause)().await;
            self.last.set(Instant::now());
        }
        is_due
    }
}

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
    /// Returns the CPU of a program whose thread has nothing else to do.
    pub fn cpu() -> Device {
        Device::Cpu(Pause::new(|| std::future::ready(())))
    }

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
            Device::Cpu(_) => Tensor::Cpu(cpu::Tensor::new(len, storage)),
        })
    }

    /// Allocates an f32 tensor of zeros; errors name `what`.
    pub async fn zeros(&self, what: &str, len: u64) -> Result<Tensor, DeviceError> {
        self.tensor(what, len, Storage::F32).await
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
            Device::Cpu(_) => {
                let lengths: Vec<u64> = parts.iter().map(|(_, len)| *len).collect();
                cpu::Tensor::contiguous_parts(&lengths, storage).into_iter().map(Tensor::Cpu).collect()
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
        Tensor::Cpu(_) => None,
    }
}

/// Returns the CPU's tensors among those that `resident` returns.
fn on_cpu(resident: &dyn Fn(&str) -> Option<Tensor>) -> impl Fn(&str) -> Option<cpu::Tensor> {
    move |name| match resident(name)? {
        Tensor::Cpu(tensor) => Some(tensor),
        Tensor::Gpu(..) => None,
    }
}
