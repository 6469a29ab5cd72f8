//! Writes full-size checkpoints with synthetic weights, and runs cases of tests/make/full_size.mjs natively on this
//! machine's GPU or, with `cpu`, on its CPU.
//!
//!     full_size make sd15|sd21|sdxl FILE [q8_0|q4_k]
//!     full_size lora FILE
//!     full_size run CASE.json [cpu]
//!
//! A case is what the script passes to the engine in Chromium. The result is written to `out`: pixels as bytes and a
//! PNG next to them, or a network's output as f32. Times and memory are printed as JSON.

use lora_loupe::device::Device;
use lora_loupe::formats::source::FileSource;
use lora_loupe::formats::{Dtype, Header, TensorInfo};
use lora_loupe::gpu::{Gpu, KernelConfig, WeightChoice};
use lora_loupe::num::{host_len, numel};
use lora_loupe::pipeline::{
    GenerateInputs, Model, Network, Progress, Recipe, Session, Shape, Stage, encode_png, timestep_embedding,
};
use lora_loupe::plan::Source;
use lora_loupe::text::Tokenizer;
use lora_loupe::weights::{LoadedAdapter, TensorFile};
use lora_loupe_tests::gguf::{self, Kind};
use lora_loupe_tests::numbers::numbers;
use lora_loupe_tests::{golden, synthetic};
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::error::Error;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Instant;

/// Rank of the LoRA.
const RANK: usize = 8;
/// Smoothing factors of 3x3 kernels; the squares sum to 9.
const SMOOTHING: [f32; 9] = [0.5, 1.0, 0.5, 1.0, 2.0, 1.0, 0.5, 1.0, 0.5];

pub fn run(arguments: &[&str]) -> Result<(), Box<dyn Error>> {
    match *arguments {
        ["make", family, file] => make(family, Path::new(file)),
        ["make", family, file, "q8_0"] => make_gguf(family, Path::new(file), Kind::Q8_0),
        ["make", family, file, "q4_k"] => make_gguf(family, Path::new(file), Kind::Q4K),
        ["lora", file] => Ok(synthetic::write(Path::new(file), synthetic::Network::Sd15, RANK)?),
        ["run", case, ref device @ ..] if matches!(device, [] | ["cpu"]) => {
            let case = serde_json::from_slice(&std::fs::read(case)?)?;
            println!("{}", pollster::block_on(run_case(&case, device.is_empty()))?);
            Ok(())
        }
        _ => {
            Err("full_size make sd15|sd21|sdxl FILE [q8_0|q4_k], full_size lora FILE, or full_size run CASE.json [cpu]"
                .into())
        }
    }
}

/// Number of elements that are written at once, a multiple of all block lengths.
const SLICE: usize = 1 << 20;

/// Returns the published tensors of a family.
fn shapes(family: &str) -> Result<BTreeMap<String, Vec<usize>>, Box<dyn Error>> {
    let shapes = File::open(golden::path(&format!("golden/single_file/{family}.json.gz")))?;
    Ok(serde_json::from_reader(flate2::read::GzDecoder::new(shapes))?)
}

/// Writes a single-file checkpoint in f16.
pub fn make(family: &str, path: &Path) -> Result<(), Box<dyn Error>> {
    let mut at = 0;
    let tensor = |(name, shape): (String, Vec<usize>)| {
        let from = at;
        at += 2 * numel(&shape);
        TensorInfo::contiguous(name, Dtype::F16, shape, from..at)
    };
    let tensors: Vec<TensorInfo> = shapes(family)?.into_iter().map(tensor).collect();
    let mut out = BufWriter::new(File::create(path)?);
    Header::of(tensors.clone(), BTreeMap::new()).write(&mut out)?;
    let synthetic = Synthetic { block: numbers(1, SLICE, 1.0, 0.0) };
    for (index, tensor) in tensors.iter().enumerate() {
        synthetic.write(index, &tensor.name, &tensor.shape, Kind::F16, &mut out)?;
    }
    println!("{}: {at} bytes of tensors", path.display());
    Ok(out.flush()?)
}

/// Writes the same checkpoint as GGUF: matrices with rows of whole blocks in blocks, vectors in f32, the rest in f16.
fn make_gguf(family: &str, path: &Path, kind: Kind) -> Result<(), Box<dyn Error>> {
    let kind_of = |shape: &[usize]| match shape {
        [_, columns] if columns % 256 == 0 => kind,
        [] | [_] => Kind::F32,
        _ => Kind::F16,
    };
    let tensors = shapes(family)?.into_iter().map(|(name, shape)| {
        let kind = kind_of(&shape);
        (name, shape, kind)
    });
    let tensors: Vec<(String, Vec<usize>, Kind)> = tensors.collect();
    let mut out = BufWriter::new(File::create(path)?);
    out.write_all(&gguf::header(&tensors))?;
    let synthetic = Synthetic { block: numbers(1, SLICE, 1.0, 0.0) };
    for (index, (name, shape, kind)) in tensors.iter().enumerate() {
        let written = synthetic.write(index, name, shape, *kind, &mut out)?;
        out.write_all(&vec![0; host_len(written.next_multiple_of(32) - written)])?;
    }
    Ok(out.flush()?)
}

/// Synthetic weights. Norm weights are 1, biases 0, and the other weights are scaled so that activations keep their
/// magnitude.
struct Synthetic {
    block: Vec<f32>,
}

impl Synthetic {
    /// Writes the elements of the tensor with this index and returns the number of bytes.
    fn write(
        &self,
        index: usize,
        name: &str,
        shape: &[usize],
        kind: Kind,
        out: &mut impl Write,
    ) -> Result<u64, Box<dyn Error>> {
        let block = &self.block;
        let inputs = numel(shape.get(1..).unwrap_or(&[]));
        let scale = (3.0 / inputs as f32).sqrt() * gain(name);
        let random = |at: usize| block[(at + index * 7919) % block.len()] * scale;
        let number = |at: usize| match shape {
            [] | [_] if name.ends_with("weight") => 1.0,
            [] | [_] => bias(name, at),
            // Mostly of one sign and smooth, so that images look like clouds and not like noise.
            [_, _, 3, 3] => (0.9 * random(at / 9) + 0.44 * random(at)) * SMOOTHING[at % 9],
            _ => random(at),
        };
        let elements = host_len(numel(shape));
        for from in (0..elements).step_by(SLICE) {
            let slice: Vec<f32> = (from..elements.min(from + SLICE)).map(number).collect();
            out.write_all(&kind.encode(&slice))?;
        }
        Ok(kind.bytes(elements as u64))
    }
}

/// Returns an extra factor for a weight: for latents of about unit variance after scaling, and for decoded values
/// within the range of pixels.
fn gain(name: &str) -> f32 {
    match name {
        "first_stage_model.encoder.conv_out.weight" => 5.0,
        "first_stage_model.decoder.conv_out.weight" => 0.4,
        _ => 1.0,
    }
}

/// Returns an element of a bias: the log-variances of the VAE encoder are about -10, and states of text encoders have a
/// mean other than 0, which A1111's emphasis divides by; everything else is 0.
fn bias(name: &str, at: usize) -> f32 {
    match name {
        "first_stage_model.quant_conv.bias" if at >= 4 => -10.0,
        _ if name.ends_with("final_layer_norm.bias") || name.ends_with("ln_final.bias") => -0.1,
        _ => 0.0,
    }
}

/// A case of tests/make/full_size.mjs.
#[derive(Deserialize)]
struct Case {
    checkpoint: PathBuf,
    /// Shape whose plans are reported.
    shape: Shape,
    /// Recipe of an image.
    recipe: Option<Recipe>,
    /// LoRA that the recipe may use.
    lora: PathBuf,
    /// RGB pixels of the initial image.
    start: Option<PathBuf>,
    /// Network to call instead of generating an image.
    network: Option<Network>,
    /// Storage of the weights.
    #[serde(default)]
    weights: WeightChoice,
    out: PathBuf,
}

async fn run_case(case: &Case, is_on_gpu: bool) -> Result<Value, Box<dyn Error>> {
    let file = TensorFile::open("model".into(), Rc::new(FileSource::open(&case.checkpoint)?)).await?;
    let model = Model::open_files("model", vec![file], Tokenizer::clip())?;
    let mut session = if is_on_gpu {
        let gpu = Gpu::open().await?;
        let config = gpu.self_test(&gpu.default_config()).await?;
        Session::new(Rc::new(gpu), config, model)
    } else {
        Session::new(Device::cpu(), KernelConfig::CPU, model)
    };
    session.config.weights = case.weights;
    let plans = session.model.plan_needs(case.shape, &session.config)?;
    let started = Instant::now();
    let stages = match (&case.recipe, case.network) {
        (Some(recipe), None) => generate(&mut session, case, recipe).await?,
        (None, Some(network)) => call(&mut session, network, &case.out).await?,
        _ => return Err("a case needs either a recipe or a network".into()),
    };
    let seconds = started.elapsed().as_secs_f64();
    let graphics = session.gpu().map(|gpu| gpu.resource_stats().bytes);
    Ok(json!({
        "adapter": session.device.name(), "seconds": seconds, "stages": stages, "plans": plans, "graphics": graphics,
        "memory": peak_memory(),
    }))
}

/// Returns the largest memory of this process so far in MiB, where the system says it (Linux).
fn peak_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(peak.trim().strip_suffix(" kB")?.parse::<u64>().ok()? / 1024)
}

/// Generates the recipe's image and returns the seconds of each stage.
async fn generate(
    session: &mut Session,
    Case { lora, start, out, .. }: &Case,
    recipe: &Recipe,
) -> Result<BTreeMap<String, f64>, Box<dyn Error>> {
    let mut adapters = Vec::new();
    for choice in &recipe.adapters {
        let file = TensorFile::open(choice.name.clone(), Rc::new(FileSource::open(lora)?)).await?;
        let modules = session.model.modules();
        adapters.push(LoadedAdapter::open(choice.sha256.clone(), file, None, &modules).await?);
    }
    let chosen: Vec<&LoadedAdapter> = adapters.iter().collect();
    let start = start.as_ref().map(std::fs::read).transpose()?;
    let init = start.map(|rgb| rgb.iter().map(|&value| f32::from(value) / 127.5 - 1.0).collect::<Vec<f32>>());
    let mut stages = BTreeMap::new();
    let mut now: Option<(Stage, Instant)> = None;
    let mut on_progress = |Progress { stage, .. }: Progress| {
        if let Some((before, since)) = now.replace((stage, Instant::now())) {
            let name = serde_json::to_value(before).ok().and_then(|name| Some(name.as_str()?.to_owned()));
            *stages.entry(name.unwrap_or_default()).or_insert(0.0) += since.elapsed().as_secs_f64();
        }
        ControlFlow::Continue(())
    };
    let given = GenerateInputs { adapters: &chosen, init: init.as_deref(), ..GenerateInputs::default() };
    let generated = session.generate(recipe, &given, &mut on_progress).await?;
    std::fs::write(out, &generated.rgb)?;
    std::fs::write(out.with_extension("png"), encode_png(&generated.rgb, generated.width, generated.height, &[])?)?;
    Ok(stages)
}

/// Calls a network once with reproducible inputs, the UNet at timestep 500, and writes its output with channels last.
/// Returns the seconds for loading and for the call.
async fn call(session: &mut Session, network: Network, out: &Path) -> Result<BTreeMap<String, f64>, Box<dyn Error>> {
    let plan = session.plan(network)?;
    let mut inputs = BTreeMap::new();
    for value in &plan.values {
        let Source::Input(name) = &value.source else { continue };
        let count = host_len(value.numel());
        let data = match name.as_str() {
            "time" => timestep_embedding(500.0, count),
            "sample" => numbers(2, count, 1.0, 0.0),
            "text" => numbers(3, count, 1.0, 0.0),
            "added" => numbers(4, count, 1.0, 0.0),
            "latents" => numbers(2, count, 5.0, 0.0),
            other => return Err(format!("no synthetic `{other}`").into()),
        };
        inputs.insert(name.clone(), data);
    }
    let output = match network {
        Network::Unet { batch: 1, .. } => "noise",
        Network::VaeDecoder { batch: 1, .. } => "image",
        other => return Err(format!("no synthetic inputs for {other:?}").into()),
    };
    let started = Instant::now();
    session.probe_loading(network).await?;
    session.device.finished().await?;
    let load = started.elapsed().as_secs_f64();
    let started = Instant::now();
    let got = session.probe(network, &inputs, &[]).await?;
    let call = started.elapsed().as_secs_f64();
    std::fs::write(out, got[output].iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>())?;
    Ok(BTreeMap::from([("load".to_owned(), load), ("call".to_owned(), call)]))
}
