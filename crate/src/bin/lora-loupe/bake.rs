//! Turns a model and adapters into a model with the adapters folded in.

use crate::files::{self, FileError, Model};
use crate::lora::Lora;
use lora_loupe::adapters::{Adapter, BakeError, BakedAdapter, Delta, ModelFile, PeftConfigs, Why, bake, read};
use lora_loupe::analysis::{Severity, inspect};
use lora_loupe::formats::{FormatError, Header, read_header, source::FileSource};
use lora_loupe::model::Family;
use lora_loupe::model::spelling::Spellings;
use pollster::block_on;
use std::error::Error;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Write a model with adapters folded into its weights
///
/// Arithmetic is f32; names and number types stay the model's. A change that does not land stops
/// the run and is named. A diffusers folder becomes one file whose names start with unet.,
/// text_encoder., text_encoder_2. and vae.
#[derive(clap::Args)]
pub struct Arguments {
    /// A .safetensors model or a diffusers folder
    #[arg(long, value_name = "MODEL")]
    base: PathBuf,
    /// An adapter and its strength (1 if left out); may be given several times
    #[arg(long = "lora", value_name = "FILE=STRENGTH", required = true)]
    loras: Vec<Lora>,
    /// The file to write
    #[arg(short, long, value_name = "OUT.safetensors")]
    output: PathBuf,
    /// Overwrite the output where it exists
    #[arg(long)]
    force: bool,
}

/// Why a bake stops.
#[derive(Debug, thiserror::Error)]
enum StopError {
    #[error(transparent)]
    File(#[from] FileError),
    #[error("{file}: {reason}")]
    Refused { file: String, reason: String },
    #[error("{file}: nothing in it changes a layer of the base model; it was made for {made_for}")]
    NothingLands { file: String, made_for: String },
    #[error("{file}: {source}")]
    Adapter { file: String, source: FormatError },
    #[error(transparent)]
    Bake(#[from] BakeError),
    #[error("{} is one of the files to read; choose another name for the result", .0.display())]
    Overwrites(PathBuf),
    #[error("{} exists; --force overwrites it", .0.display())]
    Exists(PathBuf),
    #[error("{}: {source}", .path.display())]
    Write { path: PathBuf, source: io::Error },
}

/// An adapter ready to be folded in.
struct Ready {
    source: FileSource,
    header: Header,
    adapter: Adapter,
    strength: f32,
}

/// Writes the baked model.
pub fn run(arguments: &Arguments) -> Result<ExitCode, Box<dyn Error>> {
    let model = files::model(&arguments.base)?;
    let mut loras = Vec::new();
    for lora in &arguments.loras {
        loras.push(ready(lora, &model)?);
    }
    let inputs = arguments.loras.iter().map(|lora| &lora.path).chain([&arguments.base]);
    if let Some(same) = inputs.into_iter().find(|path| is_same(path, &arguments.output)) {
        return Err(StopError::Overwrites(same.clone()).into());
    }
    if arguments.output.exists() && !arguments.force {
        return Err(StopError::Exists(arguments.output.clone()).into());
    }
    let partial = arguments.output.with_extension("part");
    let written = write(&partial, &model, &loras).and_then(|changed| {
        let finished = std::fs::rename(&partial, &arguments.output);
        finished.map_err(|source| StopError::Write { path: arguments.output.clone(), source })?;
        Ok(changed)
    });
    match written {
        Ok(changed) => println!("{}: {changed} tensors changed", arguments.output.display()),
        Err(error) => {
            // The error is the one to report; a partial file that stays is only untidy.
            let _ = std::fs::remove_file(&partial);
            return Err(error.into());
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn is_same(a: &Path, b: &Path) -> bool {
    a.canonicalize().ok().zip(b.canonicalize().ok()).is_some_and(|(a, b)| a == b)
}

/// Reads an adapter and makes sure that it lands.
fn ready(lora: &Lora, model: &Model) -> Result<Ready, StopError> {
    let (path, companion) = files::adapter(&lora.path);
    let file = files::name(&path);
    let source = files::source(&path)?;
    let report = block_on(inspect(&file, &source, companion.as_deref(), Some(&model.shapes)));
    let refuse = |reason: &str| StopError::Refused { file: file.clone(), reason: reason.into() };
    if lora.blocks.is_some() {
        return Err(refuse("strengths of blocks cannot be baked in one go: convert it with --blocks first"));
    }
    for problem in &report.problems {
        match problem.severity {
            Severity::Refuse => return Err(refuse(&problem.message)),
            _ => eprintln!("{file}: {}", problem.message),
        }
    }
    let numbers = |source| StopError::Adapter { file: file.clone(), source };
    let header = block_on(read_header(&source)).map_err(numbers)?;
    let configs = configs(&header, companion.as_deref());
    let adapter = block_on(read(&source, &header, &configs, &model.shapes.modules())).map_err(numbers)?;
    if let Some(stray) = adapter.deltas.iter().find(|delta| !delta.fits(&delta.wanted_shape()) || !lands(delta, model))
    {
        return Err(refuse(&format!("its change of `{}` does not fit the base model", stray.tensor())));
    }
    if let Some(missing) = missing_layer(&adapter, model) {
        return Err(refuse(&format!("the base model lacks the layer of `{missing}`")));
    }
    if adapter.deltas.is_empty() {
        return Err(StopError::NothingLands { made_for: report.base.label, file });
    }
    Ok(Ready { source, header, adapter, strength: lora.strength })
}

fn configs(header: &Header, companion: Option<&str>) -> PeftConfigs {
    let metadata = header.metadata.get("lora_adapter_metadata");
    let read = companion.map(PeftConfigs::parse).or(metadata.map(|text| PeftConfigs::parse_metadata(text)));
    // A config that cannot be read has been reported by now.
    read.and_then(Result::ok).unwrap_or_default()
}

fn lands(delta: &Delta, model: &Model) -> bool {
    model.shapes.tensors.contains_key(&delta.tensor())
}

/// A key for a layer that the family has and this base has not: a network that is not in the
/// file, or one under names that are not read.
fn missing_layer(adapter: &Adapter, model: &Model) -> Option<String> {
    let family = Family::published(model.shapes.family).ok()?;
    let modules = family.modules();
    let spellings = Spellings::new(&modules);
    let known = |stem: &String| spellings.find(stem, true).or(spellings.find(stem, false)).is_some();
    adapter.leftovers.iter().find_map(|left| match &left.why {
        Why::NoSuchLayer(stem) if known(stem) => Some(left.key.clone()),
        _ => None,
    })
}

/// Writes the result; returns how many tensors changed.
fn write(path: &Path, model: &Model, loras: &[Ready]) -> Result<usize, StopError> {
    let failed = |source| StopError::Write { path: path.into(), source };
    let files: Vec<ModelFile> = model
        .files
        .iter()
        .map(|file| ModelFile { component: file.component, source: &file.source, header: &file.header })
        .collect();
    let adapters: Vec<BakedAdapter> = loras
        .iter()
        .map(|lora| BakedAdapter {
            source: &lora.source,
            header: &lora.header,
            adapter: &lora.adapter,
            strength: lora.strength,
        })
        .collect();
    let mut out = BufWriter::new(File::create(path).map_err(failed)?);
    let changed = block_on(bake(&files, &model.shapes.tensors, &adapters, &mut out))?;
    out.flush().map_err(failed)?;
    Ok(changed)
}
