//! Turns `cargo xtask serve|test|bench|dist` into a running page, a test verdict, a table of times or a folder for a static host.

mod bench;
mod dist;
mod libraries;
mod process;
mod serve;
mod setup;
mod test;
mod toolchain;
mod wasm;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// The developer's commands. Each first sets up what it needs and this machine lacks.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Build the page, serve it on this machine and print its address.
    Serve(serve::Options),
    /// Run every test: Rust, types, and the built page in a browser.
    Test(test::Options),
    /// Time kernels, networks, pictures and the page, beside a peer; say how much of the device is used.
    Bench(bench::Options),
    /// Write dist/, a folder that any static host can serve under any path.
    Dist,
}

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Serve(options) => serve::serve(&options),
        Command::Test(options) => test::test(&options),
        Command::Bench(options) => bench::bench(&options),
        Command::Dist => dist::dist(),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\ncargo xtask: {error}");
            ExitCode::FAILURE
        }
    }
}
