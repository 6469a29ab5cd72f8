//! Turns the sources into dist/, a folder that any static host can serve under any path.

use crate::process::{Error, node_script, run, say};
use crate::toolchain::{Target, Toolchain};
use crate::{setup, wasm};

/// Sets up, builds dist/ and says where it is.
pub fn dist() -> Result<(), Error> {
    engine()?;
    page()?;
    println!("dist/ is ready: put its files on any static host, under any path.");
    Ok(())
}

/// Sets up what the engine needs and builds it into pkg/.
pub fn engine() -> Result<(), Error> {
    setup::npm_packages()?;
    wasm::build(Toolchain::get(Target::Browser)?)
}

/// Builds the page and pkg/ into dist/.
pub fn page() -> Result<(), Error> {
    say("vite build");
    run(node_script("vite/bin/vite.js").args(["build", "--logLevel", "warn"]))
}
