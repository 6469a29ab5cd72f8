//! `convert` command: key format, dtype, alpha and algorithm of an adapter.

use crate::files::{self, FileError};
use crate::output::{Output, size, thinned};
use crate::values::{dtype, rank};
use lora_loupe::edit::{
    AlphaPlace, ConvertOptions, ConvertPreview, Opened, Strengths, Target, convert, convert_with_base,
};
use lora_loupe::formats::Dtype;
use pollster::block_on;
use serde_json::json;
use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;

/// Convert an adapter to another key format or dtype, or to plain LoRA
///
/// The effect stays the same up to rounding; fails with the layer's name if that is not possible.
/// Keys that match no layer are dropped.
#[derive(clap::Args)]
pub struct Arguments {
    /// An adapter, or a PEFT folder with adapter_model.safetensors
    file: PathBuf,
    /// Key format: kohya, peft, diffusers, comfy, onetrainer or aitoolkit (default: the file's own)
    #[arg(long, value_name = "CONVENTION")]
    to: Option<Target>,
    #[command(flatten)]
    output: Output,
    /// f32, f16 or bf16 (default: each layer's own)
    #[arg(long, value_parser = dtype)]
    dtype: Option<Dtype>,
    /// `keep` alpha, or `bake` alpha / rank into the weights (default: as the key format expects)
    #[arg(long, value_name = "keep|bake", value_parser = alpha)]
    alpha: Option<AlphaPlace>,
    /// Convert LoHa, LoKr and LoCon (Tucker) to plain LoRA; with --base also OFT, BOFT, HRA, (IA)³, GLoRA and DoRA
    #[arg(long)]
    as_lora: bool,
    /// Base model of algorithms that change its weights, for --as-lora: a .safetensors file or a diffusers folder
    #[arg(long, value_name = "MODEL", requires = "as_lora")]
    base: Option<PathBuf>,
    /// Rank of layers that have no exact LoRA
    #[arg(long, value_name = "N", value_parser = rank)]
    rank: Option<usize>,
    /// Block weights: IN04=0.5,MID=0,TE=1 or a list of 12, 17, 20 or 26 numbers
    #[arg(long, value_name = "LIST")]
    blocks: Option<Strengths>,
    /// Move the blocks to a model that has this many, made by inserting blocks: 40 or 52 for Anima
    #[arg(long, value_name = "N")]
    to_blocks: Option<usize>,
    /// Drop unsupported and incomplete layers
    #[arg(long)]
    drop: bool,
    /// Layer to remove, by its path in `inspect`; can be repeated
    #[arg(long, value_name = "LAYER")]
    without: Vec<String>,
    /// Keep keys that match no layer
    #[arg(long)]
    keep_leftovers: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

fn alpha(text: &str) -> Result<AlphaPlace, String> {
    match text {
        "keep" => Ok(AlphaPlace::Kept),
        "bake" => Ok(AlphaPlace::Baked),
        _ => Err(format!("`{text}` is not valid: use keep or bake")),
    }
}

/// Writes the converted file.
pub fn run(arguments: &Arguments) -> Result<ExitCode, Box<dyn Error>> {
    let (path, companion) = files::adapter(&arguments.file);
    arguments.output.check(&[&path])?;
    let source = files::source(&path)?;
    let base = arguments.base.as_deref().map(|path| Ok::<_, FileError>((files::name(path), files::model(path)?)));
    let base = base.transpose()?;
    let base_files = base.as_ref().map(|(_, model)| model.model_files());
    let base = base.as_ref().zip(base_files.as_deref()).map(|((name, model), files)| model.side(name, files));
    let mut opened = block_on(Opened::new(&files::name(&path), &source, companion.as_deref()))?;
    if let Some(base) = base {
        opened = block_on(opened.on(base))?;
    }
    let options = ConvertOptions {
        to: arguments.to,
        dtype: arguments.dtype,
        alpha: arguments.alpha.unwrap_or_default(),
        as_lora: arguments.as_lora,
        rank: arguments.rank,
        drop: arguments.drop,
        keep_leftovers: arguments.keep_leftovers,
        strengths: arguments.blocks.clone().unwrap_or_default(),
        without: arguments.without.clone(),
        to_blocks: arguments.to_blocks,
        ..ConvertOptions::default()
    };
    let conversion = match base {
        Some(base) => block_on(convert_with_base(&opened, &options, base))?,
        None => block_on(convert(&opened, &options))?,
    };
    let outcome = arguments.output.write(|out| block_on(conversion.write(out)))?;
    if arguments.json {
        say!("{}", json!({ "file": opened.file, "preview": conversion.preview, "outcome": outcome }));
        return Ok(ExitCode::SUCCESS);
    }
    crate::say::say(format_args!("{}", text(&conversion.preview)));
    for line in outcome.iter().flat_map(thinned) {
        say!("  warning     {line}");
    }
    say!("{}: {}", arguments.output.name(), size(conversion.preview.size_after));
    Ok(ExitCode::SUCCESS)
}

/// Formats the preview.
fn text(preview: &ConvertPreview) -> String {
    let mut lines = Vec::new();
    let mut row = |name: &str, text: String| lines.push(format!("  {name:<11} {text}\n"));
    let to = preview.to.map_or(preview.from.as_str(), |target| target.name());
    row("key format", format!("{} -> {to}", preview.from));
    row("tensors", format!("{} -> {}", preview.tensors_before, preview.tensors_after));
    row("size", format!("{} -> {}", size(preview.size_before), size(preview.size_after)));
    if let Some(first) = preview.renamed.first() {
        row("renamed", format!("{} keys, e.g. `{}` -> `{}`", preview.renamed.len(), first.from, first.to));
    }
    if let Some(first) = preview.baked.first() {
        row("baked", format!("{} scales, e.g. {} in {}", preview.baked.len(), first.scale, first.path));
    }
    if let Some(first) = preview.split.first() {
        row("split", format!("{} fused layers, e.g. {first}", preview.split.len()));
    }
    if let Some(first) = preview.fused.first() {
        row("fused", format!("{} layers, e.g. {first}", preview.fused.len()));
    }
    let (exact, approximate): (Vec<_>, Vec<_>) = preview.rebuilt.iter().partition(|layer| layer.exact);
    if !exact.is_empty() {
        row("as LoRA", format!("{} layers, exact", exact.len()));
    }
    for layer in approximate {
        let error = (1.0 - layer.kept.energy).max(0.0).sqrt();
        row(
            "as LoRA",
            format!("{} at rank {}: relative error {:.2} %", layer.kept.path, layer.kept.rank, 100.0 * error),
        );
    }
    for dropped in preview.dropped.iter().take(10) {
        row("dropped", format!("`{}`: {}", dropped.key, dropped.reason));
    }
    if preview.dropped.len() > 10 {
        row("dropped", format!("and {} more keys (--json lists all)", preview.dropped.len() - 10));
    }
    lines.concat()
}
