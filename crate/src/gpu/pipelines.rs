//! Compute pipelines: compiled on first use, or ahead of time, in the background where the platform can.

use super::kernel::{Launch, Scalar};
use super::kernels::Kernel;
use super::wgsl;
use std::cell::RefCell;
use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;

/// Compiles pipelines in the background, several at once, as browsers can.
pub trait BackgroundCompiler {
    /// From now on, pipelines that are created are compiled in the background, and are not usable.
    fn begin(&self);
    /// Ends this. The result is ready when all of them are compiled: created again, they are there at once.
    fn finish(&self) -> Pin<Box<dyn Future<Output = ()>>>;
}

/// Kernel, pipeline constants and type of the operands.
pub(super) type PipelineKey = (Kernel, Vec<(&'static str, u64)>, Scalar);

/// Returns what determines the pipeline of a launch.
pub(super) fn pipeline_key(launch: &Launch) -> PipelineKey {
    let constants = launch.constants.iter().map(|&(name, value)| (name, value.to_bits())).collect();
    (launch.kernel, constants, launch.operand_type)
}

/// The pipelines of a device.
#[derive(Default)]
pub(super) struct Pipelines {
    compiled: RefCell<HashMap<PipelineKey, wgpu::ComputePipeline>>,
    modules: RefCell<HashMap<(Kernel, Scalar), wgpu::ShaderModule>>,
    pub background: RefCell<Option<Rc<dyn BackgroundCompiler>>>,
}

impl Pipelines {
    /// Returns the pipeline of a launch, compiled on first use.
    pub fn get(&self, device: &wgpu::Device, scalar: Scalar, launch: &Launch) -> wgpu::ComputePipeline {
        let key = pipeline_key(launch);
        if let Some(pipeline) = self.compiled.borrow().get(&key) {
            return pipeline.clone();
        }
        let pipeline = self.create(device, scalar, launch);
        self.compiled.borrow_mut().insert(key, pipeline.clone());
        pipeline
    }

    /// Creates the pipeline of a launch without keeping it. A kernel's shader module is made once.
    pub fn create(&self, device: &wgpu::Device, scalar: Scalar, launch: &Launch) -> wgpu::ComputePipeline {
        let mut modules = self.modules.borrow_mut();
        let module = modules.entry((launch.kernel, launch.operand_type)).or_insert_with(|| {
            let text = wgsl::source(launch.kernel, scalar, launch.operand_type);
            device.create_shader_module(wgpu::ShaderModuleDescriptor {
                label: Some(launch.kernel.name()),
                source: wgpu::ShaderSource::Wgsl(text.into()),
            })
        });
        device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: Some(launch.kernel.name()),
            layout: None,
            module,
            entry_point: Some("main"),
            compilation_options: wgpu::PipelineCompilationOptions {
                constants: &launch.constants,
                zero_initialize_workgroup_memory: false,
            },
            cache: None,
        })
    }

    /// Returns whether the pipeline of this key is compiled.
    pub fn contains(&self, key: &PipelineKey) -> bool {
        self.compiled.borrow().contains_key(key)
    }

    /// Returns the number of pipelines compiled so far.
    pub fn count(&self) -> usize {
        self.compiled.borrow().len()
    }
}
