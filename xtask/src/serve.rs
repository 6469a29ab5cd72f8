//! `cargo xtask serve`: a local server for the page.

use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::time::Duration;

use crate::dist;
use crate::process::{Error, node_script, run};

/// Number of consecutive ports to try.
const MAX_PORTS: u16 = 100;

/// Arguments of `cargo xtask serve`.
#[derive(clap::Args)]
pub struct Options {
    /// Port to serve on; if it is in use, the next free one.
    #[arg(long, default_value_t = 4173)]
    port: u16,
    /// Serve the sources with Vite's dev server, which reloads the page when web/ changes.
    #[arg(long)]
    dev: bool,
}

/// Builds the page, serves it until the process is stopped and prints its URL once the server responds.
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

/// Returns the first free port from `wanted` on.
fn free_port(wanted: u16) -> Result<u16, Error> {
    let last = wanted.saturating_add(MAX_PORTS - 1);
    (wanted..=last)
        .find(|&port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok())
        .ok_or(Error::NoPort { first: wanted, last })
}

/// Prints the page's URL once the server accepts connections.
fn announce(port: u16) {
    while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
        std::thread::sleep(Duration::from_millis(50));
    }
    println!("\nLoRA Loupe: http://127.0.0.1:{port}/\nPress Ctrl-C to stop.");
}
