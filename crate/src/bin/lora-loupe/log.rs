//! Turns a line of another program's log into what it means for a file.

use crate::files;
use lora_loupe::analysis::{explain_log, inspect};
use pollster::block_on;
use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;

/// Say what a line of another program's log means for a file: why it came, and what to do
///
/// Lines of ComfyUI, AUTOMATIC1111, Forge, diffusers, InvokeAI and stable-diffusion.cpp are known.
/// The exit status is 1 when the line is not.
#[derive(clap::Args)]
pub struct Arguments {
    /// The adapter file, or a PEFT folder
    file: PathBuf,
    /// The line, as it was printed
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
        eprintln!("lora-loupe: no known program prints such a line; give one line, as it was printed");
        return Ok(ExitCode::FAILURE);
    };
    if arguments.json {
        say!("{}", serde_json::to_string(&explanation)?);
    } else {
        say!("{}\n{}", explanation.means, explanation.reason);
    }
    Ok(ExitCode::SUCCESS)
}
