//! Benchmarks of a device and of the open model, for `cargo xtask bench` and the page's panel.

use super::convert::{failure, from_js, refused, to_js};
use super::device::cpu;
use super::engine::{Engine, Opened};
use crate::bench::{BUDGET, Case, Prepared, Row, Size, cases, roofline_rows};
use crate::device::Device;
use crate::gpu::{KernelConfig, RooflinePeak};
use crate::pipeline::Recipe;
use js_sys::{Float32Array, Object, Reflect};
use wasm_bindgen::prelude::*;

#[wasm_bindgen]
impl Engine {
    /// Measures the GPU's peak throughput, the reference for later rows.
    pub async fn bench_roof(&self) -> Result<JsValue, JsValue> {
        let gpu = self.device().await?.gpu;
        let roof = gpu.roofline_peak(BUDGET).await.map_err(|error| refused(error.into()))?;
        self.roof.set(Some(roof));
        to_js(&roofline_rows(roof))
    }

    /// Returns the names of a device's benchmarks: small shapes, or with `full` those of published models.
    pub async fn bench_names(&self, full: bool, on_cpu: bool) -> Result<JsValue, JsValue> {
        let (_, config, _) = self.bench_device(on_cpu).await?;
        let names: Vec<String> = bench_cases(full, &config)?.into_iter().map(|case| case.name).collect();
        to_js(&names)
    }

    /// Runs one benchmark, on the GPU after [`Engine::bench_roof`]; returns `{row, output?}`.
    pub async fn bench_case(
        &self,
        full: bool,
        name: String,
        on_cpu: bool,
        with_output: bool,
    ) -> Result<JsValue, JsValue> {
        let (device, config, roof) = self.bench_device(on_cpu).await?;
        let case = bench_cases(full, &config)?.into_iter().find(|case| case.name == name);
        let case = case.ok_or_else(|| failure("recipe", format!("no benchmark is called `{name}`")))?;
        let prepared = Prepared::new(&device, &config, &case.plan, case.storage).await.map_err(refused)?;
        let row = prepared.row("kernels", &case.name, roof).await.map_err(refused)?;
        let result = Object::new();
        Reflect::set(&result, &"row".into(), &to_js(&row)?)?;
        if with_output {
            let output = prepared.output().await.map_err(refused)?;
            Reflect::set(&result, &"output".into(), &Float32Array::from(output.as_slice()))?;
        }
        Ok(result.into())
    }

    /// Times generating a recipe's image with the open model, its stages, and changing the first LoRA's strength.
    pub async fn bench_session(&self, recipe: JsValue) -> Result<JsValue, JsValue> {
        let recipe: Recipe = from_js("the recipe", recipe)?;
        let time = async |opened: &mut Opened| {
            let roof = opened.session.device.gpu().and(self.roof.get());
            let adapter = match recipe.adapters.first() {
                Some(choice) => opened.adapter(&self.files, &choice.sha256).await?,
                None => None,
            };
            Row::of_session(&mut opened.session, &recipe, adapter.as_deref(), roof).await
        };
        to_js(&self.with_model(time).await?.map_err(refused)?)
    }
}

impl Engine {
    /// Returns the device of a benchmark, the configuration of its kernels, and the GPU's peak.
    async fn bench_device(&self, on_cpu: bool) -> Result<(Device, KernelConfig, Option<RooflinePeak>), JsValue> {
        if on_cpu {
            return Ok((cpu(), KernelConfig::CPU, None));
        }
        let open = self.device().await?;
        Ok((open.gpu.into(), open.config, self.roof.get()))
    }
}

fn bench_cases(full: bool, config: &KernelConfig) -> Result<Vec<Case>, JsValue> {
    let size = if full { Size::Full } else { Size::Small };
    cases(size, config).map_err(|error| refused(error.into()))
}
