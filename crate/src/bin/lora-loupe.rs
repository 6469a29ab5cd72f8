//! Turns the command line into calls of the same core that the page uses.

#[path = "lora-loupe/bake.rs"]
mod bake;
#[path = "lora-loupe/files.rs"]
mod files;
#[path = "lora-loupe/inspect.rs"]
mod inspect;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// Says what LoRA files hold, and folds them into Stable Diffusion models.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Inspect(inspect::Arguments),
    Bake(bake::Arguments),
}

fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::Inspect(arguments) => inspect::run(&arguments),
        Command::Bake(arguments) => bake::run(&arguments),
    };
    result.unwrap_or_else(|error| {
        eprintln!("lora-loupe: {error}");
        ExitCode::from(2)
    })
}
