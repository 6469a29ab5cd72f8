//! Every kernel that Stable Diffusion 1.5 at 512x512 and SDXL at 1024x1024 launch, in every variant that tuning may
//! choose, compiled for AMD cards by Mesa's RADV driver; run by `cargo xtask bench --compiled`. No card is needed, and
//! nothing is measured. Prints the rows as JSON, and estimates of a UNet call.

use lora_loupe::gpu::lower::lower_step;
use lora_loupe::gpu::{F16_VARIANT, KernelConfig, Launch, Scalar, TileChoice, WeightChoice};
use lora_loupe::ops::Storage;
use lora_loupe::pipeline::{ImagePlans, Shape, text_plans};
use lora_loupe::plan::{Plan, Step};
use lora_loupe_tests::imagined;
use lora_loupe_tests::radv::{self, Compiled, Compiler};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::error::Error;
use std::path::Path;
use std::process::{Command, Stdio};

/// Generations of AMD cards, and the names by which versions of RADV know one of each.
const DEVICES: [(&str, &[&str]); 3] =
    [("RDNA2", &["NAVI21"]), ("RDNA3", &["NAVI31", "GFX1100"]), ("Vega", &["VEGA10"])];

/// Storages of weights.
const WEIGHTS: [WeightChoice; 3] = [WeightChoice::F16, WeightChoice::Q8, WeightChoice::Q4];

/// Device of the estimates: an RX 6800, by its published figures. 60 units of 64 lanes at 2.105 GHz (boost), and GDDR6.
const ESTIMATED: &str = "RDNA2";
const FLOPS_PER_SECOND: f64 = 60.0 * 64.0 * 2.0 * 2.105e9;
const BYTES_PER_SECOND: f64 = 512e9;
/// Assumed time from one dispatch to the next.
const SECONDS_PER_DISPATCH: f64 = 5e-6;

/// Prints the table, or compiles for the device of the argument.
pub fn run(arguments: &[&str]) -> Result<(), Box<dyn Error>> {
    match arguments.first() {
        Some(device) => compile(device),
        None => all_devices(),
    }
}

/// Runs this program once per device, since the driver reads the device's name when it is loaded.
fn all_devices() -> Result<(), Box<dyn Error>> {
    let manifest = radv::manifest().ok_or("RADV is not installed (Debian: apt-get install mesa-vulkan-drivers)")?;
    let (mut estimates, mut mesa) = (Value::Null, Value::Null);
    let (mut rows, mut adapters) = (Vec::new(), Vec::new());
    for (device, families) in DEVICES {
        // The driver aborts if it does not know a name.
        let compiled = families.iter().find_map(|family| compiled(&manifest, device, family));
        let output = compiled.ok_or_else(|| format!("the kernels could not be compiled for {device}"))?;
        let table: Value = serde_json::from_slice(&output)?;
        rows.extend(table["rows"].as_array().cloned().unwrap_or_default());
        adapters.extend(table["adapter"].as_str().map(str::to_owned));
        if device == ESTIMATED {
            (estimates, mesa) = (table["estimates"].clone(), table["mesa"].clone());
        }
    }
    println!("{}", json!({ "adapter": adapters.join("; "), "mesa": mesa, "rows": rows, "estimates": estimates }));
    Ok(())
}

/// Runs this program for one device, and returns its output; None if it failed.
fn compiled(manifest: &Path, device: &str, family: &str) -> Option<Vec<u8>> {
    let mut command = Command::new(std::env::current_exe().ok()?);
    command.args(["compiled", device]).env("RADV_FORCE_FAMILY", family);
    command.env("VK_DRIVER_FILES", manifest).env("VK_ICD_FILENAMES", manifest);
    let output = command.stderr(Stdio::inherit()).output().ok()?;
    output.status.success().then_some(output.stdout)
}

/// A pipeline: kernel, variant (constants and operand type).
type Pipeline = (&'static str, String);

fn pipeline(launch: &Launch) -> Pipeline {
    let constants = launch.constants.iter().map(|(name, value)| format!("{name} {value}"));
    let f16 = (launch.operand_type == Scalar::F16).then(|| "f16".to_owned());
    (launch.kernel.name(), constants.chain(f16).collect::<Vec<_>>().join(", "))
}

/// Compiles the kernels of all plans for the device that the environment selects.
fn compile(device: &str) -> Result<(), Box<dyn Error>> {
    let compiler = Compiler::open()?;
    let config = KernelConfig {
        weights: WeightChoice::F16,
        f16_math: true,
        subgroups: true,
        workgroup_memory: 32 << 10,
        ..KernelConfig::BASELINE
    };
    let models = [("SD 1.5 at 512x512", "sd15", 64), ("SDXL at 1024x1024", "sdxl", 128)];
    let mut compiled: BTreeMap<Pipeline, Compiled> = BTreeMap::new();
    let mut estimates = Vec::new();
    for (name, family, latent) in models {
        let shape = Shape {
            images: 1,
            guided: true,
            prompts: 1,
            height: latent,
            width: latent,
            chunks: 1,
            clip_skip: 0,
            encodes_image: true,
        };
        let model = imagined::open(&imagined::shapes(family), &[], &[])?;
        let images = ImagePlans::new(&model, shape, &config)?;
        let texts = text_plans(&model, shape)?;
        for weights in WEIGHTS {
            let config = KernelConfig { weights, ..config.clone() };
            for plan in images.list().into_iter().chain(&texts) {
                let stored = model.checkpoint.storages(plan, &config)?;
                for step in &plan.steps {
                    for launch in launches(plan, step, &stored, &config)? {
                        if let Entry::Vacant(entry) = compiled.entry(pipeline(&launch)) {
                            let result =
                                compiler.compile(&launch).map_err(|error| format!("{:?}: {error}", entry.key()))?;
                            entry.insert(result);
                        }
                    }
                }
            }
        }
        let stored = model.checkpoint.storages(&images.denoiser, &config)?;
        let parts = estimate(&images.denoiser, &stored, &config, &compiled)?;
        estimates.push(json!({ "model": name, "parts": parts }));
    }
    let rows = compiled.iter().map(|((kernel, variant), compiled)| {
        let mut row = json!({ "kernel": kernel, "variant": variant, "device": device });
        let statistics = serde_json::to_value(compiled).unwrap_or_default();
        row.as_object_mut().expect("an object").extend(statistics.as_object().cloned().unwrap_or_default());
        row
    });
    let rows: Vec<Value> = rows.collect();
    let table = json!({ "adapter": compiler.name, "mesa": compiler.mesa, "rows": rows, "estimates": estimates });
    println!("{table}");
    Ok(())
}

/// Returns the launches of a step in all variants.
fn launches(
    plan: &Plan,
    step: &Step,
    stored: &[Storage],
    config: &KernelConfig,
) -> Result<Vec<Launch>, Box<dyn Error>> {
    let choices = (0..F16_VARIANT + 3).map(TileChoice::Forced).chain([TileChoice::Rule]);
    let stored: Vec<Storage> = step.inputs.iter().map(|id| stored[id.0]).collect();
    let mut list = Vec::new();
    for tiles in choices {
        let sequence = lower_step(plan, step, &stored, &KernelConfig { tiles, ..config.clone() })?;
        list.extend(sequence.dispatches.into_iter().map(|dispatch| dispatch.launch));
    }
    Ok(list)
}

/// Estimates the time of a plan's kernels, in milliseconds: the longer of arithmetic at the share of multiply-adds of
/// the kernel's inner loop, and of reading all inputs and writing the output once; plus a constant per dispatch.
fn estimate(
    plan: &Plan,
    stored: &[Storage],
    config: &KernelConfig,
    compiled: &BTreeMap<Pipeline, Compiled>,
) -> Result<BTreeMap<&'static str, [f64; 4]>, Box<dyn Error>> {
    let mut parts: BTreeMap<&'static str, [f64; 4]> = BTreeMap::new();
    for step in &plan.steps {
        let stored: Vec<Storage> = step.inputs.iter().map(|id| stored[id.0]).collect();
        for dispatch in lower_step(plan, step, &stored, config)?.dispatches {
            let share = compiled[&pipeline(&dispatch.launch)].fma;
            let read = step.inputs.iter().zip(&stored).map(|(id, stored)| stored.bytes(plan.value(*id).numel()));
            let bytes = (read.sum::<u64>() + 4 * plan.value(step.output).numel()) as f64;
            let arithmetic = if share > 0.0 { dispatch.flops as f64 / (FLOPS_PER_SECOND * share) } else { 0.0 };
            let seconds = arithmetic.max(bytes / BYTES_PER_SECOND) + SECONDS_PER_DISPATCH;
            let part = parts.entry(dispatch.launch.kernel.name()).or_default();
            let added = [1.0, dispatch.flops as f64 / 1e9, bytes / 1e9, 1e3 * seconds];
            part.iter_mut().zip(added).for_each(|(sum, added)| *sum += added);
        }
    }
    Ok(parts)
}
