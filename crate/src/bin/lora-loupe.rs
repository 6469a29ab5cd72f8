//! Command line of the library that the web page uses.

#[macro_use]
#[path = "lora-loupe/say.rs"]
pub(crate) mod say;

#[path = "lora-loupe/bake.rs"]
pub(crate) mod bake;
#[path = "lora-loupe/check.rs"]
pub(crate) mod check;
#[path = "lora-loupe/compare.rs"]
pub(crate) mod compare;
#[path = "lora-loupe/convert.rs"]
pub(crate) mod convert;
#[path = "lora-loupe/device.rs"]
pub(crate) mod device;
#[path = "lora-loupe/extract.rs"]
pub(crate) mod extract;
#[path = "lora-loupe/files.rs"]
pub(crate) mod files;
#[path = "lora-loupe/fix.rs"]
pub(crate) mod fix;
#[path = "lora-loupe/generate.rs"]
pub(crate) mod generate;
#[path = "lora-loupe/inspect.rs"]
pub(crate) mod inspect;
#[path = "lora-loupe/log.rs"]
pub(crate) mod log;
#[path = "lora-loupe/lora.rs"]
pub(crate) mod lora;
#[path = "lora-loupe/merge.rs"]
pub(crate) mod merge;
#[path = "lora-loupe/metadata.rs"]
pub(crate) mod metadata;
#[path = "lora-loupe/output.rs"]
pub(crate) mod output;
#[path = "lora-loupe/plan.rs"]
pub(crate) mod plan;
#[path = "lora-loupe/resize.rs"]
pub(crate) mod resize;
#[path = "lora-loupe/series.rs"]
pub(crate) mod series;
#[path = "lora-loupe/signature.rs"]
pub(crate) mod signature;
#[path = "lora-loupe/strength.rs"]
pub(crate) mod strength;
#[path = "lora-loupe/table.rs"]
pub(crate) mod table;
#[path = "lora-loupe/template.rs"]
pub(crate) mod template;
#[path = "lora-loupe/triggers.rs"]
pub(crate) mod triggers;
#[path = "lora-loupe/upscale.rs"]
pub(crate) mod upscale;
#[path = "lora-loupe/values.rs"]
pub(crate) mod values;
#[path = "lora-loupe/verify.rs"]
pub(crate) mod verify;
#[path = "lora-loupe/web_ui.rs"]
pub(crate) mod web_ui;

use clap::{Parser, Subcommand};
use std::ffi::OsString;
use std::process::ExitCode;

/// Inspect, edit and compare LoRA files, bake them into Stable Diffusion models, and generate images with them.
#[derive(Parser)]
#[command(name = "lora-loupe", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
#[expect(clippy::large_enum_variant, reason = "only one value exists")]
enum Command {
    Inspect(inspect::Arguments),
    Check(check::Arguments),
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
    Signature(signature::Arguments),
    Metadata(metadata::Arguments),
    Triggers(triggers::Arguments),
    Generate(generate::Arguments),
    Upscale(upscale::Arguments),
    Plan(plan::Arguments),
}

fn main() -> ExitCode {
    run(std::env::args_os())
}

/// Runs the command of these arguments, the first of which is the program's name.
pub(crate) fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let result = match Arguments::parse_from(arguments).command {
        Command::Inspect(arguments) => inspect::run(&arguments),
        Command::Check(arguments) => check::run(&arguments),
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
        Command::Signature(arguments) => signature::run(&arguments),
        Command::Metadata(arguments) => metadata::run(&arguments),
        Command::Triggers(arguments) => triggers::run(&arguments),
        Command::Generate(arguments) => generate::run(&arguments),
        Command::Upscale(arguments) => upscale::run(&arguments),
        Command::Plan(arguments) => plan::run(&arguments),
    };
    result.unwrap_or_else(|error| {
        eprintln!("lora-loupe: {error}");
        ExitCode::from(2)
    })
}
