//! The denoiser on a device: with its weights in memory, or with weights that are read from the files in each call.

use crate::device::{Device, DeviceError, Runner, Tensor};
use crate::gpu::GpuError;
use crate::plan::{Part, Plan, Source};
use std::cell::Cell;
use std::collections::HashMap;

/// A plan on a device.
pub enum DenoiserRunner {
    /// With its weights in memory.
    Resident(Runner),
    /// In parts, with the weights of one at a time in memory.
    Streamed(StreamedDenoiser),
}

/// A plan in parts whose weights are read from the files in each run.
pub struct StreamedDenoiser {
    pub(super) parts: Vec<Part>,
    /// Inputs and outputs of the plan.
    pub(super) tensors: HashMap<String, Tensor>,
    /// Whether any product of the last run multiplied in f16.
    pub(super) uses_f16_math: Cell<bool>,
}

impl StreamedDenoiser {
    /// Allocates the inputs and outputs of a plan in `parts`. `resident` returns tensors to use as inputs.
    pub(super) async fn new(
        device: &Device,
        plan: &Plan,
        parts: Vec<Part>,
        resident: &dyn Fn(&str) -> Option<Tensor>,
    ) -> Result<StreamedDenoiser, DeviceError> {
        let mut tensors = HashMap::new();
        let inputs = plan.values.iter().filter_map(|value| match &value.source {
            Source::Input(name) => Some((name, value)),
            _ => None,
        });
        for (name, value) in inputs.chain(plan.outputs.iter().map(|(name, id)| (name, plan.value(*id)))) {
            let tensor = match resident(name) {
                Some(tensor) => tensor,
                None => device.zeros(name, value.numel()).await?,
            };
            tensors.insert(name.clone(), tensor);
        }
        Ok(StreamedDenoiser { parts, tensors, uses_f16_math: Cell::new(false) })
    }
}

impl DenoiserRunner {
    /// Writes an input.
    pub fn set(&self, name: &str, data: &[f32]) -> Result<(), DeviceError> {
        match self {
            DenoiserRunner::Resident(runner) => runner.set(name, data),
            DenoiserRunner::Streamed(denoiser) => {
                let missing = || GpuError::Missing { plan: "the denoiser".into(), name: name.into() };
                denoiser.tensors.get(name).ok_or_else(missing)?.write_at(0, data)
            }
        }
    }

    /// Returns the tensor of an output.
    pub fn output(&self, name: &str) -> Option<Tensor> {
        match self {
            DenoiserRunner::Resident(runner) => runner.output(name),
            DenoiserRunner::Streamed(denoiser) => denoiser.tensors.get(name).cloned(),
        }
    }

    /// Returns whether any product multiplies in f16.
    pub fn uses_f16_math(&self) -> bool {
        match self {
            DenoiserRunner::Resident(runner) => runner.uses_f16_math(),
            DenoiserRunner::Streamed(denoiser) => denoiser.uses_f16_math.get(),
        }
    }
}
