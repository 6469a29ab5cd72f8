//! `merge` command: several adapters, each with a strength, into one.

use crate::files::{self, Source};
use crate::lora::Lora;
use crate::output::{Output, size, thinned};
use crate::resize::kept;
use crate::values::{dtype, rank, share};
use lora_loupe::edit::{MergeInput, MergeOptions, Opened, RankRule, Strengths, Target, merge};
use lora_loupe::formats::Dtype;
use pollster::block_on;
use serde_json::json;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Merge several adapters into one
///
/// Ranks, algorithms and key formats may differ. By default the result is exact and the ranks add up;
/// with --rank or --energy it is truncated by SVD and the energy kept is printed.
#[derive(clap::Args)]
pub struct Arguments {
    /// Adapters and their strengths (default 1)
    #[arg(value_name = "FILE=STRENGTH", required = true)]
    loras: Vec<Lora>,
    /// One rank for every layer
    #[arg(long, value_name = "N", value_parser = rank, conflicts_with = "energy")]
    rank: Option<usize>,
    /// Smallest rank that keeps this share of each layer's energy, e.g. 0.98 or 98%
    #[arg(long, value_name = "X", value_parser = share)]
    energy: Option<f64>,
    /// Block weights for all files: IN04=0.5,MID=0,TE=1 or a list of 12, 17, 20 or 26 numbers
    #[arg(long, value_name = "LIST")]
    blocks: Option<Strengths>,
    #[command(flatten)]
    output: Output,
    /// Key format: kohya, peft, diffusers, comfy, onetrainer or aitoolkit (default: the first file's)
    #[arg(long, value_name = "CONVENTION")]
    to: Option<Target>,
    /// f32, f16 or bf16 (default: a dtype that holds the values of all inputs)
    #[arg(long, value_parser = dtype)]
    dtype: Option<Dtype>,
    /// Drop layers that cannot be added (DoRA, OFT, …)
    #[arg(long)]
    drop: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Writes the merged file.
pub fn run(arguments: &Arguments) -> Result<ExitCode, Box<dyn Error>> {
    let paths: Vec<(PathBuf, Option<String>)> = arguments.loras.iter().map(|lora| files::adapter(&lora.path)).collect();
    arguments.output.check(&paths.iter().map(|(path, _)| path.as_path()).collect::<Vec<&Path>>())?;
    let sources = paths.iter().map(|(path, _)| files::source(path)).collect::<Result<Vec<Source>, _>>()?;
    let mut opened = Vec::new();
    for ((path, companion), source) in paths.iter().zip(&sources) {
        opened.push(block_on(Opened::new(&files::name(path), source, companion.as_deref()))?);
    }
    let strengths = arguments.blocks.clone().unwrap_or_default();
    let input = |(opened, lora): (_, &Lora)| MergeInput {
        opened,
        strength: lora.strength,
        strengths: lora.strengths().unwrap_or_else(|| strengths.clone()),
    };
    let inputs: Vec<MergeInput> = opened.iter().zip(&arguments.loras).map(input).collect();
    let rule = arguments.rank.map(RankRule::Fixed).or(arguments.energy.map(RankRule::Energy));
    let Arguments { to, dtype, drop, .. } = *arguments;
    let plan = block_on(merge(&inputs, MergeOptions { rule, to, dtype, drop }))?;
    let outcome = arguments.output.write(|out| block_on(plan.write(out)))?;
    let preview = &plan.preview;
    if arguments.json {
        let names: Vec<&str> = opened.iter().map(|opened| opened.file.as_str()).collect();
        say!("{}", json!({ "files": names, "preview": preview, "outcome": outcome }));
        return Ok(ExitCode::SUCCESS);
    }
    crate::say::say(format_args!("{}", kept(&preview.layers)));
    for dropped in preview.dropped.iter().take(10) {
        say!("  dropped     `{}`: {}", dropped.key, dropped.reason);
    }
    for line in outcome.iter().flat_map(thinned) {
        say!("  warning     {line}");
    }
    say!(
        "{}: {}, {} layers shared by several files, {:.2} % of the energy kept",
        arguments.output.name(),
        size(preview.size_after),
        preview.shared,
        100.0 * preview.energy
    );
    Ok(ExitCode::SUCCESS)
}
