//! Turns the crate `lora-loupe` into pkg/: a JavaScript module, its types and an optimised .wasm.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use wasm_bindgen_cli_support::Bindgen;

use crate::process::{Error, node_script, root, run, say};
use crate::toolchain::{Target, Toolchain};

/// The crate that becomes the page's engine.
const CRATE: &str = "lora-loupe";
/// The stem of the files in pkg/.
const STEM: &str = "lora_loupe";
/// What rustc may emit for this target, and so what wasm-opt must accept.
const FEATURES: [&str; 8] = [
    "--enable-simd",
    "--enable-bulk-memory",
    "--enable-bulk-memory-opt",
    "--enable-multivalue",
    "--enable-mutable-globals",
    "--enable-nontrapping-float-to-int",
    "--enable-reference-types",
    "--enable-sign-ext",
];

/// Builds pkg/, or leaves it where it is newer than all that it is made from. The npm packages
/// must be there (for wasm-opt).
pub fn build(toolchain: Toolchain) -> Result<(), Error> {
    let compiled = compile(toolchain)?;
    let pkg = root().join("pkg");
    if is_fresh(&pkg, &compiled) {
        return Ok(());
    }
    // pkg/ is put in place as a whole, so an interrupted build leaves no half of it.
    let next = root().join("target").join("pkg.next");
    remove_folder(&next)?;
    bind(&compiled, &next)?;
    optimise(&next.join(format!("{STEM}_bg.wasm")))?;
    remove_folder(&pkg)?;
    fs::rename(&next, &pkg).map_err(|cause| Error::File { path: pkg, cause })
}

/// Compiles the library and returns the path of its .wasm file.
fn compile(toolchain: Toolchain) -> Result<PathBuf, Error> {
    let triple = Target::Browser.triple();
    say(&format!("compiling {CRATE} for {triple}"));
    run(toolchain.cargo("build").args(["--package", CRATE, "--lib", "--release"]))?;
    Ok(toolchain.target_dir().join(triple).join("release").join(format!("{STEM}.wasm")))
}

/// Writes the JavaScript module and its types beside the bound .wasm.
fn bind(wasm: &Path, folder: &Path) -> Result<(), Error> {
    say("wasm-bindgen: writing pkg/");
    let mut bindgen = Bindgen::new();
    let made = (|| {
        bindgen.input_path(wasm).out_name(STEM).typescript(true).web(true)?;
        bindgen.omit_default_module_path(false).generate(folder)
    })();
    made.map_err(|cause| Error::Bindgen { wasm: wasm.to_owned(), cause: format!("{cause:#}") })
}

/// Makes a .wasm file smaller and faster, in place.
fn optimise(wasm: &Path) -> Result<(), Error> {
    say("wasm-opt -O3");
    let mut command = node_script("binaryen/bin/wasm-opt");
    run(command.args(FEATURES).arg("-O3").arg(wasm).arg("-o").arg(wasm))
}

/// Whether pkg/ is newer than the compiled library, this program and the npm packages.
fn is_fresh(pkg: &Path, compiled: &Path) -> bool {
    let modified = |file: &Path| file.metadata().and_then(|data| data.modified()).ok();
    let Some(made) = modified(&pkg.join(format!("{STEM}_bg.wasm"))) else { return false };
    let packages = root().join("node_modules").join(".package-lock.json");
    let inputs: [Option<SystemTime>; 3] =
        [modified(compiled), modified(&packages), std::env::current_exe().ok().and_then(|exe| modified(&exe))];
    inputs.iter().all(|input| input.is_some_and(|input| input < made))
}

fn remove_folder(folder: &Path) -> Result<(), Error> {
    match fs::remove_dir_all(folder) {
        Err(cause) if cause.kind() != std::io::ErrorKind::NotFound => {
            Err(Error::File { path: folder.to_owned(), cause })
        }
        _ => Ok(()),
    }
}
