//! `resize` command: ranks of an adapter.

use crate::files;
use crate::output::{Output, size, thinned};
use crate::values::{dtype, rank, share};
use lora_loupe::edit::{KeptRow, Opened, RankRule, ResizeOptions, Target, resize};
use lora_loupe::formats::Dtype;
use pollster::block_on;
use serde_json::json;
use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;

/// Resize an adapter to another rank and print the energy kept per layer
///
/// LoHa, LoKr and full diffs become LoRA; alpha is set to the rank.
#[derive(clap::Args)]
pub struct Arguments {
    /// An adapter, or a PEFT folder with adapter_model.safetensors
    file: PathBuf,
    #[command(flatten)]
    rule: Rule,
    /// Maximum rank
    #[arg(long, value_name = "N", value_parser = rank)]
    max_rank: Option<usize>,
    #[command(flatten)]
    output: Output,
    /// Key format: kohya, peft, diffusers, comfy, onetrainer or aitoolkit (default: the file's own)
    #[arg(long, value_name = "CONVENTION")]
    to: Option<Target>,
    /// f32, f16 or bf16 (default: each layer's own)
    #[arg(long, value_parser = dtype)]
    dtype: Option<Dtype>,
    /// Drop layers without a low-rank form (DoRA, OFT, norms, biases)
    #[arg(long)]
    drop: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Rule that determines the ranks.
#[derive(clap::Args)]
#[group(required = true, multiple = false)]
struct Rule {
    /// One rank for every layer
    #[arg(long, value_name = "N", value_parser = rank)]
    rank: Option<usize>,
    /// Smallest rank that keeps this share of each layer's energy, e.g. 0.98 or 98%
    #[arg(long, value_name = "X", value_parser = share)]
    energy: Option<f64>,
    /// Number of singular values that are at least this share of the largest, e.g. 0.1 or 10%
    #[arg(long, value_name = "X", value_parser = share)]
    ratio: Option<f64>,
}

/// Writes the resized file.
pub fn run(arguments: &Arguments) -> Result<ExitCode, Box<dyn Error>> {
    let (path, companion) = files::adapter(&arguments.file);
    arguments.output.check(&[&path])?;
    let source = files::source(&path)?;
    let opened = block_on(Opened::new(&files::name(&path), &source, companion.as_deref()))?;
    let rule = match arguments.rule {
        Rule { rank: Some(rank), .. } => RankRule::Fixed(rank),
        Rule { energy: Some(share), .. } => RankRule::Energy(share),
        Rule { ratio, .. } => RankRule::Ratio(ratio.unwrap_or_default()),
    };
    let Arguments { max_rank: most, to, dtype, drop, .. } = *arguments;
    let plan = block_on(resize(&opened, ResizeOptions { rule, most, to, dtype, drop }))?;
    let outcome = arguments.output.write(|out| block_on(plan.write(out)))?;
    let preview = &plan.preview;
    if arguments.json {
        say!("{}", json!({ "file": opened.file, "preview": preview, "outcome": outcome }));
        return Ok(ExitCode::SUCCESS);
    }
    crate::say::say(format_args!("{}", kept(&preview.layers)));
    for dropped in preview.dropped.iter().take(10) {
        say!("  dropped     `{}`: {}", dropped.key, dropped.reason);
    }
    for line in outcome.iter().flat_map(thinned) {
        say!("  warning     {line}");
    }
    let (before, after) = (size(preview.size_before), size(preview.size_after));
    say!("{}: {} -> {}, {:.2} % of the energy kept", arguments.output.name(), before, after, 100.0 * preview.energy);
    Ok(ExitCode::SUCCESS)
}

/// Formats ranks and energy kept per layer.
pub fn kept(rows: &[KeptRow]) -> String {
    let line = |row: &KeptRow| {
        let before = row.rank_before.map_or_else(|| "full".into(), |rank| rank.to_string());
        format!(
            "  {:>6} -> {:<4} {:>7.2} %  norm {:<9.4} {}\n",
            before,
            row.rank,
            100.0 * row.energy,
            row.norm,
            row.path
        )
    };
    rows.iter().map(line).collect()
}
