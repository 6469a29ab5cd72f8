//! `cargo xtask test packages` and `test scale`: the Python wheel, the npm package, the action and the jobs at scale, each
//! built as it is published and used from an empty folder; and dry runs of publishing.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::process::{Error, cargo, copy, node_script, root, run, say};
use crate::toolchain::{Target, Toolchain};
use crate::{setup, wasm};

/// The largest wheel, in bytes.
const MAX_WHEEL: u64 = 8_000_000;
/// PyPI packages that build and check the wheel, and run the hook of pre-commit.
const BUILD: [&str; 5] = ["maturin>=1.9,<2", "twine", "pdoc", "numpy", "pre-commit"];
/// PyPI packages of the module's tests; peft brings torch.
const TESTS: [&str; 4] = ["pytest", "numpy", "safetensors", "peft"];

/// Builds the wheel and the npm package and runs their tests, those of the action, and the dry runs of publishing.
pub fn check() -> Result<(), Error> {
    let wheel = wheel()?;
    let tarball = tarball()?;
    let python = venv("wheel", &TESTS)?;
    install(&python, &wheel)?;
    run(Command::new(&python).args(["-m", "pytest", "--quiet", "python/tests"]))?;
    let program = python.with_file_name("lora-loupe");
    let mut tests = Command::new("node");
    let files = ["npm", "action", "readme"].map(|name| format!("tests/packages/{name}.test.mjs"));
    tests.args(["--test", "--test-reporter=spec"]).args(files);
    tests.env("NPM_TARBALL", &tarball).env("WHEEL", &wheel).env("LORA_LOUPE", program);
    tests.env("PRE_COMMIT", venv("build", &BUILD)?.with_file_name("pre-commit"));
    run(tests.env("CHROME_PATH", setup::chromium()?))?;
    dry_runs(&wheel, &tarball)
}

/// Runs the jobs of examples/at_scale/ on generated files with local Spark and local Ray.
pub fn scale() -> Result<(), Error> {
    let java = ["default-jre-headless"];
    setup::debian_packages("Java, for Spark", &java, || crate::process::on_path("java").is_some())?;
    let wheel = wheel()?;
    let python = venv("scale", &["pytest", "safetensors", "numpy"])?;
    install(&python, &wheel)?;
    run(Command::new(&python).args(["-m", "pip", "install", "--quiet", "-r", "examples/at_scale/requirements.txt"]))?;
    run(Command::new(&python).args(["-m", "pytest", "--quiet", "--capture=no", "tests/packages/test_at_scale.py"]))
}

/// Prints the changes of a version for its release: the section of CHANGELOG.md. Fails unless it is the version of
/// Cargo.toml, and released.
pub fn changes(version: &str) -> Result<(), Error> {
    let path = root().join("CHANGELOG.md");
    let text = fs::read_to_string(&path).map_err(|cause| Error::File { path, cause })?;
    let section = text.split("\n## ").skip(1).find_map(|section| section.strip_prefix(version));
    match section.and_then(|section| section.split_once('\n')) {
        Some((title, changes)) if !title.contains("unreleased") && version == env!("CARGO_PKG_VERSION") => {
            println!("{}", changes.trim());
            Ok(())
        }
        _ => Err(Error::Version { version: version.into(), expected: env!("CARGO_PKG_VERSION").into() }),
    }
}

/// Builds the wheel of this platform.
fn wheel() -> Result<PathBuf, Error> {
    let python = venv("build", &BUILD)?;
    let folder = folder()?;
    remove_packages(&folder, "whl")?;
    let mut maturin = Command::new(&python);
    maturin.args(["-m", "maturin", "build", "--release", "--manifest-path", "python/Cargo.toml", "--out"]);
    run(maturin.arg(&folder))?;
    let wheel = package(&folder, "whl")?;
    let size = wheel.metadata().map_err(|cause| Error::File { path: wheel.clone(), cause })?.len();
    say(&format!("{}: {size} bytes", wheel.display()));
    if size > MAX_WHEEL {
        return Err(Error::TooLarge { path: wheel, size, limit: MAX_WHEEL });
    }
    Ok(wheel)
}

/// Packs the npm package: the files of npm/ with the modules of WebAssembly, the types and the texts of reports.
fn tarball() -> Result<PathBuf, Error> {
    setup::npm_packages()?;
    let toolchain = Toolchain::get(Target::Browser)?;
    wasm::build(&toolchain)?;
    wasm::build_module(&toolchain, wasm::REPORT)?;
    let packages = folder()?;
    let stage = packages.join("npm");
    if stage.exists() {
        fs::remove_dir_all(&stage).map_err(|cause| Error::File { path: stage.clone(), cause })?;
    }
    for (from, to) in [("npm", ""), ("pkg", "wasm")] {
        copy_files(&root().join(from), &stage.join(to))?;
    }
    for (from, to) in [
        ("web/words/report.de.js", "words/report.de.js"),
        ("web/words/report.zh.js", "words/report.zh.js"),
        ("web/engine/types.d.ts", "types.d.ts"),
        ("LICENSE-APACHE", "LICENSE-APACHE"),
        ("LICENSE-MIT", "LICENSE-MIT"),
    ] {
        copy(&root().join(from), &stage.join(to))?;
    }
    let mut fields = vec![format!("version={}", env!("CARGO_PKG_VERSION"))];
    // Where a workflow of GitHub publishes, npm demands that the package names its repository.
    if let Ok(repository) = std::env::var("GITHUB_REPOSITORY") {
        fields
            .extend(["repository.type=git".into(), format!("repository.url=git+https://github.com/{repository}.git")]);
    }
    run(npm().args(["pkg", "set", "--prefix"]).arg(&stage).args(fields))?;
    remove_packages(&packages, "tgz")?;
    run(npm().args(["pack", "--silent", "--pack-destination"]).arg(&packages).arg(&stage))?;
    package(&packages, "tgz")
}

/// Everything that publishing does but the upload, and the documentation without warnings.
fn dry_runs(wheel: &Path, tarball: &Path) -> Result<(), Error> {
    run(cargo().args(["publish", "--workspace", "--dry-run", "--allow-dirty", "--no-verify"]))?;
    let python = venv("build", &BUILD)?;
    run(Command::new(&python).args(["-m", "twine", "check", "--strict"]).arg(wheel))?;
    run(npm().args(["publish", "--dry-run", "--access", "public"]).arg(tarball))?;
    let packages = ["lora-loupe", "lora-loupe-linalg", "lora-loupe-simd"];
    let mut doc = cargo();
    doc.args(["doc", "--no-deps", "--lib"]).env("RUSTDOCFLAGS", "--deny warnings");
    run(doc.args(packages.iter().flat_map(|package| ["--package", package])))?;
    install(&python, wheel)?;
    let output = folder()?.join("pdoc");
    run(Command::new(&python).args(["-W", "error", "-m", "pdoc", "lora_loupe", "--output-directory"]).arg(output))?;
    let mut tsc = node_script("typescript/bin/tsc");
    run(tsc.args(["--noEmit", "--project", "target/packages/npm/tsconfig.json"]))
}

/// Returns the Python of a virtual environment in target/packages, which gets these packages on first use.
fn venv(name: &str, packages: &[&str]) -> Result<PathBuf, Error> {
    let environment = folder()?.join(name);
    let python = environment.join(if cfg!(windows) { "Scripts" } else { "bin" }).join("python");
    if !python.exists() {
        let system = std::env::var_os("PYTHON").unwrap_or_else(|| "python3".into());
        run(Command::new(system).args(["-m", "venv"]).arg(&environment))?;
    }
    let mut pip = Command::new(&python);
    run(pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]).args(packages))?;
    Ok(python)
}

fn install(python: &Path, wheel: &Path) -> Result<(), Error> {
    let options = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--force-reinstall", "--no-deps"];
    run(Command::new(python).args(options).arg(wheel))
}

fn npm() -> Command {
    Command::new(if cfg!(windows) { "npm.cmd" } else { "npm" })
}

/// Returns target/packages.
fn folder() -> Result<PathBuf, Error> {
    let folder = root().join("target").join("packages");
    fs::create_dir_all(&folder).map_err(|cause| Error::File { path: folder.clone(), cause })?;
    Ok(folder)
}

/// Lists the files of a folder that end with `.extension`.
fn packages(folder: &Path, extension: &str) -> Result<Vec<PathBuf>, Error> {
    let entries = folder.read_dir().map_err(|cause| Error::File { path: folder.into(), cause })?;
    let paths = entries.flatten().map(|entry| entry.path());
    Ok(paths.filter(|path| path.extension() == Some(OsStr::new(extension))).collect())
}

fn remove_packages(folder: &Path, extension: &str) -> Result<(), Error> {
    let remove = |path: PathBuf| fs::remove_file(&path).map_err(|cause| Error::File { path, cause });
    packages(folder, extension)?.into_iter().try_for_each(remove)
}

fn package(folder: &Path, extension: &str) -> Result<PathBuf, Error> {
    let missing = || Error::File { path: folder.join(extension), cause: std::io::ErrorKind::NotFound.into() };
    packages(folder, extension)?.pop().ok_or_else(missing)
}

/// Copies the files of a folder, without its folders.
fn copy_files(from: &Path, to: &Path) -> Result<(), Error> {
    let entries = from.read_dir().map_err(|cause| Error::File { path: from.into(), cause })?;
    let mut files = entries.flatten().map(|entry| entry.path()).filter(|path| path.is_file());
    files.try_for_each(|file| copy(&file, &to.join(file.file_name().unwrap_or_default())))
}
