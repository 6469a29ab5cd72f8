//! Turns an adapter into its strength and rank, layer by layer, and a sentence on its health.

use crate::files;
use lora_loupe::analysis::{Health, HealthRow, Spectrum, health};
use lora_loupe::edit::Opened;
use pollster::block_on;
use serde_json::{Value, json};
use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;

/// Say how strong each layer's change is, how much of its rank it uses, and what that means
#[derive(clap::Args)]
pub struct Arguments {
    /// Adapters, or PEFT folders with adapter_model.safetensors
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Print one JSON object a line and file, with all singular values
    #[arg(long)]
    json: bool,
}

/// Measures every file.
pub fn run(arguments: &Arguments) -> Result<ExitCode, Box<dyn Error>> {
    for path in &arguments.files {
        let (path, companion) = files::adapter(path);
        let source = files::source(&path)?;
        let opened = block_on(Opened::new(&files::name(&path), &source, companion.as_deref()))?;
        let (mut rows, mut layers, mut lines) = (Vec::new(), Vec::new(), String::new());
        for delta in &opened.adapter.deltas {
            let Some(spectrum) = Spectrum::of_delta(delta, &block_on(opened.numbers(delta))?) else { continue };
            lines += &line(&opened.layer(delta), &spectrum);
            layers.push(layer(&opened.layer(delta), &spectrum));
            rows.push(HealthRow::new(delta, &opened.header, spectrum));
        }
        let judged = health(&rows);
        if arguments.json {
            say!("{}", json!({ "file": opened.file, "layers": layers, "health": judged }));
        } else {
            say!("{}\n{lines}{}", opened.file, judged.as_ref().map(text).unwrap_or_default());
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn layer(path: &str, spectrum: &Spectrum) -> Value {
    json!({
        "path": path,
        "norm": spectrum.frobenius(),
        "spectral": spectrum.spectral(),
        "stable_rank": spectrum.stable_rank(),
        "effective_rank": spectrum.effective_rank(),
        "rank_98": spectrum.rank_for_energy(0.98),
        "values": spectrum.values,
    })
}

fn line(path: &str, spectrum: &Spectrum) -> String {
    format!(
        "  norm {:<9.4} spectral {:<9.4} stable rank {:<5.1} effective rank {:<6.1} 98 % at {:<4} {path}\n",
        spectrum.frobenius(),
        spectrum.spectral(),
        spectrum.stable_rank(),
        spectrum.effective_rank(),
        spectrum.rank_for_energy(0.98)
    )
}

fn text(health: &Health) -> String {
    let usual = format!("  strength    {:.2} % of a usual weight's\n", 100.0 * health.relative);
    health.sentences.iter().fold(usual, |text, sentence| format!("{text}  {sentence}\n"))
}
