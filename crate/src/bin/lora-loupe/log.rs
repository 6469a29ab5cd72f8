//! `log` command: explains a log line of another program.

use crate::files;
use lora_loupe::analysis::{explain_log, inspect};
use pollster::block_on;
use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;

/// Explain a log line of another program: why it appears for a file, and what to do
///
/// Supports ComfyUI, AUTOMATIC1111, Forge, diffusers, InvokeAI and stable-diffusion.cpp. The exit
/// status is 1 if the line is not recognized.
#[derive(clap::Args)]
pub struct Arguments {
    /// An adapter file or a PEFT folder
    file: PathBuf,
    /// Complete log line, as printed
    line: String,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Explains the line.
pub fn run(arguments: &Arguments) -> Result<ExitCode, Box<dyn Error>> {
    let (file, companion) = files::adapter(&arguments.file);
    let source = files::source(&file)?;
    let report = block_on(inspect(&files::name(&file), &source, companion.as_deref(), None));
    let Some(explanation) = explain_log(&report, &arguments.line) else {
        eprintln!("lora-loupe: not a LoRA message of any supported program; give one complete log line, as printed");
        return Ok(ExitCode::FAILURE);
    };
    if arguments.json {
        say!("{}", serde_json::to_string(&explanation)?);
    } else {
        say!("{}\n{}", explanation.means, explanation.reason);
    }
    Ok(ExitCode::SUCCESS)
}
