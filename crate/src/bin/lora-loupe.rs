//! Command line of the library that the web page uses.

#[macro_use]
#[path = "lora-loupe/say.rs"]
mod say;

#[path = "lora-loupe/bake.rs"]
mod bake;
#[path = "lora-loupe/compare.rs"]
mod compare;
#[path = "lora-loupe/convert.rs"]
mod convert;
#[path = "lora-loupe/device.rs"]
mod device;
#[path = "lora-loupe/extract.rs"]
mod extract;
#[path = "lora-loupe/files.rs"]
mod files;
#[path = "lora-loupe/fix.rs"]
mod fix;
#[path = "lora-loupe/generate.rs"]
mod generate;
#[path = "lora-loupe/inspect.rs"]
mod inspect;
#[path = "lora-loupe/log.rs"]
mod log;
#[path = "lora-loupe/lora.rs"]
mod lora;
#[path = "lora-loupe/merge.rs"]
mod merge;
#[path = "lora-loupe/metadata.rs"]
mod metadata;
#[path = "lora-loupe/output.rs"]
mod output;
#[path = "lora-loupe/plan.rs"]
mod plan;
#[path = "lora-loupe/resize.rs"]
mod resize;
#[path = "lora-loupe/series.rs"]
mod series;
#[path = "lora-loupe/strength.rs"]
mod strength;
#[path = "lora-loupe/table.rs"]
mod table;
#[path = "lora-loupe/template.rs"]
mod template;
#[path = "lora-loupe/upscale.rs"]
mod upscale;
#[path = "lora-loupe/values.rs"]
mod values;
#[path = "lora-loupe/verify.rs"]
mod verify;
#[path = "lora-loupe/web_ui.rs"]
mod web_ui;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// Inspect, edit and compare LoRA files, bake them into Stable Diffusion models, and generate images with them.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
#[expect(clippy::large_enum_variant, reason = "only one value exists")]
enum Command {
    Inspect(inspect::Arguments),
    Log(log::Arguments),
    Bake(bake::Arguments),
    Verify(verify::Arguments),
    Convert(convert::Arguments),
    Resize(resize::Arguments),
    Merge(merge::Arguments),
    Extract(extract::Arguments),
    Compare(compare::Arguments),
    Fix(fix::Arguments),
    Series(series::Arguments),
    Strength(strength::Arguments),
    Metadata(metadata::Arguments),
    Generate(generate::Arguments),
    Upscale(upscale::Arguments),
    Plan(plan::Arguments),
}

fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::Inspect(arguments) => inspect::run(&arguments),
        Command::Log(arguments) => log::run(&arguments),
        Command::Bake(arguments) => bake::run(&arguments),
        Command::Verify(arguments) => verify::run(&arguments),
        Command::Convert(arguments) => convert::run(&arguments),
        Command::Resize(arguments) => resize::run(&arguments),
        Command::Merge(arguments) => merge::run(&arguments),
        Command::Extract(arguments) => extract::run(&arguments),
        Command::Compare(arguments) => compare::run(&arguments),
        Command::Fix(arguments) => fix::run(&arguments),
        Command::Series(arguments) => series::run(&arguments),
        Command::Strength(arguments) => strength::run(&arguments),
        Command::Metadata(arguments) => metadata::run(&arguments),
        Command::Generate(arguments) => generate::run(&arguments),
        Command::Upscale(arguments) => upscale::run(&arguments),
        Command::Plan(arguments) => plan::run(&arguments),
    };
    result.unwrap_or_else(|error| {
        eprintln!("lora-loupe: {error}");
        ExitCode::from(2)
    })
}
