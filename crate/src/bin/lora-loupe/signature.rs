//! `signature` command: 64 numbers by which copies of adapters are found.

use crate::files;
use lora_loupe::analysis::{Signature, signature};
use lora_loupe::edit::Opened;
use pollster::block_on;
use serde::Serialize;
use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;

/// Print an adapter's signature: 64 numbers that resized, converted and merged copies nearly share
///
/// The cosine of two signatures is about that of the changes: 1 for copies at any strength, 0 for unrelated adapters.
#[derive(clap::Args)]
pub struct Arguments {
    /// Adapters, or PEFT folders with adapter_model.safetensors
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Print one JSON object per file, one per line
    #[arg(long)]
    json: bool,
}

/// A file's signature.
#[derive(Serialize)]
struct Row<'a> {
    file: &'a str,
    signature: Option<Signature>,
}

/// Prints a line per file.
pub fn run(arguments: &Arguments) -> Result<ExitCode, Box<dyn Error>> {
    for path in &arguments.files {
        let (path, companion) = files::adapter(path);
        let source = files::source(&path)?;
        let opened = block_on(Opened::new(&files::name(&path), &source, companion.as_deref()))?;
        let signature = block_on(signature(opened.compared()))?;
        if arguments.json {
            say!("{}", serde_json::to_string(&Row { file: &opened.file, signature })?);
            continue;
        }
        let numbers = signature.map(|signature| signature.values.iter().map(|value| format!(" {value:.4}")).collect());
        let none = || " none: every change depends on the base model".to_owned();
        say!("{}{}", opened.file, numbers.unwrap_or_else(none));
    }
    Ok(ExitCode::SUCCESS)
}
