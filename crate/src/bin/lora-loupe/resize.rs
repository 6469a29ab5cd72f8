//! Turns an adapter into one of other ranks.

use crate::convert::dtype;
use crate::files;
use crate::output::{Output, size, thinned};
use lora_loupe::edit::{KeptRow, Opened, RankRule, ResizeOptions, Target, resize};
use lora_loupe::formats::Dtype;
use pollster::block_on;
use serde_json::json;
use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;

/// Write an adapter at another rank and say what each layer keeps
///
/// LoHa, LoKr and full differences become LoRA; alpha becomes the rank.
#[derive(clap::Args)]
pub struct Arguments {
    /// An adapter, or a PEFT folder with adapter_model.safetensors
    file: PathBuf,
    #[command(flatten)]
    rule: Rule,
    /// The most that a rank may be
    #[arg(long, value_name = "N", value_parser = rank)]
    max_rank: Option<usize>,
    #[command(flatten)]
    output: Output,
    /// kohya, peft, diffusers, comfy or onetrainer; the file's own names if left out
    #[arg(long, value_name = "CONVENTION")]
    to: Option<Target>,
    /// Number type: f32, f16 or bf16; each layer's own if left out
    #[arg(long, value_parser = dtype)]
    dtype: Option<Dtype>,
    /// Leave out layers that are no matrix in factors (DoRA, OFT, norms, biases)
    #[arg(long)]
    drop: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// How ranks are chosen.
#[derive(clap::Args)]
#[group(required = true, multiple = false)]
struct Rule {
    /// One rank for every layer
    #[arg(long, value_name = "N", value_parser = rank)]
    rank: Option<usize>,
    /// The rank that keeps this share of each layer's energy, as 0.98 or 98%
    #[arg(long, value_name = "X", value_parser = share)]
    energy: Option<f64>,
    /// The rank of singular values of at least this share of the largest, as 0.1 or 10%
    #[arg(long, value_name = "X", value_parser = share)]
    ratio: Option<f64>,
}

/// Reads a rank of 1 or more.
pub fn rank(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|&rank| rank > 0).ok_or_else(|| format!("`{text}` is not a rank: give 1 or more"))
}

/// Reads `0.98` or `98%`.
pub fn share(text: &str) -> Result<f64, String> {
    let (number, unit) = text.strip_suffix('%').map_or((text, 1.0), |number| (number, 100.0));
    let share = number.trim().parse::<f64>().ok().map(|number| number / unit);
    let is_share = |share: &f64| *share > 0.0 && *share <= 1.0;
    share.filter(is_share).ok_or_else(|| format!("`{text}` is not a share: give a number above 0, and 1 at most"))
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
    let resizing = block_on(resize(&opened, ResizeOptions { rule, most, to, dtype, drop }))?;
    let outcome = arguments.output.write(|out| block_on(resizing.write(out)))?;
    let preview = &resizing.preview;
    if arguments.json {
        say!("{}", json!({ "file": opened.file, "preview": preview, "outcome": outcome }));
        return Ok(ExitCode::SUCCESS);
    }
    crate::say::say(format_args!("{}", kept(&preview.layers)));
    for dropped in preview.dropped.iter().take(10) {
        say!("  left out    `{}`: {}", dropped.key, dropped.reason);
    }
    for line in outcome.iter().flat_map(thinned) {
        say!("  warning     {line}");
    }
    let (before, after) = (size(preview.size_before), size(preview.size_after));
    say!("{}: {} -> {}, {:.2} % of the energy kept", arguments.output.name(), before, after, 100.0 * preview.energy);
    Ok(ExitCode::SUCCESS)
}

/// What each layer keeps, for people.
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
