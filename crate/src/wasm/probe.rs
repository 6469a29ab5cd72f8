//! Single operations and networks run on given inputs, for the browser tests.

use super::convert::{failure, from_js, refused, to_js};
use super::device::{Device, cpu};
use super::engine::{Engine, Opened};
use crate::device;
use crate::gpu::{F16_VARIANT, KernelConfig, Runner, Style, TileChoice, Winograd};
use crate::num::to_f32;
use crate::ops::{Matmul, Op, Prologue, Storage};
use crate::pipeline::{Network, PipelineError, Recipe, Shape};
use crate::plan::{Builder, Layout, Plan, interpret};
use js_sys::{Array, Float32Array, Object, Reflect};
use std::collections::BTreeMap;
use wasm_bindgen::prelude::*;

#[wasm_bindgen]
impl Engine {
    /// Runs one operation with its kernels and with its reference definition: `{tiled, direct, cpu, definition}`;
    /// for a convolution also `winograd` if supported, for a norm also `subgroups` if the device has them.
    pub async fn probe_op(
        &self,
        op: JsValue,
        shapes: JsValue,
        inputs: Array,
        scalars: Vec<f32>,
    ) -> Result<JsValue, JsValue> {
        let op: Op = from_js("the operation", op)?;
        let shapes: Vec<Vec<usize>> = from_js("the shapes", shapes)?;
        let inputs: Vec<Vec<f32>> = inputs.iter().map(|data| Float32Array::unchecked_from_js(data).to_vec()).collect();
        let mut builder = Builder::new("probe");
        let ids: Vec<_> = shapes.iter().enumerate().map(|(i, shape)| builder.input(&format!("x{i}"), shape)).collect();
        for index in 0..scalars.len() {
            builder.scalar(&index.to_string());
        }
        let output = builder.push(op, &ids, "probe").map_err(|error| failure("recipe", error.to_string()))?;
        builder.output("y", output);
        let plan = builder.finish();
        let Device { gpu, config: device_config } = self.device().await?;
        let result = Object::new();
        let is_convolution = matches!(plan.steps[0].op, Op::Conv2d(_));
        let winograd = is_convolution.then_some(("winograd", Style::Tiled, TileChoice::Rule));
        let is_norm = matches!(plan.steps[0].op, Op::GroupNorm(_) | Op::LayerNorm(_) | Op::Moments(_));
        let uses_subgroups = is_norm && device_config.subgroups;
        let subgroups = uses_subgroups.then_some(("subgroups", Style::Tiled, TileChoice::Forced(1)));
        let variants = [
            ("tiled", Style::Tiled, device_config.tiles.clone()),
            ("direct", Style::Untiled, device_config.tiles.clone()),
        ];
        for (name, style, tiles) in variants.into_iter().chain(winograd).chain(subgroups) {
            let plan = Plan { allows_winograd: name == "winograd", ..plan.clone() };
            let config = KernelConfig { style, tiles, winograd: Winograd::MinChannels(0), ..device_config.clone() };
            let bind_groups_before = gpu.resource_stats().bind_groups;
            let runner = Runner::new(&gpu, &config, &plan, &|_| None).await;
            let runner = runner.map_err(|error| refused(error.into()))?;
            let dispatches = gpu.resource_stats().bind_groups - bind_groups_before;
            if name == "winograd" && dispatches == 1 {
                continue;
            }
            for (i, data) in inputs.iter().enumerate() {
                runner.set(&gpu, &format!("x{i}"), data).map_err(|error| refused(error.into()))?;
            }
            runner.set_scalars(&gpu, &scalars);
            let output = runner.compute(&gpu, "y").await.map_err(|error| refused(error.into()))?;
            Reflect::set(&result, &name.into(), &Float32Array::from(output.as_slice()))?;
        }
        let on_cpu = run_on_cpu(&plan, &inputs, &scalars).await.map_err(refused)?;
        Reflect::set(&result, &"cpu".into(), &Float32Array::from(on_cpu.as_slice()))?;
        let mut input = |name: &str| name[1..].parse::<usize>().ok().map(|i| inputs[i].clone());
        let definition = interpret(&plan, &mut input, &scalars).map_err(|error| refused(error.into()))?;
        Reflect::set(&result, &"definition".into(), &Float32Array::from(definition["y"].as_slice()))?;
        Ok(result.into())
    }

    /// Runs a product whose second input, a matrix, is stored as `storage`, with its kernels in every tile shape and with
    /// its definition: `{definition, cpu, untiled, tiled 0, …}`.
    pub async fn probe_product(
        &self,
        op: JsValue,
        shapes: JsValue,
        inputs: Array,
        storage: JsValue,
    ) -> Result<JsValue, JsValue> {
        let op: Op = from_js("the operation", op)?;
        let shapes: Vec<Vec<usize>> = from_js("the shapes", shapes)?;
        let storage: Storage = from_js("the storage", storage)?;
        let mut inputs: Vec<Vec<f32>> =
            inputs.iter().map(|data| Float32Array::unchecked_from_js(data).to_vec()).collect();
        inputs[1] = storage.rounded(&inputs[1]);
        if let Op::Matmul(Matmul { prologue: Prologue::LayerNorm { .. }, .. }) = op {
            // The last input is the product of the norm's scale and the matrix.
            let sum = |row: &[f32]| row.iter().zip(&inputs[2]).map(|(a, b)| f64::from(a * b)).sum();
            inputs[3] = inputs[1].chunks_exact(inputs[2].len()).map(|row| to_f32(sum(row))).collect();
        }
        let mut builder = Builder::new("probe");
        let ids = shapes.iter().enumerate().map(|(i, shape)| match i {
            1 => builder.weight("x1", shape, Layout::Plain),
            _ => builder.input(&format!("x{i}"), shape),
        });
        let ids: Vec<_> = ids.collect();
        let output = builder.push(op, &ids, "probe").map_err(|error| failure("recipe", error.to_string()))?;
        builder.output("y", output);
        let plan = builder.finish();
        let Device { gpu, config } = self.device().await?;
        let tiled = (0..=F16_VARIANT + 2).map(|at| (format!("tiled {at}"), Style::Tiled, TileChoice::Forced(at)));
        let variants = tiled.chain([("untiled".to_owned(), Style::Untiled, TileChoice::Rule)]);
        let gpu = device::Device::from(gpu);
        let variants = variants.map(|(name, style, tiles)| {
            (name, gpu.clone(), KernelConfig { style, tiles, f16_math: false, ..config.clone() })
        });
        let result = Object::new();
        for (name, device, config) in variants.chain([("cpu".to_owned(), cpu(), KernelConfig::CPU)]) {
            let output = run_product(&device, &config, &plan, &inputs, storage).await.map_err(refused)?;
            Reflect::set(&result, &name.as_str().into(), &Float32Array::from(output.as_slice()))?;
        }
        let mut input = |name: &str| name[1..].parse::<usize>().ok().map(|i| inputs[i].clone());
        let definition = interpret(&plan, &mut input, &[]).map_err(|error| refused(error.into()))?;
        Reflect::set(&result, &"definition".into(), &Float32Array::from(definition["y"].as_slice()))?;
        Ok(result.into())
    }

    /// Returns the resource requirements of each plan for images of this shape: a list of [`PlanRequirements`].
    ///
    /// [`PlanRequirements`]: crate::pipeline::PlanRequirements
    pub async fn probe_plans(&self, shape: JsValue) -> Result<JsValue, JsValue> {
        let shape: Shape = from_js("the shape", shape)?;
        let needs = async |opened: &mut Opened| opened.session.model.plan_needs(shape, &opened.session.config);
        to_js(&self.with_model(needs).await?.map_err(refused)?)
    }

    /// Runs one network of the open model; returns outputs and tapped steps as `{name: Float32Array}`.
    pub async fn probe_network(&self, network: JsValue, inputs: Object, taps: Vec<String>) -> Result<JsValue, JsValue> {
        let network: Network = from_js("the network", network)?;
        let mut arrays = BTreeMap::new();
        for name in Object::keys(&inputs).iter() {
            let data = Float32Array::unchecked_from_js(Reflect::get(&inputs, &name)?).to_vec();
            arrays.insert(name.as_string().unwrap_or_default(), data);
        }
        let outputs = self.with_model(async |opened| opened.session.probe(network, &arrays, &taps).await).await?;
        let result = Object::new();
        for (name, data) in outputs.map_err(refused)? {
            Reflect::set(&result, &name.into(), &Float32Array::from(data.as_slice()))?;
        }
        Ok(result.into())
    }

    /// Uploads the weights of one network of the open model to GPU memory, as the f16 of the file, as on
    /// hardware GPUs. The device keeps f16 weights from then on.
    pub async fn probe_loading(&self, network: JsValue) -> Result<(), JsValue> {
        let network: Network = from_js("the network", network)?;
        let load = async |opened: &mut Opened| {
            opened.session.config.f16_weights = true;
            opened.session.probe_loading(network).await
        };
        self.with_model(load).await?.map_err(refused)
    }

    /// Tunes the GPU kernels of one network of the open model, also on a software rasterizer; returns
    /// [`Engine::tuning`].
    pub async fn probe_tuning(&self, network: JsValue) -> Result<Option<String>, JsValue> {
        let network: Network = from_js("the network", network)?;
        let tuned = self.with_model(async |opened| opened.session.probe_tuning(network).await).await?;
        tuned.map_err(refused)?;
        Ok(self.tuning())
    }

    /// Returns rows of the open model's token embedding table, the input of the text encoder.
    pub async fn probe_tokens(&self, ids: Vec<u32>) -> Result<Float32Array, JsValue> {
        let table = crate::pipeline::token_table(crate::model::Component::TextEncoder);
        let rows = self.with_model(async |opened| opened.session.model.checkpoint.rows(&table, &ids).await).await?;
        Ok(Float32Array::from(rows.map_err(|error| refused(error.into()))?.as_slice()))
    }

    /// Generates the recipe's image as `{latents, image, applied}`; latents and image are channels-last f32.
    pub async fn probe_image(&self, recipe: JsValue) -> Result<JsValue, JsValue> {
        let recipe: Recipe = from_js("the recipe", recipe)?;
        let no_op = js_sys::Function::new_no_args("");
        let generate = async |opened: &mut Opened| self.draw(opened, &recipe, (None, None, false), &no_op).await;
        let generated = self.with_model(generate).await?.map_err(refused)?;
        let result = Object::new();
        Reflect::set(&result, &"latents".into(), &Float32Array::from(generated.latents.as_slice()))?;
        Reflect::set(&result, &"image".into(), &Float32Array::from(generated.image.as_slice()))?;
        Reflect::set(&result, &"applied".into(), &to_js(&generated.applied)?)?;
        Ok(result.into())
    }
}

/// Runs a plan with inputs `x0`, `x2`, …, a weight `x1` and output `y`.
async fn run_product(
    device: &device::Device,
    config: &KernelConfig,
    plan: &Plan,
    inputs: &[Vec<f32>],
    storage: Storage,
) -> Result<Vec<f32>, PipelineError> {
    let matrix = device.tensor("x1", inputs[1].len() as u64, storage).await?;
    matrix.write_at(0, &inputs[1])?;
    let resident = |name: &str| (name == "x1").then(|| matrix.clone());
    let runner = device::Runner::new(device, config, plan, &resident).await?;
    for (i, data) in inputs.iter().enumerate().filter(|(i, _)| *i != 1) {
        runner.set(&format!("x{i}"), data)?;
    }
    runner.compute_cancellable("y", &mut || Ok(())).await
}

/// Runs a plan with inputs `x0`, `x1`, … and output `y` on the CPU.
async fn run_on_cpu(plan: &Plan, inputs: &[Vec<f32>], scalars: &[f32]) -> Result<Vec<f32>, PipelineError> {
    let runner = device::Runner::new(&cpu(), &KernelConfig::CPU, plan, &|_| None).await?;
    for (i, data) in inputs.iter().enumerate() {
        runner.set(&format!("x{i}"), data)?;
    }
    runner.set_scalars(scalars);
    runner.compute_cancellable("y", &mut || Ok(())).await
}
