//! The developer commands `cargo xtask serve`, `test`, `bench`, `card` and `dist`.

mod bench;
mod card;
mod dist;
mod libraries;
mod packages;
mod process;
mod serve;
mod setup;
mod test;
mod toolchain;
mod wasm;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Developer commands. Each first installs what it needs and this machine lacks.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Build the page, serve it locally and print its URL.
    Serve(serve::Options),
    /// Run all tests: Rust, type checks, and the built page in a browser.
    Test(test::Options),
    /// Benchmark kernels, networks, image generation and the page, with peer times and the share of peak throughput.
    Bench(bench::Options),
    /// Build target/card, which measures a graphics card on a machine that has nothing else: kernels against the
    /// definitions, their share of the roof, images of SD 1.5 and SDXL, PyTorch beside them.
    Card,
    /// Build dist/, a static site that any host can serve under any path.
    Dist,
    /// Print the changes of a version, which must be that of Cargo.toml, for its release.
    Changes {
        /// The version: `1.2.3`.
        version: String,
    },
}

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Serve(options) => serve::serve(&options),
        Command::Test(options) => test::test(&options),
        Command::Bench(options) => bench::bench(&options),
        Command::Card => card::card(),
        Command::Dist => dist::dist(),
        Command::Changes { version } => packages::changes(&version),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\ncargo xtask: {error}");
            ExitCode::FAILURE
        }
    }
}
