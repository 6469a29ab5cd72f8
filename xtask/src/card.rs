//! `cargo xtask card`: a folder that runs tests/tools/card on a machine with a graphics card and nothing else.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::process::{Error, cargo, copy, root, run, say};

/// Files and folders under tests/ that the program reads.
const DATA: [&str; 2] = ["golden/ops", "golden/single_file"];

/// The peer's package; a machine with PyTorch may lack it and what it needs.
const PEER: &str = "diffusers==0.42.1";

/// What the peer does not need: what comes with PyTorch, downloads, and the pipelines around the networks.
const NEEDLESS: [&str; 6] =
    ["numpy", "numpy.libs", "hf_xet", "bin", "diffusers/pipelines", "diffusers/modular_pipelines"];

/// Where Linux has the Vulkan loader; the folder takes a copy along.
const LOADERS: [&str; 2] = ["/usr/lib/x86_64-linux-gnu/libvulkan.so.1", "/usr/lib64/libvulkan.so.1"];

/// Starts the program with what lies beside it.
const START: &str = r#"#!/usr/bin/env bash
# Measures this machine's graphics card: bash run.sh RESULTS [--small]
set -u
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
results="${1:?a folder for results}"
export LORA_LOUPE_TESTS="$here/tests"
ldconfig -p | grep -q libvulkan.so.1 || export LD_LIBRARY_PATH="$here/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
small=(); peer=(python3 "$here/peer.py")
if [ "${2:-}" = --small ]; then small=(--small); peer+=(small); fi
exec "$here/tools" card "$results" "${small[@]}" --peer "${peer[@]}"
"#;

/// Builds the folder target/card.
pub fn card() -> Result<(), Error> {
    run(cargo().args(["build", "--release", "--package", "lora-loupe-tests", "--bin", "tools"]))?;
    let (target, folder) = (root().join("target"), root().join("target").join("card"));
    if folder.exists() {
        fs::remove_dir_all(&folder).map_err(|cause| Error::File { path: folder.clone(), cause })?;
    }
    let tests = root().join("tests");
    for data in DATA {
        copy(&tests.join(data), &folder.join("tests").join(data))?;
    }
    copy(&target.join("release").join("tools"), &folder.join("tools"))?;
    copy(&tests.join("tools").join("card").join("peer.py"), &folder.join("peer.py"))?;
    if let Some(loader) = LOADERS.iter().map(Path::new).find(|path| path.exists()) {
        copy(loader, &folder.join("lib").join("libvulkan.so.1"))?;
    }
    let (python, pip) = (folder.join("python"), ["-m", "pip", "install", "--quiet", "--no-compile", "--target"]);
    if run(Command::new("python3").args(pip).arg(&python).arg(PEER)).is_err() {
        say("without diffusers: PyTorch's UNet is timed only where diffusers is installed");
    }
    for needless in NEEDLESS.map(|name| python.join(name)).into_iter().filter(|path| path.exists()) {
        fs::remove_dir_all(&needless).map_err(|cause| Error::File { path: needless, cause })?;
    }
    let start = folder.join("run.sh");
    fs::write(&start, START).map_err(|cause| Error::File { path: start.clone(), cause })?;
    println!("target/card is ready: on a machine with a card, `bash run.sh RESULTS` in a copy of it.");
    Ok(())
}
