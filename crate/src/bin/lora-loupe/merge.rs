//! `merge` command: several adapters, each with a strength, into one.

use crate::files::{self, Source};
use crate::lora::Lora;
use crate::output::{Output, size, thinned};
use crate::resize::kept;
use crate::values::{dtype, rank, share};
use lora_loupe::edit::{
    Donors, MergeInput, MergeMethod, MergeOptions, Opened, RankRule, Strengths, Target, energy_kept, merge,
};
use lora_loupe::formats::Dtype;
use pollster::block_on;
use serde_json::json;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Merge several adapters into one
///
/// Ranks, algorithms and key formats may differ. By default the result is exact and the ranks add up;
/// with --rank or --energy it is truncated by SVD and the energy kept is printed. Methods that leave out
/// elements (ties, dare, dare-ties, prune) are computed as by PEFT and approximated at a rank: that of
/// --rank, else the largest of the files' ranks
#[derive(clap::Args)]
pub struct Arguments {
    /// Adapters and their strengths (default 1)
    #[arg(value_name = "FILE=STRENGTH", required = true)]
    loras: Vec<Lora>,
    /// linear, ties, dare, dare-ties, prune or slerp
    #[arg(long, default_value_t, value_name = "METHOD")]
    method: MergeMethod,
    /// Share of the elements of each file that ties, dare, dare-ties and prune keep
    #[arg(long, value_name = "X", value_parser = share, default_value = "0.5")]
    density: f64,
    /// Seed of the random elements of dare and dare-ties
    #[arg(long, value_name = "N", default_value_t)]
    seed: u32,
    /// Position of slerp between the first file (0) and the second (1)
    #[arg(long, value_name = "T", default_value_t = 0.5)]
    position: f64,
    /// Blocks that come whole from one file, by its number: OUT=2,MID=1,TE=2; all others come from the first
    #[arg(long, value_name = "LIST", conflicts_with = "blocks")]
    donors: Option<Donors>,
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
    let donated = match &arguments.donors {
        Some(donors) => Some(donors.strengths(&opened)?),
        None => None,
    };
    let of_all = arguments.blocks.clone().unwrap_or_default();
    let input = |(file, (opened, lora)): (usize, (_, &Lora))| {
        let of_file = donated.as_ref().map_or_else(|| of_all.clone(), |donated| donated[file].clone());
        MergeInput { opened, strength: lora.strength, strengths: lora.strengths().unwrap_or(of_file) }
    };
    let inputs: Vec<MergeInput> = opened.iter().zip(&arguments.loras).enumerate().map(input).collect();
    let rule = arguments.rank.map(RankRule::Fixed).or(arguments.energy.map(RankRule::Energy));
    let Arguments { method, density, seed, position, to, dtype, drop, .. } = *arguments;
    let plan = block_on(merge(&inputs, MergeOptions { method, density, seed, position, rule, to, dtype, drop }))?;
    let mut rows = plan.preview.layers.clone();
    let outcome = arguments.output.write(|out| {
        let (outcome, written) = block_on(plan.write(out))?;
        rows = written;
        Ok(outcome)
    })?;
    let preview = &plan.preview;
    if arguments.json {
        let names: Vec<&str> = opened.iter().map(|opened| opened.file.as_str()).collect();
        say!("{}", json!({ "files": names, "preview": preview, "outcome": outcome, "kept": rows }));
        return Ok(ExitCode::SUCCESS);
    }
    crate::say::say(format_args!("{}", kept(&rows)));
    for conflict in preview.conflicts.iter().take(10) {
        let cosine = conflict.cosine.map_or("-".into(), |cosine| format!("{cosine:.3}"));
        say!("  conflict    cosine {cosine:>6}, opposite signs {:.0} %  {}", 100.0 * conflict.opposite, conflict.path);
    }
    for dropped in preview.dropped.iter().take(10) {
        say!("  dropped     `{}`: {}", dropped.key, dropped.reason);
    }
    for line in outcome.iter().flat_map(thinned) {
        say!("  warning     {line}");
    }
    let energy = match rows.is_empty() && preview.energy.is_none() {
        true => "the energy kept is known once it is written".into(),
        false => format!("{:.2} % of the energy kept", 100.0 * energy_kept(&rows)),
    };
    say!(
        "{}: {}, {} layers shared by several files, {energy}",
        arguments.output.name(),
        size(preview.size_after),
        preview.shared
    );
    Ok(ExitCode::SUCCESS)
}
