//! `extract` command: the difference of two models as a LoRA.

use crate::files;
use crate::output::{Output, size, thinned};
use crate::resize::kept;
use crate::values::{dtype, rank};
use lora_loupe::edit::{ExtractOptions, Target, extract};
use lora_loupe::formats::Dtype;
use pollster::block_on;
use serde_json::json;
use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;

/// Extract a LoRA from the difference of two models
///
/// Truncates each layer's difference to a rank and prints the energy kept. Norms, biases and
/// embeddings that differ cannot be stored in a LoRA and are listed.
#[derive(clap::Args)]
pub struct Arguments {
    /// Fine-tuned model: a .safetensors file or a diffusers folder
    tuned: PathBuf,
    /// Base model
    base: PathBuf,
    /// Rank of every layer
    #[arg(long, value_name = "N", value_parser = rank)]
    rank: usize,
    #[command(flatten)]
    output: Output,
    /// Key format: kohya, peft, diffusers, comfy, onetrainer or aitoolkit
    #[arg(long, value_name = "CONVENTION", default_value = "kohya")]
    to: Target,
    /// f32, f16 or bf16
    #[arg(long, default_value = "f16", value_parser = dtype)]
    dtype: Dtype,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Writes the extracted file.
pub fn run(arguments: &Arguments) -> Result<ExitCode, Box<dyn Error>> {
    arguments.output.check(&[&arguments.tuned, &arguments.base])?;
    let (tuned, base) = (files::model(&arguments.tuned)?, files::model(&arguments.base)?);
    let (tuned_files, base_files) = (tuned.model_files(), base.model_files());
    let names = [files::name(&arguments.tuned), files::name(&arguments.base)];
    let (tuned, base) = (tuned.side(&names[0], &tuned_files), base.side(&names[1], &base_files));
    let Arguments { rank, to, dtype, .. } = *arguments;
    let extraction = block_on(extract(tuned, base, ExtractOptions { rank, to, dtype }))?;
    let mut layers = Vec::new();
    let outcome = arguments.output.write(|out| {
        let (outcome, rows) = block_on(extraction.write(out))?;
        layers = rows;
        Ok(outcome)
    })?;
    let preview = &extraction.preview;
    if arguments.json {
        say!("{}", json!({ "files": names, "preview": preview, "layers": layers, "outcome": outcome }));
        return Ok(ExitCode::SUCCESS);
    }
    crate::say::say(format_args!("{}", kept(&layers)));
    for name in preview.left_out.iter().take(10) {
        say!("  dropped     `{name}` differs but cannot be stored in a LoRA");
    }
    if preview.left_out.len() > 10 {
        say!("  dropped     and {} more tensors (--json lists all)", preview.left_out.len() - 10);
    }
    for line in outcome.iter().flat_map(thinned) {
        say!("  warning     {line}");
    }
    say!(
        "{}: {}, {} layers differ, {} are unchanged",
        arguments.output.name(),
        size(preview.size_after),
        preview.layers,
        preview.unchanged
    );
    Ok(ExitCode::SUCCESS)
}
