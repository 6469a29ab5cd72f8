//! Plans that are ready to run on a device.

use super::{Device, DeviceError, Pause, Tensor, on_cpu, on_gpu};
use crate::gpu::{Gpu, GpuError, KernelConfig};
use crate::plan::{Part, Plan, PlanError};
use crate::{cpu, gpu};
use std::rc::Rc;

/// Buffers for the temporaries of plans that never run concurrently.
pub enum Arena {
    /// In GPU memory.
    Gpu(gpu::Arena),
    /// In host memory.
    Cpu(cpu::Arena),
}

impl Arena {
    /// Allocates buffers that are large enough for each of these plans.
    pub async fn new(device: &Device, config: &KernelConfig, plans: &[&Plan]) -> Result<Arena, DeviceError> {
        Ok(match device {
            Device::Gpu(gpu) => Arena::Gpu(gpu::Arena::new(gpu, config, plans).await?),
            Device::Cpu(_) => Arena::Cpu(cpu::Arena::new(plans)),
        })
    }

    /// Returns whether another plan's temporaries fit its buffers.
    pub fn fits(&self, plan: &Plan) -> bool {
        match self {
            Arena::Gpu(arena) => arena.fits(plan),
            Arena::Cpu(arena) => arena.fits(plan),
        }
    }
}

/// A plan with its tensors on a device.
pub enum Runner {
    /// On a GPU.
    Gpu(Rc<Gpu>, gpu::Runner),
    /// On the CPU.
    Cpu(Pause, cpu::Runner),
}

impl Runner {
    /// Prepares a plan. `resident` returns weights by name, and tensors to use as inputs and outputs; those inputs and
    /// outputs for which it returns None are allocated.
    pub async fn new(
        device: &Device,
        config: &KernelConfig,
        plan: &Plan,
        resident: &dyn Fn(&str) -> Option<Tensor>,
    ) -> Result<Runner, DeviceError> {
        let arena = Arena::new(device, config, &[plan]).await?;
        Runner::with_arena(device, plan, resident, &arena).await
    }

    /// Like [`Runner::new`], with temporaries in an arena that several plans share and that they fit.
    pub async fn with_arena(
        device: &Device,
        plan: &Plan,
        resident: &dyn Fn(&str) -> Option<Tensor>,
        arena: &Arena,
    ) -> Result<Runner, DeviceError> {
        match (device, arena) {
            (Device::Gpu(gpu), Arena::Gpu(arena)) => {
                let runner = gpu::Runner::with_arena(gpu, plan, &on_gpu(resident), arena).await?;
                Ok(Runner::Gpu(gpu.clone(), runner))
            }
            (Device::Cpu(pause), Arena::Cpu(arena)) => {
                Ok(Runner::Cpu(pause.clone(), cpu::Runner::new(plan, &on_cpu(resident), arena)?))
            }
            _ => Err(other_arena(plan)),
        }
    }

    /// Like [`Runner::with_arena`], for a part of a plan that shares the arena.
    pub async fn of_part(
        device: &Device,
        part: &Part,
        resident: &dyn Fn(&str) -> Option<Tensor>,
        arena: &Arena,
    ) -> Result<Runner, DeviceError> {
        match (device, arena) {
            (Device::Gpu(gpu), Arena::Gpu(arena)) => {
                let runner = gpu::Runner::of_part(gpu, part, &on_gpu(resident), arena).await?;
                Ok(Runner::Gpu(gpu.clone(), runner))
            }
            (Device::Cpu(pause), Arena::Cpu(arena)) => {
                Ok(Runner::Cpu(pause.clone(), cpu::Runner::of_part(part, &on_cpu(resident), arena)?))
            }
            _ => Err(other_arena(&part.plan)),
        }
    }

    /// Returns whether any product multiplies in f16.
    pub fn uses_f16_math(&self) -> bool {
        match self {
            Runner::Gpu(_, runner) => runner.uses_f16_math,
            Runner::Cpu(..) => false,
        }
    }

    /// Returns the floating-point operations of one run.
    pub fn flops(&self) -> u64 {
        match self {
            Runner::Gpu(_, runner) => runner.flops(),
            Runner::Cpu(_, runner) => runner.flops(),
        }
    }

    /// Returns the number of elements of an input.
    pub fn len(&self, input: &str) -> Option<u64> {
        match self {
            Runner::Gpu(_, runner) => runner.len(input),
            Runner::Cpu(_, runner) => runner.len(input),
        }
    }

    /// Writes an input.
    pub fn set(&self, name: &str, data: &[f32]) -> Result<(), DeviceError> {
        match self {
            Runner::Gpu(gpu, runner) => Ok(runner.set(gpu, name, data)?),
            Runner::Cpu(_, runner) => Ok(runner.set(name, data)?),
        }
    }

    /// Writes the run-time scalars, in the plan's order.
    pub fn set_scalars(&self, scalars: &[f32]) {
        match self {
            Runner::Gpu(gpu, runner) => runner.set_scalars(gpu, scalars),
            Runner::Cpu(_, runner) => runner.set_scalars(scalars),
        }
    }

    /// Returns the tensor of an output.
    pub fn output(&self, name: &str) -> Option<Tensor> {
        match self {
            Runner::Gpu(gpu, runner) => runner.output(name).map(|tensor| Tensor::Gpu(gpu.clone(), tensor.clone())),
            Runner::Cpu(_, runner) => runner.output(name).map(Tensor::Cpu),
        }
    }

    /// Runs the plan; a GPU may still be running it afterwards.
    pub fn run(&self) -> Result<(), DeviceError> {
        match self {
            Runner::Gpu(gpu, runner) => runner.run(gpu),
            Runner::Cpu(_, runner) => runner.run()?,
        }
        Ok(())
    }

    /// Runs the plan and reads an output. Calls `on_portion` after each finished portion of the work, which takes about
    /// 80 ms, at least a step; an error from it cancels the run.
    pub async fn compute_cancellable<E: From<GpuError> + From<PlanError>>(
        &self,
        output: &str,
        on_portion: &mut dyn FnMut() -> Result<(), E>,
    ) -> Result<Vec<f32>, E> {
        match self {
            Runner::Gpu(gpu, runner) => runner.compute_cancellable(gpu, output, on_portion).await,
            Runner::Cpu(_, runner) => {
                let missing = || PlanError::Missing { plan: "this plan".into(), name: output.into() };
                let tensor = runner.output(output).ok_or_else(missing)?;
                self.run_cancellable(on_portion).await?;
                Ok(tensor.read())
            }
        }
    }

    /// Runs the plan and calls `on_portion` as [`Runner::compute_cancellable`] does; a GPU may still be running its last
    /// portion afterwards.
    pub async fn run_cancellable<E: From<GpuError> + From<PlanError>>(
        &self,
        on_portion: &mut dyn FnMut() -> Result<(), E>,
    ) -> Result<(), E> {
        match self {
            Runner::Gpu(gpu, runner) => runner.run_cancellable(gpu, on_portion).await,
            Runner::Cpu(pause, runner) => {
                for step in 0..runner.steps() {
                    runner.run_step(step)?;
                    if pause.if_due().await {
                        on_portion()?;
                    }
                }
                Ok(())
            }
        }
    }

    /// Finds the first step whose output contains NaN or infinity, or an input that does, for the inputs of the last run.
    pub async fn find_non_finite(&self) -> Result<Option<String>, DeviceError> {
        match self {
            Runner::Gpu(gpu, runner) => Ok(runner.find_non_finite(gpu).await?),
            Runner::Cpu(_, runner) => Ok(runner.find_non_finite()?),
        }
    }
}

/// Error of a plan whose arena is on another device.
fn other_arena(plan: &Plan) -> DeviceError {
    PlanError::Missing { plan: plan.name.clone(), name: "an arena on the same device".into() }.into()
}
