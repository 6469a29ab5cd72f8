//! Compute pipelines: compiled on first use, or ahead of time, in the background where the platform can.

use super::config::KernelConfig;
use super::device::{Gpu, GpuError};
use super::kernel::{Dispatch, Launch, Scalar};
use super::kernels::Kernel;
use super::tune::lowered;
use super::wgsl;
use crate::ops::Storage;
use crate::plan::Plan;
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
type PipelineKey = (Kernel, Vec<(&'static str, u64)>, Scalar);

/// The pipelines of a device.
#[derive(Default)]
pub(super) struct Pipelines {
    compiled: RefCell<HashMap<PipelineKey, wgpu::ComputePipeline>>,
    modules: RefCell<HashMap<(Kernel, Scalar), wgpu::ShaderModule>>,
    pub(super) background: RefCell<Option<Rc<dyn BackgroundCompiler>>>,
}

fn key(launch: &Launch) -> PipelineKey {
    let constants = launch.constants.iter().map(|&(name, value)| (name, value.to_bits())).collect();
    (launch.kernel, constants, launch.operand_type)
}

impl Gpu {
    /// Compiles pipelines ahead of time with this compiler from now on.
    pub fn compile_in_background(&self, compiler: Rc<dyn BackgroundCompiler>) {
        *self.pipelines.background.borrow_mut() = Some(compiler);
    }

    /// Returns the pipeline of a launch, compiled on first use.
    pub(super) fn pipeline(&self, launch: &Launch) -> wgpu::ComputePipeline {
        let key = key(launch);
        if let Some(pipeline) = self.pipelines.compiled.borrow().get(&key) {
            return pipeline.clone();
        }
        let pipeline = self.create_pipeline(launch);
        self.pipelines.compiled.borrow_mut().insert(key, pipeline.clone());
        pipeline
    }

    fn create_pipeline(&self, launch: &Launch) -> wgpu::ComputePipeline {
        let mut modules = self.pipelines.modules.borrow_mut();
        let module = modules.entry((launch.kernel, launch.operand_type)).or_insert_with(|| {
            let text = wgsl::source(launch.kernel, self.scalar(), launch.operand_type);
            self.device.create_shader_module(wgpu::ShaderModuleDescriptor {
                label: Some(launch.kernel.name()),
                source: wgpu::ShaderSource::Wgsl(text.into()),
            })
        });
        self.device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
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

    /// Returns the number of pipelines compiled so far.
    pub fn pipeline_count(&self) -> usize {
        self.pipelines.compiled.borrow().len()
    }

    /// Compiles the pipelines of these plans ahead of time. Each plan comes with the storage types of its values. Without
    /// a compiler in the background they are compiled one by one, so that cancellation and other work wait for at most one.
    pub async fn warm(&self, config: &KernelConfig, plans: &[(&Plan, &[Storage])]) -> Result<(), GpuError> {
        let mut launches: HashMap<PipelineKey, Launch> = HashMap::new();
        for (plan, storages) in plans {
            for step in &plan.steps {
                let stored: Vec<Storage> = step.inputs.iter().map(|id| storages[id.0]).collect();
                for Dispatch { launch, .. } in lowered(plan, step, &stored, config)?.dispatches {
                    launches.insert(key(&launch), launch);
                }
            }
        }
        launches.retain(|key, _| !self.pipelines.compiled.borrow().contains_key(key));
        let background = self.pipelines.background.borrow().clone();
        if let Some(compiler) = background {
            compiler.begin();
            for launch in launches.values() {
                self.create_pipeline(launch);
            }
            compiler.finish().await;
        }
        for launch in launches.values() {
            self.with_error_scopes(launch.kernel.name(), || Ok(self.pipeline(launch))).await?;
            self.finished().await?;
        }
        Ok(())
    }
}
