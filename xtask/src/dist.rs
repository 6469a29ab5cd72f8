//! `cargo xtask dist`: the static site in dist/, which any host can serve under any path.

use crate::process::{Error, node_script, run, say};
use crate::toolchain::{Target, Toolchain};
use crate::{setup, wasm};

/// Installs what is missing and builds dist/.
pub fn dist() -> Result<(), Error> {
    engine()?;
    page()?;
    println!("dist/ is ready: upload its files to any static host, under any path.");
    Ok(())
}

/// Installs what the WebAssembly modules need and builds them into pkg/.
pub fn engine() -> Result<(), Error> {
    setup::npm_packages()?;
    wasm::build(&Toolchain::get(Target::Browser)?)
}

/// Builds dist/ from the page and pkg/.
pub fn page() -> Result<(), Error> {
    say("vite build");
    run(node_script("vite/bin/vite.js").args(["build", "--logLevel", "warn"]))
}
