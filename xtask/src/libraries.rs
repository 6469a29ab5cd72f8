//! `cargo xtask test libraries`: checks that diffusers, peft and lycoris-lora load converted and fixed files.

use std::path::PathBuf;
use std::process::Command;

use crate::process::{Error, cargo, output, root, run, say};

/// PyPI packages that the check needs.
const PACKAGES: [&str; 6] = ["torch", "diffusers==0.42.1", "transformers", "peft==0.21.2", "lycoris-lora", "numpy"];

/// Converts every adapter of the corpus and loads the results with the libraries; then loads every recorded case with
/// diffusers, before and after each of its fixes and conversions. A case that was loaded with the same program is not
/// loaded again: target/libraries/done.jsonl lists them.
pub fn check() -> Result<(), Error> {
    let python = python(&PACKAGES)?;
    run(cargo().args(["build", "--package", "lora-loupe"]))?;
    let program = root().join("target").join("debug").join("lora-loupe");
    let tests = root().join("tests");
    let script = |name: &str| {
        let mut command = Command::new(&python);
        command.arg(tests.join("make").join(name)).arg(&program);
        command
    };
    run(script("roundtrip.py").arg(tests.join("corpus")))?;
    let done = root().join("target").join("libraries").join("done.jsonl");
    run(script("fixes_in_diffusers.py").arg("--done").arg(done))
}

/// Returns a Python with these packages: that of the environment variable `PYTHON` (by default `python3`) or a virtual
/// environment in target/libraries, which gets them on first use.
pub fn python(packages: &[&str]) -> Result<PathBuf, Error> {
    let system = PathBuf::from(std::env::var_os("PYTHON").unwrap_or_else(|| "python3".into()));
    let modules = packages.iter().map(|package| match package.split("==").next().unwrap_or(package) {
        "lycoris-lora" => "lycoris",
        name => name,
    });
    let imports = format!("import {}", modules.collect::<Vec<_>>().join(", "));
    if output(Command::new(&system).args(["-c", &imports])).is_some() {
        return Ok(system);
    }
    let folder = root().join("target").join("libraries");
    let venv = folder.join(if cfg!(windows) { "Scripts" } else { "bin" }).join("python");
    if output(Command::new(&venv).args(["-c", &imports])).is_none() {
        say("installing the Python libraries in target/libraries");
        run(Command::new(&system).args(["-m", "venv"]).arg(&folder))?;
        run(Command::new(&venv).args(["-m", "pip", "install", "--quiet"]).args(packages))?;
    }
    Ok(venv)
}
