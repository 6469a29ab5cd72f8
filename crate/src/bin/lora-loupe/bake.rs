//! `bake` command: merges adapters into a model's weights.

use crate::files::{self, Source};
use crate::lora::Lora;
use crate::output::{Output, size};
use lora_loupe::edit::{BakeEdit, Edit, EditInput, MergePart, Preview, apply, preview};
use lora_loupe::formats::ByteSource;
use pollster::block_on;
use serde_json::json;
use std::error::Error;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Write a model with adapters merged into its weights
///
/// Computes in f32 and keeps the model's keys and dtypes. Fails with the tensor's name if a change
/// does not match the model. A diffusers folder becomes one file with keys that start with unet.,
/// text_encoder., text_encoder_2. and vae.
#[derive(clap::Args)]
pub struct Arguments {
    /// A .safetensors model or a diffusers folder
    #[arg(long, value_name = "MODEL")]
    base: PathBuf,
    /// An adapter, its strength (default 1) and optional block weights; can be repeated
    #[arg(long = "lora", value_name = "FILE=STRENGTH[:IN04=0.2,MID=0]", required = true)]
    loras: Vec<Lora>,
    #[command(flatten)]
    output: Output,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Writes the baked model.
pub fn run(arguments: &Arguments) -> Result<ExitCode, Box<dyn Error>> {
    let paths: Vec<(PathBuf, Option<String>)> = arguments.loras.iter().map(|lora| files::adapter(&lora.path)).collect();
    let read = paths.iter().map(|(path, _)| path.as_path()).chain([arguments.base.as_path()]);
    arguments.output.check(&read.collect::<Vec<&Path>>())?;
    let model = files::model(&arguments.base)?;
    let sources = paths.iter().map(|(path, _)| files::source(path)).collect::<Result<Vec<Source>, _>>()?;
    let mut names = vec![files::name(&arguments.base)];
    names.extend(paths.iter().map(|(path, _)| files::name(path)));
    let parts = model.files.iter().map(|file| (file.component, &file.source as &dyn ByteSource));
    let mut inputs = vec![EditInput { name: &names[0], files: parts.collect(), config: None }];
    for ((name, source), (_, config)) in names[1..].iter().zip(&sources).zip(&paths) {
        inputs.push(EditInput::file(name, source, config.as_deref()));
    }
    let part = |lora: &Lora| MergePart { strength: lora.strength, strengths: lora.strengths().unwrap_or_default() };
    let edit = Edit::Bake(BakeEdit { parts: arguments.loras.iter().map(part).collect() });
    let mut on_progress = |_| ControlFlow::Continue(());
    let planned = block_on(preview(&edit, &inputs, &mut on_progress))?;
    let outcome = arguments.output.write(|out| Ok(block_on(apply(&edit, &inputs, out, &mut on_progress))?.outcome))?;
    let Preview::Bake(baked) = &planned else { return Ok(ExitCode::FAILURE) };
    for warning in &baked.warnings {
        eprintln!("{warning}");
    }
    match arguments.json {
        true => say!("{}", json!({ "files": names, "preview": planned, "outcome": outcome })),
        false => {
            say!("{}: {} tensors changed, {}", arguments.output.name(), baked.tensors, size(baked.size_after))
        }
    }
    Ok(ExitCode::SUCCESS)
}
