//! Turns the sources into a page at an address of this machine.

use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::time::Duration;

use crate::dist;
use crate::process::{Error, node_script, run};

/// How many ports are tried, from the wanted one on.
const PORTS_TRIED: u16 = 100;

/// What `cargo xtask serve` takes.
#[derive(clap::Args)]
pub struct Options {
    /// The port to serve on; the next free one if it is taken.
    #[arg(long, default_value_t = 4173)]
    port: u16,
    /// Serve the sources with Vite's dev server, which reloads the page when web/ changes.
    #[arg(long)]
    dev: bool,
}

/// Sets up, builds, serves until the process is stopped; the address is printed once it answers.
pub fn serve(options: &Options) -> Result<(), Error> {
    dist::engine()?;
    if !options.dev {
        dist::page()?;
    }
    let port = free_port(options.port)?;
    std::thread::spawn(move || announce(port));
    let mut vite = node_script("vite/bin/vite.js");
    vite.arg(if options.dev { "dev" } else { "preview" });
    vite.args(["--host", "127.0.0.1", "--strictPort", "--logLevel", "warn"]);
    run(vite.arg("--port").arg(port.to_string()))
}

/// The first port from `wanted` on that nobody listens on.
fn free_port(wanted: u16) -> Result<u16, Error> {
    let last = wanted.saturating_add(PORTS_TRIED - 1);
    (wanted..=last)
        .find(|&port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok())
        .ok_or(Error::NoPort { first: wanted, last })
}

/// Prints the page's address as soon as the server answers.
fn announce(port: u16) {
    while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
        std::thread::sleep(Duration::from_millis(50));
    }
    println!("\nLoRA Loupe: http://127.0.0.1:{port}/\nCtrl-C stops it.");
}
