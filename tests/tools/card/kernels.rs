//! Every kernel in every variant: results against the definitions, and times relative to the device's roof.

use super::{BUDGET, Result};
use lora_loupe::bench::{Case as Timed, Prepared, Size, cases as timed_cases, numbers};
use lora_loupe::device::Device;
use lora_loupe::gpu::{F16_VARIANT, Gpu, KernelConfig, RooflinePeak, Style, TOLERANCE_F16, TileChoice, Winograd};
use lora_loupe::ops::Storage;
use lora_loupe::plan::{Plan, Source, interpret};
use lora_loupe_tests::compare::rel_rms;
use lora_loupe_tests::kernels::{KERNEL, reference, run};
use lora_loupe_tests::ops::cases;
use serde_json::{Value, json};
use std::rc::Rc;

/// Largest case whose definition is computed with quantized weights, in operations: it takes a second.
const MAX_DEFINITION: u64 = 500_000_000;

/// A way of running a plan.
struct Variant {
    name: String,
    config: KernelConfig,
    allows_f16: bool,
    allows_winograd: bool,
}

/// Returns the variants that exist of a single operation.
fn variants(operation: &str, config: &KernelConfig) -> Vec<Variant> {
    let plain = |name: &str, config: KernelConfig| Variant {
        name: name.into(),
        config,
        allows_f16: false,
        allows_winograd: false,
    };
    let forced = |index| KernelConfig { style: Style::Tiled, tiles: TileChoice::Forced(index), ..config.clone() };
    let count = match operation {
        "matmul" | "conv2d" | "attention" => F16_VARIANT,
        "group_norm" | "layer_norm" | "moments" if config.subgroups => 2,
        _ => 1,
    };
    let mut list: Vec<Variant> = (0..count).map(|index| plain(&format!("tile {index}"), forced(index))).collect();
    list.push(plain("untiled", KernelConfig { style: Style::Untiled, ..config.clone() }));
    if ["matmul", "conv2d"].contains(&operation) && config.f16_math {
        let f16 = (F16_VARIANT..F16_VARIANT + 3)
            .map(|index| Variant { allows_f16: true, ..plain(&format!("f16 tile {index}"), forced(index)) });
        list.extend(f16);
    }
    if operation == "conv2d" {
        let config = KernelConfig { style: Style::Tiled, winograd: Winograd::MinChannels(0), ..config.clone() };
        list.push(Variant { allows_winograd: true, ..plain("Winograd", config) });
    }
    list
}

impl Variant {
    fn plan(&self, plan: &Plan) -> Plan {
        Plan { allows_f16_math: self.allows_f16, allows_winograd: self.allows_winograd, ..plan.clone() }
    }
}

/// Compares each variant with the definitions: the cases of golden/ops, and products of quantized weights.
pub async fn check(is_small: bool) -> Result<Value> {
    let gpu = Rc::new(Gpu::open().await?);
    let config = gpu.default_config();
    let (mut count, mut wrong, mut worst) = (0, Vec::new(), 0.0_f64);
    let mut judge = |name: String, distance: f64, limit: f64| {
        count += 1;
        worst = worst.max(distance / limit);
        if distance > limit {
            eprintln!("wrong: {name}: {distance:e}");
            wrong.push(json!({ "case": name, "distance": distance, "limit": limit }));
        }
    };
    for case in cases() {
        let wanted = reference(&case);
        for variant in variants(case.plan.steps[0].op.get().name(), &config) {
            let (got, is_f16) = run(&gpu, &variant.config, &variant.plan(&case.plan), &case).await;
            let limit = if is_f16 { TOLERANCE_F16 } else { KERNEL };
            judge(format!("{}, {}", variant.name, case.name), rel_rms(&got, &wanted), limit);
        }
    }
    let device = Device::from(gpu.clone());
    let most = if is_small { MAX_DEFINITION / 5 } else { MAX_DEFINITION };
    let has_weights = |case: &Timed| case.plan.steps.len() == 1 && case.plan.weights().next().is_some();
    let listed = timed_cases(Size::Small, &KernelConfig { f16_weights: false, ..config.clone() })?;
    for case in listed.iter().filter(|case| has_weights(case) && case.plan.flops() <= most) {
        for storage in [Storage::F16, Storage::Bf16, Storage::Q8, Storage::Q4] {
            let wanted = definition(&case.plan, storage)?;
            for variant in variants(case.plan.steps[0].op.get().name(), &config) {
                let prepared = Prepared::new(&device, &variant.config, &variant.plan(&case.plan), storage).await?;
                let limit = if variant.allows_f16 { TOLERANCE_F16 } else { KERNEL };
                let name = format!("{}, {storage:?}, {}", variant.name, case.name);
                judge(name, rel_rms(&prepared.output().await?, &wanted), limit);
            }
        }
    }
    Ok(json!({ "count": count, "wrong": wrong, "largest_share_of_tolerance": worst }))
}

/// Computes a case by the definition, with its matrices rounded to `storage`.
fn definition(plan: &Plan, storage: Storage) -> Result<Vec<f32>> {
    let mut give = |name: &str| {
        let value = plan.values.iter().find(|value| has_name(&value.source, name))?;
        let data = numbers(name, &value.shape);
        let is_matrix = value.shape.len() > 1 && plan.weights().any(|(weight, ..)| weight == name);
        Some(if is_matrix { storage.rounded(&data) } else { data })
    };
    let mut outputs = interpret(plan, &mut give, &[])?;
    outputs.remove(&plan.outputs[0].0).ok_or_else(|| "no output".into())
}

/// Returns whether a value is the input or weight of this name.
fn has_name(source: &Source, wanted: &str) -> bool {
    matches!(source, Source::Input(name) | Source::Weight { name, .. } if name == wanted)
}

/// Times each variant at production shapes.
pub async fn time(is_small: bool, roof: Option<RooflinePeak>) -> Result<Value> {
    let gpu = Rc::new(Gpu::open().await?);
    let device = Device::from(gpu.clone());
    let config = gpu.default_config();
    let size = if is_small { Size::Small } else { Size::Full };
    let mut rows = Vec::new();
    for case in timed_cases(size, &KernelConfig { f16_weights: false, ..config.clone() })? {
        if case.plan.steps.len() > 1 || case.plan.allows_winograd {
            continue;
        }
        for variant in variants(case.plan.steps[0].op.get().name(), &config) {
            for storage in [Storage::F32, Storage::F16, Storage::Q8, Storage::Q4] {
                let has_matrix = case.plan.weights().any(|(_, _, shape)| shape.len() > 1);
                if storage != Storage::F32 && (!has_matrix || is_small) {
                    continue;
                }
                let prepared = Prepared::new(&device, &variant.config, &variant.plan(&case.plan), storage).await?;
                let ms = prepared.time(BUDGET).await?.into_iter().fold(f64::INFINITY, f64::min);
                let rate = case.plan.flops() as f64 / ms / 1e6;
                let share = roof.map(|roof| rate * 1e9 / roof.flops);
                rows.push(json!([case.name, format!("{}, {storage:?}", variant.name), ms, rate, share]));
            }
        }
    }
    Ok(json!({ "rows": rows }))
}
