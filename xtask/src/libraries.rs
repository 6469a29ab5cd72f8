//! Turns a machine with Python into a check that diffusers, peft and lycoris-lora load what this program converts.

use std::path::PathBuf;
use std::process::Command;

use crate::process::{Error, cargo, output, root, run, say};

/// What the check needs of PyPI.
const PACKAGES: [&str; 6] = ["torch", "diffusers", "transformers", "peft", "lycoris-lora", "numpy"];
/// What Python imports to see that they are there.
const IMPORTS: &str = "import torch, diffusers, transformers, peft, lycoris, numpy";

/// Converts every adapter of the corpus and loads the results in the libraries.
pub fn check() -> Result<(), Error> {
    let python = python()?;
    run(cargo().args(["build", "--package", "lora-loupe"]))?;
    let program = root().join("target").join("debug").join("lora-loupe");
    let tests = root().join("tests");
    run(Command::new(python).arg(tests.join("make").join("roundtrip.py")).arg(program).arg(tests.join("corpus")))
}

/// A Python with the libraries: what the variable `PYTHON` names, else one in target/libraries, which is set up.
fn python() -> Result<PathBuf, Error> {
    let given = PathBuf::from(std::env::var_os("PYTHON").unwrap_or_else(|| "python3".into()));
    if output(Command::new(&given).args(["-c", IMPORTS])).is_some() {
        return Ok(given);
    }
    let folder = root().join("target").join("libraries");
    let own = folder.join(if cfg!(windows) { "Scripts" } else { "bin" }).join("python");
    if output(Command::new(&own).args(["-c", IMPORTS])).is_none() {
        say("setting up Python's libraries in target/libraries");
        run(Command::new(&given).args(["-m", "venv"]).arg(&folder))?;
        run(Command::new(&own).args(["-m", "pip", "install", "--quiet"]).args(PACKAGES))?;
    }
    Ok(own)
}
