//! Turns a model and a size into its printed plans: steps, operations and memory.

use crate::files;
use crate::generate::{DEMO, open, size};
use lora_loupe::gpu::{DeviceCaps, Runner};
use lora_loupe::pipeline::{MemoryNeed, Shape};
use lora_loupe::plan::Plan;
use lora_loupe::weights::{LoadedAdapter, TensorFile};
use serde_json::{Value, json};
use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;
use std::rc::Rc;

/// Print what drawing a picture asks of the graphics processor, one step a line
#[derive(clap::Args)]
pub struct Arguments {
    /// A diffusers folder or a single-file checkpoint; the bundled demo model if left out
    #[arg(long, value_name = "MODEL")]
    model: Option<PathBuf>,
    /// Pixels, as in 512x512; the model's own size if left out
    #[arg(long, value_name = "WxH", value_parser = size)]
    size: Option<(usize, usize)>,
    /// Items in a batch: 2 a picture with guidance; an odd number means pictures without
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=32))]
    batch: u8,
    /// An adapter that the picture is drawn with, whose memory counts; may be given several times
    #[arg(long = "lora", value_name = "FILE")]
    loras: Vec<PathBuf>,
    /// Print one JSON object: the plans' totals and steps, and the memory of one picture
    #[arg(long)]
    json: bool,
}

/// Prints the plans of text encoders, UNet and decoder.
pub fn run(arguments: &Arguments) -> Result<ExitCode, Box<dyn Error>> {
    let root = arguments.model.clone().unwrap_or_else(|| DEMO.into());
    let model = pollster::block_on(open(&root, None))?;
    let (width, height) = arguments.size.unwrap_or((model.native_size(), model.native_size()));
    let multiple = model.size_multiple();
    if [width, height].iter().any(|&pixels| pixels == 0 || pixels % multiple != 0) {
        return Err(format!("{width}x{height} is no size for this model: both must be multiples of {multiple}").into());
    }
    let batch = usize::from(arguments.batch);
    let guided = batch.is_multiple_of(2);
    let shape = Shape {
        pictures: if guided { batch / 2 } else { batch },
        guided,
        height: height / multiple,
        width: width / multiple,
        chunks: 1,
        clip_skip: 0,
        starts_from_picture: false,
    };
    let plans = model.plans(shape, DeviceCaps::BASELINE)?;
    let mut adapters = Vec::new();
    for path in &arguments.loras {
        let (path, config) = files::adapter(path);
        let name = files::name(&path);
        let file = pollster::block_on(TensorFile::open(name.clone(), Rc::new(files::source(&path)?)))?;
        let modules = model.networks.modules();
        adapters.push(pollster::block_on(LoadedAdapter::open(name, file, config.as_deref(), &modules))?);
    }
    let need = model.memory_need(shape, DeviceCaps::BASELINE, &adapters.iter().collect::<Vec<_>>())?;
    if arguments.json {
        say!("{}", told(&plans, need));
        return Ok(ExitCode::SUCCESS);
    }
    for plan in &plans {
        say!("{plan}");
    }
    say!(
        "one picture: {} bytes of graphics memory at most: {} weights, {} temporaries, {} inputs, outputs and parameters, {} adapters",
        need.total(),
        need.weights,
        need.temporaries,
        need.others,
        need.adapters
    );
    Ok(ExitCode::SUCCESS)
}

/// The same as JSON; sizes are bytes.
fn told(plans: &[Plan], need: MemoryNeed) -> Value {
    let plan = |plan: &Plan| {
        let steps = plan.steps.iter().map(|step| {
            let output = &plan.value(step.output).shape;
            let flops = step.op.get().flops(&plan.input_shapes(step), output);
            json!({ "op": step.op.to_string(), "label": step.label, "shape": output, "flops": flops })
        });
        let steps: Vec<Value> = steps.collect();
        let dispatches = Runner::dispatches(plan, DeviceCaps::BASELINE);
        json!({ "name": plan.name, "flops": plan.flops(), "dispatches": dispatches, "temporaries": plan.memory(4).bytes(), "steps": steps })
    };
    let (weights, temporaries, others) = (need.weights, need.temporaries, need.others);
    let memory = json!({
        "total": need.total(), "weights": weights, "temporaries": temporaries, "others": others, "adapters": need.adapters
    });
    json!({ "plans": plans.iter().map(plan).collect::<Vec<_>>(), "memory": memory })
}
