//! The WebAssembly build of `lora-loupe` in pkg/: a JavaScript module, its types and an optimized .wasm.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use wasm_bindgen_cli_support::Bindgen;

use crate::process::{Error, node_script, root, run, say};
use crate::toolchain::{Target, Toolchain};

/// Crate of the page's engine.
const CRATE: &str = "lora-loupe";
/// Stem of the file names in pkg/.
const STEM: &str = "lora_loupe";
/// WebAssembly features that rustc may use for this target and wasm-opt must therefore accept.
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

/// Builds pkg/ unless it is newer than its inputs. Needs the npm packages (for wasm-opt).
pub fn build(toolchain: Toolchain) -> Result<(), Error> {
    let compiled = compile(toolchain)?;
    let pkg = root().join("pkg");
    if is_fresh(&pkg, &compiled) {
        return Ok(());
    }
    // Renamed into place as a whole, so an interrupted build leaves no partial pkg/.
    let next = root().join("target").join("pkg.next");
    remove_folder(&next)?;
    bind(&compiled, &next)?;
    optimize(&next.join(format!("{STEM}_bg.wasm")))?;
    remove_folder(&pkg)?;
    fs::rename(&next, &pkg).map_err(|cause| Error::File { path: pkg, cause })
}

/// Compiles the library and returns the path of the .wasm file.
fn compile(toolchain: Toolchain) -> Result<PathBuf, Error> {
    let triple = Target::Browser.triple();
    say(&format!("compiling {CRATE} for {triple}"));
    run(toolchain.cargo("build").args(["--package", CRATE, "--lib", "--release"]))?;
    Ok(toolchain.target_dir().join(triple).join("release").join(format!("{STEM}.wasm")))
}

/// Runs wasm-bindgen: writes the .wasm, the JavaScript module and its types to `folder`.
fn bind(wasm: &Path, folder: &Path) -> Result<(), Error> {
    say("wasm-bindgen: writing pkg/");
    let mut bindgen = Bindgen::new();
    let result = (|| {
        bindgen.input_path(wasm).out_name(STEM).typescript(true).web(true)?;
        bindgen.omit_default_module_path(false).generate(folder)
    })();
    result.map_err(|cause| Error::Bindgen { wasm: wasm.to_owned(), cause: format!("{cause:#}") })
}

/// Optimizes a .wasm file in place.
fn optimize(wasm: &Path) -> Result<(), Error> {
    say("wasm-opt -O3");
    let mut command = node_script("binaryen/bin/wasm-opt");
    run(command.args(FEATURES).arg("-O3").arg(wasm).arg("-o").arg(wasm))
}

/// Returns whether pkg/ is newer than the compiled library, this program and the npm packages.
fn is_fresh(pkg: &Path, compiled: &Path) -> bool {
    let modified = |file: &Path| file.metadata().and_then(|data| data.modified()).ok();
    let Some(built) = modified(&pkg.join(format!("{STEM}_bg.wasm"))) else { return false };
    let packages = root().join("node_modules").join(".package-lock.json");
    let inputs: [Option<SystemTime>; 3] =
        [modified(compiled), modified(&packages), std::env::current_exe().ok().and_then(|exe| modified(&exe))];
    inputs.iter().all(|input| input.is_some_and(|input| input < built))
}

fn remove_folder(folder: &Path) -> Result<(), Error> {
    match fs::remove_dir_all(folder) {
        Err(cause) if cause.kind() != std::io::ErrorKind::NotFound => {
            Err(Error::File { path: folder.to_owned(), cause })
        }
        _ => Ok(()),
    }
}
