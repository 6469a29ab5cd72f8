//! Turns a family of models into a checkpoint of its real size with made-up numbers, and such a
//! checkpoint into one answer of its UNet: `full_size make sd15 FILE`, `full_size unet FILE SIZE BATCH OUT`.
//! tests/make/full_size.mjs says what for.

use half::f16;
use lora_loupe::formats::source::FileSource;
use lora_loupe::formats::{Dtype, Header, TensorInfo};
use lora_loupe::gpu::Gpu;
use lora_loupe::num::{host_len, numel};
use lora_loupe::pipeline::{Model, Network, Session, sinusoid};
use lora_loupe::text::Tokenizer;
use lora_loupe::weights::TensorFile;
use lora_loupe_tests::golden;
use lora_loupe_tests::numbers::numbers;
use std::collections::BTreeMap;
use std::error::Error;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::rc::Rc;
use std::time::Instant;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["make", family, file] => make(family, Path::new(file)),
        ["unet", file, size, batch, out] => {
            pollster::block_on(unet(Path::new(file), size.parse()?, batch.parse()?, Path::new(out)))
        }
        _ => Err("full_size make sd15|sd21|sdxl FILE, or full_size unet FILE SIZE BATCH OUT".into()),
    }
}

/// Writes a single-file checkpoint in f16. Norms are 1, biases 0, and matrices such that what goes
/// through them keeps its size.
fn make(family: &str, path: &Path) -> Result<(), Box<dyn Error>> {
    let shapes = File::open(golden::path(&format!("golden/single_file/{family}.json.gz")))?;
    let shapes: BTreeMap<String, Vec<usize>> = serde_json::from_reader(flate2::read::GzDecoder::new(shapes))?;
    let mut at = 0;
    let tensor = |(name, shape): (String, Vec<usize>)| {
        let from = at;
        at += 2 * numel(&shape);
        TensorInfo { name, dtype: Dtype::F16, shape, bytes: from..at }
    };
    let tensors: Vec<TensorInfo> = shapes.into_iter().map(tensor).collect();
    let mut out = BufWriter::new(File::create(path)?);
    Header::of(tensors.clone(), BTreeMap::new()).write(&mut out)?;
    let block = numbers(1, 1 << 20, 1.0, 0.0);
    for (index, tensor) in tensors.iter().enumerate() {
        let inputs: usize = tensor.shape.iter().skip(1).product();
        let scale = (3.0 / inputs as f32).sqrt();
        let number = |at: usize| match tensor.shape.len() {
            0 | 1 => f32::from(u8::from(tensor.name.ends_with("weight"))),
            _ => block[(at + index * 7919) % block.len()] * scale,
        };
        let elements = host_len(tensor.elements());
        let slice =
            |from: usize| (from..elements.min(from + (1 << 20))).flat_map(|at| f16::from_f32(number(at)).to_le_bytes());
        for from in (0..elements).step_by(1 << 20) {
            out.write_all(&slice(from).collect::<Vec<u8>>())?;
        }
    }
    println!("{}: {at} bytes of tensors", path.display());
    Ok(out.flush()?)
}

/// Runs the UNet once, at timestep 500 with inputs that follow from their places, and writes its
/// answer as f32, channels last.
async fn unet(file: &Path, size: usize, batch: usize, out: &Path) -> Result<(), Box<dyn Error>> {
    let file = TensorFile::open("model".into(), Rc::new(FileSource::open(file)?)).await?;
    let model = Model::open_file("model", file, None, Tokenizer::clip()).await?;
    let (side, config) = (size / model.multiple(), model.networks.unet.config.clone());
    let mut session = Session::new(Rc::new(Gpu::open().await?), model);
    let network = Network::Unet { batch, height: side, width: side, tokens: 77 };
    let shared = |seed, count| numbers(seed, count, 1.0, 0.0).repeat(batch);
    let mut inputs = BTreeMap::from([
        ("sample".to_owned(), shared(2, side * side * config.in_channels)),
        ("time".to_owned(), sinusoid(500.0, config.block_out_channels[0]).repeat(batch)),
        ("text".to_owned(), shared(3, 77 * config.cross_attention_dim)),
    ]);
    if let Some(width) = config.projection_class_embeddings_input_dim {
        inputs.insert("added".to_owned(), shared(4, width));
    }
    let started = Instant::now();
    let got = session.probe(network, &inputs, &[]).await?;
    let first = started.elapsed();
    let started = Instant::now();
    session.probe(network, &inputs, &[]).await?;
    println!(
        "{size}x{size}, batch {batch}, on {}: {:.1} s with its loading, {:.1} s again, {} MB of graphics memory",
        session.gpu.info().adapter,
        first.as_secs_f64(),
        started.elapsed().as_secs_f64(),
        session.gpu.made().bytes / 1_000_000
    );
    Ok(std::fs::write(out, got["noise"].iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>())?)
}
