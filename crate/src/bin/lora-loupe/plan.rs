//! `plan` command: steps, FLOPs and memory of generating an image.

use crate::device::WeightsArgument;
use crate::files;
use crate::generate::{DEMO, PartArguments, open};
use crate::values::size;
use lora_loupe::gpu::{KernelConfig, Runner};
use lora_loupe::pipeline::{MemoryRequirements, Shape};
use lora_loupe::plan::Plan;
use lora_loupe::weights::{LoadedAdapter, TensorFile};
use serde_json::{Value, json};
use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;
use std::rc::Rc;

/// Print the GPU steps and memory of generating an image, one step per line
#[derive(clap::Args)]
pub struct Arguments {
    /// A diffusers folder or a single-file checkpoint (default: the bundled demo model)
    #[arg(long, value_name = "MODEL")]
    model: Option<PathBuf>,
    #[command(flatten)]
    parts: PartArguments,
    /// Width and height in pixels, e.g. 512x512 (default: the model's native size)
    #[arg(long, value_name = "WxH", value_parser = size)]
    size: Option<(usize, usize)>,
    /// UNet batch: 2 per image with CFG; an odd number means images without CFG
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=32))]
    batch: u8,
    /// How the model's weights are stored
    #[arg(long, value_name = "TYPE", value_enum, default_value_t = WeightsArgument::Auto)]
    weights: WeightsArgument,
    /// An adapter to include in the memory estimate; can be repeated
    #[arg(long = "lora", value_name = "FILE")]
    loras: Vec<PathBuf>,
    /// Print one JSON object: the plans' totals and steps, and the memory of one image
    #[arg(long)]
    json: bool,
}

/// Prints the plans of text encoders, UNet and VAE decoder.
pub fn run(arguments: &Arguments) -> Result<ExitCode, Box<dyn Error>> {
    let root = arguments.model.clone().unwrap_or_else(|| DEMO.into());
    let model = pollster::block_on(open(&root, &arguments.parts))?;
    let (width, height) = arguments.size.unwrap_or((model.native_size(), model.native_size()));
    let multiple = model.size_multiple();
    if [width, height].iter().any(|&pixels| pixels == 0 || pixels % multiple != 0) {
        return Err(format!("{width}x{height} is not a valid size: both must be multiples of {multiple}").into());
    }
    let batch = usize::from(arguments.batch);
    let guided = batch.is_multiple_of(2);
    let shape = Shape {
        images: if guided { batch / 2 } else { batch },
        guided,
        prompts: 1,
        height: height / multiple,
        width: width / multiple,
        chunks: 1,
        clip_skip: 0,
        encodes_image: false,
    };
    let config = KernelConfig { weights: arguments.weights.into(), ..KernelConfig::BASELINE };
    let plans = model.plans(shape, &config)?;
    let mut adapters = Vec::new();
    for path in &arguments.loras {
        let (path, config) = files::adapter(path);
        let name = files::name(&path);
        let file = pollster::block_on(TensorFile::open(name.clone(), Rc::new(files::source(&path)?)))?;
        let modules = model.modules();
        adapters.push(pollster::block_on(LoadedAdapter::open(name, file, config.as_deref(), &modules))?);
    }
    let need = model.memory_need(shape, &config, &adapters.iter().collect::<Vec<_>>())?;
    if arguments.json {
        say!("{}", to_json(&plans, need));
        return Ok(ExitCode::SUCCESS);
    }
    for plan in &plans {
        say!("{plan}");
    }
    say!(
        "one image: at most {} bytes of GPU memory: {} weights, {} temporaries, {} inputs, outputs and parameters, {} adapters",
        need.total(),
        need.weights,
        need.temporaries,
        need.others,
        need.adapters
    );
    Ok(ExitCode::SUCCESS)
}

/// Returns plans and memory as JSON; sizes are in bytes.
fn to_json(plans: &[Plan], need: MemoryRequirements) -> Value {
    let plan = |plan: &Plan| {
        let steps = plan.steps.iter().map(|step| {
            let output = &plan.value(step.output).shape;
            let flops = step.op.get().flops(&plan.input_shapes(step), output);
            json!({ "op": step.op.to_string(), "label": step.label, "shape": output, "flops": flops })
        });
        let steps: Vec<Value> = steps.collect();
        let dispatches = Runner::dispatches(plan, &KernelConfig::BASELINE);
        json!({ "name": plan.name, "flops": plan.flops(), "dispatches": dispatches, "temporaries": plan.memory(4).bytes(), "steps": steps })
    };
    let (weights, temporaries, others) = (need.weights, need.temporaries, need.others);
    let memory = json!({
        "total": need.total(), "weights": weights, "temporaries": temporaries, "others": others, "adapters": need.adapters
    });
    json!({ "plans": plans.iter().map(plan).collect::<Vec<_>>(), "memory": memory })
}
