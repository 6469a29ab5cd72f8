//! The WebAssembly builds of `lora-loupe` in pkg/: for each, a JavaScript module, its types and an optimized .wasm.

use std::fs;
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::SystemTime;

use wasm_bindgen_cli_support::Bindgen;

use crate::process::{Error, node_script, root, run, say};
use crate::toolchain::{Target, Toolchain};

/// Crate of the modules.
const CRATE: &str = "lora-loupe";
/// The modules: features of the crate, and stems of the file names in pkg/.
const MODULES: [&str; 2] = ["inspector", "engine"];
/// The module of the npm package's small entry, likewise.
pub const REPORT: &str = "report";
/// Options of wasm-opt for a module that is small rather than fast. The first KB of memory is the end of the stack, where no
/// valid program reads.
const SMALL: [&str; 11] = [
    "--low-memory-unused",
    "-Oz",
    "--flatten",
    "--rereloop",
    "-Oz",
    "--flatten",
    "--rereloop",
    "-Oz",
    "-Oz",
    "--strip-producers",
    "--strip-target-features",
];
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

/// Builds the modules of pkg/ that are older than their inputs. Needs the npm packages (for wasm-opt). A module is
/// optimized, which takes one core a minute, while the next one is compiled.
pub fn build(toolchain: &Toolchain) -> Result<(), Error> {
    thread::scope(|scope| {
        let mut optimizing = Vec::new();
        for module in MODULES {
            if let Some(folder) = bound(toolchain, module)? {
                optimizing.push(scope.spawn(move || finish(&folder, module)));
            }
        }
        optimizing.into_iter().try_for_each(|thread| thread.join().unwrap_or_else(|panic| resume_unwind(panic)))
    })
}

/// Builds a module if it is older than its inputs.
pub fn build_module(toolchain: &Toolchain, module: &str) -> Result<(), Error> {
    bound(toolchain, module)?.map_or(Ok(()), |folder| finish(&folder, module))
}

/// Compiles a module and writes it, not yet optimized, to a folder of its own; None if the one of pkg/ is newer.
fn bound(toolchain: &Toolchain, module: &str) -> Result<Option<PathBuf>, Error> {
    let compiled = compile(toolchain, module)?;
    if is_fresh(&root().join("pkg").join(format!("{module}_bg.wasm")), &compiled) {
        return Ok(None);
    }
    let folder = root().join("target").join("pkg.next").join(module);
    remove_folder(&folder)?;
    bind(&compiled, &folder, module)?;
    Ok(Some(folder))
}

/// Optimizes a module and moves it into pkg/ when it is complete, the .wasm last: an interrupted build is repeated.
fn finish(folder: &Path, module: &str) -> Result<(), Error> {
    let (pkg, wasm) = (root().join("pkg"), format!("{module}_bg.wasm"));
    optimize(&folder.join(&wasm), if module == REPORT { &SMALL[..] } else { &["-O3"] })?;
    fs::create_dir_all(&pkg).map_err(|cause| Error::File { path: pkg.clone(), cause })?;
    for name in [format!("{module}.js"), format!("{module}.d.ts"), format!("{wasm}.d.ts"), wasm] {
        fs::rename(folder.join(&name), pkg.join(&name))
            .map_err(|cause| Error::File { path: pkg.join(&name), cause })?;
    }
    Ok(())
}

/// Compiles the library with a module's interface and returns the path of the .wasm file.
fn compile(toolchain: &Toolchain, module: &str) -> Result<PathBuf, Error> {
    let triple = Target::Browser.triple();
    say(&format!("compiling the {module} of {CRATE} for {triple}"));
    let features = ["--no-default-features", "--features", module];
    run(toolchain.cargo("build").args(["--package", CRATE, "--lib", "--release"]).args(features))?;
    Ok(toolchain.target_dir().join(triple).join("release").join("lora_loupe.wasm"))
}

/// Runs wasm-bindgen: writes the .wasm, the JavaScript module and its types to `folder`.
fn bind(wasm: &Path, folder: &Path, module: &str) -> Result<(), Error> {
    say(&format!("wasm-bindgen: the {module}"));
    let mut bindgen = Bindgen::new();
    let result = (|| {
        bindgen.input_path(wasm).out_name(module).typescript(true).web(true)?;
        bindgen.omit_default_module_path(false).generate(folder)
    })();
    result.map_err(|cause| Error::Bindgen { wasm: wasm.to_owned(), cause: format!("{cause:#}") })
}

/// Optimizes a .wasm file in place, with these options of wasm-opt.
fn optimize(wasm: &Path, options: &[&str]) -> Result<(), Error> {
    say(&format!("wasm-opt {}", options.join(" ")));
    let mut command = node_script("binaryen/bin/wasm-opt");
    run(command.args(FEATURES).args(options).arg(wasm).arg("-o").arg(wasm))
}

/// Returns whether a built module is newer than the compiled library, this program and the npm packages.
fn is_fresh(built: &Path, compiled: &Path) -> bool {
    let modified = |file: &Path| file.metadata().and_then(|data| data.modified()).ok();
    let Some(built) = modified(built) else { return false };
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
