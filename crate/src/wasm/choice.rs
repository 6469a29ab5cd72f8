//! The choice between GPU and CPU, and the speed of the latter.

use super::convert::{from_js, refused, to_js};
use super::device::{Device, cpu};
use super::engine::Engine;
use crate::device;
use crate::gpu::{BackgroundCompiler, Gpu, KernelConfig};
use crate::num::to_count;
use crate::pipeline::Recipe;
use js_sys::{Function, Promise, Reflect};
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use wasm_bindgen::prelude::*;

#[wasm_bindgen]
impl Engine {
    /// Opens the GPU and returns its [`GpuInfo`](crate::gpu::GpuInfo).
    pub async fn gpu(&self) -> Result<JsValue, JsValue> {
        to_js(self.device().await?.gpu.info())
    }

    /// Chooses the storage of the weights of models that are opened from now on: `auto`, by the bytes that the device is
    /// likely to have (no limit without), `f16`, `q8`, `q4` or `streamed`. `memory_of_two`: bytes that this worker and a
    /// second one may take together on the CPU; no second one without.
    pub fn choose_weights(
        &self,
        choice: JsValue,
        memory: Option<f64>,
        memory_of_two: Option<f64>,
    ) -> Result<(), JsValue> {
        self.memory_of_two.set(memory_of_two.map_or(0, to_count));
        self.chosen_weights.set((from_js("the choice of weights", choice)?, memory.map(to_count)));
        Ok(())
    }

    /// Chooses the device of models that are opened from now on, `gpu` or `cpu`, and opens it.
    pub async fn choose_device(&self, choice: String) -> Result<(), JsValue> {
        let is_cpu = choice == "cpu";
        if !is_cpu {
            self.device().await?;
        }
        self.on_cpu.set(is_cpu);
        Ok(())
    }

    /// Estimates the seconds that a recipe's images take on the CPU, from a measurement; undefined on a GPU, without a
    /// model, and for recipes with a second pass.
    pub async fn estimate(&self, recipe: JsValue) -> Result<Option<f64>, JsValue> {
        let recipe: Recipe = from_js("the recipe", recipe)?;
        if !self.on_cpu.get() || recipe.hires.is_some() {
            return Ok(None);
        }
        let Some(flops) = self.flops(&recipe).map_err(refused)? else { return Ok(None) };
        let speed = match self.cpu_speed.get() {
            Some(speed) => speed,
            None => cpu().flops_per_second(&KernelConfig::CPU).await.map_err(|error| refused(error.into()))?,
        };
        self.cpu_speed.set(Some(speed));
        Ok(Some(flops as f64 / speed))
    }
}

/// The browser's compiler in the background, by the functions of the worker's global scope that start and await it.
struct BrowserCompiler {
    begin: Function,
    finish: Function,
}

impl BrowserCompiler {
    /// Returns it if the worker has it.
    fn find() -> Option<BrowserCompiler> {
        let function = |name: &str| Reflect::get(&js_sys::global(), &name.into()).ok()?.dyn_into::<Function>().ok();
        Some(BrowserCompiler { begin: function("beginPipelines")?, finish: function("finishPipelines")? })
    }
}

impl BackgroundCompiler for BrowserCompiler {
    fn begin(&self) {
        // The function throws nothing.
        self.begin.call0(&JsValue::UNDEFINED).ok();
    }

    fn finish(&self) -> Pin<Box<dyn Future<Output = ()>>> {
        let all = self.finish.call0(&JsValue::UNDEFINED).ok().and_then(|all| all.dyn_into::<Promise>().ok());
        Box::pin(async move {
            if let Some(all) = all {
                wasm_bindgen_futures::JsFuture::from(all).await.ok();
            }
        })
    }
}

impl Engine {
    /// Keeps the CPU's speed in an image, without its preparation, for the next estimates.
    pub(super) fn note_speed(&self, flops: u64, seconds: f64) {
        if seconds > 0.1 {
            self.cpu_speed.set(Some(flops as f64 / seconds));
        }
    }

    /// Opens and tests the GPU, once.
    pub(super) async fn device(&self) -> Result<Device, JsValue> {
        if let Some(device) = self.device.borrow().clone() {
            return Ok(device);
        }
        let gpu = Gpu::open().await.map_err(|error| refused(error.into()))?;
        let subgroups = Reflect::get(&js_sys::global(), &"deviceHasSubgroups".into());
        let subgroups = subgroups.is_ok_and(|has| has.is_truthy());
        let config = KernelConfig { subgroups, ..gpu.default_config() };
        if let Some(compiler) = BrowserCompiler::find() {
            gpu.compile_in_background(Rc::new(compiler));
        }
        let config = gpu.self_test(&config).await.map_err(|error| refused(error.into()))?;
        self.tuning_enabled.set(true);
        let device = Device { gpu: Rc::new(gpu), config }.with_tuning(self.tuning.borrow().clone());
        Ok(self.device.borrow_mut().get_or_insert(device).clone())
    }

    /// Returns the chosen device and the configuration of its kernels.
    pub(super) async fn chosen_device(&self) -> Result<(device::Device, KernelConfig), JsValue> {
        if self.on_cpu.get() {
            return Ok((cpu(), KernelConfig::CPU));
        }
        let Device { gpu, config } = self.device().await?;
        Ok((gpu.into(), config))
    }
}
